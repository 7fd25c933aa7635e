"""From items and their replicas to what is written into the items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pystac

from stac_client._replicas import MOUNTED, STORAGE, Location, uses_another_version, with_schemes
from stac_client._replicas import SCHEMES_STORAGE_FACTS as SCHEMES
from stac_client._rucio import grouped
from stac_policy.naming import DID, asset_name, collection_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable

    from stac_client._preference import Choice
    from stac_client._results import Outcome


# Items that are changed in place: objects of pystac and plain dicts alike.


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


# Alternates: the replicas of an asset, written into it by the Alternate Assets extension; pure.
#
# Specification: https://github.com/stac-extensions/alternate-assets, v1.2.0.


EXTENSION = "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"

NAME = "alternate:name"
ORIGINAL = "original"
"""Key of the catalogue's own URL where another copy took its place and no RSE has it."""

_OF_THE_PLACE = ("storage:", "auth:")
"""Prefixes of fields that say where an href leads and who may go there, not what is there."""


def locations(
    pfns: Mapping[str, Sequence[str]], mounted: Callable[[str], str | None] | None = None
) -> dict[str, Location]:
    """Give every way to the replicas of an asset, each under a key of its own.

    The best PFN of an RSE has the RSE's name as its key, a further one that of
    its scheme besides (`DISK-A-root`, `DISK-A-root-2`), and the path where the
    RSE is mounted that of `file` (`DISK-A-file`).

    Args:
        pfns: The PFNs of the available replicas by RSE, the best first.
        mounted: Gives the local path of a PFN, if there is one.
    """
    found = {
        rse: Location(rse, rse, _scheme(best[0]), best[0])
        for rse, best in sorted(pfns.items())
        if best
    }
    for rse in tuple(found):
        further = pfns[rse][1:]
        paths = filter(None, map(mounted, pfns[rse])) if mounted else ()
        for href in dict.fromkeys((*further, *paths)):
            if href != found[rse].href:
                scheme = _scheme(href)
                key = _new_key(found, f"{rse}-{scheme}")
                found[key] = Location(key, rse, scheme, href)
    return found


def with_replicas(
    asset: Mapping[str, Any], pfns: Mapping[str, Sequence[str]], prefer: Sequence[str] = ()
) -> dict[str, Any]:
    """Give the fields of an asset with all its replicas in them.

    Args:
        asset: The fields of the asset.
        pfns: The PFNs of its available replicas by RSE, the best first.
        prefer: RSEs, the most wanted first; the copy at the first of them that
            has one becomes the `href`.
    """
    found = locations(pfns)
    return with_locations(asset, found, next((found[rse] for rse in prefer if rse in found), None))


