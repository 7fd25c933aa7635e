"""Sample catalogue: small, real Cloud-Optimized GeoTIFFs and the STAC that describes them.

The scenes are synthetic: mountains out of random numbers.

Two collections over the Alps. They differ on purpose in what a catalogue may
leave out, and in what makes a URL fragile:

- ``alpine-optical``: every asset has size and checksum; one URL has a query string.
- ``alpine-radar``: sizes but no checksums, and one thumbnail without even a
  size; every thumbnail's URL has a percent-escape.

The assets of every item are spread over all given origins. The same call
writes the same bytes, so sizes and checksums can be compared between runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pystac
import rasterio
from rasterio.warp import transform, transform_geom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FILE_EXTENSION = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
PROJECTION_EXTENSION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"

KEPT_SCENES = "STAC_TESTBED_SCENES"
"""Environment variable with a folder that keeps the files of scenes from one lake for the next."""

CRS = "EPSG:32632"
"""Coordinate reference system of every scene: UTM zone 32N, 6 to 12 degrees east."""

PIXEL_M = 20
"""Side of a pixel in metres."""

SIDE_PX = 512
"""Side of a scene in pixels."""

_TILE_PX = 256
_THUMBNAIL_STEP = 4
_NOISE = 2.0  # digital numbers, standard deviation; keeps the files from compressing away

# A multihash is the function's code as a varint, the digest's length, the digest.
# md5 is 0xd5 in https://github.com/multiformats/multicodec/blob/master/table.csv,
# which takes two bytes as a varint (d5 01); its digest has 16 bytes (10).
_MD5_MULTIHASH_PREFIX = "d50110"

_REPEAT = timedelta(days=5)
_PLACES = (  # id, name, degrees east, degrees north
    ("mont-blanc", "Mont Blanc", 6.865, 45.833),
    ("matterhorn", "Matterhorn", 7.659, 45.977),
    ("aletsch", "Aletsch Glacier", 8.053, 46.443),
    ("gotthard", "Gotthard Pass", 8.561, 46.556),
    ("saentis", "Säntis", 9.343, 47.249),
    ("bernina", "Piz Bernina", 9.908, 46.382),
    ("silvretta", "Silvretta", 10.090, 46.853),
    ("adamello", "Adamello", 10.496, 46.156),
    ("ortler", "Ortler", 10.545, 46.509),
    ("wildspitze", "Wildspitze", 10.867, 46.885),
    ("zugspitze", "Zugspitze", 10.985, 47.421),
    ("marmolada", "Marmolada", 11.850, 46.434),
)


@dataclass(frozen=True)
class Band:
    """How a band of a scene follows the relief, in digital numbers."""

    valley: int
    summit: int


@dataclass(frozen=True)
class Origin:
    """A plain HTTP file server that assets can lie on."""

    folder: Path
    """The folder it serves."""

    url: str
    """The URL that folder is served under, with or without a slash at the end."""


@dataclass(frozen=True)
class Catalogue:
    """What `make_catalogue` made."""

    collections: tuple[pystac.Collection, ...]
    items: tuple[pystac.Item, ...]
    """The items of all collections, each linked to its own."""

    collection_paths: tuple[Path, ...]
    """A file of STAC JSON for each collection, in the order of `collections`."""

    items_path: Path
    """The items as one item collection, without links: a STAC API adds its own."""


@dataclass(frozen=True)
class _Kind:
    """What one collection looks like."""

    collection: str
    title: str
    description: str
    bands: tuple[tuple[str, str, Band], ...]
    """Asset key, title and look of each band."""

    first: datetime
    thumbnail: str
    checksums: bool


_OPTICAL = _Kind(
    collection="alpine-optical",
    title="Alpine optical scenes",
    description="Synthetic red and near-infrared reflectance over the Alps.",
    bands=(
        ("red", "Red", Band(valley=400, summit=3600)),
        ("nir", "Near infrared", Band(valley=3000, summit=3900)),
    ),
    first=datetime(2025, 6, 1, 10, 16, 1, tzinfo=timezone.utc),
    thumbnail="thumbnail.png",
    checksums=True,
)
_RADAR = _Kind(
    collection="alpine-radar",
    title="Alpine radar scenes",
    description="Synthetic radar backscatter over the Alps, in two polarisations.",
    bands=(
        ("vv", "VV backscatter", Band(valley=300, summit=2600)),
        ("vh", "VH backscatter", Band(valley=100, summit=900)),
    ),
    first=datetime(2025, 6, 3, 5, 34, 12, tzinfo=timezone.utc),
    thumbnail="quick look.png",
    checksums=False,
)


def make_catalogue(
    folder: Path, origins: Sequence[Origin], items_per_collection: int = 12
) -> Catalogue:
    """Write the sample scenes into the origins, and the STAC about them into a folder.

    Args:
        folder: gets ``items.json`` and one JSON a collection, as a STAC API loads
            them; made when it is missing.
        origins: file servers to spread the assets over; they need not run yet.
        items_per_collection: scenes in each of the two collections. Above 12 the
            places come again at later dates.

    Raises:
        ValueError: there is no origin, or no item to make.
    """
    if not origins:
        raise ValueError("the sample scenes need at least one origin to lie on")
    if items_per_collection < 1:
        raise ValueError("a collection needs at least one item: its extent is that of its items")
    optical, radar = (
        [_make_item(kind, index, (seed, index), origins) for index in range(items_per_collection)]
        for seed, kind in enumerate((_OPTICAL, _RADAR))
    )
    optical[0].assets["nir"].href += "?version=1"
    del radar[0].assets["thumbnail"].extra_fields["file:size"]
    items = (*optical, *radar)
    collections = (
        _make_collection(_OPTICAL, optical, folder),
        _make_collection(_RADAR, radar, folder),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for collection in collections:
        _write_json(Path(collection.self_href), collection.to_dict(include_self_link=False))
    items_path = folder / "items.json"
    # rustac keeps the links it finds beside those it adds: two to each collection
    features = [{**item.to_dict(), "links": []} for item in items]
    _write_json(items_path, {"type": "FeatureCollection", "features": features})
    return Catalogue(
        collections=collections,
        items=items,
        collection_paths=tuple(Path(collection.self_href) for collection in collections),
        items_path=items_path,
    )


def _make_collection(kind: _Kind, items: list[pystac.Item], folder: Path) -> pystac.Collection:
    collection = pystac.Collection(
        id=kind.collection,
        title=kind.title,
        description=kind.description,
        extent=pystac.Extent.from_items(items),
        license="CC0-1.0",
        keywords=["Alps", "synthetic"],
        href=str(folder / f"{kind.collection}.json"),
    )
    for item in items:
        item.set_collection(collection)
    return collection


def _make_item(
    kind: _Kind, index: int, seed: tuple[int, int], origins: Sequence[Origin]
) -> pystac.Item:
    place_id, place, longitude, latitude = _PLACES[index % len(_PLACES)]
    when = kind.first + index * _REPEAT
    grid = georeference(longitude, latitude)
    geometry = footprint(grid)
    longitudes, latitudes = zip(*geometry["coordinates"][0], strict=True)
    item = pystac.Item(
        id=f"{place_id}-{when:%Y%m%d}",
        geometry=geometry,
        bbox=[min(longitudes), min(latitudes), max(longitudes), max(latitudes)],
        datetime=when,
        properties={
            "title": f"{place}, {when:%Y-%m-%d}",
            "gsd": PIXEL_M,
            "proj:code": CRS,
        },
        stac_extensions=[FILE_EXTENSION, PROJECTION_EXTENSION],
    )
    names = [*(f"{key}.tif" for key, _, _ in kind.bands), kind.thumbnail]
    located = [
        _locate(origins, position, f"{kind.collection}/{item.id}/{name}")
        for position, name in enumerate(names)
    ]
    _write_files(kind, item.id, seed, grid, [path for path, _ in located])
    for (key, title, _), (path, href) in zip(kind.bands, located[:-1], strict=True):
        fields = {
            "proj:shape": [SIDE_PX, SIDE_PX],
            "proj:transform": list(grid),
            **_file_fields(path, with_checksum=kind.checksums),
        }
        item.add_asset(key, _asset(href, title, pystac.MediaType.COG, "data", fields))
    path, href = located[-1]
    fields = _file_fields(path, with_checksum=kind.checksums)
    thumbnail = _asset(href, "Thumbnail", pystac.MediaType.PNG, "thumbnail", fields)
    item.add_asset("thumbnail", thumbnail)
    return item


def _write_files(
    kind: _Kind, item_id: str, seed: tuple[int, int], grid: rasterio.Affine, paths: Sequence[Path]
) -> None:
    """Write the bands and the thumbnail of an item, or copy them where they are kept."""
    kept = os.environ.get(KEPT_SCENES)
    folder = Path(kept, kind.collection, item_id) if kept else None
    if folder is not None and folder.exists():
        for path in paths:
            shutil.copyfile(folder / path.name, path)
        return
    pixels = make_scene([band for _, _, band in kind.bands], seed)
    for path, band in zip(paths[:-1], pixels, strict=True):
        write_cog(path, band, grid)
    write_thumbnail(paths[-1], pixels, grid)
    if folder is not None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=folder.parent))
        for path in paths:
            shutil.copyfile(path, new / path.name)
        try:
            new.rename(folder)
        except OSError:  # another process has been faster
            shutil.rmtree(new)


def _locate(origins: Sequence[Origin], position: int, relative: str) -> tuple[Path, str]:
    """Path and URL of an asset; assets next to each other in an item lie on different origins."""
    origin = origins[position % len(origins)]
    path = origin.folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    return path, f"{origin.url.rstrip('/')}/{quote(relative)}"


def _asset(
    href: str, title: str, media_type: str, role: str, fields: dict[str, Any]
) -> pystac.Asset:
    return pystac.Asset(href, title=title, media_type=media_type, roles=[role], extra_fields=fields)


def _file_fields(path: Path, *, with_checksum: bool) -> dict[str, Any]:
    """The fields of the file extension, read from the file itself."""
    content = path.read_bytes()
    fields: dict[str, Any] = {"file:size": len(content)}
    if with_checksum:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        fields["file:checksum"] = _MD5_MULTIHASH_PREFIX + digest
    return fields


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def georeference(longitude: float, latitude: float) -> rasterio.Affine:
    """Return the pixel grid centred on a place, on whole pixels of the projection."""
    (east,), (north,) = transform("EPSG:4326", CRS, [longitude], [latitude])
    half_m = SIDE_PX * PIXEL_M // 2
    left = round(east / PIXEL_M) * PIXEL_M - half_m
    top = round(north / PIXEL_M) * PIXEL_M + half_m
    return rasterio.Affine(PIXEL_M, 0, left, 0, -PIXEL_M, top)


def footprint(grid: rasterio.Affine) -> dict[str, Any]:
    """Return a pixel grid's outline in degrees as a GeoJSON polygon, anticlockwise."""
    left, top = grid.c, grid.f
    right, bottom = left + SIDE_PX * PIXEL_M, top - SIDE_PX * PIXEL_M
    ring = [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)]
    outline = {"type": "Polygon", "coordinates": [ring]}
    geometry: dict[str, Any] = transform_geom(CRS, "EPSG:4326", outline, precision=6)
    return geometry


