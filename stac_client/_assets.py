"""What Rucio needs to know of each selected asset of an item; pure.

What cannot be registered comes as an outcome that says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stac_client._alternates import name_in_rucio, restore_original_href
from stac_client._checksums import Checksums, checksums_of, size_bytes_of
from stac_client._item_completion import NO_COLLECTION
from stac_client._items import id_text, iter_items, updated_of
from stac_client._results import Outcome, State
from stac_client._selection import (
    Wanted,
    alternate_keys,
    named_keys,
    unwanted_by_default,
)
from stac_policy.access import Access, Kind, found_access
from stac_policy.gateway import fits
from stac_policy.naming import DID, collection_scope, item_name
from stac_policy.settings import known_origins
from stac_policy.urls import is_secret, link_href

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from stac_client._items import ItemDict, ItemsLike
    from stac_client._selection import AssetSelection


_OPEN = Access(Kind.OPEN)


@dataclass(slots=True)  # frozen, each of millions would take twice as long to make
class Asset:
    """An asset that can be registered, with what its item says about it; nobody changes it."""

    collection: str
    item: str
    key: str
    did: DID
    dataset: DID
    """The dataset of its item."""
    url: str
    """Its original URL, absolute; empty where that is signed and a name suffices."""
    media_type: str
    """What the item says, or nothing."""
    size_bytes: int | None
    checksums: Checksums
    access: Access = field(default=_OPEN, repr=False)
    """How its bytes are got."""
    updated: object = None
    """When its bytes or its item changed, as these say."""
    of_item: int = 1
    """How many assets its item has."""
    no_length: str = field(default="", repr=False, compare=False)
    """Why its origin tells FTS no length, which asks by HEAD; nothing if nobody has asked."""

    @property
    def is_complete(self) -> bool:
        """Whether its size and adler32 are known, so that nothing needs to be looked up.

        Not md5 alone: FTS fails where the destination cannot compute what is registered, and
        storages that know adler32 alone are common.
        """
        return self.size_bytes is not None and self.checksums.adler32 is not None

    @property
    def is_silent(self) -> bool:
        """Whether it may have changed, and nothing that its item says would show that."""
        return self.updated is not None and self.size_bytes is None and not self.checksums

    def outcome(self, state: State, reason: str = "") -> Outcome:
        """Return what became of it."""
        return Outcome(self.collection, self.item, self.key, state, reason, self.did, self.dataset)


def select_assets(
    item: ItemDict,
    selection: AssetSelection = None,
    scope: str | None = None,
    source_rse: str | None = None,
    *,
    alternate_assets: Sequence[str] = (),
    by_name: bool = False,
) -> Iterator[Asset | Outcome]:
    """Yield each selected asset of an item, or the reason why it cannot be registered.

    Args:
        item: The item as a dict.
        selection: The assets that are wanted. By default those that are data; the
            others are then given with the reason.
        scope: A fixed scope instead of the one derived from the collection.
        source_rse: Where the originals are registered, if that matters: where a
            modifier has put a copy in the place of an original, its alternates
            name it by this RSE.
        alternate_assets: Keys of alternates, the most wanted first, that are taken where
            an asset has one; by default the one that is easiest to fetch.
        by_name: Whether it is looked up by its name, so that its URL may be signed; it then
            comes without one.

    Raises:
        ConfigurationError: The selection is neither keys nor a predicate.
    """
    ids = id_text(item.get("collection")), id_text(item.get("id"))
    if item.get("type") != "Feature":
        yield Outcome(*ids, "", State.FAILED, "not a STAC item: its type is not Feature")
        return
    read = _Item(item, scope, source_rse, alternate_assets)
    for key, unwanted in read.selected(selection):
        if unwanted is None or selection is None:
            found = unwanted or read.asset(key, read.access(key, by_name=by_name))
            yield Outcome(*ids, key, State.SKIPPED, found) if isinstance(found, str) else found


def registrable(
    items: ItemsLike,
    selection: AssetSelection,
    scope: str | None,
    source_rse: str | None = None,
    *,
    keys: Wanted | None = None,
) -> Iterator[Asset]:
    """Yield the selected assets of items that Rucio may have, and nothing of the others.

    Named keys that no item has are warned of, unless the caller looks at `keys` for them.
    """
    noted = keys or Wanted(selection)
    for item in noted.of(iter_items(items)):
        for found in select_assets(item, selection, scope, source_rse, by_name=True):
            if isinstance(found, Asset):
                yield found
    if keys is None:
        noted.warn()


def fetched(found: Asset | Outcome, *, gateway: bool = False) -> Asset | Outcome:
    """An asset that transfers bring, through a credential gateway if there is one."""
    if isinstance(found, Outcome) or found.access.kind.is_anonymous:
        return found
    if not (gateway and found.access.kind.is_fetchable):
        return found.outcome(State.SKIPPED, found.access.reason)
    if not fits(found.url):
        return found.outcome(State.SKIPPED, "its URL is too long for FTS behind the gateway's own")
    return found


@dataclass(frozen=True)
class AssetAccess:
    """What is known of an asset, selected or not, without asking anybody."""

    collection: str
    item: str
    key: str
    selected: bool
    access: str
    """Its class of access."""
    fetchable: bool
    """Whether transfers bring its bytes, given what it needs."""
    url: str | None
    """Where they are, if it is fetchable: what is registered, if that is possible."""
    needs: str
    reason: str
    """Why it is not selected, or is not registered as it is."""


def survey(
    item: ItemDict,
    selection: AssetSelection = None,
    scope: str | None = None,
    source_rse: str | None = None,
    *,
    alternate_assets: Sequence[str] = (),
    checked: Callable[[Access], Access] | None = None,
) -> Iterator[AssetAccess]:
    """Yield how the bytes of each asset of an item are got, whether it is selected or not.

    Args:
        item: The item as a dict.
        selection: As in `select_assets`.
        scope: As there.
        source_rse: As there.
        alternate_assets: As there.
        checked: Looks at what a bucket lets anybody read.

    Raises:
        ConfigurationError: The selection is neither keys nor a predicate.
    """
    read = _Item(item, scope, source_rse, alternate_assets)
    for key, unwanted in read.selected(selection):
        access = read.access(key)
        access = checked(access) if checked else access
        found = read.asset(key, access)
        obstacle = found if isinstance(found, str) else access.reason
        yield AssetAccess(
            collection=id_text(item.get("collection")),
            item=id_text(item.get("id")),
            key=key,
            selected=unwanted is None,
            access=access.kind.value,
            fetchable=access.kind.is_fetchable,
            url=access.url if access.kind.is_fetchable else None,
            needs=access.needs,
            reason=unwanted or obstacle,
        )


class _Item:
    """An item, with what its assets share."""

    def __init__(
        self, item: ItemDict, scope: str | None, source_rse: str | None, alternates: Sequence[str]
    ) -> None:
        self._item = item
        self._assets = _assets(item, source_rse)
        self._source_rse = source_rse
        self._alternates = alternate_keys(alternates)
        self._dataset = _dataset(item, scope)
        self._table = known_origins()
        self._base_url = link_href(item)
        self._updated = updated_of(item)

    def selected(self, selection: AssetSelection) -> list[tuple[str, str | None]]:
        """Return the key of each asset, and why it is not selected, if it is not."""
        keys, assets = named_keys(selection), self._assets.items()
        if selection is None:
            unwanted = unwanted_by_default(id_text(self._item.get("id")), self._assets)
            return [(key, unwanted.get(key)) for key in self._assets]
        is_meant = selection if callable(selection) else lambda key, _: key in keys
        reason = "it is none of those that are asked for"
        return [(key, None if is_meant(key, asset) else reason) for key, asset in assets]

    def access(self, key: str, *, by_name: bool = False) -> Access:
        """Return how the bytes of an asset are got; by name also what has a signed URL."""
        fields = self._assets[key]
        found = found_access(self._table, self._item, fields, self._base_url, self._alternates)
        if by_name and found.url is None and is_secret(str(fields.get("href"))):
            return found._replace(url="")
        return found

    def asset(self, key: str, access: Access) -> Asset | str:
        """Return an asset with a URL, or why it has none."""
        dataset, fields = self._dataset, self._assets[key]
        if isinstance(dataset, str):
            return dataset
        if not key:
            return "the asset's key is empty"
        if access.url is None:
            return access.reason
        media_type = fields.get("type")
        return Asset(  # without their names, which take twice as long
            self._item["collection"],
            self._item["id"],
            key,
            DID(dataset.scope, name_in_rucio(self._item, key, self._source_rse)),
            dataset,
            access.url,
            media_type if isinstance(media_type, str) else "",
            size_bytes_of(fields),
            checksums_of(fields),
            access,
            fields.get("updated") or self._updated,
            len(self._assets),
        )


def _dataset(item: ItemDict, scope: str | None) -> DID | str:
    """The dataset of an item, one for all its assets, or why it can have none."""
    collection, item_id = item.get("collection"), item.get("id")
    if not isinstance(collection, str) or not collection:
        return getattr(item, "reason", "") or NO_COLLECTION
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
