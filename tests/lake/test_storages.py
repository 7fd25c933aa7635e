"""The storages of a lake, as Rucio's own code reads them and deletes there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from stac_testbed import STORAGE_RSES
from stac_testbed.layout import STORAGE_PREFIX
from tests.lake.scene import KEYS
from tests.rses import add_rse

if TYPE_CHECKING:
    from rucio.client import Client

    from stac_testbed.lake import Lake
    from tests.lake.scene import Scene

OVER_HTTP = "OVER-HTTP"


@pytest.mark.parametrize("rse", STORAGE_RSES.values())
def test_the_stock_client_downloads(scene: Scene, tmp_path: Path, rse: str) -> None:
    """`rucio download` reads a whole item from a storage."""
    dataset = scene.replicate(rse).did
    result = subprocess.run(  # noqa: S603 - installed beside this Python
        [Path(sys.executable).with_name("rucio"), "download", "--rses", rse, str(dataset)],
        env={**os.environ, **scene.lake.environment()},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    found = {path.name: path.read_bytes() for path in tmp_path.rglob("*.tif")}
    assert found == {f"{key}.tif": scene.content(key) for key in KEYS}


@pytest.fixture
def over_http(stac_lake: Lake, rucio: Client) -> Path:
    """The folder of an RSE that is read, written and deleted by WebDAV over plain HTTP."""
    prefix = f"{STORAGE_PREFIX}over-http/"
    protocol = {
        "scheme": "http",
        "port": stac_lake.layout.ports["storage-b"],
        "prefix": prefix,
        "impl": "rucio.rse.protocols.webdav.Default",
    }
    add_rse(rucio, OVER_HTTP, protocol, lfn2pfn_algorithm="stac", greedyDeletion="True")
    return stac_lake.layout.data("storage-b") / prefix.strip("/")


def test_nothing_is_deleted_over_http(scene: Scene, over_http: Path) -> None:
    """Rucio's WebDAV deletes nothing over http, and counts it as deleted: the doctor warns of it.

    Where Rucio has mended that, `destination-webdav` can go.
    """
    copy = over_http / scene.red.name[1:]
    copy.parent.mkdir(parents=True)
    copy.write_bytes(scene.content("red"))
    (file,) = scene.rucio.list_replicas([scene.red._asdict()])
    known = {key: file[key] for key in ("scope", "name", "bytes", "adler32")}
    scene.rucio.add_replicas(OVER_HTTP, [known])
    scene.rucio.set_tombstone([{**scene.red._asdict(), "rse": OVER_HTTP}])
    (url,) = (url for url, way in _ways(scene).items() if way == OVER_HTTP)
    assert requests.get(url, timeout=60).content == scene.content("red")
    scene.lake.run("reaper")
    assert OVER_HTTP not in scene.copies()
    assert copy.exists()


def _ways(scene: Scene) -> dict[str, str]:
    (file,) = scene.rucio.list_replicas([scene.red._asdict()])
    return {pfn: way["rse"] for pfn, way in file["pfns"].items()}
