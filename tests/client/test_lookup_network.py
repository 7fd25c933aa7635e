"""Lookups where connections break, origins are busy, redirect, or send in odd ways."""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.origin import Answer

from .files import ADLER32, BODY, DOWNLOAD, HEAD, SIZE, WHOLE, asset_at, complete, known

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stac_client import Probe
    from tests.origin import Origin


# Broken connections.


def test_body_shorter_than_announced(origin: Origin, failure: Callable[..., Any]) -> None:
    """A body that ends early is an error."""
    url = origin.add("/x.tif", Answer(BODY, announced=SIZE + 10), head=Answer(status=405))
    assert "after" in failure(url)


def test_connection_reset_within_the_body(origin: Origin, failure: Callable[..., Any]) -> None:
    """A connection that is reset within the body is an error that says so."""
    url = origin.add("/x.tif", Answer(BODY, reset_after=100), head=Answer(status=405))
    assert "broke off after" in failure(url)
    assert origin.methods == ["HEAD", *["GET"] * 4]


def test_connection_reset_before_the_answer(
    origin: Origin, session: requests.Session, pauses: list[float]
) -> None:
    """What fails before its answer is tried again."""
    reset = Answer(reset_after=-1)
    asset = complete(asset_at(origin.add("/x.tif", reset, reset, WHOLE)), HEAD, session)
    assert asset.size_bytes == SIZE
    assert origin.methods == ["HEAD"] * 3
    assert sum(pauses) > 0


def test_connection_always_reset(
    origin: Origin, failure: Callable[..., Any], pauses: list[float]
) -> None:
    """What fails for ever is an error after some attempts."""
    url = origin.add("/x.tif", Answer(reset_after=-1))
    assert "no answer" in failure(url)
    assert len(origin.seen) == 4
    assert 0 < sum(pauses) < 60


def test_nobody_listens(failure: Callable[..., Any], pauses: list[float]) -> None:
    """A host that does not answer is an error after some attempts."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "no answer" in failure(f"http://127.0.0.1:{port}/x.tif")
    assert pauses


def test_silence(
    failure: Callable[..., Any], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that takes the connection and says nothing is an error after some time."""
    monkeypatch.setattr("stac_policy.http.TIMEOUT_S", (0.05, 0.05))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert "no answer" in failure(f"http://127.0.0.1:{port}/x.tif")
    assert pauses


def test_no_tls(origin: Origin, failure: Callable[..., Any], pauses: list[float]) -> None:
    """A failure of TLS is told from a host that does not answer."""
    url = origin.add("/x.tif", WHOLE).replace("http:", "https:")
    assert "no TLS connection" in failure(url)
    assert pauses


def test_host_that_can_be_none(failure: Callable[..., Any]) -> None:
    """A host name that the name service cannot hold is an error, not the end of all."""
    assert "is no web address" in failure(f"http://{'a' * 64}.example.org/x.tif")


# Busy origins.


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_busy_for_a_while(
    origin: Origin, session: requests.Session, pauses: list[float], status: int
) -> None:
    """An origin that is busy is asked again."""
    busy = Answer(status=status)
    asset = complete(asset_at(origin.add("/x.tif", busy, busy, WHOLE)), DOWNLOAD, session)
    assert known(asset) == (SIZE, ADLER32, None)
    assert origin.methods == ["HEAD"] * 3 + ["GET"]
    assert 0 < sum(pauses) < 60


@pytest.mark.parametrize(("seconds", "pause"), [("7", 7), ("86400", 60)])
def test_retry_after(
    origin: Origin, session: requests.Session, pauses: list[float], seconds: str, pause: int
) -> None:
    """A pause that an origin asks for is made, but not for days."""
    busy = Answer(status=503, headers={"Retry-After": seconds})
    url = origin.add("/x.tif", busy, WHOLE, head=Answer(status=405))
    assert known(complete(asset_at(url), DOWNLOAD, session)) == (SIZE, ADLER32, None)
    assert pauses == [pause]


def test_busy_for_ever(origin: Origin, failure: Callable[..., Any], pauses: list[float]) -> None:
    """An origin that stays busy is an error with its status."""
    url = origin.add("/x.tif", Answer(status=503, headers={"Retry-After": "1"}))
    assert ": HTTP 503; try again later" in failure(url)
    assert origin.methods == ["HEAD"] * 4 + ["GET"] * 4
    assert pauses == [1, 2, 4] * 2


