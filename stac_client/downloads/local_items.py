"""Items before and after a download: with URLs only, and with what is there beside them; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stac_client.catalogue.originals import LOCAL, is_http, with_original
from stac_client.modifier.alternates import EXTENSION as ALTERNATES
from stac_client.modifier.alternates import with_replicas
from stac_policy.naming import asset_name
from stac_policy.urls import absolute

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stac_client.catalogue.items import ItemDict

    from .results import DownloadOutcome

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
    return with_original(fields) if isinstance(fields, Mapping) else fields


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
