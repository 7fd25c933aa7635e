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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pystac

from stac_client.catalogue.originals import LOCAL
from stac_client.errors import ConfigurationError
from stac_client.modifier.alternates import NAME
from stac_client.results import State
from stac_policy.naming import DID

from .extent import Extent
from .files import UnusablePathError, place
from .local_items import item_file_name, local_item, original_collection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from stac_client.catalogue.items import ItemDict

    from .results import DownloadOutcome

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