def with_locations(
    asset: Mapping[str, Any],
    found: Mapping[str, Location],
    chosen: Location | None = None,
    *,
    rses: Container[str] | None = None,
    refs: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Give the fields of an asset with the ways to its replicas in them.

    Doing it again changes nothing more. No URL is lost: neither the asset's own,
    nor one among its alternates, unless Rucio now gives another for that key.

    Args:
        asset: The fields of the asset.
        found: The ways to its replicas, by their keys.
        chosen: The one that becomes the `href`.
        rses: The RSEs whose replicas are written, by default all. The others
            only give the asset's own URL its name.
        refs: Key among the item's `storage:schemes` of each RSE that has one.
    """
    fields = dict(asset)
    href = asset["href"]
    own = asset.get(NAME)
    name = own if isinstance(own, str) else None
    name = name or next((place.key for place in found.values() if place.href == href), None)
    alternates = _fields(asset.get("alternate"))
    for key, place in found.items():
        if rses is None or place.rse in rses:
            there: dict[str, Any] = {"href": place.href, NAME: key}
            if refs and place.rse in refs:
                there["storage:refs"] = [refs[place.rse]]
            alternates[key] = {**_fields(alternates[key]), **there} if key in alternates else there
    if chosen is not None and chosen.href != href:
        key = _free_key(alternates, name or ORIGINAL, href)
        moved = {field: fields.pop(field) for field in _of_the_place(fields)}
        alternates[key] = {**_fields(alternates.get(key)), **moved, "href": href, NAME: key}
        href, name = chosen.href, chosen.key
    if name is not None and _fields(alternates.get(name)).get("href") == href:
        here = alternates.pop(name)
        fields.update({field: here[field] for field in _of_the_place(here)})
    # The specification wants at least one alternate, and a name of at least one character.
    for field, value in (("href", href), ("alternate", alternates), (NAME, name)):
        if value or field == "href":
            fields[field] = value
        else:
            fields.pop(field, None)
    return fields


def _of_the_place(fields: Mapping[str, Any]) -> list[str]:
    return [field for field in fields if field.startswith(_OF_THE_PLACE)]


def _scheme(href: str) -> str:
    scheme, separator, _ = href.partition("://")
    return scheme if separator else MOUNTED


def _new_key(taken: Container[str], key: str) -> str:
    """The key, or one made from it that is not taken."""
    number, wanted = 1, key
    while key in taken:
        number += 1
        key = f"{wanted}-{number}"
    return key


def _free_key(alternates: Mapping[str, Any], key: str, href: str) -> str:
    """The key, or one made from it, where no other URL is."""
    while _fields(alternates.get(key)).get("href", href) != href:
        key += f"-{ORIGINAL}"
    return key


def _fields(value: object) -> dict[str, Any]:
    return dict(value) if value and isinstance(value, (dict, Mapping)) else {}


# The catalogue's own URL of an asset whose href a modifier has turned into a copy's; pure.


LOCAL = "local"
"""`alternate:name` of a file beside its item; no RSE has a name in lower case."""


def with_original(fields: Mapping[str, Any], source_rse: str | None = None) -> Mapping[str, Any]:
    """Give the fields of an asset with the catalogue's own URL as its href.

    It is the alternate of the source RSE, or else `original`. A URL that is
    none of HTTP can not be registered; then it is the only one of HTTP among the
    alternates, or without a source RSE any of several that end alike, and so
    have the same name in Rucio. The copy goes to the alternates.

    Args:
        fields: The fields of the asset.
        source_rse: The RSE whose replica is the original, where one is meant.

    Returns:
        The fields; unchanged where the href is the original, or nothing tells
        which one is.
    """
    alternates = fields.get("alternate")
    places = alternates.items() if isinstance(alternates, Mapping) else ()
    hrefs = {
        key: place["href"]
        for key, place in places
        if isinstance(place, Mapping) and isinstance(place.get("href"), str)
    }
    key = _original(fields, hrefs, source_rse) if hrefs else None
    if key is None or not isinstance(fields.get("href"), str):
        return fields
    changed = with_replicas(fields, {key: (hrefs[key],)}, prefer=[key])
    if key == ORIGINAL:
        del changed[NAME]
    places = changed.pop("alternate", {}).items()
    others = {name: place for name, place in places if name != LOCAL}
    return {**changed, "alternate": others} if others else changed


def is_http(href: object) -> bool:
    """Tell whether an href is a URL that a source RSE can hold."""
    return isinstance(href, str) and href.startswith(("http://", "https://"))


def _original(
    fields: Mapping[str, Any], hrefs: Mapping[str, str], source_rse: str | None
) -> str | None:
    """The key of the original among the alternates, if it is one of them."""
    if source_rse is not None and fields.get(NAME) == source_rse:
        return None
    http = {key: href for key, href in hrefs.items() if is_http(href)}
    if source_rse in http:
        return source_rse
    if ORIGINAL in hrefs and not _has_other_scheme(hrefs[ORIGINAL]):
        return ORIGINAL
    if fields.get(NAME) != LOCAL and not _has_other_scheme(fields.get("href")):
        return None
    names = {asset_name("-", "-", "-", href) for href in http.values()}
    alike = len(names) == 1 and (source_rse is None or len(http) == 1)
    return [*http][-1] if alike else None


def _has_other_scheme(href: object) -> bool:
    """Tell whether an href is a URL, but none of HTTP; a relative one may become one of HTTP."""
    return isinstance(href, str) and "://" in href and not is_http(href)


# What was learned of assets, written into their items: sizes, checksums and DIDs.


_FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"


def write_back(items: object, outcomes: Iterable[Outcome]) -> None:
    """Write into items, in place, what Rucio now knows of their registered assets.

    That is `file:size` where an item lacks it, and `rucio:scope`, `rucio:name`,
    `rucio:adler32` and `rucio:md5` (docs/stac-extension).

    Args:
        items: An item, an item collection or a page, as objects or dicts.
        outcomes: What a registration of these items gave.
    """
    registered = {
        (outcome.collection, outcome.item, outcome.key): outcome
        for outcome in outcomes
        if outcome.size_bytes is not None and outcome.did is not None
    }
    for item in editable_items(items):
        for key, fields in item.assets.items():
            outcome = registered.get((str(item.collection), str(item.id), key))
            if outcome is not None:
                item.write(key, {**fields, **_learned(fields, outcome)})
                item.declare(_FILE)


def _learned(fields: Any, outcome: Outcome) -> dict[str, Any]:
    assert outcome.did is not None  # noqa: S101 - such outcomes were left out
    learned: dict[str, Any] = {
        "rucio:scope": outcome.did.scope,
        "rucio:name": outcome.did.name,
        "rucio:adler32": outcome.adler32,
        "rucio:md5": outcome.md5,
    }
    if "file:size" not in fields:
        learned["file:size"] = outcome.size_bytes
    return {field: value for field, value in learned.items() if value is not None}


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
        try:
            in_scope = (scope or collection_scope(str(collection))) if named else ""
        except ValueError:  # an account's scope is never derived
            named, in_scope = False, ""
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
