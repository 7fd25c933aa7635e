"""What PFNs and answers of servers may be like: WebDAV, other protocols, chunks, queries."""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING, Any

import pytest

from stac_client._replicas import Mounts
from tests.fake_rucio import FakeRucio
from tests.origin import chunked

from .downloading import BODY, DOWNLOADED, FAILED, OTHER, download, files_in

if TYPE_CHECKING:
    from pathlib import Path

    from stac_client._results import State
    from tests.origin import Origin


pytestmark = pytest.mark.usefixtures("_no_pauses")


@pytest.mark.parametrize(
    ("pfn", "url"),
    [
        ("davs://a:443/x?y", "https://a:443/x?y"),
        ("dav://a/x", "http://a/x"),
        ("https://a/x", "https://a/x"),
        ("HTTP://a/x", "http://a/x"),
        ("root://a//x", "root://a//x"),
        ("/local/path", "/local/path"),
        ("http:x", "http:x"),
    ],
)
def test_protocols(pfn: str, url: str) -> None:
    """WebDAV is HTTP; what is not stays as it is, and is left to Rucio's own client."""
    assert Mounts().url(pfn) == url


@pytest.mark.parametrize(
    ("there", "state"), [(BODY, DOWNLOADED), (OTHER, FAILED), (BODY + b"x", FAILED), (None, FAILED)]
)
def test_a_mounted_storage(
    rucio: FakeRucio, tmp_path: Path, there: bytes | None, state: State
) -> None:
    """What is mounted here is copied from there, and verified as everything is."""
    rucio.add(BODY, {"A": "root://127.0.0.1:1//eos/f"})
    (tmp_path / "eos").mkdir()
    if there is not None:
        (tmp_path / "eos/f").write_bytes(there)
    mounts = {"root://127.0.0.1:1//eos/": tmp_path / "eos"}
    (outcome,) = download(rucio, tmp_path / "here", mounts=mounts)
    assert outcome.state is state
    assert files_in(tmp_path / "here") == ["alps/i/red.tif"] * (state is DOWNLOADED)
    assert (outcome.url == "root://127.0.0.1:1//eos/f") == (state is DOWNLOADED)


def test_a_file_of_another_host(rucio: FakeRucio, tmp_path: Path) -> None:
    """A PFN of the scheme `file` is no path here; Rucio's own client is asked for it."""
    rucio.add(BODY, {"A": f"file://localhost:0{tmp_path}/f"})
    (tmp_path / "f").write_bytes(BODY)
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is FAILED
    assert "Rucio's client failed" in outcome.reason


def test_a_mount_comes_first(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A mounted storage is not asked over the network, unless the file is not there."""
    pfn = storage.add("/eos/f", BODY)
    rucio.add(BODY, {"A": pfn})
    mounts = {f"{storage.url}/eos/": tmp_path}
    (tmp_path / "f").write_bytes(BODY)
    for seen in (0, 1):
        (outcome,) = download(rucio, tmp_path / str(seen), mounts=mounts)
        assert outcome.state is DOWNLOADED
        assert len(storage.seen) == seen
        (tmp_path / "f").unlink(missing_ok=True)


def test_a_gateway(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """What a gateway serves is downloaded from it; the outcome names the PFN."""
    storage.add("/gate/f", BODY)
    rucio.add(BODY, {"A": "root://127.0.0.1:1//eos/f"})
    mounts = {"root://127.0.0.1:1//eos": f"{storage.url}/gate"}
    (outcome,) = download(rucio, tmp_path, mounts=mounts)
    assert (outcome.state, outcome.url) == (DOWNLOADED, "root://127.0.0.1:1//eos/f")


def test_a_webdav_pfn(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """The PFN of a WebDAV storage is downloaded over HTTP, and named in the outcome as it is."""
    storage.add("/f", BODY)
    pfn = storage.url.replace("http:", "dav:") + "/f"
    rucio.add(BODY, {"A": pfn})
    (outcome,) = download(rucio, tmp_path)
    assert (outcome.state, outcome.url) == (DOWNLOADED, pfn)


def test_rucios_client_fails(rucio: FakeRucio, tmp_path: Path) -> None:
    """A PFN that Rucio's own client does not give has failed, with what that client says."""
    rucio.add(BODY, {"A": "root://127.0.0.1:1//x"})
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is FAILED
    assert outcome.reason.startswith("A root://127.0.0.1:1//x: Rucio's client failed: ")
    assert files_in(tmp_path) == []


def test_http_first(storage: Origin, tmp_path: Path) -> None:
    """Of several PFNs at an RSE that of HTTP is taken; Rucio's own client is not even made."""
    asked = []

    class Watched(FakeRucio):
        def __getattr__(self, name: Any) -> None:
            asked.append(name)
            raise AttributeError(name)

    rucio = Watched()
    rucio.add(BODY, {}, rses={"A": ["root://127.0.0.1:1//x", storage.add("/f", BODY)]})
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is DOWNLOADED
    assert {*asked} <= {"__setstate__", "session"}  # a thread copies the client for itself


def test_no_length_is_announced(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Chunked answers are taken."""
    rucio.add(BODY, {"A": storage.add("/f", BODY, chunked)})
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is DOWNLOADED


def test_endless(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Hardly a byte more is taken than a file has, and none is left."""
    pieces = []

    def endless(handler: Any, content: Any, etag: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("ETag", etag)
        handler.end_headers()
        for _ in range(400):  # 40 MB
            handler.wfile.write(b"%x\r\n%b\r\n" % (100_000, bytes(100_000)))
            pieces.append(len(content))
        handler.wfile.write(b"0\r\n\r\n")

    rucio.add(BODY, {"A": storage.add("/f", BODY, endless)})
    (outcome,) = download(rucio, tmp_path)
    assert "more bytes" in outcome.reason
    assert files_in(tmp_path) == []
    assert len(pieces) < 400


def test_a_query_is_part_of_a_url(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """Query strings reach the server as they are."""
    url = storage.add("/f?version=1&x=%20", BODY)
    rucio.add(BODY, {"A": url})
    (outcome,) = download(rucio, tmp_path)
    assert urllib.parse.urlsplit(outcome.url).query == "version=1&x=%20"
    assert [request.path for request in storage.seen] == ["/f?version=1&x=%20"]
