"""The file system for fsspec: names, ranges of replicas, and that nothing is written."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from fsspec.core import split_protocol
from hypothesis import given
from hypothesis import strategies as st

from stac_client import ConfigurationError, RequestError, filesystem
from stac_client.filesystem import RucioFileSystem, did_url
from stac_policy.naming import DID
from tests.origin import redirect, status, whole
from tests.policy.strategies import names

from .downloading import BODY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fake_rucio import FakeRucio
    from tests.origin import Origin

pytestmark = pytest.mark.usefixtures("_no_pauses")

SCOPES = st.from_regex(r"[A-Za-z0-9._-]{1,25}", fullmatch=True)


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who imports it without fsspec is told what to install."""
    monkeypatch.setitem(sys.modules, "fsspec.spec", None)
    monkeypatch.delitem(sys.modules, "stac_client.filesystem")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'stac-rucio\[fsspec\]'"):
        import_module("stac_client.filesystem")


@given(SCOPES, names)
def test_did_is_read_back_from_its_url(scope: str, name: str) -> None:
    """A DID is the same after its URL, case of the scope and first slash included."""
    url = did_url(DID(scope, name))
    path = RucioFileSystem._strip_protocol(url)
    assert split_protocol(url)[0] == "rucio"
    assert filesystem._did(path) == (scope, name)
    assert RucioFileSystem._strip_protocol(path) == path


@pytest.fixture
def files(rucio: FakeRucio, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """File systems over that Rucio."""
    monkeypatch.setattr(filesystem, "make_client", lambda *_: rucio)
    return lambda **options: RucioFileSystem(skip_instance_cache=True, **options)


@pytest.mark.parametrize("name", ["prefr", "preferred", "mount", "Prefer", "accounts"])
def test_options_that_come_near_others(files: Callable[..., Any], name: str) -> None:
    """Fsspec takes whatever it is given; what was meant for us is not forgotten without a word."""
    with pytest.raises(ConfigurationError, match=f"'{name}'; near it: "):
        files(**{name: "DISK"})
    files(use_listings_cache=True, listings_expiry_time=5, max_paths=9, asynchronous=False)


URL = "rucio://alps//alps/i/red.tif"


@pytest.mark.parametrize(
    "bad",
    [
        (status(404),),
        (status(503),),
        (redirect("http://169.254.169.254/latest"),),
        (lambda handler, content, etag: whole(handler, content[1:], etag),),
        (
            lambda handler, content, _: handler.answer(
                206, content[:9], Content_Range="bytes 0-8/9"
            ),
        ),
    ],
)
def test_another_replica_is_read_where_one_fails(
    rucio: FakeRucio, storage: Origin, files: Callable[..., Any], bad: tuple[Any, ...]
) -> None:
    """What gives no such range of a file of this size is passed over."""
    first = storage.add("/a", BODY, *bad * 9)
    rucio.add(BODY, {"A": first, "B": storage.add("/b", BODY)})
    with files(prefer="A").open(URL, cache_type="none") as file:
        file.seek(100)
        assert file.read(50) == BODY[100:150]
        assert file.read() == BODY[150:]
    # The one that answered is asked first from then on.
    assert [request.path for request in storage.seen] == ["/a", "/b", "/b"]


def test_servers_without_ranges(
    rucio: FakeRucio, storage: Origin, files: Callable[..., Any]
) -> None:
    """What sends the whole in place of a range is read all the same."""
    rucio.add(BODY, {"A": storage.add("/a", BODY, *[whole] * 9)})
    with files().open(URL, cache_type="none") as file:
        file.seek(100)
        assert file.read(50) == BODY[100:150]


def test_all_replicas_fail(rucio: FakeRucio, storage: Origin, files: Callable[..., Any]) -> None:
    """The error says which DID cannot be read, and why from each RSE."""
    rucio.add(BODY, {"A": storage.add("/a", BODY, *[status(404)] * 9)})
    with files().open(URL) as file, pytest.raises(RequestError, match=r"red\.tif .*A http.* 404"):
        file.read(1)


def test_mounted_copy(rucio: FakeRucio, files: Callable[..., Any], tmp_path: Path) -> None:
    """A copy is read where its RSE is mounted."""
    (tmp_path / "red.tif").write_bytes(BODY)
    rucio.add(BODY, {"A": "root://a.example.org//data/red.tif"})
    mounts = {"root://a.example.org//data/": tmp_path}
    assert files(mounts=mounts).cat_file(URL, 100, 150) == BODY[100:150]
    with pytest.raises(RequestError, match="but at A"):
        files().open(URL)


@pytest.mark.parametrize(
    "write",
    [
        lambda files: files.open(URL, "wb"),
        lambda files: files.open(URL, "a"),
        lambda files: files.mkdir(URL),
        lambda files: files.makedirs(URL),
        lambda files: files.rm(URL),
        lambda files: files.mv(URL, f"{URL}x"),
        lambda files: files.cp(URL, f"{URL}x"),
        lambda files: files.pipe(URL, b"x"),
        lambda files: files.touch(URL),
        lambda files: files.put(__file__, URL),
        lambda files: files.write_text(URL, "x"),
    ],
)
def test_nothing_is_written(files: Callable[..., Any], write: Callable[[Any], object]) -> None:
    """Whatever would write says that it cannot."""
    with pytest.raises(OSError, match="read only"):
        write(files())
