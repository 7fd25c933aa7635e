"""The catalogue of downloaded items: self-contained STAC beside their files.

    catalog.json
    COLLECTION/collection.json
    COLLECTION/ITEM/ITEM.json
    COLLECTION/ITEM/ASSET

It grows with each download into the same folder; what else its catalog.json
and its collections hold stays. Items are written one by one: of each, only its
link is held in memory, where a pystac.Catalog holds all items until it is saved.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cached_property, lru_cache
from math import inf, isfinite
from pathlib import Path
from tempfile import NamedTemporaryFile
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import pystac
from pystac.utils import datetime_to_str

from stac_client._alternates import (
    ALTERNATE_ASSETS,
    LOCAL,
    NAME,
    is_http,
    name_in_rucio,
    restore_original_href,
    with_replicas,
)
from stac_client._checksums import Description, is_same
from stac_client._results import State
from stac_client._stac_api import moment
from stac_client.errors import ConfigurationError
from stac_policy.naming import DID
from stac_policy.urls import absolute, link_href

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from stac_client._items import ItemDict
    from stac_client._results import DownloadOutcome

_JSON, _GEOJSON = "application/json", "application/geo+json"
_FILES = "https://stac-extensions.github.io/file/"
# What local assets use, and what the URLs of the versions that will do begin with.
_EXTENSIONS = {f"{_FILES}v2.1.0/schema.json": _FILES, ALTERNATE_ASSETS: ALTERNATE_ASSETS}
# Of the catalogue that an item comes from; `self` is kept as `canonical`.
_STRUCTURE = frozenset({"self", "root", "parent", "collection", "next", "prev"})
_FOLDERS_KEPT = 1024  # those of a batch, if each item has one asset


class Places:
    """The places of files in a resolved folder, by their names in Rucio.

    The parts of a name are escaped: none is `..` or hidden, and all are ASCII, so that no file
    system takes two for one by normalising them. Many take `A` for `a`; there, whoever comes
    second has no place. Without the collection, items of the same id would meet. `rucio download`
    of an item writes the same.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[Path, dict[str, str]] = {}
        self._lock = Lock()
        self._parent = lru_cache(_FOLDERS_KEPT)(self._checked)

    def __call__(self, did: DID) -> Path:
        """Return the path of an asset's file.

        Raises:
            ConfigurationError: It would be outside the folder, by a symbolic link, or is that of
                the catalogue, or of another file where case does not count.
        """
        collection, item, asset = did.name[1:].split("/")
        parent = self._parent(collection, item)
        with self._lock:
            if self._ignores_case:
                self._claim(collection, item, asset)
        return parent / asset

    def _checked(self, collection: str, item: str) -> Path:
        """The folder of an item's files, which is looked at once for all of them."""
        for part, taken in ((collection, "catalog.json"), (item, "collection.json")):
            if part.lower() == taken:  # as file systems that ignore case see it
                raise ConfigurationError(f"{taken} is the catalogue's own file in {self.folder}")
        parent = self.folder / collection / item
        if os.path.realpath(parent) != str(parent):
            raise ConfigurationError(f"a symbolic link leads from {parent} to elsewhere")
        return parent

    @cached_property
    def _ignores_case(self) -> bool:
        with NamedTemporaryFile(prefix=".stac-rucio-", dir=self.folder) as file:
            path = Path(file.name)
            return path.with_name(path.name.upper()).exists()

    def _claim(self, *parts: str) -> None:
        path = self.folder
        for part in parts:
            if path not in self._names:
                there = path.iterdir() if path.is_dir() else ()
                self._names[path] = {each.name.lower(): each.name for each in there}
            other = self._names[path].setdefault(part.lower(), part)
            path /= part
            if other != part:
                raise ConfigurationError(
                    f"{self.folder} takes {other} and {part} for the same, as it ignores case; "
                    "download one of them to another folder"
                )


