"""The catalogue of downloaded items: self-contained STAC beside their files.

    catalog.json
    COLLECTION/collection.json
    COLLECTION/ITEM/ITEM.json
    COLLECTION/ITEM/ASSET

It grows with each download into the same folder; what else its catalog.json
and its collections hold stays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pystac
from pystac.utils import datetime_to_str, str_to_datetime

from stac_client._alternates import EXTENSION as ALTERNATES
from stac_client._alternates import LOCAL, NAME, is_http, restore_original_href, with_replicas
from stac_client._results import State
from stac_client.errors import ConfigurationError
from stac_policy.naming import DID, asset_name
from stac_policy.urls import absolute

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stac_client._items import ItemDict
    from stac_client._results import DownloadOutcome


# The extent of a collection that grows item by item; pure.


_WORLD = (-180.0, -90.0, 180.0, 90.0)
# What null means in the interval of a collection: open on that side.
_BEGINNING = datetime.min.replace(tzinfo=timezone.utc)
_END = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Extent:
    """A box and a time span, each only where something is known."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees."""
    start: datetime | None = None
    end: datetime | None = None

    @classmethod
    def of_item(cls, item: Mapping[str, Any]) -> Extent:
        """The extent of an item."""
        properties = _mapping(item.get("properties"))
        when = properties.get("datetime")
        return cls(
            _bbox(item.get("bbox")),
            _datetime(properties.get("start_datetime") or when),
            _datetime(properties.get("end_datetime") or when),
        )

    @classmethod
    def of_collection(cls, collection: Mapping[str, Any]) -> Extent:
        """The extent that a collection says it has; of several boxes, that of all."""
        extent = _mapping(collection.get("extent"))
        boxes = _mapping(extent.get("spatial")).get("bbox")
        spans = _mapping(extent.get("temporal")).get("interval")
        bbox = _bbox(boxes[0]) if isinstance(boxes, list) and boxes else None
        if not isinstance(spans, list) or not spans:
            return cls(bbox)
        start, end = spans[0]
        return cls(bbox, _datetime(start) or _BEGINNING, _datetime(end) or _END)

    def __or__(self, other: Extent) -> Extent:
        """The extent of both."""
        boxes = [box for box in (self.bbox, other.bbox) if box is not None]
        starts = [start for start in (self.start, other.start) if start is not None]
        ends = [end for end in (self.end, other.end) if end is not None]
        west, south, east, north = zip(*boxes) if boxes else ((), (), (), ())
        return Extent(
            (min(west), min(south), max(east), max(north)) if boxes else None,
            min(starts, default=None),
            max(ends, default=None),
        )

    def to_dict(self) -> dict[str, Any]:
        """The extent as a collection has it: the whole world and all times if nothing is known."""
        interval = [
            datetime_to_str(each) if each not in {None, _BEGINNING, _END} else None
            for each in (self.start, self.end)
        ]
        return {
            "spatial": {"bbox": [list(self.bbox or _WORLD)]},
            "temporal": {"interval": [interval]},
        }


def _bbox(value: object) -> tuple[float, float, float, float] | None:
    try:
        numbers = [float(number) for number in value]  # type: ignore[attr-defined]
        west, south, east, north = numbers if len(numbers) == 4 else _flat(numbers)  # noqa: PLR2004 - without heights
    except (TypeError, ValueError):
        return None
    # Across the antimeridian: all longitudes hold it, and stay a box with others.
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def _flat(numbers: list[float]) -> tuple[float, float, float, float]:
    west, south, _, east, north, _ = numbers
    return west, south, east, north


