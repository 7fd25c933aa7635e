"""Replicas written into items by the Alternate Assets extension, and original hrefs restored.

Specification: https://github.com/stac-extensions/alternate-assets, v1.2.0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pystac

from stac_client._checksums import Checksums, Description, is_same
from stac_client._replica_source import (
    STORAGE_EXTENSION,
    STORAGE_SCHEMES,
    uses_another_version,
    with_schemes,
)
from stac_client._replicas import Replica, replicas_by_key, without_secrets
from stac_client._rucio import grouped
from stac_policy.access import is_bucket
from stac_policy.naming import DID, asset_name, collection_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from stac_client._item_completion import Completion
    from stac_client._replicas import Choice
    from stac_client._results import Outcome

ALTERNATE_ASSETS = "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"

NAME = "alternate:name"
ORIGINAL = "original"
"""Key of the catalogue's own URL where another replica took its place and no RSE has it."""
LOCAL = "local"
"""`alternate:name` of a file beside its item; no RSE has a name in lower case."""

LOCAL_PATH = "file:local_path"

PFN = "rucio:pfn"
"""The field with the PFN of a replica whose href is another URL, which tools read."""

_LOCATION_FIELDS = (PFN, "storage:", "auth:")
"""Prefixes of fields that say where an href leads and who may go there, not what is there."""
_FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
# `dict` first: asking whether something is a Mapping takes several times longer.
_DICT = (dict, MutableMapping)


# Items that are changed in place.


class ItemView:
    """An item whose assets can be changed in place: a dict, or an object by a subclass."""

    def __init__(self, item: MutableMapping[str, Any]) -> None:
        self._item = item
        self.collection = item.get("collection")
        self.id = item.get("id")
        assets = item.get("assets")
        found: Mapping[Any, Any] = assets if isinstance(assets, Mapping) else {}
        self.keys = found.keys()
        """Keys of all assets; the names of the files depend on them."""
        self.assets: dict[str, Mapping[str, Any]] = {
            key: asset
            for key, asset in found.items()
            if isinstance(key, str)
            and isinstance(asset, _DICT)
            and isinstance(asset.get("href"), str)
        }
        """Fields of the assets that have an href."""

    def find_collection(self, completion: Completion) -> None:
        """Find out of which collection the item is, where it does not say so in its field."""
        if not self.collection:
            self.collection, _ = completion.collection_of(self._item)

    @property
    def extensions(self) -> list[Any]:
        """The extensions that the item declares."""
        found = self._item.get("stac_extensions")
        return found if isinstance(found, list) else []

    @property
    def properties(self) -> MutableMapping[str, Any]:
        """The properties of the item itself."""
        found = self._item.get("properties")
        return found if isinstance(found, MutableMapping) else {}

    def write(self, key: str, fields: Mapping[str, Any]) -> None:
        """Replace the fields of an asset in the item itself."""
        asset = self._item["assets"][key]
        for gone in asset.keys() - fields.keys():
            del asset[gone]
        asset.update(fields)

    def write_property(self, key: str, value: object) -> None:
        """Set one of the properties of the item itself."""
        properties = self.properties
        properties[key] = value
        self._item["properties"] = properties

    def declare(self, extension: str) -> None:
        """Add an extension to those that the item declares."""
        extensions = self.extensions
        if extension not in extensions:
            extensions.append(extension)
            self._item["stac_extensions"] = extensions


class _ObjectView(ItemView):
    """An item of pystac, seen as the dict that it would be; lists and properties are its own."""

    def __init__(self, item: pystac.Item) -> None:
        self._object = item
        view = {
            "collection": item.collection_id,
            "id": item.id,
            "assets": {
                key: {**asset.extra_fields, "href": asset.href}
                for key, asset in item.assets.items()
            },
            "properties": item.properties,
            "links": [] if item.collection_id else [*map(_link, item.links)],
            "stac_extensions": item.stac_extensions,
        }
        super().__init__(view)

    def write(self, key: str, fields: Mapping[str, Any]) -> None:
        """Replace the fields of an asset in the item itself."""
        asset = self._object.assets[key]
        asset.href = fields["href"]
        asset.extra_fields = {field: fields[field] for field in fields if field != "href"}


def _link(link: pystac.Link) -> dict[str, Any]:
    return {"rel": link.rel, "href": "" if link.is_resolved() else link.target}


