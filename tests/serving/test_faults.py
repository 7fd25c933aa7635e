"""An API that is down, slow, broken, huge or hostile, and a Rucio that is no better."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading

import pytest

from stac_client.errors import AccessError, ConfigurationError, UnreachableError
from stac_rucio.serve import make_app

from .behind import running_behind
from .conftest import page_of
from .front import running_front

ITEMS = {"Content-Type": "application/geo+json"}
HIDDEN = "s3cr3t-t0ken"
WARNING = "stac-rucio-warning"


def error_of(got):
    """The error that an answer tells in the form of OGC APIs."""
    assert got.header("content-type") == "application/json"
    assert got.header("access-control-allow-origin") == "*"
    assert set(got.json()) == {"code", "description"}
    return got.status, got.json()["code"]


def test_api_down():
    """Where nothing listens, the answer is 502."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with running_front(url, lambda _: None) as lonely:
        assert error_of(lonely.ask("/")) == (502, "BadGateway")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\0" * 500, b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"SSH-2.0-x\r\n"],
)
def test_no_http(behind, front, answer):
    """An answer that is no HTTP is 502."""

    def act(handler):
        handler.wfile.write(answer)
        handler.close_connection = True

    behind.add("/x", act=act)
    assert error_of(front.ask("/x")) == (502, "BadGateway")


def test_half_a_page(behind, front):
    """A page that breaks off is 502, never half a page."""

    def act(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"type":')
        handler.close_connection = True

    behind.add("/x", act=act)
    assert error_of(front.ask("/x")) == (502, "BadGateway")


@pytest.mark.parametrize("chunked", [True, False])
def test_half_a_picture(behind, front, chunked, caplog):
    """Where a stream breaks off, the client sees that it has not come to its end."""

    def act(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "image/png")
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"3\r\nabc\r\n")
        handler.close_connection = True

    behind.add("/x", act=act)
    with pytest.raises(http.client.IncompleteRead):
        front.ask("/x")
    assert "broke off" in caplog.text
    assert "Traceback" not in caplog.text


def test_slow_api(behind, make_front):
    """A page that takes too long, or drips for ever, is 504."""
    over = threading.Event()

    def silent(_):
        over.wait(20)

    def dripping(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not over.wait(0.05):
            handler.wfile.write(b" ")

    behind.add("/silent", act=silent)
    behind.add("/dripping", act=dripping)
    try:
        with make_front(timeout_s=0.5) as front:
            assert error_of(front.ask("/silent")) == (504, "GatewayTimeout")
            assert error_of(front.ask("/dripping")) == (504, "GatewayTimeout")
    finally:
        over.set()


def test_kept_connection_that_was_closed(behind, front):
    """A connection that the API closed meanwhile costs no request."""
    answered = []

    def act(handler):
        answered.append(1)
        if len(answered) == 2:
            handler.close_connection = True  # without an answer, as when it times out
        else:
            handler.give(b"x")

    behind.add("/x", act=act)
    assert [front.ask("/x").status for _ in range(3)] == [200, 200, 200]
    assert len(answered) == 4


def test_client_that_leaves_early(behind, front, caplog):
    """A client that hangs up within its request does no harm."""
    with socket.create_connection(("127.0.0.1", int(front.url.rpartition(":")[2]))) as client:
        client.sendall(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
    assert front.ask("/x").status == 404
    assert behind.seen[-1].method == "GET"
    assert "Traceback" not in caplog.text


def test_never_sent_twice(behind, front):
    """A request that may change something is not repeated."""

    def act(handler):
        handler.close_connection = True

    behind.add("/x", act=act)
    assert front.ask("/x", "POST", body=b"{}").status == 502
    assert len(behind.seen) == 1


def test_client_that_leaves(behind, front):
    """When a client hangs up, the API is not read on for nobody."""
    left = threading.Event()

    def act(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "image/png")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            left.set()

    behind.add("/x", act=act)
    connection = http.client.HTTPConnection(front.url.partition("//")[2], timeout=10)
    connection.request("GET", "/x")
    response = connection.getresponse()
    response.read(100)
    response.close()
    connection.close()
    assert left.wait(10)


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
def test_no_json(behind, front, body):
    """What only calls itself JSON, or has no bottom, passes byte by byte and says so."""
    behind.add("/x", body, {**ITEMS, "ETag": '"a"'})
    got = front.ask("/x")
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
def test_odd_json(behind, front, body):
    """JSON of any shape passes; that the modifier can do nothing with it matters not."""
    behind.add("/x", body, ITEMS)
    got = front.ask("/x")
    assert got.json() == json.loads(body)


def test_large_pages(behind, make_front):
    """A page above the limit passes as it is, packed or not, and says so."""
    page = json.dumps(page_of(behind.url, padding="x" * 2000)).encode()
    behind.add("/plain", page, {**ITEMS, "ETag": '"a"'})
    behind.add("/packed", gzip.compress(page), {**ITEMS, "Content-Encoding": "gzip"})
    with make_front(max_page_bytes=1500) as front:
        plain, packed = front.ask("/plain"), front.ask("/packed")
    assert (plain.body, plain.header("etag")) == (page, '"a"')
    assert (gzip.decompress(packed.body), packed.header("content-encoding")) == (page, "gzip")
    for got in (plain, packed):
        assert got.header(WARNING) == "unmodified: larger than 1500 bytes"


def test_bomb(behind, front):
    """A small body that would unpack to gigabytes is not unpacked."""
    bomb = gzip.compress(b" " * 64 * 1024**2)
    body = bomb * 20
    behind.add("/x", body, {**ITEMS, "Content-Encoding": "gzip"})
    got = front.ask("/x")
    assert got.body == body
    assert got.header(WARNING).startswith("unmodified: larger than")


def test_packed_otherwise(behind, front):
    """What is packed in a way that nobody asked for passes as it is."""
    behind.add("/x", b"\x8b\x00", {**ITEMS, "Content-Encoding": "br"})
    got = front.ask("/x")
    assert (got.body, got.header("content-encoding")) == (b"\x8b\x00", "br")
    assert got.header(WARNING) == "unmodified: packed otherwise"


@pytest.mark.parametrize("cut", [5, 30])
def test_broken_packing(behind, front, cut):
    """What can not be unpacked passes as it is."""
    body = gzip.compress(json.dumps(page_of(behind.url)).encode())[:cut]
    behind.add("/x", body, {**ITEMS, "Content-Encoding": "gzip"})
    assert front.ask("/x").body == body


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnreachableError("listing: no answer"), "Rucio does not answer"),
        (AccessError("listing: no"), "Rucio denies access"),
        (RuntimeError(HIDDEN), "Rucio can not be asked"),
    ],
)
def test_rucio_fails(behind, make_front, error, told, caplog):
    """Items come as the API gave them, whatever was done to them before, and say so."""

    def modify(page):
        page["features"][0]["assets"].clear()
        raise error

    page = page_of(behind.url)
    behind.add("/search", page, ITEMS)
    with make_front(modify) as front:
        got = front.ask("/search")
        expected = page["features"][0]["assets"]
    assert got.status == 200
    assert got.json()["features"][0]["assets"] == expected
    assert got.json()["links"][0]["href"] == f"{front.url}/"
    assert got.header(WARNING) == f"no alternates: {told}"
    assert "without alternates" in caplog.text
    assert HIDDEN not in caplog.text


