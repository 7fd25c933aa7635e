"""What passes through the served API, and what becomes of it, seen from both sides."""

from __future__ import annotations

import gzip
import json

import pytest

from .conftest import page_of

ITEMS = {"Content-Type": "application/geo+json"}
PNG = bytes(range(256)) * 4000


@pytest.mark.parametrize("path", ["/search", "/collections/c/items", "/extra/of/this/api"])
def test_pages_of_items(behind, front, path):
    """A page of items is recognised by what it is, wherever it comes from."""
    page = page_of(behind.url)
    behind.add(path, page, ITEMS)
    got = front.ask(path)
    expected = json.loads(json.dumps(page).replace(behind.url, front.url))
    asset = expected["features"][0]["assets"]["data"]
    asset |= {"href": page["features"][0]["assets"]["data"]["href"], "marked": []}
    assert (got.status, got.json()) == (200, expected)
    assert got.header("content-type") == "application/geo+json"
    assert got.header("content-length") == str(len(got.body))


def test_an_item(behind, front):
    """A single item is modified too."""
    behind.add("/i", page_of(behind.url)["features"][0], ITEMS)
    assert front.ask("/i").json()["assets"]["data"]["marked"] == []


def test_numbers_and_order_stay(behind, front):
    """Every number of an item is written as it was, and every key in its place."""
    item = page_of(behind.url)["features"][0]
    text = json.dumps(item, separators=(",", ":")).replace(
        '"properties":{', '"properties":{"z":1.10,"y":1e400,"x":12345678901234567890123,"w":NaN,'
    )
    behind.add("/i", text.encode(), ITEMS)
    marked = text.replace('.tif"}', '.tif","marked":[]}')
    links, assets = marked.split('"assets"')
    assert front.ask("/i").body.decode() == links.replace(behind.url, front.url) + (
        f'"assets"{assets}'
    )


def test_other_json_keeps_all_but_links(behind, front):
    """A landing page has its links rewritten, its tag weakened, and nothing else changed."""
    landing = {"type": "Catalog", "id": behind.url, "conformsTo": ["a"], "links": []}
    behind.add("", {**landing, "links": [{"rel": "data", "href": f"{behind.url}/collections"}]})
    behind.answers["/v1/"] = lambda handler: handler.give(
        json.dumps({**landing, "links": [{"rel": "data", "href": "/v1/collections"}]}).encode(),
        {
            "Content-Type": "application/json; charset=utf-8",
            "ETag": '"a"',
            "Last-Modified": "Mon, 02 Jun 2025 00:00:00 GMT",
            "Cache-Control": "max-age=60",
            "Content-MD5": "x",
        }.items(),
    )
    got = front.ask("/")
    assert got.json() == {
        **landing,
        "links": [{"rel": "data", "href": f"{front.url}/collections"}],
    }
    kept = ["etag", "last-modified", "cache-control", "content-md5"]
    assert [got.header(name) for name in kept] == [
        'W/"a"',
        "Mon, 02 Jun 2025 00:00:00 GMT",
        "max-age=60",
        None,
    ]


def test_json_without_links_is_untouched(behind, front):
    """JSON in which nothing leads to the API comes byte by byte, tag and all."""
    body = b'{ "conformsTo": ["https://api.stacspec.org/v1.0.0/core"],\n "a": 1.0 }\n'
    behind.add("/conformance", body, [("Content-Type", "application/json"), ("ETag", '"a"')])
    got = front.ask("/conformance")
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
def test_all_else_is_streamed(behind, front, body, content_type):
    """What is no JSON document comes byte by byte, with its length and its tag."""
    headers = [("Content-Type", content_type), ("ETag", '"a"'), ("Accept-Ranges", "bytes")]
    behind.add("/x", body, headers)
    got = front.ask("/x")
    assert (got.body, got.header("content-length")) == (body, str(len(body)))
    assert [got.header(name.lower()) for name, _ in headers] == [value for _, value in headers]


