"""Look-ups at origins that drip, never end, or announce what nobody can hold."""

from __future__ import annotations

import gzip
import tracemalloc
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.origin import Answer, raw

from .files import BODY, DOWNLOAD, HEAD, SIZE, WHOLE, asset_at, complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from socket import socket

    from requests import Session

    from stac_client import Probe
    from tests.origin import Origin


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HUGE = 10**15
ENDLESS = OK + b"Content-Length: %d\r\n\r\n" % HUGE
NO_HEAD = Answer(status=405)
BLOCK = bytes(1 << 16)
CHUNK = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK)
MOST_MEMORY_BYTES = 8 << 20

DRIPS = {
    "body": (ENDLESS, b"x"),
    "body without a length": (OK + b"\r\n", b"x"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "size of a chunk": (CHUNKED, b"0"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"a: b\r\n"),
}
DRIPPING_HEADERS = {
    "status": (b"", b"H"),
    "one header": (OK + b"A: ", b"x"),
    "headers": (OK, b"a: b\r\n"),
}


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a quarter of a second be all the time that an origin has for 64 KiB."""
    monkeypatch.setattr("stac_policy.http.TIMEOUT_S", (5, 0.25))


@pytest.fixture
def memory() -> Iterator[None]:
    """Make sure that no answer is held in memory as a whole."""
    tracemalloc.start()
    yield
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < MOST_MEMORY_BYTES


# Too slow.


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("sent", DRIPS.values(), ids=DRIPS)
def test_dripping_body(origin: Origin, failure: Callable[..., Any], sent: str) -> None:
    """A body of which a byte comes now and then is given up; it says so, and what to do."""
    url = origin.add("/x.tif", raw(*sent, pause_s=0.02), head=NO_HEAD)
    message = failure(url)
    assert "too slow: not 65,536 more bytes in time after 0 bytes; try again later" in message
    assert origin.methods == ["HEAD", *["GET"] * 4]


@pytest.mark.usefixtures("_quick", "pauses")
@pytest.mark.parametrize("sent", DRIPPING_HEADERS.values(), ids=DRIPPING_HEADERS)
@pytest.mark.parametrize("probe", [HEAD, DOWNLOAD])
def test_dripping_headers(
    origin: Origin, failure: Callable[..., Any], probe: Probe, sent: str
) -> None:
    """Headers that come letter by letter are as good as none, of HEAD and of GET."""
    answer = raw(*sent, pause_s=0.02)
    head = NO_HEAD if probe is DOWNLOAD else answer
    message = failure(origin.add("/x.tif", answer, head=head), probe)
    assert "no answer" in message
    assert "try again later" in message


@pytest.mark.usefixtures("_quick")
def test_silence_within_the_body(origin: Origin, failure: Callable[..., Any]) -> None:
    """A body that stops coming is given up like one that drips."""
    answer = raw(ENDLESS + BLOCK * 5, b"x", pause_s=10)
    url = origin.add("/x.tif", answer, head=NO_HEAD)
    assert "too slow: not 65,536 more bytes in time after 262,144 bytes" in failure(url)


@pytest.mark.usefixtures("_quick")
def test_slow_but_fast_enough(
    origin: Origin, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes longer than the timeout in all is no failure as long as it gets on."""
    size_bytes = 5 << 18
    monkeypatch.setattr("stac_policy.http.SLOWEST_BYTES", 1 << 12)
    head = b"Content-Length: %d\r\n\r\n" % size_bytes
    answer = raw(OK + head, BLOCK, pause_s=0.02)
    asset = complete(asset_at(origin.add("/x.tif", answer, head=NO_HEAD)), DOWNLOAD, session)
    assert asset.size_bytes == size_bytes


# Too much.


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    "sent",
    [
        (OK, b"a: b\r\n"),
        (OK + b"A: ", BLOCK),
        (b"", BLOCK),
        (b"", b"HTTP/1.1 100 Continue\r\nA: %b\r\n\r\n" % (b"x" * 5000)),
    ],
    ids=["headers", "one header", "status", "continue"],
)
def test_headers_without_an_end(
    origin: Origin, failure: Callable[..., Any], pauses: list[float], sent: tuple[bytes, bytes]
) -> None:
    """Headers that never end are as good as none."""
    message = failure(origin.add("/x.tif", raw(*sent)), HEAD)
    assert "no answer" in message
    assert len(origin.seen) == 4
    assert pauses


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("said", [{"file:size": 3 << 16}, {}], ids=["item", "HEAD"])
@pytest.mark.parametrize("sent", [(CHUNKED, CHUNK), (OK + b"\r\n", BLOCK)], ids=["chunks", "plain"])
def test_body_without_an_end(
    origin: Origin, failure: Callable[..., Any], sent: tuple[bytes, bytes], said: dict[Any, Any]
) -> None:
    """A body is read no further than the item or HEAD says that it goes."""
    head = NO_HEAD if said else Answer(bytes(3 << 16))
    url = origin.add("/x.tif", raw(*sent), head=head)
    assert f"it has more bytes there than {3 << 16}" in failure(url, **said)


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    "sent",
    [
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"a: %b\r\n" % BLOCK[:60_000]),
        (CHUNKED, BLOCK),
        (CHUNKED, b"0" * 1000),
        (CHUNKED + b"1;", b"x" * 1000),
        (CHUNKED + b"-1\r\n", BLOCK),
        (CHUNKED + b"-5\r\n", BLOCK),
    ],
    ids=["trailers", "no size", "long size", "extension", "all", "less than none"],
)
def test_what_is_no_chunk(
    origin: Origin, failure: Callable[..., Any], sent: tuple[bytes, bytes]
) -> None:
    """What never becomes a chunk, or a chunk's end, breaks the body off."""
    assert "broke off" in failure(origin.add("/x.tif", raw(*sent), head=NO_HEAD))


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize("status", [b"503 Busy", b"302 Found\r\nLocation: /y.tif"])
@pytest.mark.parametrize(
    "sent",
    [
        (b"Content-Length: %d\r\n\r\n" % HUGE, BLOCK),
        (b"Transfer-Encoding: chunked\r\n\r\n", CHUNK),
        (b"Transfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n", BLOCK),
        (b"Content-Encoding: gzip\r\n\r\n", gzip.compress(BLOCK) * 10),
    ],
    ids=["length", "chunks", "large chunk", "gzip"],
)
def test_what_nobody_reads(
    origin: Origin, session: Session, pauses: list[float], status: bytes, sent: tuple[bytes, bytes]
) -> None:
    """What comes with a redirect, or before another attempt, is not read without an end."""
    first, then = sent
    answer = raw(b"HTTP/1.1 " + status + b"\r\n" + first, then)
    origin.add("/y.tif", WHOLE)
    # More of them than there are connections: each is free again.
    url = origin.add("/x.tif", answer, answer, answer, WHOLE, head=NO_HEAD)
    assert complete(asset_at(url), DOWNLOAD, session).size_bytes == SIZE
    assert bool(pauses) is (b"503" in status)


