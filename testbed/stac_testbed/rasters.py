"""Synthetic scenes: mountains out of random numbers, written as Cloud-Optimized GeoTIFFs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from rasterio.warp import transform, transform_geom

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CRS = "EPSG:32632"
"""Coordinate reference system of every scene: UTM zone 32N, 6 to 12 degrees east."""

PIXEL_M = 20
"""Side of a pixel in metres."""

SIDE_PX = 512
"""Side of a scene in pixels."""

_TILE_PX = 256
_THUMBNAIL_STEP = 4
_NOISE = 2.0  # digital numbers, standard deviation; keeps the files from compressing away


@dataclass(frozen=True)
class Band:
    """How a band of a scene follows the relief, in digital numbers."""

    valley: int
    summit: int


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
