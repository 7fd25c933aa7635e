"""Sizes and checksums: how far it goes to learn them, and what contradicts."""

from __future__ import annotations

import gzip
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from stac_client._checksums import Checksums
from stac_client._lookup import Lookups, Probe
from stac_client._results import Tally
from tests.origin import Answer, raw

from .files import (
    ADLER32,
    BODY,
    DOWNLOAD,
    HEAD,
    ITEM,
    LOGIN,
    MD5,
    MD5_BASE64,
    SHA256,
    SIZE,
    WHOLE,
    WRONG_SHA256,
    asset_at,
    complete,
    known,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from requests import Session

    from tests.origin import Origin


NO_HEAD = Answer(status=405)

# How far it goes.


@pytest.mark.parametrize(
    "fields",
    [
        {"file:size": SIZE, "rucio:adler32": ADLER32},
        {"file:size": 0, "rucio:adler32": ADLER32, "file:checksum": f"d50110{MD5}"},
    ],
)
@pytest.mark.parametrize("probe", Probe)
def test_complete_items_cost_no_request(
    origin: Origin, session: Session, fields: dict[str, Any], probe: Any
) -> None:
    """An origin is not asked of what its item says."""
    asset = asset_at(origin.add("/x.tif", WHOLE), **fields)
    assert complete(asset, probe, session) is asset
    assert origin.seen == []


@pytest.mark.parametrize("fields", [{}, {"file:size": SIZE}, {"rucio:adler32": ADLER32}])
def test_probe_item(origin: Origin, session: Session, fields: dict[Any, Any]) -> None:
    """With `item` no origin is asked of anything; what is missing stays missing."""
    asset = asset_at(origin.add("/x.tif", WHOLE), **fields)
    assert complete(asset, ITEM, session) is asset
    assert origin.seen == []


def test_probe_head(origin: Origin, session: Session) -> None:
    """With `head` nothing is downloaded, even where a checksum stays missing."""
    asset = complete(asset_at(origin.add("/x.tif", WHOLE)), HEAD, session)
    assert known(asset) == (SIZE, None, None)
    assert origin.methods == ["HEAD"]


def test_probe_download(origin: Origin, session: Session) -> None:
    """With `download` it is downloaded, where HEAD leaves something open, and only once."""
    asset = complete(asset_at(origin.add("/x.tif", WHOLE)), DOWNLOAD, session)
    assert known(asset) == (SIZE, ADLER32, None)
    assert origin.methods == ["HEAD", "GET"]


@pytest.mark.parametrize("fields", [{}, {"file:size": SIZE}])
def test_md5_that_is_known(origin: Origin, session: Session, fields: dict[str, Any]) -> None:
    """An md5 is kept and verified, but is not enough: many storages compute adler32 alone."""
    url = origin.add("/x.tif", WHOLE, head=NO_HEAD)
    asset = asset_at(url, **{"rucio:md5": MD5, **fields})
    assert known(complete(asset, DOWNLOAD, session)) == (SIZE, ADLER32, MD5)


def test_md5_that_somebody_wants(origin: Origin, session: Session) -> None:
    """Who is asked is asked when a file is read, and then its md5 is learned with the rest."""
    whole = asset_at(origin.add("/x.tif", WHOLE), **{"rucio:adler32": ADLER32})
    asked: list[str] = []

    def wants_md5() -> bool:
        asked.append("")
        return True

    with ThreadPoolExecutor(1) as executor:
        looking_up = Lookups(DOWNLOAD, session, executor, wants_md5=wants_md5)
        looking_up.look_up(whole, Tally().expect())
        assert asked == []
        found = looking_up.look_up(asset_at(whole.url), Tally().expect())
    assert known(found) == (SIZE, ADLER32, MD5)


@pytest.mark.parametrize(
    ("headers", "adler32", "md5"),
    [
        ({"Digest": f"adler32={ADLER32}"}, ADLER32, None),
        ({"Digest": f"ADLER32={ADLER32.upper()},md5={MD5_BASE64}"}, ADLER32, MD5),
        ({"Digest": f"md5={MD5_BASE64}, sha-256=abc="}, None, MD5),
        ({"Content-MD5": MD5_BASE64}, None, MD5),
        ({"x-goog-hash": f"crc32c=n03x6A==,md5={MD5_BASE64}"}, None, MD5),
        ({"Repr-Digest": f"md5=:{MD5_BASE64}:"}, None, MD5),
    ],
)
def test_what_head_tells(
    origin: Origin, session: Session, headers: dict[str, Any], adler32: str | None, md5: str | None
) -> None:
    """What the headers say of size and checksum is taken; adler32 makes a download needless."""
    url = origin.add("/x.tif", WHOLE, head=Answer(BODY, headers=headers))
    assert known(complete(asset_at(url), Probe.HEAD, session)) == (SIZE, adler32, md5)
    assert known(complete(asset_at(url), DOWNLOAD, session)) == (SIZE, ADLER32, md5)
    assert origin.methods == ["HEAD", "HEAD", *([] if adler32 else ["GET"])]
    assert origin.seen[0].headers["Want-Digest"].startswith("adler32")
    assert origin.seen[0].headers["Want-Repr-Digest"].startswith("adler=10")


def test_head_adds_to_the_item(origin: Origin, session: Session) -> None:
    """What the item says stays; HEAD only adds what it lacks."""
    head = Answer(BODY, headers={"Digest": f"adler32={ADLER32}"})
    url = origin.add("/x.tif", WHOLE, head=head)
    asset = complete(asset_at(url, **{"file:checksum": SHA256}), DOWNLOAD, session)
    assert (asset.size_bytes, asset.checksums) == (SIZE, Checksums(ADLER32, None, SHA256))
    assert origin.methods == ["HEAD"]


# HEAD that does not help.


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 405, 410, 501, 503])
def test_head_refused(origin: Origin, session: Session, pauses: list[float], status: int) -> None:
    """An origin that refuses HEAD is asked for the file."""
    url = origin.add("/x.tif", WHOLE, head=Answer(status=status))
    found = complete(asset_at(url), DOWNLOAD, session)
    assert known(found) == (SIZE, ADLER32, None)
    assert found.no_length == f"HTTP {status} to HEAD"
    assert bool(pauses) is (status == 503)


