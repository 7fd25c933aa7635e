"""The origin, as a real gunicorn process on the loopback interface."""

from __future__ import annotations

import http.client
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest
import rasterio
import requests
from rasterio.windows import Window

from stac_testbed import scenes
from stac_testbed.processes import free_ports

from .support import listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


CONTENT = bytes(range(256)) * 40
SECRET = b"not to be served"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to serve, with a secret next to it."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.txt").write_bytes(SECRET)
    served = outside / "served"
    (served / "scenes").mkdir(parents=True)
    (served / "scenes" / "quick look.png").write_bytes(CONTENT)
    (served / "scenes" / "100%25.bin").write_bytes(CONTENT[:7])
    (served / "static").mkdir()
    (served / "static" / "data.bin").write_bytes(CONTENT)
    (served / "link.txt").symlink_to(outside / "secret.txt")
    return served


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin's base URL while it runs."""
    application = f"stac_testbed.files:create_origin({str(folder)!r})"
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "gunicorn", "--no-control-socket"]
    command += ["--bind", f"127.0.0.1:{port}", application]
    with listening(command, port, tmp_path_factory.mktemp("log") / "origin.log") as running:
        yield running


def raw(url: str, method: str, target: str) -> tuple[int, bytes]:
    """Status and body for a request target that is sent exactly as given."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_get(url: str) -> None:
    """A file comes whole, with its length, and can be asked for in parts."""
    response = requests.get(f"{url}/scenes/quick%20look.png", timeout=30)
    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["Content-Length"] == str(len(CONTENT))
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Type"] == "image/png"


def test_head(url: str) -> None:
    """HEAD gives the headers of GET, and no body."""
    get = requests.get(f"{url}/scenes/quick%20look.png", timeout=30)
    head = requests.head(f"{url}/scenes/quick%20look.png", timeout=30)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("100-299", 100, 299), ("10000-", 10_000, 10_239), ("-16", 10_224, 10_239)],
)
def test_range(url: str, asked: str, first: int, last: int) -> None:
    """A byte range gives those bytes and says which they are."""
    response = requests.get(
        f"{url}/scenes/quick%20look.png", headers={"Range": f"bytes={asked}"}, timeout=30
    )
    assert response.status_code == 206
    assert response.content == CONTENT[first : last + 1]
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert response.headers["Content-Length"] == str(last + 1 - first)


def test_range_beyond_the_end(url: str) -> None:
    """A range beyond the end of the file is answered with 416."""
    headers = {"Range": f"bytes={len(CONTENT)}-"}
    response = requests.get(f"{url}/scenes/quick%20look.png", headers=headers, timeout=30)
    assert response.status_code == 416


def test_etag(url: str) -> None:
    """A client that has the file already is told so."""
    etag = requests.head(f"{url}/scenes/quick%20look.png", timeout=30).headers["ETag"]
    again = requests.get(
        f"{url}/scenes/quick%20look.png", headers={"If-None-Match": etag}, timeout=30
    )
    assert again.status_code == 304
    assert again.content == b""


def test_query_string(url: str) -> None:
    """A query string changes nothing."""
    assert raw(url, "GET", "/scenes/quick%20look.png?version=1") == (200, CONTENT)


def test_percent_escapes(url: str) -> None:
    """A path is unescaped exactly once."""
    assert raw(url, "GET", "/scenes/100%2525.bin") == (200, CONTENT[:7])
    assert raw(url, "GET", "/scenes/100%25.bin")[0] == 404


def test_no_folder_is_special(url: str) -> None:
    """A folder named as Flask names its own is served like any other."""
    assert raw(url, "GET", "/static/data.bin") == (200, CONTENT)


@pytest.mark.parametrize("target", ["/", "/scenes", "/scenes/", "/scenes/none.tif"])
def test_not_a_file(url: str, target: str) -> None:
    """What is missing, and what is a folder, is answered with 404."""
    assert raw(url, "GET", target)[0] == 404
    assert raw(url, "HEAD", target)[0] == 404


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/scenes/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/scenes/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/link.txt",
        "/%2fetc/passwd",
        "/scenes/%00",
        "/" + "x" * 300,
    ],
)
def test_nothing_outside(url: str, target: str) -> None:
    """No path, however written, leads out of the folder or to an error of the server."""
    status, body = raw(url, "GET", target)
    assert status == 404
    assert SECRET not in body


def test_absolute_path(url: str, folder: Path) -> None:
    """An absolute path is not taken for one on the machine."""
    status, body = raw(url, "GET", f"/%2f{str(folder.parent / 'secret.txt')[1:]}")
    assert status in {308, 404}  # 308: Flask merges slashes and asks to come again
    assert SECRET not in body


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_read_only(url: str, folder: Path, method: str) -> None:
    """Nothing can be written or deleted."""
    assert raw(url, method, "/scenes/quick%20look.png")[0] == 405
    assert (folder / "scenes" / "quick look.png").read_bytes() == CONTENT


def test_cog_over_http(url: str, folder: Path) -> None:
    """GDAL reads a window of a scene over HTTP, and gets the pixels that were written."""
    grid = scenes.georeference(8.053, 46.443)
    (pixels,) = scenes.make_scene([scenes.Band(valley=400, summit=3600)], seed=(0, 0))
    scenes.write_cog(folder / "scenes" / "red.tif", pixels, grid)
    window = Window(200, 300, 64, 32)
    with (
        rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"),
        rasterio.open(f"{url}/scenes/red.tif") as file,
    ):
        read = file.read(1, window=window)
    assert np.array_equal(read, pixels[300:332, 200:264])
