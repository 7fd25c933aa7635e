"""Properties of the served API: any request, any answer of the upstream API, any page."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import json
import logging.handlers
import re
import socket
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes, urlsplit

import anyio
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from stac_rucio.serve._pages import Links, PageRewriter, split_query, with_preference
from stac_rucio.serve._upstream import (
    _check,
    request_headers,
    response_headers,
    rewrite_headers,
)

from .proxy import Marking, Untouched, running_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.serving.upstream import Upstream


API = "https://data.example.org/v1"
ROOT = "https://near.example.org/stac"
SECRET = "S3CRET"  # noqa: S105 - no output may hold it
"""Stands where users have credentials, which no log may hold."""
OURS = b"0F-RUC10"
"""Stands where Rucio's token and cookies are, which the upstream API may not get."""
MAX_PAGE_BYTES = 65_536
HUGE = "99999999999999999999"

odd_bytes = st.sampled_from([b"\r", b"\n", b"\r\n", b"\0", b"\t", b"\x7f", b"\xff", b" ", b"\xc3"])
texts = st.text(max_size=12) | st.sampled_from(
    ["..", "", "\0", "\ud800", "é\u0301", "\u202e", "a" * 260, "%2e%2e", "Feature", "links"]
)
hosts = st.sampled_from(
    ["data.example.org", "DATA.example.org:443", "data.example.org.", "evil.example", "[::1]"]
) | st.sampled_from(
    ["data.example.org@evil.example", "data.example.org\\evil.example", "é.org", "a b", "", "["]
)
urls = st.builds(
    "{}{}{}/{}{}".format,
    st.sampled_from(["https://", "HTTP://", "//", "s3://", "file:///", "javascript:", "", "/"]),
    st.sampled_from(["", "", f"u:{SECRET}@", f"{SECRET}@"]),
    hosts,
    st.sampled_from(["v1", "v1/search", "v10", "../v1", "v1/%2e%2e/x", "v1//x", ""]),
    st.sampled_from(["", f"?sig={SECRET}", "#x", "?", "?a=%ff"]),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | urls,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
links = st.lists(
    values
    | st.fixed_dictionaries({"rel": st.sampled_from(["next", "self"]) | values, "href": urls}),
    max_size=3,
)
assets = st.dictionaries(texts, values | st.fixed_dictionaries({"href": urls | values}), max_size=2)
items = st.fixed_dictionaries(
    {"type": st.just("Feature"), "assets": assets | values}, optional={"links": links | values}
)
pages = st.fixed_dictionaries(
    {
        "type": st.just("FeatureCollection") | values,
        "features": st.lists(items | values, max_size=2) | values,
        "links": links | values,
    },
    optional={"$id": urls | values},
)
packed_values = st.builds(
    lambda unit, count: b'{"type":"Feature","features":[' + b",".join([unit] * count) + b"]}",
    st.sampled_from([b"[]", b"{}", b"1E9", b'"\\ud800"', b"[[", b"NaN", b"1e400", b" "]),
    st.sampled_from([10, 5_000, 50_000]),
)
bodies = (
    (pages | items | values).map(lambda page: json.dumps(page).encode())
    | packed_values
    | st.binary(max_size=40)
    | st.sampled_from([b"[" * 100_000, b'{"a":' * 900, b"[" * 500 + b"]" * 500])
)
header_values = (
    urls
    | texts
    | urls.map("<{}>; rel=next".format)
    | st.sampled_from(["<>" + '\\"<>' * 15_000, "<" * 9 + '"' * 9, "x" * 60_000])
).map(lambda value: value.encode("utf-8", "surrogatepass")) | odd_bytes.map(
    lambda odd: b"a" + odd + b"Set-Cookie: x=y"
)
header_names = st.sampled_from(
    [b"Location", b"Content-Location", b"Link", b"ETag", b"Cache-Control", b"X", b"Date"]
) | st.sampled_from([b"Connection", b"Set-Cookie", b"Content-Length", b"Trailer", b"Vary"])


media_types = st.sampled_from(
    [b"application/json", b"application/geo+json; charset=utf-8", b"APPLICATION/JSON"]
) | st.sampled_from(
    [b"application/schema+json", b"text/html", b"image/tiff", b"application/json,x"]
)
STATUSES = [b"200"] * 8
STATUSES += b"100 101 103 199 204 205 206 301 304 404 503 599 600 999 000 20 2000".split()
FRAMES = ["length"] * 4
FRAMES += ["chunks", "close", "short", "long", "both", "twice", "bad chunks"]


def framed(status: bytes, headers: list[Any], body: Any, how: str) -> bytes:
    """An answer of HTTP, well framed or not."""
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
    return b"\r\n".join([b"HTTP/1.1 " + status, *headers, *lines, b"", sent])


def packed(body: bytes, coding: bytes) -> tuple[Any, ...]:
    """A body, and the header that says how it is packed."""
    if coding == b"":
        return body, []
    whole = gzip.compress(body, 1)
    return whole[:-3] if coding == b"broken" else whole, [
        b"Content-Encoding: " + coding.replace(b"broken", b"gzip")
    ]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Whatever an upstream API may answer."""
    if draw(st.integers(0, 9)) == 0:
        return draw(
            st.binary(max_size=300)
            | st.just(b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000)
            | st.just(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000)
        )
    status = draw(st.sampled_from(STATUSES)) + b" OK"
    media = draw(media_types)
    coding = draw(st.sampled_from([b"", b"", b"", b"gzip", b"GZIP ", b"br", b"broken"]))
    body, coded = packed(draw(bodies), coding)
    added = draw(st.lists(st.tuples(header_names, header_values), max_size=2))
    headers = [b"Content-Type: " + media, *coded, *(b": ".join(pair) for pair in added)]
    whole = framed(status, headers, body, draw(st.sampled_from(FRAMES)))
    return whole[: draw(st.integers(0, len(whole)))] if draw(st.integers(0, 9)) == 0 else whole


client_headers = (
    st.sampled_from(
        [b"Accept-Encoding: gzip", b"Accept-Encoding: br, gzip;q=0", b"Content-Encoding: gzip"]
    )
    | st.sampled_from(
        [b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example", b"Proxy: evil.example"]
    )
    | st.sampled_from(
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Expect: 100-continue"]
    )
    | st.sampled_from(
        [b"Upgrade: websocket", b"Upgrade: h2c", b"Access-Control-Request-Method: GET"]
    )
    | st.sampled_from(
        [b"Proxy-Authorization: " + OURS, b"Connection: host, te", b"Host: other.example"]
    )
    | st.sampled_from([b"If-None-Match: *", b"Range: bytes=5-2", b"X: \xff\x80"])
)


@st.composite
def requests(draw: st.DrawFn, targets: Any) -> bytes:
    """Whatever a client may ask; all but `targets` and one line are well formed."""
    methods = ["GET"] * 6 + ["POST", "HEAD", "OPTIONS", "PUT", "TRACE", "CONNECT", "X", "get", ""]
    names = [b"localhost"] * 6 + [b"evil.example", b"", b"a b", b"[::1"]
    lines = [
        draw(st.sampled_from(methods)).encode() + b" " + draw(targets) + b" HTTP/1.1",
        b"Host: " + draw(st.sampled_from(names)),
        b"Authorization: Bearer " + SECRET.encode(),
        b"Cookie: session=" + OURS,
        b"X-Rucio-Auth-Token: " + OURS,
        *draw(st.lists(client_headers, max_size=2, unique=True)),
        b"Connection: close",
    ]
    body = draw(st.just(b"") | st.binary(max_size=200))
    if body:
        length = draw(st.sampled_from([str(len(body))] * 3 + ["-1", "x", HUGE]))
        lines.append(b"Content-Length: " + length.encode())
    return b"\r\n".join([*lines, b"", body])


good_targets = st.sampled_from(
    [b"/search", b"/search?prefer=A", b"/collections/c/items/i", b"/collections/c/items/i/assets/a"]
)
any_targets = st.builds(
    lambda start, path, end: start.encode() + path + end,
    st.sampled_from(["/", "", "/a/", "*", "http://evil.example/", "/collections/c/items/"]),
    urls.map(lambda url: url.replace(SECRET, "x").encode()) | st.binary(max_size=20),
    st.sampled_from([b"", "?prefer=A,é%zz".encode(), b"?prefer=%00", b"#", b"?#"]),
)


@pytest.fixture(scope="module")
def served(_upstream: Upstream) -> Iterator[Callable[..., Any]]:
    """Asks the application, whose upstream answers with any bytes; returns what comes back."""
    connected = set()
    connect = anyio.connect_tcp

    async def watched(remote_host: Any, remote_port: Any, **options: Any) -> Any:
        connected.add((remote_host, remote_port))
        return await connect(remote_host, remote_port, **options)

    def ask(request: Any, answer: Any) -> bytes:
        def act(handler: Any) -> None:
            with suppress(OSError):
                handler.wfile.write(answer)
            handler.close_connection = True

        _upstream.seen.clear()
        _upstream.default = act
        with no_defects():
            got = exchanged(proxy.url, request)
        assert connected <= {("127.0.0.1", _upstream.server_port)}
        for seen in _upstream.seen:
            values = [value for name, value in seen.headers if name.lower() == "host"]
            assert values == [f"127.0.0.1:{_upstream.server_port}"]
            assert OURS.decode() not in str(seen)
            assert seen.target.startswith("/v1/")
        return got

    limits = {"timeout_s": 0.5, "rucio_timeout_s": 0.5, "max_page_bytes": MAX_PAGE_BYTES}
    limits["cache_s"] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio, "connect_tcp", watched)
        with running_proxy(_upstream.url, Marking(), **limits) as proxy:
            yield ask
    _upstream.default = None


def exchanged(url: str, request: Any) -> bytes:
    """Send bytes, hang up where more is awaited, and return all that comes back."""
    parts = urlsplit(url)
    got = b""
    address = (parts.hostname, parts.port)
    with socket.create_connection(address, timeout=8) as client, suppress(ConnectionError):
        client.sendall(request)
        if b"chunked" in request or HUGE.encode() in request or b"\r\n\r\n" not in request:
            client.shutdown(socket.SHUT_WR)
        while part := client.recv(1 << 20):
            got += part
    return got


@contextmanager
def no_defects() -> Iterator[None]:
    """Fail where an exception comes out of the application, or a secret gets into a log."""
    handler = logging.handlers.BufferingHandler(sys.maxsize)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    for record in handler.buffer:
        text = logging.Formatter().format(record)
        assert SECRET not in text
        # That is how a server says that it ends an answer which broke off.
        if "returned without completing response" not in text:
            assert record.levelno < logging.ERROR, text


INTERIM = re.compile(rb"\A(?:HTTP/1\.1 1[0-9]{2}[^\r]*\r\n(?:[^\r]+\r\n)*\r\n)+")  # `100 Continue`


def check_answer(got: Any) -> None:
    """What comes back is an answer of HTTP, or nothing; errors of our own hold no secret."""
    got = INTERIM.sub(b"", got)
    if not got:
        return  # the request had no end
    response = http.client.HTTPResponse(FakeSocket(got))  # type: ignore[arg-type]  # it needs no more
    response.begin()
    assert 200 <= response.status < 600
    with suppress(http.client.IncompleteRead):
        body = response.read()
        if response.getheader("cache-control") == "no-store":
            assert SECRET.encode() not in body


class FakeSocket:
    """What `http.client` reads an answer from."""

    def __init__(self, content: Any) -> None:
        self._content = content

    def makefile(self, _mode: Any) -> io.BytesIO:
        """The answer as a file."""
        return io.BytesIO(self._content)


@settings(max_examples=700)
@given(requests(good_targets), answers())
def test_any_answer(served: Callable[..., Any], request: bytes, answer: bytes) -> None:
    """Whatever the upstream API answers, the client gets an answer, and nobody else a request."""
    check_answer(served(request, answer))


@settings(max_examples=700)
@given(requests(any_targets), st.binary(max_size=4), st.integers(0, 400))
def test_any_request(served: Callable[..., Any], request: bytes, put_in: bytes, at: int) -> None:
    """Whatever a client asks, the upstream API gets a request of its own, or none at all."""
    at %= request.index(b"\r\nAuthorization")
    answer = framed(b"200 OK", [b"Content-Type: application/json"], b'{"links":[]}', "length")
    check_answer(served(request[:at] + put_in + request[at:], answer))


@given(pages)
@example({"type": "x", "links": [{"rel": ["next"], "href": "?a"}, {"rel": {}, "href": ""}]})
def test_any_links(page: dict[str, Any]) -> None:
    """Links of any document lead here or stay, and hrefs of assets are not touched."""
    before = json.dumps(page.get("features"))
    Links(API).body(page, ROOT, ["DISK-A"])
    for link in page["links"] if isinstance(page["links"], list) else ():
        if isinstance(link, dict) and isinstance(link.get("href"), str):
            assert link["href"].startswith(ROOT) or not link["href"].startswith(f"{API}/")
    assert assets_of(json.loads(before)) == assets_of(json.loads(json.dumps(page.get("features"))))


def assets_of(features: Any) -> list[Any]:
    """The assets of items, as text."""
    listed = features if isinstance(features, list) else []
    return [json.dumps(each.get("assets")) for each in listed if isinstance(each, dict)]


finite = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(texts, finite).map(lambda item: {**item, "type": "Feature"}))
def test_any_json(item: Any) -> None:
    """An item comes out equal, its keys in their order."""
    rewriter = PageRewriter(Links(API), Untouched(), 10, 10**6)
    content = json.dumps(item).encode()
    page = asyncio.run(rewriter.rewrite(content, ROOT, (), gzipped=False))
    rewriter.close()
    assert page.content
    made = json.loads(page.content)
    assume("$id" not in item)
    assert (made, list(made), page.warning) == (item, list(item), None)


@given(st.lists(st.tuples(st.sampled_from(["prefer=", "x=", "%70refer=", "sig="]), texts | urls)))
def test_any_query(parts: list[Any]) -> None:
    """What is preferred is printable, and is carried on in ASCII."""
    query = "&".join(map("".join, parts)).encode("utf-8", "surrogatepass")
    with suppress(HTTPException):
        rest, wanted = split_query(query)
        assert all(each.isprintable() and each.isascii() for each in wanted)
        assert b"prefer=" not in rest
        assert with_preference("/search?x=1#y", wanted).isascii()


names = st.sampled_from(
    [b"cookie", b"set-cookie", b"x-rucio-auth-token", b"x-forwarded-host", b"link", b"etag"]
) | st.sampled_from([b"connection", b"location", b"authorization", b"content-type"])


@given(st.lists(st.tuples(names, texts.map(lambda text: text.encode("utf-8", "ignore")))))
def test_any_headers(headers: list[Any]) -> None:
    """Cookies, and what is said of Rucio or of proxies, pass in neither direction."""
    gone = {b"cookie", b"x-rucio-auth-token", b"x-forwarded-host", b"connection"}
    assert not gone & {name for name, _ in request_headers(Headers(raw=headers))}
    links = Links(API)
    rewriting = {
        b"location": lambda value: links.href(value, ROOT),
        b"link": lambda value: links.header(value, ROOT, ["A"]),
    }
    back = response_headers(headers, rewriting)
    assert not {"set-cookie", "connection"} & set(back)
    rewrite_headers(back, holds_items=True)
    assert "no-cache" in back["cache-control"]


@settings(max_examples=1_000)
@given(
    st.lists(
        st.sampled_from([b"/", b".", b"..", b"%2e", b"%2f", b"%5c", b"%25", b"%252e", b";", b"%3b"])
        | st.sampled_from([b"#", b"%23", b"?", b"%3f", b"%00", b"%09", b"%20", b"a", b"\\", b"~"]),
        max_size=8,
    ).map(b"".join)
)
def test_no_path_leads_up(path: Any) -> None:
    """However servers unescape a path and cut its parts, none of these is a dot or two."""
    with suppress(HTTPException):
        _check(b"/" + path, b"")
        for _ in range(4):
            for part in re.split(rb"[/\\]", path):
                assert re.split(rb"[;#?\0\t ]", part)[0] not in {b".", b".."}
                assert part.translate(None, b"\t\r\n\0 ") not in {b".", b".."}
            path = unquote_to_bytes(path)
