"""What passes through the served API, and what becomes of it, seen from both sides."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from stac_client import ConfigurationError
from stac_rucio.serve import make_app

from .conftest import page_of
from .proxy import Marking, running_proxy

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.proxy import Proxy
    from tests.serving.upstream import Upstream


ITEMS = {"Content-Type": "application/geo+json"}
PNG = bytes(range(256)) * 4000


@pytest.mark.parametrize("path", ["/search", "/collections/c/items", "/extra/of/this/api"])
def test_pages_of_items(upstream: Upstream, proxy: Proxy, path: str) -> None:
    """A page of items is recognised by what it is, wherever it comes from."""
    page = page_of(upstream.url)
    upstream.add(path, page, ITEMS)
    got = proxy.ask(path)
    expected = json.loads(json.dumps(page).replace(upstream.url, proxy.url))
    asset = expected["features"][0]["assets"]["data"]
    asset |= {"href": page["features"][0]["assets"]["data"]["href"], "marked": []}
    assert (got.status, got.json()) == (200, expected)
    assert got.header("content-type") == "application/geo+json"
    assert got.header("content-length") == str(len(got.body))


def test_an_item(upstream: Upstream, proxy: Proxy) -> None:
    """A single item is modified too."""
    upstream.add("/i", page_of(upstream.url)["features"][0], ITEMS)
    assert proxy.ask("/i").json()["assets"]["data"]["marked"] == []


def test_numbers_and_order_stay(upstream: Upstream, proxy: Proxy) -> None:
    """Every number of an item equals what it was, and every key is in its place."""
    item = page_of(upstream.url)["features"][0]
    text = json.dumps(item, separators=(",", ":")).replace(
        '"properties":{', '"properties":{"z":1.1,"y":12345678901234567890123,"x":-0.0,"w":NaN,'
    )
    upstream.add("/i", text.encode(), ITEMS)
    marked = text.replace('.tif"}', '.tif","marked":[]}')
    links, assets = marked.split('"assets"')
    assert proxy.ask("/i").body.decode() == links.replace(upstream.url, proxy.url) + (
        f'"assets"{assets}'
    )


def test_other_json_keeps_all_but_links(upstream: Upstream, proxy: Proxy) -> None:
    """A landing page has its links rewritten, its tag weakened, and nothing else changed."""
    landing = {"type": "Catalog", "id": upstream.url, "conformsTo": ["a"], "links": []}
    upstream.add("", {**landing, "links": [{"rel": "data", "href": f"{upstream.url}/collections"}]})
    upstream.answers["/v1/"] = lambda handler: handler.give(
        json.dumps({**landing, "links": [{"rel": "data", "href": "/v1/collections"}]}).encode(),
        {
            "Content-Type": "application/json; charset=utf-8",
            "ETag": '"a"',
            "Last-Modified": "Mon, 02 Jun 2025 00:00:00 GMT",
            "Cache-Control": "max-age=60",
            "Content-MD5": "x",
        }.items(),
    )
    got = proxy.ask("/")
    assert got.json() == {
        **landing,
        "links": [{"rel": "data", "href": f"{proxy.url}/collections"}],
    }
    kept = ["etag", "last-modified", "cache-control", "content-md5"]
    assert [got.header(name) for name in kept] == [
        'W/"a"',
        "Mon, 02 Jun 2025 00:00:00 GMT",
        "max-age=60",
        None,
    ]


def test_json_without_links_is_untouched(upstream: Upstream, proxy: Proxy) -> None:
    """JSON in which nothing leads to the API comes byte by byte, tag and all."""
    body = b'{ "conformsTo": ["https://api.stacspec.org/v1.0.0/core"],\n "a": 1.0 }\n'
    upstream.add("/conformance", body, [("Content-Type", "application/json"), ("ETag", '"a"')])
    got = proxy.ask("/conformance")
    assert (got.body, got.header("etag")) == (body, '"a"')


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (PNG, "image/png"),
        (b"<html><a href='/v1'>", "text/html"),
        (b'{"servers": []', "application/vnd.oai.openapi+json;version=3.0"),
        (b'{"type":"Feature"}\n' * 3, "application/x-ndjson"),
        (b"", "application/octet-stream"),
    ],
)
def test_all_else_is_streamed(
    upstream: Upstream, proxy: Proxy, body: bytes, content_type: str
) -> None:
    """What is no JSON document comes byte by byte, with its length and its tag."""
    headers = [("Content-Type", content_type), ("ETag", '"a"'), ("Accept-Ranges", "bytes")]
    upstream.add("/x", body, headers)
    got = proxy.ask("/x")
    assert (got.body, got.header("content-length")) == (body, str(len(body)))
    assert [got.header(name.lower()) for name, _ in headers] == [value for _, value in headers]


def test_validators_of_items(upstream: Upstream, proxy: Proxy) -> None:
    """Items change with their replicas, so what the API says of their age is taken back."""
    headers = {
        "ETag": '"a"',
        "Last-Modified": "Mon, 02 Jun 2025 00:00:00 GMT",
        "Expires": "Mon, 02 Jun 2099 00:00:00 GMT",
        "Age": "5",
        "Cache-Control": "private, max-age=3600",
        "Vary": "Accept-Language",
    }
    upstream.add("/search", page_of(upstream.url), headers)
    got = proxy.ask("/search")
    assert got.header("cache-control") == "private, no-cache"
    assert got.header("vary") == "Accept-Language"
    for name in ("etag", "last-modified", "expires", "age"):
        assert got.header(name) is None


def test_packed_pages(upstream: Upstream, proxy: Proxy) -> None:
    """A packed page is modified, and packed again for those who want that."""
    packed = gzip.compress(json.dumps(page_of(upstream.url)).encode())
    upstream.add("/search", packed, {**ITEMS, "Content-Encoding": "gzip"})
    got = proxy.ask("/search", headers={"Accept-Encoding": "br, gzip;q=0.5, zstd"})
    assert got.header("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(got.body))["features"][0]["assets"]["data"]["marked"] == []
    assert upstream.seen[-1].header("accept-encoding") == "gzip"
    proxy.ask("/search")
    assert upstream.seen[-1].header("accept-encoding") == "identity"


def test_prefer(upstream: Upstream, proxy: Proxy) -> None:
    """`prefer` is for the modifier, not for the API; the next page carries it on."""
    page = page_of(upstream.url)
    page["links"] = [
        {"rel": "next", "href": f"{upstream.url}/search", "method": "POST", "merge": True}
        | {"body": {"token": "t"}, "headers": {"a": "b"}},
        {"rel": "self", "href": f"{upstream.url}/search"},
    ]
    upstream.add("/search", page, ITEMS)
    got = proxy.ask("/search?limit=1&prefer=DISK-A%2CDISK-B&x=%2F", "POST", body=b"{}").json()
    assert upstream.seen[-1].target == "/v1/search?limit=1&x=%2F"
    assert got["features"][0]["assets"]["data"]["marked"] == ["DISK-A", "DISK-B"]
    assert got["links"] == [
        {**page["links"][0], "href": f"{proxy.url}/search?prefer=DISK-A,DISK-B"},
        {"rel": "self", "href": f"{proxy.url}/search"},
    ]
    assert proxy.ask("/search").json()["features"][0]["assets"]["data"]["marked"] == []


TARGET = "/a%2Fb//c+%7e;d=!$&'()*,:@~%C3%A9/search?x=%2f&y&&=z;%C3%A9&a=1&a=2{}|[]^`\\"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_requests_pass(upstream: Upstream, proxy: Proxy, method: Any) -> None:
    """Method, path, query and body reach the API byte for byte."""
    body = b'{"a": 1.0}' if method == "POST" else None
    proxy.ask(TARGET, method, {"Content-Type": "application/json"}, body)
    (seen,) = upstream.seen
    assert (seen.method, seen.target, seen.body) == (method, f"/v1{TARGET}", body or b"")


WRITES = [
    *[("POST", "/collections/c/items"), ("POST", "/search/x"), ("PUT", "/search")],
    *[("PATCH", "/collections/c"), ("DELETE", "/collections/c/items/i"), ("X", "/search")],
]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_writes(
    upstream: Upstream, proxy: Proxy, make_proxy: Callable[..., Any], method: Any, path: Any
) -> None:
    """What may write passes only where the operator lets it."""
    got = proxy.ask(path, method, body=b"{}")
    assert (got.status, got.json()["code"]) == (405, "MethodNotAllowed")
    assert upstream.seen == []
    with make_proxy(allow_writes=True) as writing:
        writing.ask(path, method, body=b"{}")
    (seen,) = upstream.seen
    assert (seen.method, seen.target, seen.body) == (method, f"/v1{path}", b"{}")


def test_a_body_without_length(upstream: Upstream, proxy: Proxy) -> None:
    """A body that comes in chunks goes on in chunks."""
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    proxy.ask("/search", "POST", {"Transfer-Encoding": "chunked"}, chunks, length=False)
    assert upstream.seen[-1].body == b"abcde"


def test_headers_of_the_client(upstream: Upstream, proxy: Proxy) -> None:
    """Credentials go to the API, and what is for others than the API does not."""
    proxy.ask(
        "/x",
        headers={
            "Authorization": "Bearer abc",
            "X-API-Key": "def",
            "Accept": "application/json",
            "Cookie": "session=of-a-notebook",
            "X-Rucio-Auth-Token": "ghi",
            "X-Forwarded-Host": "evil.example.org",
            "Forwarded": "host=evil.example.org",
            "Proxy-Authorization": "Basic x",
            "Connection": "keep-alive, X-Hop",
            "X-Hop": "1",
            "TE": "trailers",
        },
    )
    assert {name.lower(): value for name, value in upstream.seen[-1].headers} == {
        "host": upstream.url.split("/")[2],
        "authorization": "Bearer abc",
        "x-api-key": "def",
        "accept": "application/json",
        "accept-encoding": "identity",
    }


def test_headers_of_the_api(upstream: Upstream, proxy: Proxy) -> None:
    """What the API says of its connection and its host is not said of this one."""
    upstream.add(
        "/x",
        b"x",
        [
            ("X-Own", "a"),
            ("X-Own", "b"),
            ("Set-Cookie", "a=b"),
            ("Strict-Transport-Security", "max-age=1"),
            ("Alt-Svc", 'h3=":443"'),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
        ],
    )
    got = proxy.ask("/x")
    assert [value for name, value in got.headers if name.lower() == "x-own"] == ["a", "b"]
    names = {name.lower() for name, _ in got.headers}
    assert names == {"x-own", "date", "content-length"}
    assert got.header("date")


def test_no_cookies_from_one_client_to_the_next(upstream: Upstream, proxy: Proxy) -> None:
    """A cookie that the API sets for one client is not sent for another."""
    upstream.add("/x", b"x", {"Set-Cookie": "session=abc; Path=/"})
    proxy.ask("/x")
    proxy.ask("/x")
    assert [seen.header("cookie") for seen in upstream.seen] == [None, None]


@pytest.mark.parametrize(
    ("location", "rewritten"),
    [
        ("{upstream}/x/?a=%2F", "{proxy}/x/?a=%2F"),
        ("/v1/x/", "{proxy}/x/"),
        ("x/", "x/"),
        ("https://login.example.org/?to={upstream}", "https://login.example.org/?to={upstream}"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(
    upstream: Upstream, proxy: Proxy, location: str, rewritten: str, status: int
) -> None:
    """A redirection is for the client to follow, to this server where it led to the API."""
    upstream.add("/x", b"", {"Location": location.format(upstream=upstream.url)}, status)
    got = proxy.ask("/x", headers={"Authorization": "Bearer abc"})
    assert got.status == status
    assert got.header("location") == rewritten.format(upstream=upstream.url, proxy=proxy.url)
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
def test_errors_pass(upstream: Upstream, proxy: Proxy, status: int) -> None:
    """Errors of the API come as it gave them."""
    headers = {"WWW-Authenticate": "Bearer", "Retry-After": "7"}
    upstream.add("/search", {"code": "C", "description": "D"}, headers, status)
    got = proxy.ask("/search")
    assert (got.status, got.json()) == (status, {"code": "C", "description": "D"})
    assert (got.header("www-authenticate"), got.header("retry-after")) == ("Bearer", "7")


@pytest.mark.parametrize("path", ["/search", "/picture"])
def test_head(upstream: Upstream, proxy: Proxy, path: str) -> None:
    """HEAD tells what GET would, as far as that is known without the body."""
    upstream.add("/search", page_of(upstream.url), {"ETag": '"a"'})
    upstream.add("/picture", PNG, {"Content-Type": "image/png", "ETag": '"a"'})
    got = proxy.ask(path, "HEAD")
    assert (got.status, got.body, upstream.seen[-1].method) == (200, b"", "HEAD")
    page = path == "/search"
    assert got.header("content-length") == (None if page else str(len(PNG)))
    assert got.header("etag") == (None if page else '"a"')


def test_not_modified(upstream: Upstream, proxy: Proxy) -> None:
    """A client that has the body already need not get it again."""
    upstream.add("/x", b"", {"ETag": '"a"', "Content-Type": "application/json"}, 304)
    got = proxy.ask("/x", headers={"If-None-Match": 'W/"a"'})
    assert (got.status, got.body, got.header("etag")) == (304, b"", '"a"')
    assert upstream.seen[-1].header("if-none-match") == 'W/"a"'


def test_ranges(upstream: Upstream, proxy: Proxy) -> None:
    """A part of a body passes as it is."""
    headers = {"Content-Type": "application/geo+json", "Content-Range": "bytes 0-9/99"}
    upstream.add("/x", b'{"type":"F', headers, 206)
    got = proxy.ask("/x", headers={"Range": "bytes=0-9"})
    assert (got.status, got.body) == (206, b'{"type":"F')
    assert upstream.seen[-1].header("range") == "bytes=0-9"


BROWSER = "https://browser.example.org"
PREFLIGHT = {
    "Origin": BROWSER,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization",
}


def cors_of(got: Any) -> dict[Any, Any]:
    """What an answer says of web pages, without the prefix of these headers."""
    found = {name.lower(): value for name, value in got.headers}
    return {
        name.removeprefix("access-control-"): value
        for name, value in found.items()
        if name.startswith("access-control-")
    }


def test_web_pages_are_for_the_api_to_let(upstream: Upstream, proxy: Proxy) -> None:
    """By default no web page may read what the API does not let it read."""
    upstream.add("/search", page_of(upstream.url), ITEMS)
    assert cors_of(proxy.ask("/search", headers={"Origin": BROWSER})) == {}
    assert cors_of(proxy.ask("/search", "OPTIONS", PREFLIGHT)) == {}
    allowed = {"Access-Control-Allow-Origin": BROWSER, "Access-Control-Allow-Methods": "POST"}
    upstream.add("/search", page_of(upstream.url), {**ITEMS, **allowed})
    for got in (
        proxy.ask("/search", headers={"Origin": BROWSER}),
        proxy.ask("/search", "OPTIONS", PREFLIGHT),
    ):
        assert cors_of(got) == {"allow-origin": BROWSER, "allow-methods": "POST"}


@pytest.mark.parametrize("origins", [[BROWSER], ["*"]])
def test_web_pages_that_the_operator_lets(
    upstream: Upstream, make_proxy: Callable[..., Any], origins: list[str]
) -> None:
    """The operator can let web pages read, and says that alone, without cookies or writes."""
    upstream.add("/search", page_of(upstream.url), {"Access-Control-Allow-Origin": "https://b.org"})
    with make_proxy(allow_origins=origins) as proxy:
        got = proxy.ask("/search", headers={"Origin": BROWSER})
        assert cors_of(got) == {"allow-origin": origins[0], "expose-headers": "*"}
        got = cors_of(proxy.ask("/search", "OPTIONS", PREFLIGHT))
        assert got.pop("max-age")
        assert got == {
            "allow-origin": origins[0],
            "allow-methods": "GET, HEAD, OPTIONS, POST",
            "allow-headers": "authorization",
        }
        got = cors_of(proxy.ask("/search", headers={"Origin": "https://evil.example.org"}))
        assert got.get("allow-origin") == ("*" if origins == ["*"] else None)


@pytest.mark.parametrize(
    "origin",
    [
        "browser.example.org",
        f"{BROWSER}/",
        f"{BROWSER}:443",
        BROWSER.upper(),
        "https://*.b.org",
        "",
    ],
)
def test_what_is_no_origin(upstream: Upstream, origin: str) -> None:
    """What no browser ever sends as its origin would let nobody read, without a word."""
    with pytest.raises(ConfigurationError, match="no origin as browsers send it"):
        make_app(upstream.url, Marking(), allow_origins=["*", origin])


@pytest.mark.parametrize("host", ["evil.example.org:8080", "127.0.0.1.evil.example.org", "a.b"])
def test_names_of_others(upstream: Upstream, proxy: Proxy, host: str) -> None:
    """A web page whose name leads to the loopback interface is not taken for this server."""
    got = proxy.ask("/search", headers={"Host": host}, host=False)
    assert (got.status, got.json()["code"]) == (421, "MisdirectedRequest")
    assert upstream.seen == []


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "stac.localhost", "[::1]:80", ""])
def test_names_of_this_machine(upstream: Upstream, proxy: Proxy, host: str) -> None:
    """All names of the loopback interface are this server's."""
    proxy.ask("/search", headers={"Host": host}, host=False)
    assert len(upstream.seen) == 1


def test_https_by_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of a site gets to know the API's host and port, and nothing of a request."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listening.getsockname()[1]}")
        for name in ("NO_PROXY", "no_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        asked = []

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with running_proxy("https://stac.example.org/v1", Marking()) as proxy:
            got = proxy.ask("/search?key=s3cr3t", headers={"Authorization": "Bearer s3cr3t"})
        thread.join()
    assert (got.status, got.json()["code"]) == (502, "BadGateway")
    assert asked[0].startswith(b"CONNECT stac.example.org:443 HTTP/1.1\r\n")
    assert b"s3cr3t" not in asked[0]
    assert b"search" not in asked[0]


def test_http_by_a_proxy(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API without TLS is asked through the proxy by its whole URL."""
    monkeypatch.setenv("http_proxy", upstream.url.removesuffix("/v1"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with running_proxy("http://stac.example.org/v1", Marking()) as proxy:
        proxy.ask(TARGET)
    (seen,) = upstream.seen
    assert seen.target == f"http://stac.example.org/v1{TARGET}"
    assert seen.header("host") == "stac.example.org"
