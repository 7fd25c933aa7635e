"""The served API: any request, and any answer of the API behind it, as bytes on real sockets."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import logging
import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from .campaign import target
from .material import SECRET
from .proxy import MAX_PAGE_BYTES, Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .material import Material

OURS = b"0F-RUC10"
"""Stands where Rucio's token and cookies are, which nobody behind may get."""

_METHODS = [
    "GET",
    "GET",
    "GET",
    "POST",
    "HEAD",
    "OPTIONS",
    "PUT",
    "TRACE",
    "CONNECT",
    "X",
    "get",
    "",
]
_TYPES = [
    *["application/json", "application/geo+json", "application/geo+json; charset=utf-8"],
    *[
        "application/schema+json",
        "APPLICATION/JSON",
        "text/html",
        "image/tiff",
        "application/json,x",
    ],
]
_STATUSES = [*["200"] * 12, "100", "101", "103", "199", "204", "205", "206", "301", "302", "304"]
_STATUSES += ["307", "401", "404", "429", "500", "503", "599", "600", "999", "000", "20", "2000"]
_HUGE = "99999999999999999999"
_ODD = ["\r", "\n", "\r\n", "\0", "\t", "\x7f", "\x80", "\xff", " ", ""]


@cache
def proxy() -> Proxy:
    """The servers, which are started with the first case."""
    return Proxy()


@target(700)
def served_answers(made: Material) -> object:
    """Whatever the API behind answers, the client gets an answer, and nobody else a request."""
    request = _request(made, made.choice(["/search", "/search?prefer=A", "/collections/c/items/i"]))
    return _tried(made, request, _answer(made))


@target(700)
def served_requests(made: Material) -> object:
    """Whatever a client asks, the API behind gets a request of its own, or none at all."""
    path = made.choice([made.url, made.text])().replace(SECRET, "x")
    request = _request(
        made, made.choice(["/", "", "/a/"]) + path + made.choice(["", "?prefer=A,é%zz"])
    )
    if made.random() < 0.3:
        at = made.randrange(request.index(b"\r\nAuthorization"))
        request = request[:at] + made.randbytes(made.randrange(1, 4)) + request[at:]
    body = json.dumps({"links": [{"rel": "next", "href": made.url()}]}).encode()
    answer = _framed(b"HTTP/1.1 200 OK", [b"Content-Type: application/json"], body)
    return _tried(made, request, answer)


def _tried(made: Material, request: bytes, answer: bytes) -> object:
    # For the rest of such a body the application waits as long as it may.
    is_part = b"chunked" in request or _HUGE.encode() in request
    with _no_defects():
        got = proxy().ask(request, answer, hang_up=is_part and made.random() < 0.95)
    assert proxy().hosts <= {proxy().api}
    own = "Host: {}:{}\r\n".format(*proxy().api).encode().lower()
    for seen in proxy().seen:
        head = seen.partition(b"\r\n\r\n")[0].lower() + b"\r\n"
        assert head.count(b"\r\nhost:") == 1
        assert own in head
        assert OURS.lower() not in head
        assert re.match(rb"[^ ]+ /v1/[^ ]* http/1.1\r\n", head)
    if not got:
        return None  # the request had no end, or broke off
    assert got.startswith(b"HTTP/1.1 "), got[:100]
    return _told(got)


def _told(got: bytes) -> object:
    """What the server itself says in an answer, which must be one."""
    response = http.client.HTTPResponse(_Read(got))  # type: ignore[arg-type] # it only reads
    response.begin()
    try:
        body = response.read()
    except http.client.IncompleteRead:
        body = b""
    assert 200 <= response.status < 600
    own = body if response.getheader("cache-control") == "no-store" else b""
    return [response.status, response.getheader("stac-rucio-warning"), own]


class _Read:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


@contextmanager
def _no_defects() -> Iterator[None]:
    """Fail where an exception has come out of the application, which its server logs."""
    found: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: found.append(  # type: ignore[method-assign]
        logging.Formatter().format(record)
    )
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    # That is how a server says that it ends an answer which broke off behind it.
    found = [text for text in found if "returned without completing response" not in text]
    assert not found, found[0]


def _request(made: Material, target: str) -> bytes:
    lines = [
        f"{made.choice(_METHODS)} {target} HTTP/1.1".encode("utf-8", "surrogatepass"),
        b"Host: " + made.choice([b"localhost", b"evil.example", b"", b"a b", b"[::1"]),
        b"Authorization: Bearer " + SECRET.encode(),
        b"Cookie: session=" + OURS,
        b"X-Rucio-Auth-Token: " + OURS,
        *made.sample(_HEADERS_OF_CLIENTS, 2),
        b"Connection: close",
    ]
    body = b""
    if made.random() < 0.3:
        body = made.bytes()[:2000]
        length = made.choice([str(len(body)), str(len(body)), "-1", "x", _HUGE])
        lines.append(b"Content-Length: " + length.encode())
    return b"\r\n".join([*lines, b"", body])


