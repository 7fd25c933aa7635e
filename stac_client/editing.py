"""Items that are changed in place: objects of pystac and plain dicts alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

import pystac

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


class EditableItem(ABC):
    """An item whose assets can be changed in place, whether it is an object or a dict."""

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


class _ItemDict(EditableItem):
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


class _ItemObject(EditableItem):
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


def editable_items(thing: object) -> Iterator[EditableItem]:
    """Give the items in an item, an item collection or a page; nothing in anything else."""
    if isinstance(thing, pystac.Item):
        yield _ItemObject(thing)
    elif isinstance(thing, pystac.ItemCollection):
        yield from map(_ItemObject, thing)
    elif isinstance(thing, MutableMapping):
        features = thing.get("features", [thing] if thing.get("type") == "Feature" else [])
        for feature in features if isinstance(features, list) else []:
            if isinstance(feature, MutableMapping):
                yield _ItemDict(feature)
