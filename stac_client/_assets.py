"""What Rucio needs to know of each selected asset of an item; pure.

What cannot be registered comes as an outcome that says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stac_client._alternates import is_http, name_in_rucio, restore_original_href
from stac_client._checksums import Checksums, checksums_of, size_bytes_of
from stac_client._items import id_text, iter_items
from stac_client._results import Outcome, State
from stac_client._selection import named_keys, unwanted_by_default
from stac_policy.naming import DID, collection_scope, item_name
from stac_policy.urls import absolute, link_href, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stac_client._items import ItemDict, ItemsLike
    from stac_client._selection import AssetSelection


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
    unwanted = unwanted_by_default(assets) if selection is None else {}
    dataset = _dataset(item, scope)
    for key, asset in assets.items():
        selected = selection(key, asset) if callable(selection) else key in keys
        if selection is not None and not selected:
            continue
        found = unwanted.get(key) or _asset(item, assets, key, dataset, source_rse)
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
    item: ItemDict,
    assets: Mapping[str, Mapping[str, Any]],
    key: str,
    dataset: DID | str,
    source_rse: str | None,
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
        did=DID(dataset.scope, name_in_rucio(item, key, source_rse)),
        dataset=dataset,
        url=url,
        media_type=media_type if isinstance(media_type, str) else "",
        size_bytes=size_bytes_of(fields),
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
