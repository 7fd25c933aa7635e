"""Tools that read pixels: with `prefer`, by a hook, or by the key of an alternate."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from stac_client import AlternatesWarning
from stac_testbed.scenes import CRS

from .conftest import DAVS, ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from xarray import DataArray

    from stac_client import StacClient
    from tests.tools.conftest import Reads

RESOLUTION_M = 20  # of the scenes: nothing is resampled, so that every pixel can be compared

# What these tools use of each other is deprecated by now.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),
]


def load(items: Any, **options: Any) -> dict[Any, Any]:
    """Load red with odc-stac; the pixels by item."""
    import odc.stac

    options = {"bands": ["red"], "resolution": RESOLUTION_M, **options}
    return {item.id: odc.stac.load([item], **options).red.squeeze("time").values for item in items}


def assert_same(found: dict[Any, Any], pixels: dict[Any, Any]) -> None:
    """Pixels are those of the scenes, and not nothing."""
    assert sorted(found) == sorted(ITEMS)
    for item, values in found.items():
        assert values.any()
        np.testing.assert_array_equal(values, pixels[item])


@pytest.mark.parametrize("rse", ["DISK-A", DAVS])
def test_odc_stac_reads_the_preferred_copy(
    search: Callable[..., Any],
    client: StacClient,
    reads: Reads,
    *,
    pixels: dict[Any, Any],
    rse: str,
) -> None:
    """odc-stac, which knows no alternates, reads from the RSE that is preferred."""
    assert_same(load(search()), pixels)
    assert reads.services() == {"origin-a"}
    assert_same(load(search(client.modifier.with_options(prefer=[rse]))), pixels)
    assert reads.services() == {"storage-a"}


def test_odc_stac_with_its_hook(
    search: Callable[..., Any], client: StacClient, reads: Reads, pixels: dict[Any, Any]
) -> None:
    """odc-stac reads the preferred copies of unmodified items through patch_url."""
    items = search()
    with pytest.warns(AlternatesWarning, match="NOWHERE"):
        patch_url = client.patch_url(items, prefer=["NOWHERE", "DISK-B"])
    assert_same(load(items, patch_url=patch_url), pixels)
    assert reads.services() == {"storage-b"}


def test_odc_stac_in_dask_chunks(
    search: Callable[..., Any], client: StacClient, reads: Reads, pixels: dict[Any, Any]
) -> None:
    """Loading lazily reads the preferred copy when the pixels are computed."""
    items = search()
    patch_url = client.patch_url(items, prefer=["davs"])
    assert_same(load(items, patch_url=patch_url, chunks={"x": 256, "y": 256}), pixels)
    assert reads.services() == {"storage-a"}


# In a process of its own: aiohttp, by which fsspec reads, reads certificates when it is imported.
_FSSPEC = """
import hashlib, sys
import fsspec

for url in sys.argv[1:]:
    with fsspec.open(url) as file:
        print(hashlib.sha256(file.read()).hexdigest())
"""


def test_tools_read_from_an_rse_of_davs(
    search: Callable[..., Any],
    client: StacClient,
    reads: Reads,
    *,
    pixels: dict[Any, Any],
    scene_files: dict[Any, Any],
) -> None:
    """So do rasterio, stackstac and fsspec where Rucio knows davs alone."""
    import rasterio
    import stackstac

    items = search(client.modifier.with_options(prefer=[DAVS]))
    urls = {item.id: item.assets["red"].href for item in items}
    found = {}
    for item, url in urls.items():
        with rasterio.open(url) as file:
            found[item] = file.read(1)
    assert_same(found, pixels)
    assert reads.services() == {"storage-a"}

    for item in items:  # as stackstac knows it, from before the Projection extension 2.0
        item.properties["proj:epsg"] = int(CRS.removeprefix("EPSG:"))
    stacked = {
        item.id: stackstac.stack([item], assets=["red"], snap_bounds=False) for item in items
    }
    assert_same({item: array.squeeze().values for item, array in stacked.items()}, pixels)
    assert reads.services() == {"storage-a"}

    run = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", _FSSPEC, *urls.values()],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
    )
    digests = [hashlib.sha256(scene_files[item].read_bytes()).hexdigest() for item in urls]
    assert run.stdout.split() == digests
    assert reads.services() == {"storage-a"}


def test_rioxarray_reads_the_preferred_copy(
    search: Callable[..., Any], client: StacClient, reads: Reads, pixels: dict[Any, Any]
) -> None:
    """Rioxarray reads from the RSE that is preferred."""
    import rioxarray

    for rse, service in [(DAVS, "storage-a"), ("DISK-A", "storage-a"), ("DISK-B", "storage-b")]:
        items = search(client.modifier.with_options(prefer=[rse]))
        assert_same(
            {
                item.id: cast("DataArray", rioxarray.open_rasterio(item.assets["red"].href))
                .squeeze("band")
                .values
                for item in items
            },
            pixels,
        )
        assert reads.services() == {service}


_RIO_TILER = """
import sys
from rio_tiler.io import Reader, STACReader

file, *items = sys.argv[1:]
with Reader(file) as original:
    expected = original.preview(max_size=16).data
for item in items:
    with STACReader(item) as stac:
        found = stac.preview(assets=["red"], max_size=16).data
    assert found.any() and (found == expected).all(), item
"""


def test_rio_tiler_reads_the_alternate(
    search: Callable[..., Any],
    client: StacClient,
    reads: Reads,
    scene_files: dict[Any, Any],
    tmp_path: Path,
) -> None:
    """Rio-tiler, and so TiTiler, reads the copy at the RSE that its setting names.

    Whichever copy the modifier prefers, also that one. The setting is looked at
    when rio-tiler is imported: hence a process of its own.
    """
    files: list[Path] = []
    for prefer in ([], ["DISK-A"], [DAVS]):
        (item,) = (
            item
            for item in search(client.modifier.with_options(prefer=prefer))
            if item.id == ITEMS[0]
        )
        files.append(tmp_path / f"{len(files)}.json")
        files[-1].write_text(json.dumps(item.to_dict(transform_hrefs=False)))
    subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", _RIO_TILER, scene_files[ITEMS[0]], *files],
        env={**os.environ, "RIO_TILER_STAC_ALTERNATE_KEY": DAVS},
        check=True,
        timeout=60,
    )
    assert reads.services() == {"storage-a"}