@pytest.mark.parametrize("status", [405, 501])
def test_no_head(origin: Origin, session: Session, status: int) -> None:
    """Where nobody looks further than HEAD, and an origin does not answer that, nothing is told."""
    asset = asset_at(origin.add("/x.tif", WHOLE, head=Answer(status=status)))
    assert complete(asset, HEAD, session) == asset


@pytest.mark.parametrize("status", [204, 400, 401, 403, 404, 410, 503])
def test_head_fails(origin: Origin, failure: Callable[..., Any], status: int) -> None:
    """A file that is not there, or not for everybody, has failed where HEAD is the last."""
    url = origin.add("/x.tif", Answer(status=status))
    assert f": HTTP {status}" in failure(url, HEAD)


@pytest.mark.parametrize("said", [{}, {"file:size": SIZE}])
def test_head_says_zero(origin: Origin, session: Session, said: dict[Any, Any]) -> None:
    """A length of zero in HEAD, as some origins give that do not know it, is not believed."""
    url = origin.add("/x.tif", WHOLE, head=Answer())
    assert complete(asset_at(url, **said), HEAD, session).size_bytes == said.get("file:size")
    found = complete(asset_at(url, **said), DOWNLOAD, session)
    assert (found.size_bytes, found.no_length) == (SIZE, "no length in its answer to HEAD")


def test_empty_file(origin: Origin, session: Session) -> None:
    """A file may be empty; the download tells."""
    asset = complete(asset_at(origin.add("/x.tif", Answer())), DOWNLOAD, session)
    assert known(asset) == (0, "00000001", None)


@pytest.mark.parametrize("length", ["-1", "x", "10, 10", "1e3", "\xb2"])
def test_odd_lengths(origin: Origin, session: Session, length: str) -> None:
    """A length that is none is not known."""
    head = Answer(headers={"Content-Length": length})
    url = origin.add("/x.tif", WHOLE, head=head)
    asset = complete(asset_at(url), DOWNLOAD, session)
    assert asset.size_bytes == SIZE


# Contradictions.


def test_size_of_head_differs_from_the_item(origin: Origin, failure: Callable[..., Any]) -> None:
    """Another size than the item's is an error that names both, before anything is downloaded."""
    url = origin.add("/x.tif", WHOLE)
    message = failure(url, HEAD, **{"file:size": SIZE + 1})
    assert str(SIZE) in message
    assert str(SIZE + 1) in message
    assert origin.methods == ["HEAD"]


def test_size_of_the_download_differs_from_the_item(
    origin: Origin, failure: Callable[..., Any]
) -> None:
    """Another size than the item's is found in a download, too."""
    url = origin.add("/x.tif", WHOLE, head=Answer(status=405))
    message = failure(url, **{"file:size": SIZE - 1})
    assert f"it has {SIZE} bytes there instead of" in message
    assert str(SIZE - 1) in message


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"file:checksum": WRONG_SHA256}, "sha2-256"),
        ({"file:checksum": WRONG_SHA256, "file:size": SIZE}, "sha2-256"),
        ({"rucio:adler32": "00000002"}, "adler32"),
        ({"rucio:md5": "0" * 32}, "md5"),
    ],
)
def test_checksum_of_the_download_differs_from_the_item(
    origin: Origin, failure: Callable[..., Any], fields: dict[str, Any], name: str
) -> None:
    """A download that has not the item's checksum is an error that names the function."""
    url = origin.add("/x.tif", WHOLE, head=Answer(status=405))
    assert f"it has another {name} than" in failure(url, **fields)


def test_checksum_of_the_download_is_the_items(origin: Origin, session: Session) -> None:
    """A download is verified with the item's sha2-256, and gives what Rucio wants."""
    asset = asset_at(origin.add("/x.tif", WHOLE), **{"file:checksum": SHA256, "file:size": SIZE})
    asset = complete(asset, DOWNLOAD, session)
    assert (asset.size_bytes, asset.checksums) == (SIZE, Checksums(ADLER32, None, SHA256))