def item_views(thing: object) -> Iterator[ItemView]:
    """Yield the items in what pystac-client hands over, or in a list of that.

    That is any dict and any object of pystac; in those that are neither an item
    nor hold items, such as a collection, there are none.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(thing, pystac.Item):
        yield _ObjectView(thing)
    elif isinstance(thing, pystac.ItemCollection):
        yield from map(_ObjectView, thing)
    elif isinstance(thing, MutableMapping):
        features = thing.get("features", [thing] if thing.get("type") == "Feature" else [])
        if isinstance(features, list):
            yield from (ItemView(each) for each in features if isinstance(each, MutableMapping))
    elif isinstance(thing, Collection) and not isinstance(thing, (str, bytes, Mapping)):
        for each in thing:
            yield from item_views(each)
    elif not isinstance(thing, pystac.STACObject):
        raise TypeError(
            "items must be objects of pystac (an item, an item collection, …), dicts (an item, a "
            f"page, …), or a list of these, not {type(thing).__name__}"
        )


# Alternates of an asset; pure.


def with_replicas(
    asset: Mapping[str, Any], pfns: Mapping[str, Sequence[str]], prefer: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the fields of an asset with all its replicas in them.

    Args:
        asset: The fields of the asset.
        pfns: The PFNs of its available replicas by RSE, the best first.
        prefer: RSEs, the most wanted first; the replica at the first of them that
            has one becomes the `href`.
    """
    found = replicas_by_key(without_secrets(pfns))
    return with_alternates(asset, found, next((found[rse] for rse in prefer if rse in found), None))


