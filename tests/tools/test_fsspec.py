"""Files of Rucio by their DIDs, through fsspec."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import dask.bag
import fsspec
import intake
import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray

from stac_client import RequestError
from stac_client.filesystem import did_url
from stac_policy.naming import DID
from stac_testbed.layout import ORIGINS
from tests.items import make_item

from .conftest import ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from stac_client import StacClient
    from stac_testbed.lake import Lake
    from tests.tools.conftest import Reads

# What these tools use of each other is deprecated by now.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")


@pytest.fixture
def red(search: Callable[..., Any], client: StacClient, monkeypatch: Any, stac_lake: Lake) -> Any:
    """The DIDs of the red bands by item; rucio.cfg is that of the lake."""
    for name, value in stac_lake.environment().items():
        monkeypatch.setenv(name, value)
    items = search()
    return {item.id: client.create_replicas(item, "STAC", assets=["red"]).dids[0] for item in items}


def test_tools_read_the_preferred_copy(
    red: dict[Any, Any], reads: Reads, pixels: dict[Any, Any], scene_files: dict[Any, Any]
) -> None:
    """fsspec, rasterio and rioxarray read by DID, from the RSE that is preferred."""
    for rse, service in (("DISK-B", "storage-b"), ("DISK-A", "storage-a"), ("STAC", "origin-a")):
        for item in ITEMS:
            with fsspec.open(did_url(red[item]), prefer=[rse]) as file:
                assert file.read() == scene_files[item].read_bytes()
            with (
                fsspec.open(did_url(red[item]), prefer=rse, block_size=4096) as file,
                rasterio.open(file) as dataset,
            ):
                np.testing.assert_array_equal(dataset.read(1), pixels[item])
            with fsspec.open(did_url(red[item]), prefer=rse) as file:
                array: Any = rioxarray.open_rasterio(file)
                np.testing.assert_array_equal(array.squeeze("band").values, pixels[item])
        assert reads.services() == {service}


def test_original_where_there_is_no_copy(
    red: dict[Any, Any], client: StacClient, search: Callable[..., Any], scene_files: dict[Any, Any]
) -> None:
    """A file without any copy is read from its origin; `only` says that there is none."""
    (item,) = (each for each in search() if each.id == ITEMS[0])
    (did,) = client.create_replicas(item, "STAC", assets=["thumbnail"]).dids
    (original,) = scene_files[ITEMS[0]].parent.glob("thumbnail*")
    with fsspec.open(did_url(did), prefer=["DISK-A"]) as file:
        assert file.read() == original.read_bytes()
    files = fsspec.filesystem("rucio", only="DISK-A")
    with pytest.raises(RequestError, match="no replica that can be read"):
        files.open(did_url(did))
    assert red


def test_datasets_are_folders(red: dict[Any, Any], scene_files: dict[Any, Any]) -> None:
    """A dataset is listed as a folder; what Rucio does not know is not found."""
    files = fsspec.filesystem("rucio")
    did = red[ITEMS[0]]
    path = f"{did.scope}/{did.name}"
    folder = path.rpartition("/")[0]
    size_bytes = scene_files[ITEMS[0]].stat().st_size
    assert files.info(path)["size"] == files.size(f"rucio://{path}") == size_bytes
    assert path in files.ls(folder, detail=False)
    assert path in files.glob(f"rucio://{folder}/*.tif")
    assert files.isdir(folder)
    assert files.isfile(path)
    assert not files.isfile(folder)
    with pytest.raises(IsADirectoryError, match=did.name.rpartition("/")[0]):
        files.open(folder)
    missing = DID(did.scope, f"{did.name}x")
    assert not files.exists(did_url(missing))
    with pytest.raises(FileNotFoundError, match=str(missing)):
        files.open(did_url(missing))


def test_tables(client: StacClient, stac_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pandas, Dask and Intake read a table by its DID."""
    for name, value in stac_lake.environment().items():
        monkeypatch.setenv(name, value)
    text = "a,b\n1,2\n3,4\n"
    (stac_lake.layout.data(ORIGINS[0]) / "table.csv").write_text(text)
    asset = {"href": f"{stac_lake.layout.url(ORIGINS[0])}/table.csv", "roles": ["data"]}
    item = make_item("alpine-optical", "table", {"table": asset})
    (did,) = client.create_replicas(item, "STAC").dids
    options = {"prefer": ["DISK-A"]}
    frame = pd.read_csv(did_url(did), storage_options=options)
    assert frame.to_csv(index=False) == text
    lines = dask.bag.read_text(did_url(did), storage_options=options)
    assert lines.compute(scheduler="threads") == text.splitlines(keepends=True)
    table = intake.readers.datatypes.CSV(did_url(did), storage_options=options)
    assert intake.readers.readers.PandasCSV(table).read().equals(frame)


_OTHER_PROCESS = """
import hashlib, os, pickle, sys

file = pickle.load(sys.stdin.buffer)
file.seek(1000)
file.read(10)
if pid := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
file.seek(0)
print(hashlib.sha256(file.fs.cat_file(file.path)).hexdigest(), file.read(4) != b"")
"""


def test_pickled_and_forked(red: dict[Any, Any], scene_files: dict[Any, Any]) -> None:
    """An open file goes to another process, and through a fork of it."""
    import hashlib

    with fsspec.open(did_url(red[ITEMS[0]]), prefer="DISK-A", cache_type="none") as file:
        pickled = pickle.dumps(file)
    found = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", _OTHER_PROCESS],
        input=pickled,
        check=True,
        capture_output=True,
        timeout=60,
    )
    digest = hashlib.sha256(scene_files[ITEMS[0]].read_bytes()).hexdigest()
    assert found.stdout.decode().split() == [digest, "True"]