def make_scene(bands: Sequence[Band], seed: tuple[int, int]) -> list[NDArray[np.uint16]]:
    """Return the pixels of each band over one relief; the same seed gives the same pixels."""
    rng = np.random.default_rng(seed)
    relief = _relief(rng)
    return [
        (band.valley + (band.summit - band.valley) * relief + rng.normal(0, _NOISE, relief.shape))
        .clip(1)  # 0 means no data
        .astype(np.uint16)
        for band in bands
    ]


def _relief(rng: np.random.Generator) -> NDArray[np.float64]:
    """Heights from 0 to 1: random ones on ever finer grids, interpolated and added up."""
    relief = np.zeros((SIDE_PX, SIDE_PX))
    for cells in (4, 8, 16, 32, 64):
        positions = np.linspace(0, cells, SIDE_PX)
        weights = np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(cells + 1)))
        relief += weights @ rng.random((cells + 1, cells + 1)) @ weights.T / cells
    relief -= relief.min()
    relief /= relief.max()
    return relief


def write_cog(path: Path, pixels: NDArray[np.uint16], grid: rasterio.Affine) -> None:
    """Write one band as a Cloud-Optimized GeoTIFF: tiled, with overviews."""
    with rasterio.open(
        path,
        "w",
        driver="COG",
        width=SIDE_PX,
        height=SIDE_PX,
        count=1,
        dtype="uint16",
        nodata=0,
        crs=CRS,
        transform=grid,
        blocksize=_TILE_PX,
        compress="deflate",
        predictor="yes",
        level=1,  # half the time for a file 1 % larger
    ) as file:
        file.write(pixels, 1)


def write_thumbnail(path: Path, bands: Sequence[NDArray[np.uint16]], grid: rasterio.Affine) -> None:
    """Write a small PNG with the first of two bands as red and the second as green."""
    red, green = (
        (band[::_THUMBNAIL_STEP, ::_THUMBNAIL_STEP] * (255 / band.max())).astype(np.uint8)
        for band in bands
    )
    side_px = SIDE_PX // _THUMBNAIL_STEP
    # rasterio warns of a file without a transform; GDAL would write that of a PNG beside it
    with (
        rasterio.Env(GDAL_PAM_ENABLED=False),
        rasterio.open(
            path,
            "w",
            driver="PNG",
            width=side_px,
            height=side_px,
            count=3,
            dtype="uint8",
            transform=grid,
        ) as file,
    ):
        file.write(np.stack([red, green, red // 2 + green // 2]))