def as_registered(item: ItemDict) -> ItemDict:
    """Return an item with absolute URLs, each asset with the one that it is registered by.

    That differs where a modifier has put another one in its place, and where the
    asset lies beside the item of an earlier download.
    """
    base, assets, links = link_href(item), item.get("assets"), item.get("links")
    return {
        **item,
        "assets": {
            key: restore_original_href(_absolute(fields, base))
            if isinstance(fields, Mapping)
            else fields
            for key, fields in (assets.items() if isinstance(assets, Mapping) else ())
        },
        "links": [
            _absolute(link, base)
            for link in (links if isinstance(links, list) else ())
            if isinstance(link, Mapping)
        ],
    }


class LocalCatalogue:
    """The catalogue of a folder; written item by item, and as a whole in the end."""

    def __init__(self, places: Places) -> None:
        """Start a catalogue in a folder, or continue the one that is there.

        Raises:
            ConfigurationError: The folder has a catalog.json that is none of STAC.
        """
        self._place, self._folder = places, places.folder
        self.path = self._folder / "catalog.json"
        self.problems: list[str] = []
        """What could not be written, and why."""
        self._growth: dict[str, tuple[dict[str, Any], Extent, list[str]]] = {}
        """New items by collection: the collection where there is none yet, their extent, links."""
        try:
            _read(self.path, "Catalog")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self.path} is no STAC catalogue to add to ({error}); choose another folder"
            ) from error

    def add(
        self,
        item: ItemDict,
        dataset: DID,
        outcomes: Collection[DownloadOutcome],
        source_rses: Mapping[str, str],
        wrong: Container[str] = (),
    ) -> None:
        """Write an item with the URLs it is registered by, unless all of it was skipped.

        Its assets that are there, now or since earlier, point to their files; the others keep
        their URLs, as do those that are `wrong` since earlier, and those of `source_rses` stay
        beside the files.
        """
        _, collection, name = dataset.name.split("/")
        if not any(outcome.path or outcome.state is State.FAILED for outcome in outcomes):
            return
        file_name = _file_name(item, name)
        item = as_registered(item)
        try:
            path = self._place(DID(dataset.scope, f"{dataset.name}/{file_name}"))
            assets = item["assets"]
            local = {
                key: fields
                for key, fields in _assets_there(path).items()
                if key not in wrong and _is_of(assets.get(key), fields)
            }
            for key, found in ((each.key, each) for each in outcomes if each.path):
                local[key] = _local_asset(assets[key], found, path.parent, source_rses.get(key))
            _write(path, _local_item(item, local))
        except (OSError, TypeError, ValueError, ConfigurationError) as error:
            self.problems.append(f"item {collection}/{name} could not be written: {error}")
            return
        new, extent, hrefs = self._growth.get(collection) or (_new_collection(item), Extent(), [])
        hrefs.append(f"./{name}/{file_name}")
        self._growth[collection] = new, extent | Extent.of_item(item), hrefs

    def save(self) -> None:
        """Write the collections and the catalogue of all items that were added."""
        for name, (new, extent, hrefs) in self._growth.items():
            path = self._folder / name / "collection.json"
            self._grow(path, new, (_link("item", href, _GEOJSON) for href in hrefs), extent)
        collections = (_link("child", f"./{name}/collection.json") for name in self._growth)
        description = "Items and files that stac-rucio has downloaded."
        new = _new("Catalog", "stac-rucio", description, _link("root", "./catalog.json"))
        self._grow(self.path, new, collections)

    def _grow(
        self,
        path: Path,
        new: dict[str, Any],
        links: Iterable[Mapping[str, str]],
        extent: Extent | None = None,
    ) -> None:
        """Add links and an extent to a catalogue or collection, a new one if there is none."""
        try:
            found = _read(path, new["type"]) or new
            if extent is not None:
                found["extent"] = (Extent.of_collection(found) | extent).to_dict()
            there = {(link["rel"], link["href"]) for link in found["links"]}
            found["links"] += [link for link in links if (link["rel"], link["href"]) not in there]
            _write(path, found)
        except (OSError, TypeError, ValueError) as error:
            self.problems.append(f"{path} could not be written: {error}")