@pytest.mark.usefixtures("memory")
def test_bomb(origin: Origin, failure: Callable[..., Any]) -> None:
    """A body that would be huge if it were unpacked is neither unpacked nor taken as it is."""
    bomb = gzip.compress(BLOCK) * 1600
    answer = Answer(bomb, headers={"Content-Encoding": "gzip"})
    assert "it is sent encoded (gzip)" in failure(origin.add("/x.tif", answer))


@pytest.mark.parametrize("probe", [HEAD, DOWNLOAD])
@pytest.mark.parametrize("length", [str(2**63), "9" * 30, "9" * 10_000])
def test_sizes_that_rucio_can_not_hold(
    origin: Origin, failure: Callable[..., Any], probe: Probe, length: str
) -> None:
    """A length that is none of a file fails that file, before anything is read."""
    answer = Answer(BODY, headers={"Content-Length": length})
    url = origin.add("/x.tif", answer, head=NO_HEAD if probe is DOWNLOAD else answer)
    assert "more bytes, it says, than Rucio counts" in failure(url, probe)


@pytest.mark.usefixtures("memory")
def test_huge_length(origin: Origin, failure: Callable[..., Any]) -> None:
    """A length that is not true is found out where the body ends, and took no memory."""
    url = origin.add("/x.tif", Answer(BODY, announced=HUGE), head=NO_HEAD)
    assert f"after {SIZE:,} of" in failure(url)


def test_another_length_than_the_items(origin: Origin, failure: Callable[..., Any]) -> None:
    """A body whose length is another one than the item's is not read."""
    url = origin.add("/x.tif", raw(ENDLESS, BLOCK), head=NO_HEAD)
    assert f"it has {HUGE} bytes there instead of {SIZE}" in failure(url, **{"file:size": SIZE})


# Redirects.


@pytest.mark.parametrize("probe", [HEAD, DOWNLOAD])
def test_redirects_without_an_end(
    origin: Origin, failure: Callable[..., Any], probe: Probe
) -> None:
    """A chain of redirects is followed some steps, and then is an error."""
    paths = [f"/{number}" for number in range(20)]
    for path, target in pairwise(paths):
        moved = Answer(b"moved", 302, headers={"Location": f"{target}?sig=SECRET"})
        origin.add(path, moved, head=moved if probe is HEAD else NO_HEAD)
    assert "it redirects more than 5 times, as in circles" in failure(origin.url + "/0", probe)
    assert len(origin.seen) < 10


def test_redirects_keep_connections(
    origin: Origin, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither HEAD nor a redirect costs the connection."""
    taken = []
    take = type(origin).get_request

    def counted() -> tuple[socket, Any]:
        taken.append(1)
        return take(origin)

    monkeypatch.setattr(origin, "get_request", counted)
    origin.add("/y.tif", WHOLE)
    for number in range(3):
        moved = Answer(b"moved", 302, headers={"Location": "/y.tif"})
        url = origin.add(f"/{number}.tif", moved)
        assert complete(asset_at(url), DOWNLOAD, session).size_bytes == SIZE
    assert len(taken) == 1
