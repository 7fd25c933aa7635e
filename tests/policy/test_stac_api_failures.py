"""Answers of a STAC API that are wrong, too large, elsewhere, or do not come."""

from __future__ import annotations

import gzip
import socket
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from stac_policy.access import Access, Kind
from stac_policy.stac_api import Item, StacApiError, _Patience
from tests.clock import own_time
from tests.origin import chunked, cut, redirect, stall, status

from .catalogue import HREF, ITEM, ask, fails, item_json, item_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.origin import Origin


pytestmark = pytest.mark.usefixtures("waits")


def encoded(body: bytes, encoding: str = "gzip") -> Callable[..., Any]:
    """Answer with an encoded body."""
    return status(200, body, Content_Encoding=encoding)


# What goes wrong


@pytest.mark.parametrize("code", [204, 400, 401, 403, 404, 410])
def test_refused(origin: Origin, code: int) -> None:
    """An answer other than 200 fails at once, and is named."""
    origin.add(ITEM, b"", status(code, b""))
    assert fails(origin) == f"{origin.url}{ITEM}: HTTP {code}"
    assert len(origin.seen) == 1


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_retried(origin: Origin, code: int) -> None:
    """An API that fails for a moment is asked again."""
    origin.add(ITEM, item_json({"a": HREF}), status(code), status(code))
    assert ask(origin).hrefs == {"a": HREF}
    assert len(origin.seen) == 3


def test_retried_in_vain(origin: Origin, waits: list[float]) -> None:
    """An API that fails four times has failed; the pauses between grow."""
    origin.add(ITEM, b"", *[status(500)] * 4)
    assert fails(origin) == f"{origin.url}{ITEM}: HTTP 500"
    assert len(origin.seen) == 4
    assert waits == [1, 2, 4]


@pytest.mark.parametrize("code", [413, 429, 503])
def test_pauses_are_ours(origin: Origin, waits: list[float], code: int) -> None:
    """An API that wants to be left alone for longer than an item may take has failed."""
    origin.add(ITEM, b"", *[status(code, Retry_After="86400")] * 4)
    assert fails(origin) == f"{origin.url}{ITEM}: HTTP {code}"
    assert sum(waits) <= 7


def test_connection_refused(origin: Origin) -> None:
    """An API that cannot be reached is named."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        api = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert fails(origin, api=api) == f"{api}{ITEM}: no answer (Connection refused)"


def test_no_answer(origin: Origin) -> None:
    """An API that accepts a connection and says nothing is given up after its time."""
    origin.add(ITEM, b"", *[lambda handler, *_: handler.server.gate.wait(10)] * 4)
    too_slow = fails(origin, read_timeout_s=0.1)
    assert too_slow == f"{origin.url}{ITEM}: no answer within 0.1 s"


def test_answer_that_stops(origin: Origin) -> None:
    """An answer that stops for too long is given up after its time, and asked for again."""
    origin.add(ITEM, item_json({"a": HREF}), *[stall(5)] * 4)
    too_slow = fails(origin, read_timeout_s=0.5)
    assert too_slow.startswith(f"{origin.url}{ITEM}: it is too slow: ")
    origin.add(ITEM, item_json({"a": HREF}), stall(5))
    assert ask(origin, read_timeout_s=1).hrefs == {"a": HREF}


def test_wants_to_be_left_alone(origin: Origin, waits: list[float]) -> None:
    """An API that asks for a pause gets it, within the time for an item."""
    origin.add(ITEM, item_json({"a": HREF}), status(503, Retry_After="20"))
    assert ask(origin).hrefs == {"a": HREF}
    assert waits == [20]


@pytest.mark.parametrize("kind", ["hangs", "is slow"])
def test_others_do_not_wait_for_it(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """An API that hangs or is slow holds files up for a while in all, however many ask."""
    monkeypatch.setattr("stac_policy.stac_api._LONGEST_S", 1.0)
    monkeypatch.setattr("stac_policy.stac_api._USUAL_S", 0.0)

    def act(handler: Any, send: Callable[..., None], *_: Any) -> None:
        handler.server.gate.wait(60 if kind == "hangs" else 0.2)
        send()

    begun_s = time.monotonic()
    told = []
    for number in range(300):
        name = f"item-{number}"
        origin.add(item_path(item=name), item_json({"a": HREF}, name), *[act] * 4)
        try:
            ask(origin, name, read_timeout_s=0.4)
        except StacApiError as error:
            told.append(str(error))
    assert len(origin.seen) < 20
    assert len(told) > 280
    assert f"{origin.url} is not asked for " in told[-1]
    assert f"s, as transfers have waited for it too long ({origin.url}/coll" in told[-1]
    assert time.monotonic() - begun_s < 30


def test_an_api_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again after a while, and then as before."""
    now_s = 1_000.0
    own_time(monkeypatch, "stac_policy.stac_api", monotonic=lambda: now_s)
    patience = _Patience()
    assert patience.require("a") == 30
    patience.use(30.5, "it hangs")
    with pytest.raises(StacApiError, match=r"^a is not asked for 300 s, .* \(it hangs\)$"):
        patience.require("a")
    now_s += 299
    with pytest.raises(StacApiError, match="for 1 s"):
        patience.require("a")
    now_s += 2
    assert patience.require("a") == pytest.approx(15, abs=0.1)
    now_s += 300
    assert patience.require("a") == 30


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>log in</html>",
        b"{",
        b"\xff\xfe",
        b'{"id": "i", "assets": {"a": "\x00"}}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_not_json(origin: Origin, content: bytes) -> None:
    """An answer that is not JSON, or too deep for it, is named."""
    origin.add(ITEM, content)
    assert fails(origin) == f"{origin.url}{ITEM}: the answer is not JSON"