def _new(kind: str, name: str, description: str, *links: dict[str, str]) -> dict[str, Any]:
    return {
        "type": kind,
        "id": name,
        "stac_version": pystac.get_stac_version(),
        "description": description,
        "links": [*links],
    }


def _new_collection(item: ItemDict) -> dict[str, Any]:
    name, original = str(item["collection"]), link_href(item, "collection")
    links = [_link("root", "../catalog.json"), _link("parent", "../catalog.json")]
    if is_http(original):  # which knows the licence and all the rest
        links.append(_link("canonical", original))
    description = f"Downloaded items of the collection {name}."
    return _new("Collection", name, description, *links) | {"license": "other"}


# One item: with the URLs that it comes with, and with the files beside it.


def _file_name(item: ItemDict, part: str) -> str:
    """Return the file name of an item, which none of its assets has: almost always `ITEM.json`."""
    taken = {
        name_in_rucio(item, key).rpartition("/")[2].lower()
        for key, fields in item["assets"].items()
        if key and isinstance(fields, Mapping)
    }
    name = f"{part}.json"
    while name.lower() in taken:
        name = f"item-{name}"
    return name


def _local_item(item: ItemDict, local: Mapping[str, Mapping[str, Any]]) -> ItemDict:
    """Return an item with the fields of assets whose files are there."""
    links = [link for link in item["links"] if link.get("rel") not in _STRUCTURE]
    own = link_href(item)
    if is_http(own) and not link_href(item, "canonical"):
        links.append(_link("canonical", own, _GEOJSON))
    listed = item.get("stac_extensions")
    extensions = [*listed] if isinstance(listed, list) else []
    for extension, start in _EXTENSIONS.items() if local else ():
        if not any(str(each).startswith(start) for each in extensions):
            extensions.append(extension)
    return {
        **item,
        "stac_extensions": extensions,
        "links": [
            _link("root", "../../catalog.json"),
            _link("parent", "../collection.json"),
            _link("collection", "../collection.json"),
            *links,
        ],
        "assets": {key: local.get(key, fields) for key, fields in item["assets"].items()},
    }


def _local_asset(
    fields: Mapping[str, Any], there: DownloadOutcome, beside: Path, source_rse: str | None
) -> dict[str, Any]:
    replicas = {}
    if there.path:  # where names are so long that they are cut, its folder may be another one
        href = os.path.relpath(there.path, beside)
        replicas[LOCAL] = (href if href.startswith("../") else f"./{href}",)
    if source_rse is not None:
        replicas[source_rse] = (fields["href"],)
    verified = {"file:checksum": there.checksum} if there.checksum else {}
    return {
        **with_replicas(fields, replicas, prefer=[LOCAL]),
        "file:size": there.size_bytes,
        "rucio:adler32": there.adler32,
        **verified,
    }


def _assets_there(path: Path) -> dict[str, dict[str, Any]]:
    """The assets of an item that was written earlier, as far as their files are still there."""
    item = _read(path, "Feature") or {"assets": {}}
    try:
        return {
            key: fields
            for key, fields in item["assets"].items()
            if fields.get(NAME) == LOCAL and (path.parent / fields["href"]).is_file()
        }
    except (KeyError, AttributeError, TypeError):
        return {}


def _is_of(asset: object, there: Mapping[str, Any]) -> bool:
    """Return whether a file that is there may be that of an asset; the item may have changed."""
    if not isinstance(asset, Mapping):
        return False
    return is_same(Description.of(asset), Description.of(there)) is not False


# The extent of a collection that grows item by item. pystac.Extent.from_items wants all
# items at once, each of them valid, and takes no box across the antimeridian.

