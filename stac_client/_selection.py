"""Which assets of an item are meant: those named, those that a predicate takes, or data; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from stac_client._results import Outcome, State
from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

AssetPredicate = Callable[[str, Mapping[str, Any]], bool]
"""Takes the key and the fields of an asset, and returns whether it is meant."""

AssetSelection = str | Collection[str] | AssetPredicate | None
"""Key or keys of assets, a predicate, or None for those with the role `data` where
an item has any, and otherwise all that are files."""

_API_ENDPOINTS = frozenset({"rendered_preview", "tilejson"})


def named_keys(selection: AssetSelection) -> set[str]:
    """Return the keys that a selection names; a predicate names none.

    Raises:
        ConfigurationError: It is neither keys nor a predicate.
    """
    if selection is None or callable(selection):
        return set()
    keys = [selection] if isinstance(selection, str) else selection
    if not isinstance(keys, Collection) or not all(isinstance(key, str) for key in keys):
        raise ConfigurationError(
            f"assets is {selection!r}; give the key of an asset, a list of keys, or a predicate "
            "such as by_role or by_media_type"
        )
    return {*keys}


def missing(keys: Iterable[str]) -> list[Outcome]:
    """Return what became of named keys that no item has."""
    reason = "no item has an asset with this key"
    return [Outcome("", "", key, State.SKIPPED, reason) for key in sorted(keys)]


def by_role(*roles: str) -> AssetPredicate:
    """Select the assets that have one of these roles: `by_role("data", "metadata")`.

    Raises:
        ConfigurationError: No role is given, or something that is none.
    """
    _check(roles, "by_role", "data")

    return lambda _, asset: any(role in _roles(asset) for role in roles)


def by_media_type(*media_types: str) -> AssetPredicate:
    """Select the assets of one of these media types, whatever their parameters.

    `by_media_type("image/tiff")` selects
    `image/tiff; application=geotiff; profile=cloud-optimized` too.

    Raises:
        ConfigurationError: No media type is given, or something that is none.
    """
    _check(media_types, "by_media_type", "image/tiff")
    wanted = {media_type.lower() for media_type in media_types}

    def is_of_type(_: str, asset: Mapping[str, Any]) -> bool:
        return str(asset.get("type") or "").partition(";")[0].strip().lower() in wanted

    return is_of_type


def unwanted_by_default(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The assets that are not registered unless they are asked for, each with the reason."""
    any_data = any("data" in _roles(asset) for asset in assets.values())
    unwanted = {}
    for key, asset in assets.items():
        roles = _roles(asset)
        if any_data and "data" not in roles:
            unwanted[key] = "its role is not data, as that of other assets is"
        elif key in _API_ENDPOINTS or "tiles" in roles or _renders_an_item(asset):
            unwanted[key] = "an API endpoint, not a file"
    return unwanted


def _check(given: tuple[object, ...], function: str, example: str) -> None:
    if not given or not all(value and isinstance(value, str) for value in given):
        raise ConfigurationError(f"{function} needs one or more texts: {function}({example!r})")


def _renders_an_item(asset: Mapping[str, Any]) -> bool:
    """Return whether an asset is an endpoint that renders the item, by its URL."""
    href = asset.get("href")
    if not isinstance(href, str) or "?" not in href:
        return False
    return {"collection", "item"} <= {*parse_qs(href.partition("?")[2])}


def _roles(asset: Mapping[str, Any]) -> list[str]:
    roles = asset.get("roles")
    return roles if isinstance(roles, list) else []