def test_endless_number(origin: Origin) -> None:
    """A number that newer Pythons refuse to read is at least no id."""
    origin.add(ITEM, b'{"id": ' + b"1" * 5000 + b"}")
    assert fails(origin).startswith(f"{origin.url}{ITEM}: the answer is not ")


@pytest.mark.parametrize(("levels", "taken"), [(150, True), (250, False)])
@pytest.mark.parametrize("begin", [b"[", b'{"a":'])
def test_nesting(origin: Origin, begin: bytes, levels: int, taken: bool) -> None:
    """JSON that is nested deeper than anything is read by is named."""
    end = {b"[": b"]", b'{"a":': b"}"}[begin]
    deep = begin * levels + b"1" + end * levels
    origin.add(ITEM, item_json({"a": HREF})[:-1] + b', "deep": ' + deep + b"}")
    if taken:
        assert ask(origin).hrefs == {"a": HREF}
    else:
        assert fails(origin).endswith("nested too deeply")


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"7", b'"i"', b"{}", b'{"id": "i", "assets": [{"href": "x"}]}']
)
def test_not_an_item(origin: Origin, content: bytes) -> None:
    """JSON that is not an item is named."""
    origin.add(ITEM, content)
    assert fails(origin) == f"{origin.url}{ITEM}: the answer is not a STAC item"


@pytest.mark.parametrize("fields", [{"id": "j"}, {"id": None}, {"id": ["i"]}])
def test_another_item(origin: Origin, fields: dict[str, Any]) -> None:
    """The item of another id is not taken."""
    origin.add(ITEM, item_json({"a": HREF}, **fields))
    assert fails(origin) == f"{origin.url}{ITEM}: the answer is another item"


def test_cut_answer(origin: Origin) -> None:
    """An answer that breaks off is not taken, and asked for again."""
    origin.add(ITEM, item_json({"a": HREF}), *[cut(20)] * 4)
    assert "bytes" in fails(origin)
    origin.add(item_path(item="j"), item_json({"a": HREF}, "j"), cut(20))
    assert ask(origin, "j").hrefs == {"a": HREF}


# Its size


def padded(size: int) -> bytes:
    """Give an item of exactly this size in bytes."""
    item = item_json({"a": HREF})
    return item + b" " * (size - len(item))


@pytest.mark.parametrize(
    "send",
    [
        lambda body: status(200, body),
        lambda _: chunked,
        lambda body: encoded(gzip.compress(body, mtime=0)),
    ],
    ids=["whole", "chunks", "gzip"],
)
def test_size(
    origin: Origin, send: Callable[..., Callable[..., Any]] | Callable[..., Callable[..., None]]
) -> None:
    """An answer of the largest size is taken, and one byte more is not, however it is sent."""
    origin.add(ITEM, padded(5000), send(padded(5000)))
    assert ask(origin, response_bytes=5000, cache_s=0).hrefs == {"a": HREF}
    origin.add(ITEM, padded(5001), send(padded(5001)))
    too_large = fails(origin, response_bytes=5000, cache_s=0)
    assert too_large == f"{origin.url}{ITEM}: more than 5000 bytes"


def endless(handler: Any, *_: Any) -> None:
    """Answer until the other side hangs up."""
    handler.send_response(200)
    handler.end_headers()
    sent = 0
    try:
        while sent < 1 << 26:
            sent += handler.wfile.write(b" " * 65536)
    except OSError:
        pass
    handler.server.sent = sent
    handler.close_connection = True