def _datetime(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = str_to_datetime(value)
        # STAC has UTC only; some leave the zone out.
        return (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).astimezone(
            timezone.utc
        )
    except (ValueError, OverflowError):
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


_CATALOGUE_FILES = ("catalog.json", "collection.json")
"""In the folder, and in that of a collection."""


class UnusablePathError(Exception):
    """A file has no place in the folder; the message says why."""


def place(folder: Path, did: DID) -> Path:
    """Where an asset's file is: `COLLECTION/ITEM/ASSET`, the parts of its name in Rucio.

    They are escaped, so none is `..` or hidden. Without the collection, items
    of the same id would meet. `rucio download` of an item writes the same.

    Args:
        folder: The folder of the download, resolved.
        did: The asset's file in Rucio.

    Raises:
        UnusablePathError: The place would be outside the folder, by a symbolic
            link, or is that of the catalogue.
    """
    collection, item, asset = did.name[1:].split("/")
    for part, taken in zip((collection, item), _CATALOGUE_FILES):
        if part.lower() == taken:  # as file systems that ignore case see it
            raise UnusablePathError(f"{taken} is the catalogue's own file in {folder}")
    parent = folder / collection / item
    if os.path.realpath(parent) != str(parent):
        raise UnusablePathError(f"a symbolic link leads from {parent} to elsewhere")
    return parent / asset


# Items before and after a download: with URLs only, and with what is there beside them; pure.


FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"

_FILE_EXTENSIONS = "https://stac-extensions.github.io/file/"
# Of the catalogue that an item comes from; `self` is kept as `canonical`.
_STRUCTURE = frozenset({"self", "root", "parent", "collection", "next", "prev"})


def as_registered(item: ItemDict) -> ItemDict:
    """Give an item with absolute URLs, each asset with the one that it is registered by.

    That is so where a modifier has put another one in its place, and where it
    lies beside the item of an earlier download.
    """
    base = _link(item, "self")
    assets, links = item.get("assets"), item.get("links")
    return {
        **item,
        "assets": {
            key: _as_registered(_absolute(fields, base))
            for key, fields in (assets if isinstance(assets, Mapping) else {}).items()
        },
        "links": [_absolute(link, base) for link in (links if isinstance(links, list) else [])],
    }


def local_item(
    item: ItemDict,
    local: Mapping[str, DownloadOutcome],
    source_rses: Mapping[str, str],
    earlier: Mapping[str, Mapping[str, Any]],
) -> ItemDict:
    """Give an item whose assets point to the files beside it, as far as they are there.

    Args:
        item: The item, as `as_registered` gives it.
        local: The assets that are there.
        source_rses: The RSE that each asset's own URL is registered at, if any.
        earlier: The fields of assets that are there since earlier.
    """
    assets: dict[str, Mapping[str, Any]] = {}
    for key, fields in item["assets"].items():
        if key in local:
            assets[key] = _local_asset(fields, local[key], source_rses.get(key))
        else:
            assets[key] = earlier.get(key, fields)
    return {
        **item,
        "stac_extensions": _extensions(item, in_use=bool(local or earlier)),
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../collection.json", "type": "application/json"},
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
            *_other_links(item),
        ],
        "assets": assets,
    }


def _extensions(item: ItemDict, *, in_use: bool) -> list[str]:
    listed = item.get("stac_extensions")
    extensions = [*listed] if isinstance(listed, list) else []
    if not in_use:
        return extensions
    if not any(str(extension).startswith(_FILE_EXTENSIONS) for extension in extensions):
        extensions.append(FILE_EXTENSION)
    if ALTERNATES not in extensions:
        extensions.append(ALTERNATES)
    return extensions


def original_collection(item: ItemDict) -> str:
    """URL of the collection that an item comes from, or nothing."""
    href = _link(item, "collection")
    return href if is_http(href) else ""


def item_file_name(item: ItemDict, part: str) -> str:
    """The file name of an item, which none of its assets has: `ITEM.json` almost always.

    Args:
        item: The item.
        part: Its id as part of a name in Rucio.
    """
    taken = {_asset_file_name(item, key) for key in item["assets"] if key}
    name = f"{part}.json"
    while name.lower() in taken:
        name = f"item-{name}"
    return name


def _asset_file_name(item: ItemDict, key: str) -> str:
    fields = item["assets"][key]
    href = fields.get("href") if isinstance(fields, Mapping) else None
    href = href if isinstance(href, str) else None
    name = asset_name(item["collection"], item["id"], key, href, item["assets"])
    return name.rpartition("/")[2].lower()


def _local_asset(
    fields: Mapping[str, Any], there: DownloadOutcome, source_rse: str | None
) -> dict[str, Any]:
    assert there.path is not None  # noqa: S101 - for mypy: only what is there comes here
    replicas = {LOCAL: (f"./{there.path.name}",)}
    if source_rse is not None:
        replicas[source_rse] = (fields["href"],)
    return {
        **with_replicas(fields, replicas, prefer=[LOCAL]),
        "file:size": there.size_bytes,
        "file:checksum": there.checksum,
    }


def _other_links(item: ItemDict) -> Iterable[Mapping[str, Any]]:
    links = [
        link
        for link in item["links"]
        if isinstance(link, Mapping) and link.get("rel") not in _STRUCTURE
    ]
    own = _link(item, "self")
    if is_http(own) and not any(link.get("rel") == "canonical" for link in links):
        links.append({"rel": "canonical", "href": own, "type": "application/geo+json"})
    return links


def _as_registered(fields: Any) -> Any:
    return restore_original_href(fields) if isinstance(fields, Mapping) else fields


def _absolute(fields: Any, base: str) -> Any:
    """The fields of an asset or a link, with an absolute href."""
    href = fields.get("href") if isinstance(fields, Mapping) else None
    if not isinstance(href, str) or not base:
        return fields
    return {**fields, "href": absolute(href, base)}


def _link(item: ItemDict, rel: str) -> str:
    links = item.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, Mapping) and link.get("rel") == rel:
            return str(link.get("href") or "")
    return ""


_JSON = "application/json"
_GEOJSON = "application/geo+json"


@dataclass
class _Growth:
    """What a collection has gained."""

    id: str
    original: str
    extent: Extent = field(default_factory=Extent)
    hrefs: list[str] = field(default_factory=list)