_HEADERS_OF_CLIENTS = [
    *[b"Accept-Encoding: gzip", b"Accept-Encoding: br, gzip;q=0", b"Range: bytes=5-2"],
    *[b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example", b"Connection: host, te"],
    *[b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Expect: 100-continue"],
    *[b"Upgrade: websocket", b"Upgrade: h2c", b"Access-Control-Request-Method: GET"],
    *[b"Proxy-Authorization: " + OURS, b"Proxy: evil.example", b"Host: other.example"],
    *[b"If-None-Match: *", b"Content-Encoding: gzip", b"X: \xff\x80", b"Content-Type: x/y"],
]


def _answer(made: Material) -> bytes:
    kind = made.randrange(20)
    if kind == 0:
        return made.randbytes(made.randrange(300))
    if kind == 1:
        return b"HTTP/1.1 100 Continue\r\n\r\n" * made.choice([1, 5_000]) + made.randbytes(5)
    status = f"HTTP/1.{made.choice('1110')} {made.choice(_STATUSES)} OK".encode()
    headers = [b"Content-Type: " + made.choice(_TYPES).encode(), *_headers(made)]
    body = _body(made)
    if made.random() < 0.2:
        body = gzip.compress(body)[: made.choice([None, None, 7, -3])]
        headers.append(
            b"Content-Encoding: " + made.choice([b"gzip", b"gzip", b"GZIP ", b"br", b"gzip, gzip"])
        )
    whole = _framed(status, headers, body, made.choice(_FRAMES))
    return whole[: made.randrange(len(whole))] if made.random() < 0.1 else whole


def _headers(made: Material) -> list[bytes]:
    name = made.choice(
        ["Location", "Content-Location", "Link", "ETag", "Cache-Control", "X", "Date"]
    )
    value = made.choice(
        [
            made.url(),
            made.text(),
            f"<{made.url()}>; rel=next",
            made.choice(_ODD) * 3,
            "<>" + '\\"<>' * made.choice([3, 15_000]),
            ", ".join(["<" + '"' * 9] * 9),
            "x" * 60_000,
            "a" + made.choice(_ODD) + "Set-Cookie: x=y",
        ]
    )
    encoded = value.encode("utf-8", "surrogatepass")
    others = [
        b"Connection: content-length, x",
        b"Set-Cookie: a=b",
        b"Trailer: x",
        b"Content-Length: 7",
    ]
    return [name.encode() + b": " + encoded, *made.sample(others, made.choice([0, 0, 1]))]


def _body(made: Material) -> bytes:
    kind = made.randrange(10)
    if kind < 5:
        return json.dumps(made.page()).encode()
    if kind < 7:
        return json.dumps(made.item()).encode()
    if kind == 7:
        return (
            b'{"type": "FeatureCollection", "features": '
            + made.bytes()[: MAX_PAGE_BYTES * 2]
            + b"}"
        )
    if kind == 8:
        unit = made.choice([b"[]", b"{}", b"1E9", b'"\\ud800"', b"[[", b"NaN", b" "])
        count = made.choice([10, 5_000, 50_000])
        return b'{"type": "Feature", "features": [' + b",".join([unit] * count) + b"]}"
    return json.dumps(
        {"links": made.value(), "type": made.value(), "features": made.deep(500)}
    ).encode()


_FRAMES = [
    "length",
    "length",
    "length",
    "chunks",
    "close",
    "short",
    "long",
    "both",
    "bad chunks",
    "twice",
]


def _framed(status: bytes, headers: list[bytes], body: bytes, how: str = "length") -> bytes:
    length, chunked = b"Content-Length: %d", b"Transfer-Encoding: chunked"
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    lines, sent = {
        "length": ([length % len(body)], body),
        "chunks": ([chunked], chunks),
        "close": ([], body),
        "short": ([length % (len(body) // 2)], body),
        "long": ([length % (len(body) + 5)], body),
        "both": ([length % (len(body) // 2), chunked], chunks),
        "bad chunks": ([chunked], b"zz\r\n" + body),
        "twice": ([length % len(body), length % (len(body) + 1)], body),
    }[how]
    return b"\r\n".join([status, *headers, *lines, b"", sent])
