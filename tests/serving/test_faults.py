"""An upstream API that is down, slow, broken, huge or hostile, clients and a Rucio no better."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stac_client.errors import AccessError, ConfigurationError, UnreachableError
from stac_rucio.serve import make_app

from .conftest import page_of
from .proxy import Marking, running_proxy
from .upstream import running_upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.serving.proxy import Proxy
    from tests.serving.upstream import Upstream


ITEMS = {"Content-Type": "application/geo+json"}
HIDDEN = "s3cr3t-t0ken"
WARNING = "stac-rucio-warning"


def raw(answer: Any) -> Any:
    """Answer with bytes as they are, and hang up."""

    def act(handler: Any) -> None:
        handler.wfile.write(answer)
        handler.close_connection = True

    return act


def error_of(got: Any) -> tuple[Any, Any]:
    """The error that an answer tells in the form of OGC APIs."""
    assert got.header("content-type") == "application/json"
    assert got.header("access-control-allow-origin") == "*"
    assert set(got.json()) == {"code", "description"}
    return got.status, got.json()["code"]


def test_api_down() -> None:
    """Where nothing listens, the answer is 502."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with running_proxy(url, lambda _: None) as lonely:
        assert error_of(lonely.ask("/")) == (502, "BadGateway")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0" * 500, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"SSH-2.0-x\r\n"],
)
def test_no_http(upstream: Upstream, proxy: Proxy, answer: Any) -> None:
    """An answer that is no HTTP is 502."""
    upstream.add("/x", act=raw(answer))
    assert error_of(proxy.ask("/x")) == (502, "BadGateway")