# Redirects and credentials.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect(
    origin: Origin, other_origin: Origin, session: requests.Session, status: int
) -> None:
    """A redirect is followed, to another host too; the asset's URL stays the catalogue's."""
    there = other_origin.add("/y.tif", WHOLE)
    url = origin.add("/x.tif", Answer(status=status, headers={"Location": there}))
    asset = complete(asset_at(url), DOWNLOAD, session)
    assert known(asset) == (SIZE, ADLER32, None)
    assert asset.url == url
    assert other_origin.methods == ["HEAD", "GET"]


@pytest.mark.parametrize(
    "location",
    [
        "/x.tif?sig=SECRET",
        "s3://bucket/x.tif?sig=SECRET",
        "file:///etc/hostname?sig=SECRET",
        "http://[::1/?sig=SECRET",
        f"http://{'a' * 64}.example.org/?sig=SECRET",
        "http://user:SECRET@/x.tif",
    ],
)
def test_redirect_that_leads_nowhere(
    origin: Origin, failure: Callable[..., Any], location: str
) -> None:
    """A redirect to itself, or to what is no web address, is an error."""
    url = origin.add("/x.tif", Answer(status=302, headers={"Location": location}))
    message = failure(url)
    assert "it redirects more than" in message or "it leads to" in message or "no web" in message


def test_redirect_to_what_is_no_text(origin: Origin, failure: Callable[..., Any]) -> None:
    """A redirect that cannot even be read is an error that says so."""
    url = origin.add("/x.tif", Answer(status=302, headers={"Location": "\xff\xfe"}))
    assert "it redirects to no web address" in failure(url)


def test_addresses_that_nothing_is_fetched_from(
    origin: Origin, failure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a name leads to an address such as a cloud's metadata service, nothing is asked."""
    url = origin.add("/x.tif", Answer(body=b"secret"))
    monkeypatch.setattr("stac_policy.http.is_forbidden", lambda _: True)
    assert "from where nothing is fetched" in failure(url)
    assert origin.methods == []


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials on this machine for every origin."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login alice password SECRET\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    assert requests.utils.get_netrc_auth("http://127.0.0.1:80/") == ("alice", "SECRET")


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("probe", [HEAD, DOWNLOAD])
def test_no_credentials_of_this_machine(
    origin: Origin, other_origin: Origin, session: requests.Session, probe: Probe
) -> None:
    """Credentials in netrc go neither to an asset's host nor to where it redirects."""
    there = other_origin.add("/y.tif", WHOLE)
    url = origin.add("/x.tif", Answer(status=302, headers={"Location": there}))
    complete(asset_at(url), probe, session)
    seen = [*origin.seen, *other_origin.seen]
    assert len(seen) == (2 if probe is HEAD else 4)
    assert not any("Authorization" in request.headers for request in seen)


# How bodies come.


def test_body_that_is_stored_compressed(origin: Origin, session: requests.Session) -> None:
    """Google's hash is that of what it stores, which says nothing where it sends something else."""
    stored = base64.b64encode(hashlib.md5(b"stored", usedforsecurity=False).digest()).decode()
    headers: dict[str, str | None] = {
        "x-goog-hash": f"md5={stored}",
        "x-goog-stored-content-encoding": "gzip",
    }
    url = origin.add("/x.tif", Answer(BODY, headers=headers))
    assert known(complete(asset_at(url), DOWNLOAD, session)) == (SIZE, ADLER32, None)


CHUNKS = b"%x\r\n%b\r\n" % (SIZE, BODY)
CHUNKED = {"Content-Length": None, "Transfer-Encoding": "chunked"}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(CHUNKS + b"0\r\n\r\n", headers=CHUNKED),
        Answer(BODY, headers={"Content-Length": None}, announced=0),
    ],
    ids=["chunked", "until the connection ends"],
)
def test_body_without_a_length(origin: Origin, session: requests.Session, answer: Answer) -> None:
    """A body whose length is not announced is read to its end."""
    asset = complete(asset_at(origin.add("/x.tif", answer)), DOWNLOAD, session)
    assert known(asset) == (SIZE, ADLER32, None)


def test_chunks_that_end_early(origin: Origin, failure: Callable[..., Any]) -> None:
    """A body in chunks that ends without its last one is an error."""
    url = origin.add("/x.tif", Answer(CHUNKS[:-100], headers=CHUNKED, announced=0))
    assert "broke off after" in failure(url)


def test_long_file(origin: Origin, session: requests.Session) -> None:
    """A file of several pieces has the checksums of the whole."""
    body = BODY * 300
    asset = complete(asset_at(origin.add("/x.tif", Answer(body))), DOWNLOAD, session)
    assert asset.size_bytes == len(body)
    assert asset.checksums.adler32 == f"{zlib.adler32(body):08x}"
