"""The modifier for pystac-client: every available replica in every asset that it gives.

pystac_client.Client.open(url, modifier=StacClient().modifier)
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, overload

import pystac

from stac_policy.naming import DID, asset_name, collection_scope

from .alternates import EXTENSION, with_replicas
from .errors import StacRucioError
from .listing import list_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from rucio.client import Client


class AlternatesWarning(UserWarning):
    """Rucio could not be asked for replicas; the items are as the catalogue gave them."""


class Modifier:
    """Adds replicas to the items that pystac-client gives, in place.

    It takes what pystac-client hands to a modifier (a page, an item as object or
    dict, an item collection) and leaves alone what it does not know. It asks
    Rucio once for each 1,000 assets. Calling it twice changes nothing more.
    """

    def __init__(
        self, client: Client, *, prefer: Sequence[str] = (), scope: str | None = None
    ) -> None:
        """Make one.

        Args:
            client: A Rucio client.
            prefer: RSEs, the most wanted first. The copy at the first of them
                that has one becomes the asset's `href`, so that tools which know
                nothing of alternates read it; the original goes to `alternate`.
            scope: A fixed scope instead of those derived from the collections.
        """
        self._client = client
        self._prefer = tuple(prefer)
        self._scope = scope

    @overload
    def __call__(self, thing: object) -> None: ...
    @overload
    def __call__(self, *, prefer: Sequence[str]) -> Modifier: ...
    def __call__(
        self, thing: object = None, *, prefer: Sequence[str] | None = None
    ) -> Modifier | None:
        """Modify what pystac-client hands over; or, with `prefer`, give a modifier that prefers.

        Client.open(url, modifier=rucio.modifier)
        Client.open(url, modifier=rucio.modifier(prefer=["DISK-A", "DISK-B"]))
        """
        if prefer is not None:
            return Modifier(self._client, prefer=prefer, scope=self._scope)
        self._modify(list(_items_in(thing)))
        return None

    def _modify(self, items: list[_Item]) -> None:
        wanted = [
            (item, key, list(_dids(item, key, self._scope)))
            for item in items
            for key in item.assets
        ]
        try:
            files = list_files(self._client, (did for _, _, dids in wanted for did in dids))
        except StacRucioError as error:
            warnings.warn(f"no alternates: {error}", AlternatesWarning, stacklevel=2)
            return
        for item, key, dids in wanted:
            pfns = next((files[did].pfns for did in dids if did in files), None)
            if pfns:
                item.write(key, with_replicas(item.assets[key], pfns, self._prefer))
                item.declare(EXTENSION)


class _Item(ABC):
    """What the modifier needs of an item, whether it is an object or a dict."""

    def __init__(
        self,
        collection: object,
        item_id: object,
        assets: Mapping[str, Mapping[str, Any]],
        keys: Collection[str],
    ) -> None:
        self.collection = collection
        self.id = item_id
        self.assets = assets
        """Fields of the assets that have an href."""
        self.keys = keys
        """Keys of all assets; the names of the files depend on them."""

    @abstractmethod
    def write(self, key: str, fields: Mapping[str, Any]) -> None:
        """Replace the fields of an asset in the item itself."""

    @abstractmethod
    def declare(self, extension: str) -> None:
        """Say that the item uses an extension."""


class _ItemDict(_Item):
    def __init__(self, item: MutableMapping[str, Any]) -> None:
        self._item = item
        found = item.get("assets")
        assets: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        usable = {
            key: asset
            for key, asset in assets.items()
            if isinstance(asset, MutableMapping) and isinstance(asset.get("href"), str)
        }
        super().__init__(item.get("collection"), item.get("id"), usable, assets.keys())

    def write(self, key: str, fields: Mapping[str, Any]) -> None:
        asset = self._item["assets"][key]
        for gone in set(asset) - set(fields):
            del asset[gone]
        asset.update(fields)

    def declare(self, extension: str) -> None:
        if not isinstance(self._item.get("stac_extensions"), list):
            self._item["stac_extensions"] = []
        if extension not in self._item["stac_extensions"]:
            self._item["stac_extensions"].append(extension)


class _ItemObject(_Item):
    def __init__(self, item: pystac.Item) -> None:
        self._item = item
        assets = {
            key: {**asset.extra_fields, "href": asset.href} for key, asset in item.assets.items()
        }
        super().__init__(item.collection_id, item.id, assets, assets.keys())

    def write(self, key: str, fields: Mapping[str, Any]) -> None:
        asset = self._item.assets[key]
        asset.href = fields["href"]
        asset.extra_fields = {field: fields[field] for field in fields if field != "href"}

    def declare(self, extension: str) -> None:
        if extension not in self._item.stac_extensions:
            self._item.stac_extensions.append(extension)


def _items_in(thing: object) -> Iterator[_Item]:
    if isinstance(thing, pystac.Item):
        yield _ItemObject(thing)
    elif isinstance(thing, pystac.ItemCollection):
        yield from map(_ItemObject, thing)
    elif isinstance(thing, MutableMapping):
        features = thing.get("features", [thing] if thing.get("type") == "Feature" else [])
        for feature in features if isinstance(features, list) else []:
            if isinstance(feature, MutableMapping):
                yield _ItemDict(feature)


def _dids(item: _Item, key: str, scope: str | None) -> Iterable[DID]:
    """The DIDs that an asset may have.

    The suffix in its name is that of the catalogue's URL, which `prefer` may
    have moved to the alternates.
    """
    collection, item_id = item.collection, item.id
    if not (isinstance(collection, str) and isinstance(item_id, str)):
        return ()
    if not (collection and item_id and key):
        return ()
    asset = item.assets[key]
    alternates = asset.get("alternate")
    places = [asset, *(alternates.values() if isinstance(alternates, Mapping) else ())]
    hrefs = [place.get("href") for place in places if isinstance(place, Mapping)]
    in_scope = scope or collection_scope(collection)
    names = (
        asset_name(collection, item_id, key, href, item.keys)
        for href in hrefs
        if isinstance(href, str)
    )
    return [DID(in_scope, name) for name in dict.fromkeys(names)]