@pytest.mark.parametrize(
    "answer",
    [
        endless,
        encoded(gzip.compress(bytes(1 << 26), 9, mtime=0)),
        encoded(gzip.compress(gzip.compress(bytes(1 << 26), 9, mtime=0)), "gzip, gzip"),
    ],
    ids=["endless", "bomb", "nested bomb"],
)
def test_memory(origin: Origin, answer: Callable[..., None] | Callable[..., Any]) -> None:
    """No answer takes more memory than the limit allows, not even a small one of zeros."""
    origin.add(ITEM, b"", answer)
    tracemalloc.start()
    try:
        assert ": " in fails(origin, response_bytes=100_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3_000_000


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(item_json({"a": HREF}), mtime=0)[:-20], b""],
    ids=["no gzip", "cut short", "empty"],
)
def test_broken_gzip(origin: Origin, body: bytes) -> None:
    """An answer whose gzip is broken is named."""
    origin.add(ITEM, b"", *[encoded(body)] * 4)
    told = "it is said to be gzip, and is none" if body == b"no gzip" else "it broke off"
    assert fails(origin) == f"{origin.url}{ITEM}: {told}"


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "deflate"])
def test_other_encodings(origin: Origin, encoding: str) -> None:
    """What is packed in another way than was asked for is not unpacked."""
    origin.add(ITEM, b"", encoded(gzip.compress(item_json({"a": HREF}), mtime=0), encoding))
    assert f"{ITEM}: it is sent encoded ({encoding})" in fails(origin)


# Redirects and secrets


def test_redirect_within_the_host(origin: Origin) -> None:
    """A redirect within the API's host is followed."""
    origin.add("/v2", item_json({"a": HREF}))
    origin.add(ITEM, b"", redirect("/v2"))
    assert ask(origin).hrefs == {"a": HREF}


def test_redirect_to_an_allowed_host(origin: Origin, other_origin: Origin) -> None:
    """A redirect to a host in `allowed_hosts` is followed."""
    origin.add(ITEM, b"", redirect(other_origin.add("/v2", item_json({"a": HREF}))))
    allowed = (f"127.0.0.1:{other_origin.server_port}",)
    assert ask(origin, allowed_hosts=allowed).hrefs == {"a": HREF}


@pytest.mark.parametrize("allowed_hosts", [(), ("data.example.org",)])
def test_redirect_elsewhere(
    origin: Origin, other_origin: Origin, allowed_hosts: tuple[Any, ...]
) -> None:
    """A redirect to another host is not followed, although all may be allowed for URLs."""
    elsewhere = other_origin.add("/v2?sig=s3cr3t", item_json({"a": HREF}))
    origin.add(ITEM, b"", redirect(elsewhere))
    assert fails(origin, allowed_hosts=allowed_hosts) == (
        f"{origin.url}{ITEM}: it leads to {other_origin.url}/v2, which is on no allowed host"
    )
    assert other_origin.seen == []


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "http://", "http://[", "/collections/c/items/i"]
)
def test_redirect_to_nowhere(origin: Origin, to: str) -> None:
    """A redirect to no host, or without end, is an error like others."""
    origin.add(ITEM, b"", *[redirect(to)] * 10)
    assert fails(origin).startswith(f"{origin.url}{ITEM}: ")


def test_credentials(origin: Origin) -> None:
    """Credentials in the API's URL are sent, but neither shown nor passed on to assets."""
    api = origin.url.replace("//", "//name:s3cr3t@")
    origin.add(ITEM, item_json({"a": "B04.tif"}))
    item = ask(origin, api=api)
    assert origin.seen[0].headers["Authorization"].startswith("Basic ")
    url = f"{origin.url}/collections/c/items/B04.tif"
    assert item == Item({"a": "B04.tif"}, {"a": Access(Kind.OPEN, url)}, {"/c/i/a.tif": "a"})
    assert fails(origin, "j", api=api) == f"{origin.url}{item_path(item='j')}: HTTP 404"


def test_credentials_are_for_one_origin(
    origin: Origin, other_origin: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another port of the API's host, to which it redirects, gets none of the machine's netrc."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login name password s3cr3t\n")
    monkeypatch.setenv("NETRC", str(netrc))
    there = other_origin.add(ITEM, item_json({"a": HREF}))
    origin.add(ITEM, b"", redirect(there))
    assert ask(origin, allowed_hosts=("127.0.0.1",)).hrefs == {"a": HREF}
    assert origin.seen[0].headers["Authorization"].startswith("Basic ")
    assert "Authorization" not in other_origin.seen[0].headers


def test_what_is_sent(origin: Origin) -> None:
    """Only what can be decoded with a limit is asked for."""
    origin.add(ITEM, item_json({"a": HREF}))
    ask(origin)
    assert origin.seen[0].headers["Accept-Encoding"] == "gzip"
