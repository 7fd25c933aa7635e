"""Which assets of an item are meant: by key, role, media type, or any predicate; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Union

from stac_client.errors import ConfigurationError

AssetPredicate = Callable[[str, Mapping[str, Any]], bool]
"""Takes the key and the fields of an asset, and says whether it is meant."""

AssetSelection = Union[str, Collection[str], AssetPredicate, None]
"""Key or keys of assets, a predicate, or None for those with the role `data` where
an item has any, and otherwise all that are files."""


def check_selection(selection: object) -> None:
    """See to it that a selection is one.

    Raises:
        ConfigurationError: It is neither keys nor a predicate.
    """
    if selection is None or callable(selection) or isinstance(selection, str):
        return
    if not isinstance(selection, Collection) or not all(isinstance(key, str) for key in selection):
        raise ConfigurationError(
            f"assets is {selection!r}; give the key of an asset, a list of keys, or a predicate "
            "such as by_role or by_media_type"
        )


def is_selected(key: str, asset: Mapping[str, Any], selection: AssetSelection) -> bool:
    """Tell whether an asset is selected; None selects all here."""
    if selection is None:
        return True
    if isinstance(selection, str):
        return key == selection
    return selection(key, asset) if callable(selection) else key in selection


def named_keys(selection: AssetSelection) -> set[str]:
    """The keys that a selection names."""
    if selection is None or callable(selection):
        return set()
    return {selection} if isinstance(selection, str) else {*selection}


def by_role(*roles: str) -> AssetPredicate:
    """Select the assets that have one of these roles: `by_role("data", "metadata")`.

    Raises:
        ConfigurationError: No role is given, or something that is none.
    """
    _check(roles, "by_role", "data")

    def has_role(_: str, asset: Mapping[str, Any]) -> bool:
        found = asset.get("roles")
        return isinstance(found, list) and any(role in found for role in roles)

    return has_role


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


def _check(given: tuple[object, ...], function: str, example: str) -> None:
    if not given or not all(value and isinstance(value, str) for value in given):
        raise ConfigurationError(f"{function} needs one or more texts: {function}({example!r})")