def test_half_a_page(upstream: Upstream, proxy: Proxy) -> None:
    """A page that breaks off is 502, never half a page."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    upstream.add("/x", act=raw(answer))
    assert error_of(proxy.ask("/x")) == (502, "BadGateway")


@pytest.mark.parametrize("chunked", [True, False])
def test_half_a_picture(
    upstream: Upstream, proxy: Proxy, chunked: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a stream breaks off, the client sees that it has not come to its end."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000"
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n%b\r\n\r\n3\r\nabc\r\n"
    upstream.add("/x", act=raw(answer % framing))
    with pytest.raises(http.client.IncompleteRead):
        proxy.ask("/x")
    assert "broke off" in caplog.text
    assert "Traceback" not in caplog.text


def test_slow_api(upstream: Upstream, make_proxy: Callable[..., Any]) -> None:
    """A page that takes too long, or drips for ever, is 504."""
    over = threading.Event()

    def silent(_: Any) -> None:
        over.wait(20)

    def dripping(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(b" ")

    upstream.add("/silent", act=silent)
    upstream.add("/dripping", act=dripping)
    try:
        with make_proxy(timeout_s=0.5) as proxy:
            assert error_of(proxy.ask("/silent")) == (504, "GatewayTimeout")
            assert error_of(proxy.ask("/dripping")) == (504, "GatewayTimeout")
    finally:
        over.set()


def test_kept_connection_that_was_closed(upstream: Upstream, proxy: Proxy) -> None:
    """A connection that the API closed meanwhile costs no request."""
    answered = []

    def act(handler: Any) -> None:
        answered.append(1)
        if len(answered) == 2:
            handler.close_connection = True  # without an answer, as when it times out
        else:
            handler.give(b"x")

    upstream.add("/x", act=act)
    assert [proxy.ask("/x").status for _ in range(3)] == [200, 200, 200]
    assert len(answered) == 4


def test_client_that_leaves_early(
    upstream: Upstream, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that hangs up within its request does no harm."""
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2]))) as client:
        client.sendall(b"POST /search HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert proxy.ask("/x").status == 404
    assert upstream.seen[-1].method == "GET"
    assert "Traceback" not in caplog.text


def test_never_sent_twice(upstream: Upstream, proxy: Proxy) -> None:
    """A request that may change something is not repeated."""

    def act(handler: Any) -> None:
        handler.close_connection = True

    upstream.add("/search", act=act)
    assert proxy.ask("/search", "POST", body=b"{}").status == 502
    assert len(upstream.seen) == 1


def test_client_that_leaves(upstream: Upstream, proxy: Proxy) -> None:
    """When a client hangs up, the API is not read on for nobody."""
    left = threading.Event()

    def act(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "image/png")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            left.set()

    upstream.add("/x", act=act)
    connection = http.client.HTTPConnection(proxy.url.partition("//")[2], timeout=10)
    connection.request("GET", "/x")
    response = connection.getresponse()
    response.read(100)
    response.close()
    connection.close()
    assert left.wait(10)


@contextmanager
def clients_that_do_not_read(url: Any, path: str, number: int) -> Iterator[None]:
    """Connections on which a page was asked for, and from which nothing is read."""
    with ExitStack() as clients:
        for _ in range(number):
            client = clients.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", int(url.rpartition(":")[2])))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield


@pytest.mark.parametrize("size", [900_000, 1_200_000])
@pytest.mark.parametrize("media_type", ["application/json", "image/png"])
def test_clients_that_do_not_read(
    upstream: Upstream,
    make_proxy: Callable[..., Any],
    media_type: str,
    size: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Clients that ask and do not read are left, and keep nobody waiting."""
    upstream.add("/large", b'"' + b"x" * size + b'"', {"Content-Type": media_type})
    upstream.add("/small", page_of(upstream.url), ITEMS)
    with (
        make_proxy(send_timeout_s=0.5, timeout_s=15) as proxy,
        clients_that_do_not_read(proxy.url, "/large", 100),
    ):
        for _ in range(3):
            assert proxy.ask("/small").status == 200
            time.sleep(0.2)
    assert "GET '/large': the client takes nothing of its answer" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": "FeatureCollection", "features": [',
        b"openapi: 3.0.3",
        b"\xff\xfe{\0}\0",
        b"[" * 100_000,
        b'{"type":"Feature","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_no_json(upstream: Upstream, proxy: Proxy, body: bytes) -> None:
    """What only calls itself JSON, or has no bottom, passes byte by byte and says so."""
    upstream.add("/x", body, {**ITEMS, "ETag": '"a"'})
    got = proxy.ask("/x")
    assert (got.status, got.body, got.header("etag")) == (200, body, '"a"')
    assert got.header(WARNING) == "unmodified: no JSON that can be read"


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b'"x"',
        b"[1, 2]",
        b"{}",
        b'{"links": {"a": 1}}',
        b'{"type": "Feature"}',
        b'{"type": ["Feature"]}',
        b'{"type": "FeatureCollection", "features": null, "links": [[]]}',
    ],
)
def test_odd_json(upstream: Upstream, proxy: Proxy, body: bytes) -> None:
    """JSON of any shape passes; that the modifier can do nothing with it matters not."""
    upstream.add("/x", body, ITEMS)
    got = proxy.ask("/x")
    assert got.json() == json.loads(body)


def test_large_pages(upstream: Upstream, make_proxy: Callable[..., Any]) -> None:
    """A page above the limit passes as it is, packed or not, and says so."""
    page = json.dumps(page_of(upstream.url, padding="x" * 2000)).encode()
    upstream.add("/plain", page, {**ITEMS, "ETag": '"a"'})
    upstream.add("/packed", gzip.compress(page), {**ITEMS, "Content-Encoding": "gzip"})
    with make_proxy(max_page_bytes=1500) as proxy:
        plain, packed = proxy.ask("/plain"), proxy.ask("/packed")
    assert (plain.body, plain.header("etag")) == (page, '"a"')
    assert (gzip.decompress(packed.body), packed.header("content-encoding")) == (page, "gzip")
    for got in (plain, packed):
        assert got.header(WARNING) == "unmodified: larger than 1500 bytes"


def test_bomb(upstream: Upstream, proxy: Proxy) -> None:
    """A small body that would unpack to gigabytes is not unpacked."""
    bomb = gzip.compress(b" " * 64 * 1024**2)
    body = bomb * 20
    upstream.add("/x", body, {**ITEMS, "Content-Encoding": "gzip"})
    got = proxy.ask("/x")
    assert got.body == body
    assert str(got.header(WARNING)).startswith("unmodified: larger than")


def test_packed_otherwise(upstream: Upstream, proxy: Proxy) -> None:
    """What is packed in a way that nobody asked for passes as it is."""
    upstream.add("/x", b"\x8b\x00", {**ITEMS, "Content-Encoding": "br"})
    got = proxy.ask("/x")
    assert (got.body, got.header("content-encoding")) == (b"\x8b\x00", "br")
    assert got.header(WARNING) == "unmodified: packed otherwise"


@pytest.mark.parametrize("cut", [5, 30])
def test_broken_packing(upstream: Upstream, proxy: Proxy, cut: int) -> None:
    """What cannot be unpacked passes as it is."""
    body = gzip.compress(json.dumps(page_of(upstream.url)).encode())[:cut]
    upstream.add("/x", body, {**ITEMS, "Content-Encoding": "gzip"})
    assert proxy.ask("/x").body == body


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnreachableError("listing: no answer"), "Rucio does not answer"),
        (AccessError("listing: no"), "Rucio denies access"),
        (RuntimeError(HIDDEN), "Rucio cannot be asked"),
    ],
)
def test_rucio_fails(
    upstream: Upstream,
    make_proxy: Callable[..., Any],
    error: Any,
    told: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Items come as the API gave them, whatever was done to them before, and say so."""

    def modify(page: Any) -> None:
        page["features"][0]["assets"].clear()
        raise error

    page = page_of(upstream.url)
    upstream.add("/search", page, ITEMS)
    with make_proxy(modify) as proxy:
        got = proxy.ask("/search")
        expected = page["features"][0]["assets"]
    assert got.status == 200
    assert got.json()["features"][0]["assets"] == expected
    assert got.json()["links"][0]["href"] == f"{proxy.url}/"
    assert got.header(WARNING) == f"no alternates: {told}"
    assert "without alternates" in caplog.text
    assert HIDDEN not in caplog.text


def test_rucio_hangs(upstream: Upstream, make_proxy: Callable[..., Any]) -> None:
    """Items come in time, and links of other pages are not kept waiting."""
    over = threading.Event()

    def modify(page: Any) -> None:
        page["features"].clear()
        over.wait(20)

    upstream.add("/search", page_of(upstream.url), ITEMS)
    upstream.add("", {"links": [{"rel": "self", "href": upstream.url}]})
    upstream.answers["/v1/"] = upstream.answers["/v1"]
    try:
        with make_proxy(modify, rucio_timeout_s=4.0, timeout_s=3.0) as proxy:
            for _ in range(2):
                got = proxy.ask("/search")
                assert len(got.json()["features"]) == 1
                assert got.header(WARNING) == "no alternates: Rucio does not answer in time"
            assert proxy.ask("/").json()["links"][0]["href"] == proxy.url
            over.set()
    finally:
        over.set()


def test_prefer_that_rucio_does_not_know(
    upstream: Upstream, make_proxy: Callable[..., Any]
) -> None:
    """A client that prefers what is not there is told; all others are not."""

    class Preferring(Marking):
        def with_options(self, *, prefer: Any) -> Marking:
            raise ConfigurationError(f"no RSE {prefer} {HIDDEN}")

    upstream.add("/search", page_of(upstream.url), ITEMS)
    with make_proxy(Preferring()) as proxy:
        got = proxy.ask("/search?prefer=NONE")
        assert error_of(got) == (400, "BadRequest")
        assert HIDDEN not in got.body.decode()
        assert proxy.ask("/search").status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/../private",
        "/a/../../private",
        "/%2e%2e/private",
        "/.%2E/private",
        "/a/..%2fprivate",
        "/a/..%5cprivate",
        "/%252e%252e/private",
        "/./private",
        "/a%2F%2e%2e",
        "/..#",
        "/..;/private",
        "/..%3b/private",
        "/..%23/private",
        "/..%3f",
        "/..%00/private",
        "/.%09./private",
        "/%20../private",
        "/a/..;x=%2f/private",
        "/a#b",
        "/a?b#c",
        "/a%zz",
        "/a%",
        "/a\\..\\private",
        "/{a}",
        "/a%0d%0ab",
    ],
)
def test_no_way_up(upstream: Upstream, proxy: Proxy, target: str) -> None:
    """No path leads above the API's URL."""
    assert error_of(proxy.ask(target)) == (400, "BadRequest")
    assert upstream.seen == []


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("//evil.example.org/x", "/v1//evil.example.org/x"),
        ("/@evil.example.org", "/v1/@evil.example.org"),
        ("/http://evil.example.org/", "/v1/http://evil.example.org/"),
        ("/a..b/.../..c/.d;e", "/v1/a..b/.../..c/.d;e"),
    ],
)
def test_no_way_elsewhere(upstream: Upstream, proxy: Proxy, target: str, seen: str) -> None:
    """Whatever a path looks like, it is one of the API."""
    proxy.ask(target)
    assert [one.target for one in upstream.seen] == [seen]
    assert upstream.seen[0].header("host") == upstream.url.split("/")[2]