def with_alternates(
    asset: Mapping[str, Any],
    replicas: Mapping[str, Replica],
    chosen: Replica | None = None,
    *,
    shown: Container[str] | None = None,
    refs: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the fields of an asset with its replicas in them.

    Doing it again changes nothing more. No URL is lost: neither the asset's own,
    nor one among its alternates, unless Rucio now lists another for that key.

    Args:
        asset: The fields of the asset.
        replicas: Its replicas, by their keys.
        chosen: The one that becomes the `href`.
        shown: The RSEs whose replicas are written, by default all. The others
            only give the asset's own URL its name.
        refs: Key among the item's `storage:schemes` of each RSE that has one.
    """
    fields = dict(asset)
    href = asset["href"]
    own = asset.get(NAME)
    name = own if isinstance(own, str) and own else None
    alternates = _fields(asset.get("alternate"))
    for key, replica in replicas.items():
        url = replica.url
        if url == href and name is None:
            name = key
        if shown is None or replica.rse in shown:
            there: dict[str, Any] = {"href": url, NAME: key}
            if url != replica.pfn:
                there[PFN] = replica.pfn
            if refs and replica.rse in refs:
                there["storage:refs"] = [refs[replica.rse]]
            alternates[key] = {**_kept(alternates[key]), **there} if key in alternates else there
    if chosen is not None and chosen.url != href:
        key = _free_key(alternates, name or ORIGINAL, href)
        moved = {field: fields.pop(field) for field in _location_fields(fields)}
        alternates[key] = {**_fields(alternates.get(key)), **moved, "href": href, NAME: key}
        href, name = chosen.url, chosen.key
    if name is not None and _fields(alternates.get(name)).get("href") == href:
        here = alternates.pop(name)
        fields.update({field: here[field] for field in _location_fields(here)})
    # The specification wants at least one alternate, and a name of at least one character.
    fields["href"] = href
    for field, value in (("alternate", alternates), (NAME, name)):
        if value:
            fields[field] = value
        else:
            fields.pop(field, None)
    return fields


def has_copies(item: Mapping[str, Any]) -> bool:
    """Return whether an asset of an item has replicas in its fields."""
    assets = item.get("assets")
    found = assets.values() if isinstance(assets, dict) else ()
    return any(
        NAME in fields
        for asset in map(_fields, found)
        for fields in (asset, *map(_fields, _fields(asset.get("alternate")).values()))
    )


def _location_fields(fields: Mapping[str, Any]) -> list[str]:
    return [field for field in fields if field.startswith(_LOCATION_FIELDS)]


def _free_key(alternates: Mapping[str, Any], key: str, href: str) -> str:
    """The key, or one made from it, where no other URL is."""
    while _fields(alternates.get(key)).get("href", href) != href:
        key += f"-{ORIGINAL}"
    return key


def _kept(alternate: object) -> dict[str, Any]:
    """The fields of an alternate that it keeps with another URL."""
    return {field: value for field, value in _fields(alternate).items() if field != PFN}


def _fields(value: object) -> dict[str, Any]:
    return dict(value) if value and isinstance(value, (dict, Mapping)) else {}


def _hrefs(alternates: object) -> dict[str, str]:
    """The hrefs of alternates by their keys, without what is none."""
    found = alternates.items() if isinstance(alternates, (dict, Mapping)) else ()
    return {
        key: href
        for key, each in found
        if isinstance(each, (dict, Mapping)) and (href := _href(each)) is not None
    }


def _href(fields: Mapping[str, Any]) -> str | None:
    """The href of an asset or an alternate, or the PFN that it stands for."""
    href = fields.get(PFN, fields.get("href"))
    return href if isinstance(href, str) else None


# The catalogue's own URL of an asset whose href is that of a replica; pure.


def restore_original_href(
    fields: Mapping[str, Any], source_rse: str | None = None
) -> Mapping[str, Any]:
    """Return the fields of an asset with the catalogue's own URL as its href.

    It is the alternate of the source RSE, or else `original`. A URL that is
    none of HTTP or of a bucket is that of a copy; then it is the only one of HTTP among
    the alternates, or without a source RSE any of several that end alike, and so
    have the same name in Rucio. The replica goes to the alternates.

    Args:
        fields: The fields of the asset.
        source_rse: The RSE whose replica is the original, where one is meant.

    Returns:
        The fields; unchanged where the href is the original, or nothing tells
        which one is.
    """
    hrefs = _hrefs(fields.get("alternate"))
    key = _original(fields, hrefs, source_rse) if hrefs else None
    if key is None or not isinstance(fields.get("href"), str):
        return fields
    restored = with_replicas(fields, {key: (hrefs[key],)}, prefer=[key])
    if key == ORIGINAL:
        del restored[NAME]
    alternates = restored.pop("alternate", {}).items()
    others = {name: each for name, each in alternates if name != LOCAL}
    return {**restored, "alternate": others} if others else restored


def catalogue_href(fields: Mapping[str, Any], source_rse: str | None = None) -> str | None:
    """Return what the catalogue has for an asset's href, whatever its scheme: names go by it.

    Where a modifier has put a replica in its place, it is the alternate `original`, or that
    of the source RSE, unless the catalogue has that URL among its own alternates: then another
    was the asset's own, and the replica ends as that did.
    """
    href = _href(fields)
    if "alternate" not in fields or not fields.get(NAME):
        return href
    hrefs = _hrefs(fields["alternate"])
    if hrefs and href is not None:
        registered = hrefs.get(str(source_rse), href)
        others = [each for key, each in hrefs.items() if key != source_rse]
        own = registered if fields[NAME] != source_rse and registered not in others else href
        href = hrefs.get(ORIGINAL, own)
    return href


def name_in_rucio(item: Mapping[str, Any], key: str, source_rse: str | None = None) -> str:
    """Return the name of an asset's file in Rucio.

    Raises:
        ValueError: An id or the key is empty.
    """
    assets = item["assets"]
    fields = assets[key]
    href = catalogue_href(fields, source_rse)
    local_path = fields.get(LOCAL_PATH)
    return asset_name(item["collection"], item["id"], key, href, assets, local_path)


def is_http(href: object) -> bool:
    """Return whether an href is a URL that a source RSE can hold."""
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
    if fields.get(NAME) != LOCAL and not _has_other_scheme(_href(fields)):
        return None
    names = {asset_name("-", "-", "-", href) for href in http.values()}
    alike = len(names) == 1 and (source_rse is None or len(http) == 1)
    return [*http][-1] if alike else None


def _has_other_scheme(href: object) -> bool:
    """Return whether an href is a URL of a storage, neither of HTTP nor of a bucket."""
    return isinstance(href, str) and "://" in href and not is_http(href) and not is_bucket(href)


# From the assets of items to what is written into them.


class AssetView(NamedTuple):
    """An asset that has an href."""

    item: ItemView
    key: str
    dids: tuple[DID, ...]
    """The DIDs that it may have."""


class AssetReplicas(NamedTuple):
    """The replicas of an asset that Rucio knows."""

    asset: AssetView
    did: DID
    replicas: Mapping[str, Replica]
    """All of them, by their keys."""
    shown: Sequence[str]
    """The RSEs whose replicas are written."""
    choice: Choice | None
    """The replica that becomes the href, if any."""
    difference: str | None = None
    """Why the file in Rucio is not that of the item; then it has no replicas here."""


def find_assets(
    items: Iterable[ItemView], scope: str | None, completion: Completion
) -> Iterator[AssetView]:
    """Yield the assets of items that have an href.

    Args:
        items: The items.
        scope: A fixed scope instead of those derived from the collections.
        completion: Tells the collections of items that name none.
    """
    for item in items:
        item.find_collection(completion)
        collection, item_id = item.collection, item.id
        named = isinstance(collection, str) and isinstance(item_id, str) and collection and item_id
        try:
            in_scope = (scope or collection_scope(str(collection))) if named else ""
        except ValueError:  # an account's scope is never derived
            named, in_scope = False, ""
        for key in item.assets:
            names = _names(item, key) if named and key else ()
            yield AssetView(item, key, tuple([DID(in_scope, name) for name in names]))


def _names(item: ItemView, key: str) -> Iterable[str]:
    """The names that an asset may have.

    Its suffix is that of the catalogue's href, which `prefer` may have moved to
    the alternates.
    """
    asset = item.assets[key]
    hrefs: list[str | None] = [*all_hrefs(asset)]
    if "alternate" in asset:
        hrefs.insert(0, catalogue_href(asset))
    ids, local_path = (str(item.collection), str(item.id)), asset.get(LOCAL_PATH)
    return dict.fromkeys([asset_name(*ids, key, href, item.keys, local_path) for href in hrefs])


def all_hrefs(asset: Mapping[str, Any]) -> list[str]:
    """Return the href of an asset, and those of its alternates, or the PFNs they stand for."""
    alternates = _hrefs(asset["alternate"]).values() if "alternate" in asset else ()
    return [each for each in (_href(asset), *alternates) if each is not None]


def make_edits(
    found: Iterable[AssetReplicas], storage: Mapping[str, Mapping[str, Any]]
) -> list[Callable[[], None]]:
    """Return functions that write replicas into their items; until then nothing changes.

    Args:
        found: The replicas of assets.
        storage: The storage scheme of each RSE; none, if they are not wanted.
    """
    by_item = grouped(found, lambda each: id(each.asset.item))
    return [_edit(some[0].asset.item, some, storage) for some in by_item.values()]


def _edit(
    item: ItemView, found: Sequence[AssetReplicas], storage: Mapping[str, Mapping[str, Any]]
) -> Callable[[], None]:
    here = {}
    if storage and not uses_another_version(item.extensions):
        here = {rse: storage[rse] for each in found for rse in each.shown}
    schemes, refs = with_schemes(item.properties.get(STORAGE_SCHEMES), here)
    assets = {}
    for each in found:
        key, chosen = each.asset.key, each.choice.replica if each.choice else None
        assets[key] = with_alternates(
            item.assets[key], each.replicas, chosen, shown=each.shown, refs=refs
        )

    def write() -> None:
        for key, fields in assets.items():
            item.write(key, fields)
            if NAME in fields or "alternate" in fields:
                item.declare(ALTERNATE_ASSETS)
        if refs:
            item.write_property(STORAGE_SCHEMES, schemes)
            item.declare(STORAGE_EXTENSION)

    return write


# What was learned of assets at their registration.


def write_back(items: object, outcomes: Iterable[Outcome]) -> None:
    """Write into items, in place, what Rucio now knows of their registered assets.

    That is `file:size` where an item lacks it, and `rucio:scope`, `rucio:name`,
    `rucio:adler32` and `rucio:md5` (docs/stac-extension). An asset that says something else
    of its size or checksums stays as it is.

    Args:
        items: An item, an item collection or a page, as objects or dicts, or a list
            of these.
        outcomes: What a registration of these items returned.
    """
    registered = {
        (outcome.collection, outcome.item, outcome.key): outcome
        for outcome in outcomes
        if outcome.size_bytes is not None and outcome.did is not None
    }
    for item in item_views(items):
        for key, fields in item.assets.items():
            outcome = registered.get((str(item.collection), str(item.id), key))
            if outcome is not None and _is_of(outcome, fields):
                item.write(key, {**fields, **_learned(fields, outcome)})
                item.declare(_FILE)


def _is_of(outcome: Outcome, fields: Mapping[str, Any]) -> bool:
    """Return whether an outcome may be of these very bytes; the item may be another version."""
    checksums = Checksums(outcome.adler32, outcome.md5)
    said = Description(outcome.size_bytes, checksums)
    return is_same(Description.of(fields), said) is not False


def _learned(fields: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    scope, name = outcome.did or (None, None)
    learned = {
        "rucio:scope": scope,
        "rucio:name": name,
        "rucio:adler32": outcome.adler32,
        "rucio:md5": outcome.md5,
        "file:size": fields.get("file:size", outcome.size_bytes),
    }
    return {field: value for field, value in learned.items() if value is not None}
