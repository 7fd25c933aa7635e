"""What the dataset of an item gets as metadata; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stac_policy.urls import link_href, refusal

if TYPE_CHECKING:
    from stac_client._items import ItemDict

_TIMES = ("datetime", "start_datetime", "end_datetime")
_TIME_LENGTH = 40  # characters; more than RFC 3339 needs
_BBOX_LENGTHS = frozenset({4, 6})
_COORDINATES = 1e9


def item_metadata(item: ItemDict) -> dict[str, Any]:
    """Return the metadata of an item's dataset.

    Returns:
        `stac_collection` and `stac_item` (ids), `stac_datetime`, `stac_start_datetime`
        and `stac_end_datetime` as the item has them, `stac_bbox` (a list of numbers)
        and `stac_url` (the item itself), as far as the item says something usable.
    """
    properties = item.get("properties")
    times = properties if isinstance(properties, dict) else {}
    href = link_href(item)
    found: dict[str, Any] = {
        "stac_collection": item.get("collection"),
        "stac_item": item.get("id"),
        **{f"stac_{name}": _time(times.get(name)) for name in _TIMES},
        "stac_bbox": _bbox(item.get("bbox")),
        "stac_url": None if refusal(href) else href,  # unless it carries a secret
    }
    return {key: value for key, value in found.items() if value}


def _time(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= _TIME_LENGTH else None


def _bbox(value: object) -> list[float] | None:
    if not isinstance(value, (list, tuple)) or len(value) not in _BBOX_LENGTHS:
        return None
    return [*value] if all(map(_is_coordinate, value)) else None


def _is_coordinate(value: object) -> bool:
    """Return whether it is a number that can stand for a degree or a height; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < _COORDINATES