def test_absolute_target(upstream: Upstream, proxy: Proxy) -> None:
    """A request that is to be passed to another server gets nowhere."""
    with running_upstream() as other:
        got = proxy.ask(f"{other.url}/x", headers={"Authorization": f"Bearer {HIDDEN}"})
        assert error_of(got) == (400, "BadRequest")
        assert other.seen == upstream.seen == []


def test_methods_of_proxies(proxy: Proxy) -> None:
    """What would show a client its own headers, or open a tunnel, is refused."""
    assert error_of(proxy.ask("/x", "TRACE")) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    "api",
    [
        "stac.example.org",
        "ftp://stac.example.org",
        "https://",
        f"https://user:{HIDDEN}@stac.example.org",
        f"https://stac.example.org/v1?key={HIDDEN}",
        "https://stac.example.org:port/",
        "https://[::1/",
    ],
)
def test_no_api(api: str) -> None:
    """What is no URL of an API is said when the application is made, and no secret with it."""
    with pytest.raises(ConfigurationError) as raised:
        make_app(api, Marking())
    assert HIDDEN not in str(raised.value)


@pytest.mark.parametrize("status", [b"600", b"999", b"101", b"199"])
@pytest.mark.parametrize("media_type", [b"image/png", b"application/json"])
def test_no_status(
    upstream: Upstream, proxy: Proxy, status: Any, media_type: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A status that no whole answer has is 502."""
    answer = b"HTTP/1.1 %b X\r\nContent-Type: %b\r\nContent-Length: 2\r\n\r\n{}"
    upstream.add("/x", act=raw(answer % (status, media_type)))
    got = proxy.ask("/x")
    assert (got.status, got.json()["code"]) == (502, "BadGateway")
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("media_type", [b"image/png", b"application/json"])
def test_two_lengths(
    upstream: Upstream, proxy: Proxy, media_type: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Where an answer has chunks and a length, the chunks count."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: 3\r\n"
    answer += b"Transfer-Encoding: chunked\r\n\r\n5\r\n[1,2]\r\n0\r\n\r\n"
    upstream.add("/x", act=raw(answer % media_type))
    assert proxy.ask("/x").body == b"[1,2]"
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("end", ["", '"', '>; rel="next"'])
def test_link_header_that_takes_for_ever(upstream: Upstream, proxy: Proxy, end: str) -> None:
    """A `Link` header of brackets and quotes that are never closed is gone through once."""
    link = "<>" + '\\"<>' * 15_000 + end
    upstream.add("/x", b"{}", {**ITEMS, "Link": link})
    assert proxy.ask("/x").header("link") == link


def test_brackets_and_spaces(upstream: Upstream, proxy: Proxy) -> None:
    """Neither do brackets or spaces alone take long."""
    for link in ("<" * 60_000, "<>;" * 20_000, "<>; rel " + " " * 60_000 + "=", '<>;rel="' * 7_000):
        upstream.add("/x", b"{}", {**ITEMS, "Link": link})
        assert proxy.ask("/x").header("link") == link.strip()


@pytest.mark.parametrize("unit", [b"[]", b"{}", b'{"a":1}', b"1E9"])
@pytest.mark.parametrize("packed", [True, False])
def test_values_that_fill_memory(
    upstream: Upstream, make_proxy: Callable[..., Any], unit: bytes, packed: bool
) -> None:
    """A page of nothing but tiny values, each many times its text in memory, passes unread."""
    body = b'{"type":"FeatureCollection","features":[' + b",".join([unit] * 8_000) + b"]}"
    sent = gzip.compress(body) if packed else body
    coding = {"Content-Encoding": "gzip"} if packed else {}
    upstream.add("/x", sent, {**ITEMS, **coding})
    with make_proxy(max_page_bytes=100_000) as proxy:
        got = proxy.ask("/x")
    assert got.body == sent
    assert got.header(WARNING) == "unmodified: more than 6250 values"


def test_as_many_values_as_real_pages_have(
    upstream: Upstream, make_proxy: Callable[..., Any]
) -> None:
    """A page with a value in every twenty bytes, as real ones have, is modified up to the limit."""
    page = page_of(upstream.url, padding=["x" * 18] * 4_000)
    upstream.add("/x", page, ITEMS)
    size = len(json.dumps(page))
    with make_proxy(max_page_bytes=size) as proxy:
        got = proxy.ask("/x")
    assert got.header(WARNING) is None
    assert got.json()["features"][0]["assets"]["data"]["marked"] == []


class _Meeting(Marking):
    """A modifier that remembers how many pages it had at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self._now = 0
        self._lock = threading.Lock()
        self._fifth = threading.Event()

    def __call__(self, thing: Any) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self.most > 4:
                self._fifth.set()
        self._fifth.wait(0.3)
        super().__call__(thing)
        with self._lock:
            self._now -= 1


def test_large_pages_in_turns(upstream: Upstream, make_proxy: Callable[..., Any]) -> None:
    """However many clients ask for large pages, four of them are in memory at a time."""
    upstream.add("/x", page_of(upstream.url, padding="x" * 50_000), ITEMS)
    meeting = _Meeting()
    with make_proxy(meeting, max_page_bytes=100_000) as proxy, ThreadPoolExecutor(12) as clients:
        statuses = list(clients.map(lambda _: proxy.ask("/x").status, range(12)))
    assert statuses == [200] * 12
    assert meeting.most == 4


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/x",
        "file:///etc/passwd",
        "//{other}/x",
        "http://{other}/x",
        "/v1/x",
    ],
)
def test_redirects(upstream: Upstream, proxy: Proxy, code: int, to: str) -> None:
    """No redirect is followed, be it to itself for ever; only one below the API leads here."""
    with running_upstream() as other:
        to = to.format(other=other.url.split("/")[2])
        upstream.add("/x", b"", {"Location": to, **ITEMS}, code)
        got = proxy.ask("/x", headers={"Authorization": f"Bearer {HIDDEN}"})
        assert got.status == code
        assert got.header("location") == (f"{proxy.url}/x" if to == "/v1/x" else to)
        assert len(upstream.seen) == 1
        assert other.seen == []


