"""The one maker of items, for tests and benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterator

HREF = "https://data.example.org/x.tif"
SIZE_BYTES = 10
ADLER32 = "0000000a"


def make_item(
    collection: str | None = "c",
    item_id: str = "i",
    assets: Any = ...,
    *,
    self_link: str | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return a STAC item, whose root nobody can reach.

    Args:
        collection: Id of its collection, if it has one.
        item_id: Its id.
        assets: Its assets by key; by default one, `a`, with `HREF`.
        self_link: Its own URL, if it names one.
        fields: Other fields of the item, which may replace any of the above.
    """
    links = [{"rel": "root", "href": "https://stac.example.org/"}]
    if self_link is not None:
        links.append({"rel": "self", "href": self_link})
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": item_id,
        **({} if collection is None else {"collection": collection}),
        "geometry": None,
        "properties": {"datetime": "2025-06-01T00:00:00Z"},
        "links": links,
        "assets": {"a": {"href": HREF, "title": "x"}} if assets is ... else assets,
        **fields,
    }


def make_asset(
    href: str = HREF, size_bytes: int = SIZE_BYTES, adler32: str = ADLER32
) -> dict[str, Any]:
    """Return an asset that says all that Rucio needs, so that nobody asks its origin."""
    return {
        "href": href,
        "roles": ["data"],
        "file:size": size_bytes,
        "rucio:adler32": adler32,
    }


def many_items(collection: str, items: int, assets: int) -> list[dict[str, Any]]:
    """Return items `item-0`, … with assets `band-0`, … that say all that Rucio needs."""
    return [
        make_item(
            collection,
            f"item-{number}",
            {
                f"band-{band}": make_asset(f"https://data.example.org/{number}/{band}.tif")
                for band in range(assets)
            },
        )
        for number in range(items)
    ]


BUCKETS = {
    "s3://HRVPP": "http://data.cloudferro.com/HRVPP",
    "s3://cbers-pds": "https://cbers-pds.s3.us-east-1.amazonaws.com",
    "s3://copernicus-dem-30m": "https://copernicus-dem-30m.s3.eu-central-1.amazonaws.com",
    "s3://dataforgood-fb-data": "https://dataforgood-fb-data.s3.us-east-1.amazonaws.com",
    "s3://eodata": "https://eodata.dataspace.copernicus.eu/eodata",
    "s3://esa-zarr-sentinel-explorer-fra": "https://s3.de.io.cloud.ovh.net"
    "/esa-zarr-sentinel-explorer-fra",
    "s3://met-office-atmospheric-model-data": "https://met-office-atmospheric-model-data"
    ".s3.eu-west-2.amazonaws.com",
    "s3://sentinel-s1-l1c": "https://sentinel-s1-l1c.s3.eu-central-1.amazonaws.com",
    "s3://sentinel-s2-l2a": "https://sentinel-s2-l2a.s3.eu-central-1.amazonaws.com",
    "s3://cpe-operations-catalog": "https://cpe-operations-catalog.s3.amazonaws.com",
    "s3://rasterfoundry-production-data-us-east-1": "https://"
    "rasterfoundry-production-data-us-east-1.s3.amazonaws.com",
    "abfs://cil-gdpcir": "https://rhgeuwest.blob.core.windows.net/cil-gdpcir",
    "s3://place": "https://place.s3.amazonaws.com",
    "gs://place": "https://storage.googleapis.com/place",
    "abfs://us-census": "https://ai4edataeuwest.blob.core.windows.net/us-census",
}
"""Where the objects of buckets are on the web, of those that items of ours and real ones name."""


def url_of(item: dict[str, Any], key: str) -> str:
    """Return the URL of an asset: its href, made absolute and one of HTTP, of no folder."""
    asset = item["assets"][key]
    href = asset.get("href") or ""
    if "://" not in href:
        bases = [link["href"] for link in item.get("links", ()) if link["rel"] == "self"]
        try:
            return urljoin(bases[0], href) if bases else href
        except ValueError:
            return href
    if href.endswith(".SAFE"):
        (alternate,) = asset["alternate"].values()
        return str(alternate["href"])
    bucket = "/".join(href.split("/")[:3])
    return BUCKETS.get(bucket, bucket) + href[len(bucket) :].replace("|", "%7C")


def assets_of(
    items: list[dict[str, Any]],
) -> Iterator[tuple[str, str, str, str | None, list[str]]]:
    """Yield collection, item, key and href of every asset that has a name, and its item's keys."""
    for item in items:
        for key, asset in item["assets"].items() if item.get("collection") else ():
            yield item["collection"], item["id"], key, asset.get("href"), list(item["assets"])
