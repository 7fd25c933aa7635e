"""From items and their replicas to what is written into the items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from stac_client.requests_in_bulk import grouped
from stac_policy.naming import DID, asset_name, collection_scope

from .alternates import EXTENSION, NAME, with_locations
from .storage_facts import SCHEMES, STORAGE, uses_another_version, with_schemes

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from stac_client.catalogue.editing import EditableItem

    from .alternates import Location
    from .prefer import Choice


class Asset(NamedTuple):
    """An asset that has an href."""

    item: EditableItem
    key: str
    dids: tuple[DID, ...]
    """The DIDs that it may have."""

    def did(self, known: Container[DID]) -> DID | None:
        """The first of its DIDs that Rucio knows."""
        return next((did for did in self.dids if did in known), None)


class Copies(NamedTuple):
    """The replicas of an asset that Rucio knows."""

    asset: Asset
    did: DID
    found: Mapping[str, Location]
    """All ways to them, by their keys."""
    rses: Sequence[str]
    """Those RSEs of them that may be written."""
    choice: Choice | None
    """The copy that becomes the href, if any."""


@dataclass(frozen=True)
class Edit:
    """What is to be written into an item."""

    item: EditableItem
    assets: Mapping[str, Mapping[str, Any]]
    """New fields by asset key."""
    schemes: Mapping[str, Any]
    """New storage schemes, if any."""

    def write(self) -> None:
        """Write it."""
        for key, fields in self.assets.items():
            self.item.write(key, fields)
            if NAME in fields or "alternate" in fields:
                self.item.declare(EXTENSION)
        if self.schemes:
            self.item.write_property(SCHEMES, self.schemes)
            self.item.declare(STORAGE)


def find_assets(items: Iterable[EditableItem], scope: str | None) -> Iterator[Asset]:
    """Give the assets of items that have an href.

    Args:
        items: The items.
        scope: A fixed scope instead of those derived from the collections.
    """
    for item in items:
        collection, item_id = item.collection, item.id
        named = isinstance(collection, str) and isinstance(item_id, str) and collection and item_id
        in_scope = (scope or collection_scope(str(collection))) if named else ""
        for key in item.assets:
            names = _names(item, key) if named and key else ()
            yield Asset(item, key, tuple(DID(in_scope, name) for name in names))


def make_edits(copies: Iterable[Copies], storage: Mapping[str, Mapping[str, Any]]) -> list[Edit]:
    """Give what is to be written, one edit an item.

    Args:
        copies: The replicas of assets.
        storage: The storage scheme of each RSE; none, if they are not wanted.
    """
    by_item = grouped(copies, lambda each: id(each.asset.item))
    return [_edit(each, storage) for each in by_item.values()]


def _edit(copies: Sequence[Copies], storage: Mapping[str, Mapping[str, Any]]) -> Edit:
    item = copies[0].asset.item
    schemes: dict[str, Any] = {}
    refs: dict[str, str] = {}
    if storage and not uses_another_version(item.extensions):
        here = {rse: storage[rse] for each in copies for rse in each.rses}
        schemes, refs = with_schemes(item.properties.get(SCHEMES), here)
    assets = {
        each.asset.key: with_locations(
            item.assets[each.asset.key],
            each.found,
            each.choice.location if each.choice else None,
            rses=each.rses,
            refs=refs,
        )
        for each in copies
    }
    return Edit(item, assets, schemes if refs else {})


def _names(item: EditableItem, key: str) -> Iterable[str]:
    """The names that an asset may have.

    Its suffix is that of the catalogue's URL, which `prefer` may have moved to
    the alternates.
    """
    asset = item.assets[key]
    hrefs = [asset["href"]]
    alternates = asset.get("alternate")
    if alternates and isinstance(alternates, (dict, Mapping)):
        places = [each for each in alternates.values() if isinstance(each, (dict, Mapping))]
        hrefs += [each["href"] for each in places if isinstance(each.get("href"), str)]
    collection, item_id = str(item.collection), str(item.id)
    return dict.fromkeys(asset_name(collection, item_id, key, href, item.keys) for href in hrefs)