class LocalCatalogue:
    """The catalogue of a folder; written item by item, and as a whole in the end."""

    def __init__(self, folder: Path) -> None:
        """Make it, or go on with the one that is there.

        Args:
            folder: The folder of the downloads, resolved.

        Raises:
            ConfigurationError: The folder has a catalog.json that is none of STAC.
        """
        self._folder = folder
        self.path = folder / "catalog.json"
        self.problems: list[str] = []
        """What could not be written, and why."""
        self._growth: dict[str, _Growth] = {}
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
        outcomes: Iterable[DownloadOutcome],
        source_rses: Mapping[str, str],
    ) -> None:
        """Write an item, unless all of it was skipped.

        Its assets that are there, now or since earlier, point to their files; the
        others keep their URLs.

        Args:
            item: The item, as `local_items.as_registered` gives it.
            dataset: Its dataset in Rucio.
            outcomes: What became of its assets.
            source_rses: The RSE that each asset's own URL is registered at, if any.
        """
        _, collection, name = dataset.name.split("/")
        by_key = {outcome.key: outcome for outcome in outcomes}
        local = {key: outcome for key, outcome in by_key.items() if outcome.path is not None}
        if not any(outcome.path or outcome.state is State.FAILED for outcome in by_key.values()):
            return
        file_name = item_file_name(item, name)
        try:
            path = place(self._folder, DID(dataset.scope, f"{dataset.name}/{file_name}"))
            _write(path, local_item(item, local, source_rses, _local_assets(path)))
        except (OSError, TypeError, ValueError, UnusablePathError) as error:
            self.problems.append(f"item {collection}/{name} could not be written: {error}")
            return
        growth = self._growth.setdefault(
            collection, _Growth(str(item["collection"]), original_collection(item))
        )
        growth.extent |= Extent.of_item(item)
        growth.hrefs.append(f"./{name}/{file_name}")

    def save(self) -> None:
        """Write the collections and the catalogue of all items that were added."""
        children = []
        for collection, growth in self._growth.items():
            path = self._folder / collection / "collection.json"
            try:
                _write(path, _grown(_read(path, "Collection"), growth))
            except (OSError, ValueError) as error:
                self.problems.append(f"{path} could not be written: {error}")
            children.append(f"./{collection}/collection.json")
        try:
            catalogue = _read(self.path, "Catalog") or {
                "type": "Catalog",
                "id": "stac-rucio",
                "stac_version": pystac.get_stac_version(),
                "description": "Items and files that stac-rucio has downloaded.",
                "links": [{"rel": "root", "href": "./catalog.json", "type": _JSON}],
            }
            _write(self.path, _with_links(catalogue, "child", children, _JSON))
        except (OSError, ValueError) as error:
            self.problems.append(f"{self.path} could not be written: {error}")


def _grown(collection: dict[str, Any] | None, growth: _Growth) -> dict[str, Any]:
    if collection is None:
        collection = {
            "type": "Collection",
            "id": growth.id,
            "stac_version": pystac.get_stac_version(),
            "description": f"Downloaded items of the collection {growth.id}.",
            "license": "other",
            "links": [
                {"rel": "root", "href": "../catalog.json", "type": _JSON},
                {"rel": "parent", "href": "../catalog.json", "type": _JSON},
            ],
        }
        if growth.original:  # which knows the licence and all the rest
            collection["links"].append({"rel": "canonical", "href": growth.original, "type": _JSON})
    extent = Extent.of_collection(collection) | growth.extent
    grown = {**collection, "extent": extent.to_dict()}
    return _with_links(grown, "item", growth.hrefs, _GEOJSON)


def _with_links(
    fields: dict[str, Any], rel: str, hrefs: Iterable[str], media_type: str
) -> dict[str, Any]:
    links = fields["links"]
    there = {link["href"] for link in links if link["rel"] == rel}
    new = [href for href in hrefs if href not in there]
    return {
        **fields,
        "links": [*links, *({"rel": rel, "href": href, "type": media_type} for href in new)],
    }


def _local_assets(path: Path) -> dict[str, dict[str, Any]]:
    """Assets of an item that was written earlier, as far as their files are still there."""
    try:
        item = _read(path, "Feature") or {"assets": {}}
        return {
            key: fields
            for key, fields in item["assets"].items()
            if fields.get(NAME) == LOCAL and (path.parent / fields["href"]).is_file()
        }
    except (ValueError, KeyError, AttributeError, TypeError):
        return {}  # not one of ours; it is replaced


def _read(path: Path, kind: str) -> dict[str, Any] | None:
    """The STAC object in a file, or None if there is no file.

    Raises:
        ValueError: It is none, or another kind of STAC object.
        OSError: It can not be read.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    links = found.get("links") if isinstance(found, dict) and found.get("type") == kind else None
    if not isinstance(links, list) or not all({"rel", "href"} <= {*link} for link in links):
        raise ValueError(f"not a STAC {kind}")
    return dict(found)


def _write(path: Path, value: dict[str, Any]) -> None:
    """Write a file at once; who reads meanwhile sees the old one."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with new.open("x", encoding="utf-8") as file:
            json.dump(value, file, indent=2)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