# What is not the file.


@pytest.mark.parametrize("probe", [HEAD, DOWNLOAD])
def test_login_page(origin: Origin, failure: Callable[..., Any], probe: Probe) -> None:
    """A page that answers in place of the file is an error that speaks of a login."""
    message = failure(origin.add("/x.tif", LOGIN), probe, type="image/tiff")
    assert "wants a login" in message


def test_login_page_after_a_redirect(origin: Origin, failure: Callable[..., Any]) -> None:
    """A page to which the download is redirected is no file either."""
    origin.add("/login", LOGIN)
    moved = Answer(status=302, headers={"Location": "/login?secret=SECRET"})
    url = origin.add("/x.tif", moved, head=Answer(status=405))
    assert "wants a login" in failure(url)


def test_pages_that_are_wanted(
    origin: Origin, session: Session, failure: Callable[..., Any]
) -> None:
    """A page that the item announces is a file like others, if the item says its size, too."""
    url = origin.add("/x.html", LOGIN)
    html = "Text/HTML; charset=latin-1"
    assert "wants a login" in failure(url, type=html)
    assert "instead of 7" in failure(url, type=html, **{"file:size": 7})
    asset = asset_at(url, type=html, **{"file:size": len(LOGIN.body)})
    assert complete(asset, DOWNLOAD, session).is_complete


@pytest.mark.parametrize("probe", [HEAD, DOWNLOAD])
@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("application/json", "image/tiff"),
        ("Application/Problem+JSON; charset=utf-8", "image/tiff"),
        ("application/json", "application/xml"),
        ("application/xml", "image/jp2"),
        ("text/xml;charset=utf-8", "application/geo+json"),
    ],
)
def test_errors_that_say_200(
    origin: Origin, failure: Callable[..., Any], probe: Probe, sent: str, said: str
) -> None:
    """JSON and XML are no file of another type: they tell what is wrong, with the wrong status."""
    url = origin.add("/x.tif", Answer(b"{}", headers={"Content-Type": sent}))
    assert f"instead of {said}" in failure(url, probe, type=said)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        *[(None, "image/tiff"), ("", "image/tiff"), ("image/png", "image/tiff")],
        *[("application/octet-stream", "image/jp2"), ("text/plain", "image/jp2")],
        *[("application/json", None), ("application/xml", "application/octet-stream")],
        ("application/json", "application/geo+json; profile=stac"),
        ("text/xml", "application/vnd.ogc.gml+xml"),
        ("image/svg+xml", "application/xml"),
    ],
)
def test_types_that_contradict_nothing(
    origin: Origin, session: Session, sent: Any, said: Any
) -> None:
    """Servers know little of types; what is of the same kind, or of none, is the file."""
    url = origin.add("/x.tif", Answer(BODY, headers={"Content-Type": sent}))
    asset = asset_at(url, **({"type": said} if said else {}))
    assert complete(asset, DOWNLOAD, session).size_bytes == SIZE


@pytest.mark.parametrize("probe", [HEAD, DOWNLOAD])
def test_encoded(origin: Origin, failure: Callable[..., Any], probe: Probe) -> None:
    """A file that comes packed, although that was not asked for, is not the file."""
    sent = Answer(gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
    assert "it is sent encoded (gzip)" in failure(origin.add("/x.tif", sent), probe)


def test_nothing(origin: Origin, failure: Callable[..., Any]) -> None:
    """An empty answer is no file of which the item says a size."""
    url = origin.add("/x.tif", Answer())
    assert f"it has 0 bytes there instead of {SIZE}" in failure(url, **{"file:size": SIZE})


def test_without_an_end(
    origin: Origin, failure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body of which nobody says how large it is, is read so far and no further."""
    monkeypatch.setattr("stac_policy.bodies.UNKNOWN_BYTES", 1 << 20)
    url = origin.add("/x.tif", raw(b"HTTP/1.1 200 OK\r\n\r\n", bytes(1 << 16)), head=NO_HEAD)
    assert f"more bytes there than {1 << 20}" in failure(url)
    assert origin.methods == ["HEAD", "GET"]


def test_stopped(origin: Origin, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-up that nobody waits for any more ends at once."""
    stop = Event()
    url = origin.add("/x.tif", raw(b"HTTP/1.1 200 OK\r\n\r\n", bytes(1 << 16)), head=NO_HEAD)
    tally = Tally().expect()
    monkeypatch.setattr(tally, "reached", lambda _: stop.set())
    with pytest.raises(CancelledError):
        complete(asset_at(url), DOWNLOAD, session, tally, stop)


@pytest.mark.parametrize("status", [202, 203, 206, 300, 401, 403, 404, 410, 416, 501])
def test_answers_that_are_no_file(origin: Origin, failure: Callable[..., Any], status: int) -> None:
    """Only 200 is the file; any other status is the error."""
    url = origin.add("/x.tif", Answer(b'{"status": "staging"}', status))
    assert f": HTTP {status}" in failure(url)
