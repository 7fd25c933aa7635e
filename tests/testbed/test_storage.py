"""A storage of the test bed as its clients see it: WebDAV, and what a grid storage adds."""

from __future__ import annotations

import base64
import hashlib
import http.client
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
import requests
from rasterio.transform import Affine
from rasterio.windows import Window

from .support import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.testbed.awkward import Origin
    from tests.testbed.support import Storage


CONTENT = bytes(range(256)) * 300


def put(storage: Any, name: str, content: bytes = CONTENT) -> str:
    """Write a file and return its URL."""
    url = f"{storage.url}/{name}"
    assert requests.put(url, data=content, timeout=30).status_code in (201, 204)
    return url


def pull(
    storage: Storage, name: str, source: str, **headers: Any
) -> tuple[requests.Response, list[str]]:
    """Ask a storage to fetch a file; return the answer and the lines of its body."""
    url = f"{storage.url}/{name}"
    answer = requests.request("COPY", url, headers={"Source": source, **headers}, timeout=30)
    return answer, answer.text.splitlines()


def raw_status(storage: Storage, method: str, target: str, headers: dict[Any, Any]) -> int:
    """Send a request whose target no client library would let through."""
    connection = http.client.HTTPConnection(urlsplit(storage.url).netloc, timeout=30)
    connection.request(method, target, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_anybody_writes_reads_and_deletes(storage: Any) -> None:
    """Files in folders are written, read, sized and deleted without credentials."""
    folder = f"{storage.url}/life of ä file"
    assert requests.request("MKCOL", folder, timeout=30).status_code == 201
    url = put(storage, "life of ä file/b.bin")
    assert (storage.folder / "life of ä file" / "b.bin").read_bytes() == CONTENT
    assert requests.get(url, timeout=30).content == CONTENT
    assert requests.head(url, timeout=30).headers["Content-Length"] == str(len(CONTENT))
    assert requests.delete(url, timeout=30).status_code == 204
    assert requests.head(url, timeout=30).status_code == 404


def test_ranges(storage: Any) -> None:
    """A part of a file can be read."""
    url = put(storage, "ranges.bin")
    answer = requests.get(url, headers={"Range": "bytes=1000-1999"}, timeout=30)
    assert answer.status_code == 206
    assert answer.headers["Content-Range"] == f"bytes 1000-1999/{len(CONTENT)}"
    assert answer.content == CONTENT[1000:2000]


def test_rasters_are_read_in_parts(storage: Any, tmp_path: Path) -> None:
    """GDAL opens a raster by URL and reads a window of it with range requests."""
    pixels = np.arange(1024 * 1024, dtype="uint32").reshape(1024, 1024)
    profile = {"driver": "GTiff", "width": 1024, "height": 1024, "count": 1, "dtype": "uint32"}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}
    with rasterio.open(tmp_path / "r.tif", "w", tiled=True, **profile, **place) as file:
        file.write(pixels, 1)
    url = put(storage, "raster.tif", (tmp_path / "r.tif").read_bytes())
    with rasterio.open(url) as file:
        window = file.read(1, window=Window(900, 900, 10, 10))
    assert (window == pixels[900:910, 900:910]).all()
    assert storage.server.has_answered("/raster.tif", "GET 206")