_WORLD = (-180.0, -90.0, 180.0, 90.0)
_FIRST = datetime.min.replace(tzinfo=timezone.utc)
_LAST = datetime.max.replace(tzinfo=timezone.utc)


class Extent(NamedTuple):
    """A box in degrees and a time span; where nothing is known, they end before they begin."""

    west: float = inf
    south: float = inf
    east: float = -inf
    north: float = -inf
    start: datetime = _LAST
    end: datetime = _FIRST

    @classmethod
    def of_item(cls, item: Mapping[str, Any]) -> Extent:
        """The extent of an item."""
        facts, names = _at(item, "properties"), ("start_datetime", "end_datetime")
        start, end = (moment(_at(facts, each) or _at(facts, "datetime")) for each in names)
        return cls(*_bbox(item.get("bbox")), start or _LAST, end or _FIRST)

    @classmethod
    def of_collection(cls, collection: Mapping[str, Any]) -> Extent:
        """The extent that a collection says it has; of several boxes, that of all."""
        bbox = _bbox(_at(collection, "extent", "spatial", "bbox", 0))
        interval = _at(collection, "extent", "temporal", "interval", 0)
        if interval is None:
            return cls(*bbox)
        start, end = (moment(_at(interval, side)) for side in (0, 1))
        return cls(*bbox, start or _FIRST, end or _LAST)  # null is open on that side

    def __or__(self, other: Extent) -> Extent:
        """The extent of both."""
        wider: tuple[Any, ...] = (min, min, max, max, min, max)
        return Extent(*(choose(pair) for choose, *pair in zip(wider, self, other, strict=True)))

    def to_dict(self) -> dict[str, Any]:
        """The extent as a collection has it: the whole world and all times if nothing is known."""
        bbox = _WORLD if self.west > self.east else self[:4]
        interval = [datetime_to_str(each) if _FIRST < each < _LAST else None for each in self[4:]]
        return {"spatial": {"bbox": [list(bbox)]}, "temporal": {"interval": [interval]}}


def _bbox(value: Any) -> tuple[float, float, float, float]:
    try:
        numbers = [*filter(isfinite, map(float, value))]
        corner = {4: 2, 6: 3}[len(numbers)]  # of two numbers, or with a height
        (west, south), (east, north) = numbers[:2], numbers[corner : corner + 2]
    except (LookupError, OverflowError, TypeError, ValueError):
        return Extent()[:4]
    # Across the antimeridian: all longitudes hold it, and stay a box with others.
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def _at(value: Any, *path: str | int) -> Any:
    """The value at a path in JSON, or None."""
    try:
        for step in path:
            value = value[step]
    except (LookupError, TypeError):
        return None
    return value


# STAC as dicts, and as files.


def _link(rel: str, href: str, media_type: str = _JSON) -> dict[str, str]:
    return {"rel": rel, "href": href, "type": media_type}


def _absolute(fields: Mapping[str, Any], base: str) -> Mapping[str, Any]:
    """The fields of an asset or a link, with an absolute href."""
    href = fields.get("href")
    return {**fields, "href": absolute(href, base)} if base and isinstance(href, str) else fields


def _read(path: Path, kind: str) -> dict[str, Any] | None:
    """Return the STAC object in a file, or None if there is no file.

    Raises:
        ValueError: It is none, or another kind of STAC object.
        OSError: It cannot be read.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    links = found.get("links") if isinstance(found, dict) and found.get("type") == kind else None
    if not isinstance(links, list) or not all({"rel", "href"} <= {*link} for link in links):
        raise ValueError(f"not a STAC {kind}")
    return dict(found)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file at once; who reads meanwhile sees the old one."""
    new = path.with_name(".stac-rucio.new")  # which is never too long
    new.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with new.open("x", encoding="utf-8") as file:
            file.write(json.dumps(value))  # in lines it takes ten times as long
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
