"""Items that say of their assets all that Rucio needs, so that no origin is asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.items import make_asset, make_item

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZE_BYTES = 10_000_000
_ASSETS = 20
_BAND = {
    "name": "B04",
    "common_name": "red",
    "description": "Band 4 - Red",
    "center_wavelength": 0.665,
    "full_width_half_max": 0.038,
}


def make_items(
    collection: str, items: int, assets: int, first: int = 0
) -> Iterator[dict[str, Any]]:
    """Yield items with the metadata that real ones have, some 6 kB each with 12 assets.

    Args:
        collection: Id of their collection.
        items: How many.
        assets: How many assets each has.
        first: Number of the first; the same number is the same item.
    """
    for number in range(first, first + items):
        item = f"S2B_32TPS_{number:07}_0_L2A"
        base = f"https://data.example.org/{collection}/32/T/PS/{item}"
        yield make_item(
            collection,
            item,
            {f"band-{band:02}": _asset(base, band) for band in range(assets)},
            stac_extensions=[],
            geometry={
                "type": "Polygon",
                "coordinates": [[[10.0, 46.0], [11.4, 46.0], [11.4, 47.0], [10.0, 46.0]]],
            },
            bbox=[10.0, 46.0, 11.4, 47.0],
            properties={
                "datetime": "2025-06-01T00:00:00Z",
                "eo:cloud_cover": 4.25,
                "proj:code": "EPSG:32632",
                "platform": "sentinel-2b",
                "instruments": ["msi"],
            },
            links=[{"rel": "self", "href": f"https://stac.example.org/{item}"}],
        )


def _asset(base: str, band: int) -> dict[str, Any]:
    return make_asset(f"{base}/B{band:02}.tif", SIZE_BYTES) | {
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "title": f"Band {band}",
        "roles": ["data", "reflectance"],
        "proj:shape": [10980, 10980],
        "proj:transform": [10, 0, 600000, 0, -10, 5200020],
        "raster:bands": [{"data_type": "uint16", "nodata": 0, "scale": 0.0001, "offset": -0.1}],
    }


def write_ndjson(path: Path, items: int) -> None:
    """Write items as public catalogues have them: 13 kB, no sizes, two assets of five no data."""
    with path.open("w", encoding="utf-8") as file:
        for item in make_items("bench", items, _ASSETS):
            for number, asset in enumerate(item["assets"].values()):
                del asset["file:size"], asset["rucio:adler32"]
                asset |= {
                    "roles": ["data", "reflectance"],
                    "gsd": 10.0,
                    "proj:bbox": [600000.0, 5090220.0, 709800.0, 5200020.0],
                    "eo:bands": [_BAND],
                }
                if number % 5 in {1, 3}:
                    about = asset["href"].replace(".tif", ".xml")
                    asset |= {"href": about, "roles": ["metadata"], "type": "application/xml"}
            file.write(json.dumps(item) + "\n")
