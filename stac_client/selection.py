"""Which assets of an item are meant: by key, role, media type, or any predicate; pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Union

AssetPredicate = Callable[[str, Mapping[str, Any]], bool]
"""Takes the key and the fields of an asset, and says whether it is meant."""

AssetSelection = Union[Collection[str], AssetPredicate, None]
"""Keys of assets, a predicate, or None for those with the role `data` where an
item has any, and otherwise all that are files."""


def by_role(*roles: str) -> AssetPredicate:
    """Select the assets that have one of these roles: `by_role("data", "metadata")`."""

    def has_role(_: str, asset: Mapping[str, Any]) -> bool:
        found = asset.get("roles")
        return isinstance(found, list) and any(role in found for role in roles)

    return has_role


def by_media_type(*media_types: str) -> AssetPredicate:
    """Select the assets of one of these media types, whatever their parameters.

    `by_media_type("image/tiff")` selects
    `image/tiff; application=geotiff; profile=cloud-optimized` too.
    """
    wanted = {media_type.lower() for media_type in media_types}

    def is_of_type(_: str, asset: Mapping[str, Any]) -> bool:
        return str(asset.get("type") or "").partition(";")[0].strip().lower() in wanted

    return is_of_type