def test_a_page_without_end(upstream: Upstream, make_proxy: Callable[..., Any]) -> None:
    """A page that never ends passes as it comes, and is left when the client leaves."""
    left = threading.Event()

    def act(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" " * 65_536)
        except OSError:
            left.set()

    upstream.add("/x", act=act)
    with make_proxy(max_page_bytes=100_000) as proxy:
        connection = http.client.HTTPConnection(proxy.url.partition("//")[2], timeout=20)
        connection.request("GET", "/x")
        response = connection.getresponse()
        assert response.getheader(WARNING) == "unmodified: larger than 100000 bytes"
        assert response.read(1_000_000) == b" " * 1_000_000
        response.close()
        connection.close()
        assert left.wait(20)


def test_logs_at_debug(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    """However much is logged, no header of a request or an answer is."""
    caplog.set_level(logging.DEBUG)
    upstream.add("/x", b"{}", {**ITEMS, "Set-Cookie": HIDDEN, "X-Token": HIDDEN})
    with running_proxy(upstream.url, Marking()) as proxy:
        proxy.ask("/x", headers={"Authorization": f"Bearer {HIDDEN}"})
        proxy.ask(f"/https://user:{HIDDEN}@data.example.org/x")
    assert "GET '/x': 200 in" in caplog.text
    assert HIDDEN not in caplog.text