@pytest.mark.parametrize("how", ["plain", "redirect", "chunked", "nohead"])
def test_pull(grid: Storage, origin: Origin, how: str) -> None:
    """A grid storage fetches a file itself and says so in the last line of its answer."""
    origin.add("pull.bin", CONTENT)
    answer, lines = pull(grid, f"pull-{how}.bin", f"{origin.url}/{how}/pull.bin")
    assert answer.status_code == 201
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert f"    Stripe Bytes Transferred: {len(CONTENT)}" in lines
    assert lines[-1] == "success: Created"
    assert (grid.folder / f"pull-{how}.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("how", ["plain/missing", "cut", "chunk-cut", "broken", "silent"])
def test_pull_fails(grid: Storage, origin: Origin, how: str) -> None:
    """A pull that fails says so after its 201 and leaves nothing, or the file that was there."""
    origin.add("fail.bin", CONTENT)
    put(grid, "fail.bin", b"old")
    before = set(grid.folder.iterdir())
    answer, lines = pull(grid, "fail.bin", f"{origin.url}/{how}/fail.bin")
    assert answer.status_code == 201
    assert lines[-1].startswith("failure: ")
    assert origin.url in lines[-1]
    assert set(grid.folder.iterdir()) == before
    assert (grid.folder / "fail.bin").read_bytes() == b"old"


def test_pull_ends_with_its_client(grid: Storage, origin: Origin) -> None:
    """When the client of a pull has gone, the source is left and no half file stays behind."""
    origin.add("gone.bin", CONTENT)
    url, source = f"{grid.url}/gone.bin", f"{origin.url}/endless/gone.bin"
    with requests.request("COPY", url, headers={"Source": source}, stream=True, timeout=30):
        assert wait_for(lambda: list(grid.folder.glob(".*.part")))
    assert wait_for(lambda: "HUNG UP /endless/gone.bin" in origin.seen)
    assert wait_for(lambda: not list(grid.folder.glob(".*.part")))


def test_pull_overwrites_unless_told_not_to(grid: Storage, origin: Origin) -> None:
    """An existing file is replaced, or kept with Overwrite: F."""
    source = origin.add("overwrite.bin", CONTENT)
    put(grid, "overwrite.bin", b"old")
    assert pull(grid, "overwrite.bin", source, Overwrite="F")[0].status_code == 412
    assert (grid.folder / "overwrite.bin").read_bytes() == b"old"
    assert pull(grid, "overwrite.bin", source, Overwrite="T")[1][-1] == "success: Created"
    assert (grid.folder / "overwrite.bin").read_bytes() == CONTENT


def test_pull_is_refused(grid: Storage, origin: Origin) -> None:
    """No file is fetched into a missing folder, over a folder, or with delegated credentials."""
    source = origin.add("refused.bin", CONTENT)
    (grid.folder / "a-folder").mkdir()
    assert pull(grid, "no/folder.bin", source)[0].status_code == 409
    assert pull(grid, "a-folder", source)[0].status_code == 403
    assert pull(grid, "refused.bin", source, Credential="gridsite")[0].status_code == 400
    assert pull(grid, "refused.bin", "file:///etc/hostname")[1][-1].startswith("failure: ")
    assert not (grid.folder / "refused.bin").exists()


@pytest.mark.parametrize("method", ["COPY", "PUT"])
@pytest.mark.parametrize(
    "target", ["/../out.bin", "/%2e%2e/out.bin", "/a/../../out.bin", "/link/out.bin", "/x%00.bin"]
)
def test_nothing_is_written_elsewhere(
    grid: Storage, origin: Origin, method: str, target: str
) -> None:
    """No name leads out of the folder, neither by dots nor by a symbolic link."""
    source = origin.add("escape.bin", CONTENT)
    outside = grid.folder.parent / "outside"
    outside.mkdir(exist_ok=True)
    if not (grid.folder / "link").exists():
        (grid.folder / "link").symlink_to(outside)
    assert raw_status(grid, method, target, {"Source": source, "Content-Length": "0"}) >= 400
    assert not list(grid.folder.parent.glob("**/out.bin"))


def test_digest(grid: Storage) -> None:
    """A grid storage tells the checksum that is asked for, and only that."""
    url = put(grid, "digest.bin")
    md5 = base64.b64encode(hashlib.md5(CONTENT, usedforsecurity=False).digest()).decode()
    expected = {
        "adler32": f"adler32={zlib.adler32(CONTENT):08x}",
        "MD5": f"md5={md5}",
        "sha-256;q=1, md5;q=0.3": f"md5={md5}",
        "sha-256": None,
    }
    for wanted, digest in expected.items():
        answer = requests.head(url, headers={"Want-Digest": wanted}, timeout=30)
        assert answer.status_code == 200
        assert answer.headers.get("Digest") == digest
    assert "Digest" not in requests.head(url, timeout=30).headers
    absent = requests.head(f"{url}.no", headers={"Want-Digest": "adler32"}, timeout=30)
    assert (absent.status_code, absent.headers.get("Digest")) == (404, None)


def test_bare_storage_only_speaks_webdav(bare: Storage, origin: Origin) -> None:
    """Without either a storage neither fetches files nor tells checksums."""
    source = origin.add("only.bin", CONTENT)
    assert pull(bare, "only.bin", source)[0].status_code == 404
    url = put(bare, "only.bin")
    answer = requests.head(url, headers={"Want-Digest": "adler32"}, timeout=30)
    assert "Digest" not in answer.headers
    assert origin.gets("/plain/only.bin") == 0
