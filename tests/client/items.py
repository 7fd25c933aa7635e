"""Items of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stac_client._assets import Asset, select_assets

if TYPE_CHECKING:
    from stac_client._results import Outcome

TIF = "https://data.example.org/x.tif"


def item(
    collection: str | None, item_id: str, assets: dict[str, Any], self_link: str | None = None
) -> dict[str, Any]:
    """A STAC item."""
    fields: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": item_id,
        "geometry": None,
        "properties": {"datetime": "2025-06-01T00:00:00Z"},
        "links": [{"rel": "root", "href": "https://stac.example.org/"}],
        "assets": assets,
    }
    if collection is not None:
        fields["collection"] = collection
    if self_link is not None:
        fields["links"].append({"rel": "self", "href": self_link})
    return fields


def only(asset: Any, **fields: Any) -> Asset | Outcome:
    """What becomes of the only asset of an item, with other fields of it changed."""
    (found,) = select_assets(item("c", "i", {"a": asset}) | fields)
    return found