def test_rucio_hangs(behind, make_front):
    """Items come in time, and links of other pages are not kept waiting."""
    over = threading.Event()

    def modify(page):
        page["features"].clear()
        over.wait(20)

    behind.add("/search", page_of(behind.url), ITEMS)
    behind.add("", {"links": [{"rel": "self", "href": behind.url}]})
    behind.answers["/v1/"] = behind.answers["/v1"]
    try:
        with make_front(modify, rucio_timeout_s=4.0, timeout_s=3.0) as front:
            for _ in range(2):
                got = front.ask("/search")
                assert len(got.json()["features"]) == 1
                assert got.header(WARNING) == "no alternates: Rucio does not answer in time"
            assert front.ask("/").json()["links"][0]["href"] == front.url
            over.set()
    finally:
        over.set()


def test_prefer_that_rucio_does_not_know(behind, make_front):
    """A client that prefers what is not there is told; all others are not."""

    def modify(page=None, *, prefer=None):
        if page is None:
            raise ConfigurationError(f"no RSE {prefer} {HIDDEN}")

    behind.add("/search", page_of(behind.url), ITEMS)
    with make_front(modify) as front:
        got = front.ask("/search?prefer=NONE")
        assert error_of(got) == (400, "BadRequest")
        assert HIDDEN not in got.body.decode()
        assert front.ask("/search").status == 200


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
    ],
)
def test_no_way_up(behind, front, target):
    """No path leads above the API's URL."""
    assert error_of(front.ask(target)) == (400, "BadRequest")
    assert behind.seen == []


@pytest.mark.parametrize(
    ("target", "seen"),
    [
        ("//evil.example.org/x", "/v1//evil.example.org/x"),
        ("/@evil.example.org", "/v1/@evil.example.org"),
        ("/http://evil.example.org/", "/v1/http://evil.example.org/"),
        ("/a..b/...", "/v1/a..b/..."),
    ],
)
def test_no_way_elsewhere(behind, front, target, seen):
    """Whatever a path looks like, it is one of the API."""
    front.ask(target)
    assert [one.target for one in behind.seen] == [seen]
    assert behind.seen[0].header("host") == behind.url.split("/")[2]


def test_absolute_target(behind, front):
    """A request that is to be passed to another server gets nowhere."""
    with running_behind() as other:
        got = front.ask(f"{other.url}/x", headers={"Authorization": f"Bearer {HIDDEN}"})
        assert error_of(got) == (400, "BadRequest")
        assert other.seen == behind.seen == []


def test_methods_of_proxies(front):
    """What would show a client its own headers, or open a tunnel, is refused."""
    assert error_of(front.ask("/x", "TRACE")) == (405, "MethodNotAllowed")


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
def test_no_api(api):
    """What is no URL of an API is said when the application is made, and no secret with it."""
    with pytest.raises(ConfigurationError) as raised:
        make_app(api, lambda _: None)
    assert HIDDEN not in str(raised.value)
