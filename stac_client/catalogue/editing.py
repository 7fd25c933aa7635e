"""Items that are changed in place: objects of pystac and plain dicts alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any

import pystac

if TYPE_CHECKING:
    from collections.abc import Collection

# `dict` first: asking whether something is a Mapping takes several times longer.
_DICT = (dict, MutableMapping)
_SEVERAL = (Sequence, AbstractSet, Iterator)


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

    @property
    @abstractmethod
    def extensions(self) -> list[Any]:
        """The extensions that the item says it uses."""

    @property
    @abstractmethod
    def properties(self) -> Mapping[str, Any]:
        """The properties of the item itself."""

    @abstractmethod
    def write(self, key: str, fields: Mapping[str, Any]) -> None:
        """Replace the fields of an asset in the item itself."""

    @abstractmethod
    def write_property(self, key: str, value: object) -> None:
        """Set one of the properties of the item itself."""

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
            if isinstance(key, str)
            and isinstance(asset, _DICT)
            and isinstance(asset.get("href"), str)
        }
        super().__init__(item.get("collection"), item.get("id"), usable, assets.keys())

    @property
    def extensions(self) -> list[Any]:
        found = self._item.get("stac_extensions")
        return found if isinstance(found, list) else []

    @property
    def properties(self) -> Mapping[str, Any]:
        found = self._item.get("properties")
        return found if isinstance(found, MutableMapping) else {}

    def write(self, key: str, fields: Mapping[str, Any]) -> None:
        asset = self._item["assets"][key]
        for gone in asset.keys() - fields.keys():
            del asset[gone]
        asset.update(fields)

    def write_property(self, key: str, value: object) -> None:
        if not isinstance(self._item.get("properties"), MutableMapping):
            self._item["properties"] = {}
        self._item["properties"][key] = value

    def declare(self, extension: str) -> None:
        if not isinstance(self._item.get("stac_extensions"), list):
            self._item["stac_extensions"] = []
        if extension not in self._item["stac_extensions"]:
            self._item["stac_extensions"].append(extension)


class _ItemObject(EditableItem):
    def __init__(self, item: pystac.Item) -> None:
        self._item = item
        assets = {
            key: {**asset.extra_fields, "href": asset.href}
            for key, asset in item.assets.items()
            if isinstance(asset.href, str)
        }
        super().__init__(item.collection_id, item.id, assets, item.assets.keys())

    @property
    def extensions(self) -> list[Any]:
        return self._item.stac_extensions

    @property
    def properties(self) -> Mapping[str, Any]:
        return self._item.properties

    def write(self, key: str, fields: Mapping[str, Any]) -> None:
        asset = self._item.assets[key]
        asset.href = fields["href"]
        asset.extra_fields = {field: fields[field] for field in fields if field != "href"}

    def write_property(self, key: str, value: object) -> None:
        self._item.properties[key] = value

    def declare(self, extension: str) -> None:
        if extension not in self._item.stac_extensions:
            self._item.stac_extensions.append(extension)


def editable_items(thing: object) -> Iterator[EditableItem]:
    """Give the items in an item, an item collection, a page, or several of these.

    Several are a list, a set, a generator or the like. There is nothing in
    anything else.
    """
    if isinstance(thing, pystac.Item):
        yield _ItemObject(thing)
    elif isinstance(thing, pystac.ItemCollection):
        yield from map(_ItemObject, thing)
    elif isinstance(thing, MutableMapping):
        features = thing.get("features", [thing] if thing.get("type") == "Feature" else [])
        for feature in features if isinstance(features, list) else []:
            if isinstance(feature, MutableMapping):
                yield _ItemDict(feature)
    elif isinstance(thing, _SEVERAL) and not isinstance(thing, (str, bytes)):
        for each in thing:
            if isinstance(each, (pystac.Item, pystac.ItemCollection, MutableMapping)):
                yield from editable_items(each)
