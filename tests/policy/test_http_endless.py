"""Answers on real sockets that have no end, or come byte by byte: of STAC APIs and of origins."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from requests.adapters import HTTPAdapter

from stac_policy.http import make_session
from tests.origin import raw, status

from .catalogue import HREF, ITEM, ask, fails, item_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from requests import Session

    from tests.origin import Origin


MOST_SENT = 1 << 25
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"


pytestmark = pytest.mark.usefixtures("waits")


@pytest.fixture
def session() -> Iterator[Session]:
    """An HTTP session as the RSE protocol has it."""
    with make_session() as opened:
        yield opened


BLOCK = b"x" * 65_536
HTTP_503 = b"HTTP/1.1 503 Busy\r\n\r\n"
ENDLESS = {
    "a body": raw(OK + b"\r\n", BLOCK),
    "a body of gzip and more": raw(
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(item_json({"a": HREF})), BLOCK
    ),
    "spaces behind an item": raw(OK + b"\r\n" + item_json({"a": HREF}), b" " * 65_536),
    "a body of 503": raw(HTTP_503, BLOCK),
    "a body of 404": raw(b"HTTP/1.1 404 No\r\n\r\n", BLOCK),
    "a body of a redirect": raw(b"HTTP/1.1 302 X\r\nLocation: /loop\r\n\r\n", BLOCK),
    "headers": raw(OK, b"X: " + BLOCK[:60_000] + b"\r\n"),
    "one header": raw(OK + b"X: ", BLOCK),
    "a status line": raw(b"HTTP/1.1 200 ", BLOCK),
    "promises of an answer": raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "the size of a chunk": raw(CHUNKS, b"0" * 65_536),
    "extensions of chunks": raw(CHUNKS, b"1;" + BLOCK[:60_000] + b"\r\nx\r\n"),
    "trailers": raw(CHUNKS + b"0\r\n", b"X: y\r\n" * 1000),
    "a chunk": raw(CHUNKS + b"ffffffffffffffff\r\n", BLOCK),
    "tiny chunks": raw(CHUNKS, b"1\r\nx\r\n" * 1000),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_endless_answers(origin: Origin, kind: str) -> None:
    """Whatever has no end in an answer, it is left, and little of it is ever in memory."""
    origin.add("/loop", b"", *[ENDLESS[kind]] * 9)
    origin.add(ITEM, b"", *[ENDLESS[kind]] * 4)
    tracemalloc.start()
    try:
        # Where the item is whole before all that, it may be taken.
        if kind == "a body of gzip and more":
            ask(origin, response_bytes=100_000, read_timeout_s=5)
        else:
            assert ": " in fails(origin, response_bytes=100_000, read_timeout_s=5)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10_000_000
    assert origin.sent < MOST_SENT


DRIPPING = {
    "a body": raw(OK + b"\r\n", b" ", pause_s=0.02),
    "a body in chunks": raw(CHUNKS, b"1\r\n \r\n", pause_s=0.02),
    "headers": raw(OK, b"X: y\r\n", pause_s=0.02),
    "one header": raw(OK + b"X: ", b"y", pause_s=0.02),
    "a chunk's size": raw(CHUNKS, b"0", pause_s=0.02),
    "a body of a redirect": raw(b"HTTP/1.1 302 X\r\nLocation: /l\r\n\r\n", b" ", pause_s=0.02),
    "a body of 503": raw(HTTP_503, b" ", pause_s=0.02),
}


@pytest.mark.parametrize("kind", DRIPPING)
def test_dripping_answers(origin: Origin, kind: str) -> None:
    """An answer that comes byte by byte, each in time, is left when all should be there."""
    origin.add(ITEM, b"", *[DRIPPING[kind]] * 4)
    assert ": " in fails(origin, read_timeout_s=0.3)


@pytest.mark.parametrize("kind", [kind for kind in DRIPPING if "503" not in kind])
def test_dripping_origins(
    origin: Origin,
    fetch: Callable[..., Any],
    fails: Callable[..., AbstractContextManager[Any]],
    kind: Any,
) -> None:
    """So is a download, after its attempts."""
    with fails():
        fetch(origin.add("/f", b"", *[DRIPPING[kind]] * 4), timeout_s=0.3)


def test_a_slow_answer_within_its_pace(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer with a pause before each block is left when the time for an item is over."""
    monkeypatch.setattr("stac_policy.stac_api._LONGEST_S", 0.2)
    origin.add(ITEM, b"", raw(OK + b"\r\n", b" " * 66_000, pause_s=0.05))
    assert fails(origin, read_timeout_s=5) == f"{origin.url}{ITEM}: it takes too long"


def test_attempts_end_with_the_time(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    """When the time for an item is over, the next attempt is the last."""
    monkeypatch.setattr("stac_policy.stac_api._LONGEST_S", 0.9)
    origin.add(ITEM, b"", *[status(503)] * 4)
    assert fails(origin).endswith("HTTP 503")
    assert (len(origin.seen), waits) == (1, [])


@pytest.mark.parametrize("size", [b"-5", b"-1", b"x", b""])
def test_chunks_of_no_size(origin: Origin, size: bytes) -> None:
    """A chunk of no size, or of less than none, is an error like others."""

    def answer(handler: Any, *_: Any) -> None:
        handler.close_connection = True
        handler.wfile.write(CHUNKS + size + b"\r\n" + item_json({"a": HREF}) + b"\r\n0\r\n\r\n")

    origin.add(ITEM, b"", answer)
    assert fails(origin).startswith(f"{origin.url}{ITEM}: ")


@pytest.mark.parametrize("unit", [b"[]", b"{}", b'{"a":1}', b"1"])
@pytest.mark.parametrize("packed", [True, False])
def test_values_that_fill_memory(origin: Origin, unit: bytes, packed: bool) -> None:
    """An answer of nothing but tiny values, each many times its text in memory, is not read."""
    body = b'{"id":"i","assets":{},"x":[' + b",".join([unit] * 30_000) + b"]}"
    coding = {"Content-Encoding": "gzip"} if packed else {}
    origin.add(ITEM, b"", status(200, gzip.compress(body) if packed else body, **coding))
    tracemalloc.start()
    try:
        assert fails(origin, response_bytes=400_000).endswith(": more than 25000 values")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3_000_000


def test_kept_connections(origin: Origin, session: Session) -> None:
    """A paced answer that is read to its end leaves its connection to the next one."""
    origin.add("/f", b"abc")
    for _ in range(3):
        assert session.get(f"{origin.url}/f", timeout=5).content == b"abc"
    adapter = session.get_adapter(origin.url)
    assert isinstance(adapter, HTTPAdapter)
    (pool,) = adapter.poolmanager.pools._container.values()
    assert pool.num_connections == 1


def test_hosts_without_end(session: Session) -> None:
    """What a session remembers of origins is bounded, however many a catalogue names."""
    for number in range(1200):
        url = f"https://h{number}.example.org/x"
        session.merge_environment_settings(url, {}, None, None, None)
    assert len(vars(session)["_settings"]) <= 1000