def test_validators_of_items(behind, front):
    """Items change with their replicas, so what the API says of their age is taken back."""
    headers = {
        "ETag": '"a"',
        "Last-Modified": "Mon, 02 Jun 2025 00:00:00 GMT",
        "Expires": "Mon, 02 Jun 2099 00:00:00 GMT",
        "Age": "5",
        "Cache-Control": "private, max-age=3600",
        "Vary": "Accept-Language",
    }
    behind.add("/search", page_of(behind.url), headers)
    got = front.ask("/search")
    assert got.header("cache-control") == "private, no-cache"
    assert got.header("vary") == "Accept-Language"
    for name in ("etag", "last-modified", "expires", "age"):
        assert got.header(name) is None


def test_packed_pages(behind, front):
    """A packed page is modified, and packed again for those who want that."""
    packed = gzip.compress(json.dumps(page_of(behind.url)).encode())
    behind.add("/search", packed, {**ITEMS, "Content-Encoding": "gzip"})
    got = front.ask("/search", headers={"Accept-Encoding": "br, gzip;q=0.5, zstd"})
    assert got.header("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(got.body))["features"][0]["assets"]["data"]["marked"] == []
    assert behind.seen[-1].header("accept-encoding") == "gzip"
    front.ask("/search")
    assert behind.seen[-1].header("accept-encoding") == "identity"


def test_prefer(behind, front):
    """`prefer` is for the modifier, not for the API; the next page carries it on."""
    page = page_of(behind.url)
    page["links"] = [
        {"rel": "next", "href": f"{behind.url}/search", "method": "POST", "merge": True}
        | {"body": {"token": "t"}, "headers": {"a": "b"}},
        {"rel": "self", "href": f"{behind.url}/search"},
    ]
    behind.add("/search", page, ITEMS)
    got = front.ask("/search?limit=1&prefer=DISK-A%2CDISK-B&x=%2F", "POST", body=b"{}").json()
    assert behind.seen[-1].target == "/v1/search?limit=1&x=%2F"
    assert got["features"][0]["assets"]["data"]["marked"] == ["DISK-A", "DISK-B"]
    assert got["links"] == [
        {**page["links"][0], "href": f"{front.url}/search?prefer=DISK-A,DISK-B"},
        {"rel": "self", "href": f"{front.url}/search"},
    ]
    assert front.ask("/search").json()["features"][0]["assets"]["data"]["marked"] == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_requests_pass(behind, front, method):
    """Method, path, query and body reach the API byte for byte."""
    body = None if method == "GET" else b'{"a": 1.0}'
    target = "/a%2Fb//c%20+%7e/?x=%2f&y&&=z;%C3%A9&a=1&a=2"
    front.ask(target, method, {"Content-Type": "application/json"}, body)
    (seen,) = behind.seen
    assert (seen.method, seen.target, seen.body) == (method, f"/v1{target}", body or b"")


def test_a_body_without_length(behind, front):
    """A body that comes in chunks goes on in chunks."""
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    front.ask("/x", "POST", {"Transfer-Encoding": "chunked"}, chunks, length=False)
    assert behind.seen[-1].body == b"abcde"


def test_headers_of_the_client(behind, front):
    """Credentials go to the API, and what is for others than the API does not."""
    front.ask(
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
    assert {name.lower(): value for name, value in behind.seen[-1].headers} == {
        "host": behind.url.split("/")[2],
        "authorization": "Bearer abc",
        "x-api-key": "def",
        "accept": "application/json",
        "accept-encoding": "identity",
    }


def test_headers_of_the_api(behind, front):
    """What the API says of its connection and its host is not said of this one."""
    behind.add(
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
    got = front.ask("/x")
    assert [value for name, value in got.headers if name.lower() == "x-own"] == ["a", "b"]
    names = {name.lower() for name, _ in got.headers}
    assert names == {
        "x-own",
        "date",
        "content-length",
        "access-control-allow-origin",
        "access-control-expose-headers",
    }
    assert got.header("date")


def test_no_cookies_from_one_client_to_the_next(behind, front):
    """A cookie that the API sets for one client is not sent for another."""
    behind.add("/x", b"x", {"Set-Cookie": "session=abc; Path=/"})
    front.ask("/x")
    front.ask("/x")
    assert [seen.header("cookie") for seen in behind.seen] == [None, None]


@pytest.mark.parametrize(
    ("location", "rewritten"),
    [
        ("{behind}/x/?a=%2F", "{front}/x/?a=%2F"),
        ("/v1/x/", "{front}/x/"),
        ("x/", "x/"),
        ("https://login.example.org/?to={behind}", "https://login.example.org/?to={behind}"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects(behind, front, location, rewritten, status):
    """A redirection is for the client to follow, to this server where it led to the API."""
    behind.add("/x", b"", {"Location": location.format(behind=behind.url)}, status)
    got = front.ask("/x", headers={"Authorization": "Bearer abc"})
    assert got.status == status
    assert got.header("location") == rewritten.format(behind=behind.url, front=front.url)
    assert len(behind.seen) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
def test_errors_pass(behind, front, status):
    """Errors of the API come as it gave them."""
    headers = {"WWW-Authenticate": "Bearer", "Retry-After": "7"}
    behind.add("/search", {"code": "C", "description": "D"}, headers, status)
    got = front.ask("/search")
    assert (got.status, got.json()) == (status, {"code": "C", "description": "D"})
    assert (got.header("www-authenticate"), got.header("retry-after")) == ("Bearer", "7")


@pytest.mark.parametrize("path", ["/search", "/picture"])
def test_head(behind, front, path):
    """HEAD tells what GET would, as far as that is known without the body."""
    behind.add("/search", page_of(behind.url), {"ETag": '"a"'})
    behind.add("/picture", PNG, {"Content-Type": "image/png", "ETag": '"a"'})
    got = front.ask(path, "HEAD")
    assert (got.status, got.body, behind.seen[-1].method) == (200, b"", "HEAD")
    page = path == "/search"
    assert got.header("content-length") == (None if page else str(len(PNG)))
    assert got.header("etag") == (None if page else '"a"')


def test_not_modified(behind, front):
    """A client that has the body already need not get it again."""
    behind.add("/x", b"", {"ETag": '"a"', "Content-Type": "application/json"}, 304)
    got = front.ask("/x", headers={"If-None-Match": 'W/"a"'})
    assert (got.status, got.body, got.header("etag")) == (304, b"", '"a"')
    assert behind.seen[-1].header("if-none-match") == 'W/"a"'


def test_ranges(behind, front):
    """A part of a body passes as it is."""
    headers = {"Content-Type": "application/geo+json", "Content-Range": "bytes 0-9/99"}
    behind.add("/x", b'{"type":"F', headers, 206)
    got = front.ask("/x", headers={"Range": "bytes=0-9"})
    assert (got.status, got.body) == (206, b'{"type":"F')
    assert behind.seen[-1].header("range") == "bytes=0-9"


def test_web_pages_of_other_hosts(behind, front):
    """Where the API says nothing of it, web pages may ask, with credentials in headers too."""
    preflight = {
        "Origin": "https://browser.example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    got = front.ask("/search", "OPTIONS", preflight)
    assert got.status == 204
    assert got.header("access-control-allow-origin") == "*"
    assert got.header("access-control-allow-headers") == "authorization, content-type"
    assert "POST" in str(got.header("access-control-allow-methods"))
    assert got.header("access-control-allow-credentials") is None
    assert front.ask("/search").header("access-control-allow-origin") == "*"
    behind.add("/search", b"", {"Access-Control-Allow-Origin": "https://one.org"})
    assert front.ask("/search", "OPTIONS", preflight).header("access-control-allow-origin") == (
        "https://one.org"
    )
