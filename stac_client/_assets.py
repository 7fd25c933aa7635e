"""Which assets of an item are meant, and what Rucio needs to know of each; pure.

What cannot be registered comes as an outcome that says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import parse_qs

from stac_client._alternates import is_http, restore_original_href
from stac_client._checksums import Checksums, checksums_of
from stac_client._items import id_text, iter_items
from stac_client._results import Outcome, State
from stac_client.errors import ConfigurationError
from stac_policy.http import MOST_BYTES
from stac_policy.naming import DID, asset_name, collection_scope, item_name
from stac_policy.urls import absolute, link_href, refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stac_client._items import ItemDict, ItemsLike

AssetPredicate = Callable[[str, Mapping[str, Any]], bool]
"""Takes the key and the fields of an asset, and returns whether it is meant."""

AssetSelection = Union[str, Collection[str], AssetPredicate, None]
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


def _check(given: tuple[object, ...], function: str, example: str) -> None:
    if not given or not all(value and isinstance(value, str) for value in given):
        raise ConfigurationError(f"{function} needs one or more texts: {function}({example!r})")


@dataclass  # frozen, each of millions would take twice as long to make
class Asset:
    """An asset that can be registered, with what its item says about it; nobody changes it."""

    collection: str
    item: str
    key: str
    did: DID
    dataset: DID
    """The dataset of its item."""
    url: str
    """Its original URL, absolute."""
    media_type: str
    """What the item says, or nothing."""
    size_bytes: int | None
    checksums: Checksums

    @property
    def is_complete(self) -> bool:
        """Whether its size and a checksum are known, so that nothing needs to be looked up."""
        return self.size_bytes is not None and bool(self.checksums)

    def outcome(self, state: State, reason: str = "") -> Outcome:
        """Return what became of it."""
        return Outcome(self.collection, self.item, self.key, state, reason, self.did, self.dataset)


def select_assets(
    item: ItemDict,
    selection: AssetSelection = None,
    scope: str | None = None,
    source_rse: str | None = None,
) -> Iterator[Asset | Outcome]:
    """Yield each selected asset of an item, or the reason why it cannot be registered.

    Args:
        item: The item as a dict.
        selection: The assets that are wanted. By default those with the role `data`
            where an item has any, and otherwise all that are files; the others are
            then given with the reason.
        scope: A fixed scope instead of the one derived from the collection.
        source_rse: Where the originals are registered, if that matters: where a
            modifier has put a copy in the place of an original, its alternates
            name it by this RSE.

    Raises:
        ConfigurationError: The selection is neither keys nor a predicate.
    """
    keys = named_keys(selection)
    ids = id_text(item.get("collection")), id_text(item.get("id"))
    if item.get("type") != "Feature":
        yield Outcome(*ids, "", State.FAILED, "not a STAC item: its type is not Feature")
        return
    assets = _assets(item, source_rse)
    unwanted = _unwanted_by_default(assets) if selection is None else {}
    dataset = _dataset(item, scope)
    for key, asset in assets.items():
        selected = selection(key, asset) if callable(selection) else key in keys
        if selection is not None and not selected:
            continue
        found = unwanted.get(key) or _asset(item, assets, key, dataset)
        yield Outcome(*ids, key, State.SKIPPED, found) if isinstance(found, str) else found


def registrable(
    items: ItemsLike,
    selection: AssetSelection,
    scope: str | None,
    source_rse: str | None = None,
) -> Iterator[Asset]:
    """Yield the selected assets of items that can be registered, and nothing of the others."""
    for item in iter_items(items):
        for found in select_assets(item, selection, scope, source_rse):
            if isinstance(found, Asset):
                yield found


def _asset(
    item: ItemDict, assets: Mapping[str, Mapping[str, Any]], key: str, dataset: DID | str
) -> Asset | str:
    """An asset that can be registered, or why it cannot."""
    if isinstance(dataset, str):
        return dataset
    if not key:
        return "the asset's key is empty"
    fields = assets[key]
    href = fields.get("href")
    if not isinstance(href, str) or not href:
        return "no href"
    url = href if is_http(href) else absolute(href, link_href(item))
    if reason := refusal(url):
        return reason
    collection, item_id = item["collection"], item["id"]
    media_type = fields.get("type")
    return Asset(
        collection=collection,
        item=item_id,
        key=key,
        did=DID(dataset.scope, asset_name(collection, item_id, key, href, assets)),
        dataset=dataset,
        url=url,
        media_type=media_type if isinstance(media_type, str) else "",
        size_bytes=_size_bytes(fields),
        checksums=checksums_of(fields),
    )


def _dataset(item: ItemDict, scope: str | None) -> DID | str:
    """The dataset of an item, one for all its assets, or why it can have none."""
    collection, item_id = item.get("collection"), item.get("id")
    if not isinstance(collection, str) or not collection:
        return "the item belongs to no collection, which its name needs"
    if not isinstance(item_id, str) or not item_id:
        return "the item has no id"
    try:
        return DID(scope or collection_scope(collection), item_name(collection, item_id))
    except ValueError as error:  # an account's scope is never derived
        return str(error)


def _assets(item: ItemDict, source_rse: str | None) -> dict[str, Mapping[str, Any]]:
    """The assets of an item, each with the catalogue's own href."""
    assets = item.get("assets")
    if not isinstance(assets, dict):
        return {}
    return {
        key: (restore_original_href(asset, source_rse) if "alternate" in asset else asset)
        if isinstance(asset, dict)
        else {}
        for key, asset in assets.items()
    }


def _unwanted_by_default(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
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


def _renders_an_item(asset: Mapping[str, Any]) -> bool:
    """Return whether an asset is an endpoint that renders the item, by its URL."""
    href = asset.get("href")
    if not isinstance(href, str) or "?" not in href:
        return False
    return {"collection", "item"} <= {*parse_qs(href.partition("?")[2])}


def _roles(asset: Mapping[str, Any]) -> list[str]:
    roles = asset.get("roles")
    return roles if isinstance(roles, list) else []


def _size_bytes(asset: Mapping[str, Any]) -> int | None:
    config = asset.get("rucio:config")
    seed = config.get("rucio:size") if isinstance(config, dict) else None
    for size in (asset.get("file:size"), asset.get("rucio:size"), seed):
        if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MOST_BYTES:
            return size
    return None
