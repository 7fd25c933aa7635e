"""Redirects to assets: where they lead, and that they lead nowhere else."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import ConfigurationError, UnreachableError
from stac_client._public_urls import location, original_url
from tests.items import make_item

from .proxy import Marking, Untouched

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.proxy import Proxy
    from tests.serving.upstream import Upstream

ITEM = "/collections/c/items/i"
HREF = "https://data.example.org/red.tif"
SECRET = "s3cr3t"  # noqa: S105


def add_item(upstream: Upstream, path: str = ITEM, **hrefs: str) -> None:
    """Let the upstream API have an item with these assets."""
    assets = {key: {"href": href} for key, href in (hrefs or {"red": HREF}).items()}
    upstream.add(path, make_item("c", "i", assets), {"Content-Type": "application/geo+json"})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_original(upstream: Upstream, proxy: Proxy, method: str) -> None:
    """Without a copy it is the item's own URL; the item is asked for, whole, as the user may."""
    add_item(upstream)
    headers = {"Authorization": f"Bearer {SECRET}", "Range": "bytes=0-9", "Accept": "image/*"}
    got = proxy.ask(f"{ITEM}/assets/red?key=k", method, headers)
    assert (got.status, got.header("location")) == (307, HREF)
    assert got.header("cache-control") == "no-store"
    assert got.body == b""
    (seen,) = upstream.seen
    assert (seen.method, seen.target) == ("GET", f"/v1{ITEM}?key=k")
    assert seen.header("authorization") == f"Bearer {SECRET}"
    assert seen.header("range") is None
    assert seen.header("accept") == "application/geo+json, application/json"


def test_a_copy(upstream: Upstream, proxy: Proxy) -> None:
    """What the request prefers decides, and goes no further."""
    add_item(upstream)
    got = proxy.ask(f"{ITEM}/assets/red?prefer=DISK-A,DISK-B")
    assert got.header("location") == "https://copies.example.org/DISK-A+DISK-B"
    assert "prefer" not in upstream.seen[0].target


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("50%", "50%25"),
        ("%2F", "%252F"),
        ("a/b", "a%2Fb"),
        ("a/b", "a/b"),
        ("..", "%2e%2e"),
        ("../../search", "../../search"),
        ("é ü", quote("é ü")),
        ("a/assets/b", "a/assets/b"),
        ("red?x#y", "red%3Fx%23y"),
        (" ", "%20"),
    ],
)
def test_names_of_keys(upstream: Upstream, proxy: Proxy, key: str, sent: str) -> None:
    """A key may be any text; nothing of it goes to the upstream API."""
    add_item(upstream, **{key: HREF})
    assert proxy.ask(f"{ITEM}/assets/{sent}").header("location") == HREF
    assert [seen.target for seen in upstream.seen] == [f"/v1{ITEM}"]


@pytest.mark.parametrize(
    "path",
    ["/collections/c%2Fd/items/50%25", "/collections/.c/items/i..j", "/collections/c/items/i/"],
)
def test_names_of_items(upstream: Upstream, proxy: Proxy, path: str) -> None:
    """Ids go to the upstream API as they came."""
    add_item(upstream, path)
    assert proxy.ask(f"{path}/assets/red").header("location") == HREF


@pytest.mark.parametrize("item", ["..", "%2e%2e", "a/../../b", "%252e%252e"])
def test_paths_that_lead_up(upstream: Upstream, proxy: Proxy, item: str) -> None:
    """No item leads out of the upstream API."""
    assert proxy.ask(f"/collections/c/items/{item}/assets/red").status in {400, 404}
    assert not [seen for seen in upstream.seen if ".." in seen.target]


@pytest.mark.parametrize(
    ("href", "to"),
    [
        (f"{HREF}?sig={SECRET}", f"{HREF}?sig={SECRET}"),
        ("./x/../red.tif", "{api}/collections/c/items/red.tif"),
        ("/data/red.tif", "{host}/data/red.tif"),
        ("https://data.example.org/a b/é.tif#x", "https://data.example.org/a%20b/%C3%A9.tif"),
        ("https://data.example.org/a%20b", "https://data.example.org/a%20b"),
        ("s3://sentinel-cogs/x.tif", "https://sentinel-cogs.s3.us-west-2.amazonaws.com/x.tif"),
    ],
)
def test_hrefs(upstream: Upstream, proxy: Proxy, href: str, to: str) -> None:
    """Relative hrefs start at the item, and those of public buckets become URLs."""
    add_item(upstream, red=href)
    host = upstream.url.removesuffix("/v1")
    got = proxy.ask(f"{ITEM}/assets/red")
    assert got.header("location") == to.format(api=upstream.url, host=host)


@pytest.mark.parametrize(
    "href",
    [
        f"https://user:{SECRET}@data.example.org/red.tif",
        f"https://data.example.org\\@{SECRET}.example.org/red.tif",
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "https://",
        "http:///x",
        "ftp://data.example.org/red.tif",
        "https://data.example.org/" + "x" * 2000,
        "\ud800",
        "",
    ],
)
def test_hrefs_that_are_refused(upstream: Upstream, proxy: Proxy, href: str) -> None:
    """Where an href is no URL that may be passed on, the client is told so, and no secret."""
    add_item(upstream, red=href)
    got = proxy.ask(f"{ITEM}/assets/red")
    assert (got.status, got.json()["code"]) == (404, "NotFound")
    assert "'red'" in got.json()["description"]
    assert SECRET not in got.json()["description"]


def test_an_unknown_asset(upstream: Upstream, proxy: Proxy) -> None:
    """A key that the item has not is answered with those near it."""
    add_item(upstream, red=HREF, nir=HREF)
    got = proxy.ask(f"{ITEM}/assets/reds")
    assert (got.status, got.header("location")) == (404, None)
    assert got.json()["description"].endswith("has no asset 'reds'; near it: red")


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_no_item(upstream: Upstream, proxy: Proxy, status: int) -> None:
    """What the upstream API says to who asks passes, with the way to log in."""
    headers = {"Content-Type": "application/json", "WWW-Authenticate": 'Bearer realm="stac"'}
    upstream.add(ITEM, b'{"code": "x"}', headers, status)
    got = proxy.ask(f"{ITEM}/assets/red")
    assert (got.status, got.body) == (status, b'{"code": "x"}')
    assert got.header("www-authenticate") == 'Bearer realm="stac"'
    got = proxy.ask(f"{ITEM}/assets/red", "HEAD")
    assert (got.status, got.body) == (status, b"")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"type": "FeatureCollection", "features": []}', {"Content-Type": "application/json"}),
        (b"[]", {"Content-Type": "application/json"}),
        (b"{", {"Content-Type": "application/json"}),
        (b"<html>", {"Content-Type": "text/html"}),
        (b"", {"Content-Type": "application/json"}),
    ],
)
def test_what_is_no_item(
    upstream: Upstream, proxy: Proxy, body: bytes, headers: dict[str, str]
) -> None:
    """What is no item leads nowhere."""
    upstream.add(ITEM, body, headers)
    got = proxy.ask(f"{ITEM}/assets/red")
    assert (got.status, got.json()["code"]) == (502, "BadGateway")


def test_an_item_elsewhere(upstream: Upstream, proxy: Proxy) -> None:
    """Where the upstream API has its item elsewhere, that has the asset; other hosts have not."""
    upstream.add(ITEM, b"", {"Location": f"{upstream.url}/collections/d/items/i?x=1"}, 301)
    expected = f"{proxy.url}/collections/d/items/i/assets/a%2Fb?x=1"
    for asked, more in ("", ""), ("?prefer=DISK-B", "&prefer=DISK-B"):
        got = proxy.ask(f"{ITEM}/assets/a%2Fb{asked}")
        assert (got.status, got.header("location")) == (301, expected + more)
    upstream.add(ITEM, b"", {"Location": "https://evil.example.org/collections/c/items/i"}, 302)
    assert proxy.ask(f"{ITEM}/assets/red").status == 502


class Down(Marking):
    """A modifier whose Rucio does not answer."""

    def public_copy(self, item: Any, key: Any) -> str | None:  # noqa: ARG002 - whatever it is
        """Fail."""
        raise UnreachableError("x")


def test_without_rucio(upstream: Upstream, make_proxy: Callable[..., Any]) -> None:
    """Where Rucio does not answer, the original is there, and the answer says so."""
    add_item(upstream)
    with make_proxy(Down()) as proxy:
        got = proxy.ask(f"{ITEM}/assets/red")
    assert (got.status, got.header("location")) == (307, HREF)
    assert got.header("stac-rucio-warning") == "the original: Rucio does not answer"


def test_web_pages(upstream: Upstream, proxy: Proxy, make_proxy: Callable[..., Any]) -> None:
    """Web pages may follow where they may read the item, and ask beforehand, as for that."""
    headers = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}
    upstream.add(ITEM, make_item("c", "i", {"red": {"href": HREF}}), headers)
    assert proxy.ask(f"{ITEM}/assets/red").header("access-control-allow-origin") == "*"
    assert proxy.ask(f"{ITEM}/assets/red", "OPTIONS").header("access-control-allow-origin") == "*"
    assert [(seen.method, seen.target) for seen in upstream.seen][1:] == [("OPTIONS", f"/v1{ITEM}")]
    with make_proxy(allow_origins=["https://viewer.example.org"]) as own:
        got = own.ask(f"{ITEM}/assets/red", headers={"Origin": "https://viewer.example.org"})
    assert got.header("access-control-allow-origin") == "https://viewer.example.org"


def test_what_is_remembered(upstream: Upstream, make_proxy: Callable[..., Any]) -> None:
    """The same request is not looked up twice, and nobody gets what another one may see.

    Neither is what is signed kept, nor what the API wants nobody to.
    """
    path = f"{ITEM}/assets/red"

    def protected(handler: Any) -> None:
        user = handler.headers.get("Authorization") or handler.headers.get("X-API-Key")
        item = make_item("c", "i", {"red": {"href": f"https://data.example.org/{user}.tif"}})
        body = json.dumps(item).encode()
        headers = [("Content-Type", "application/json"), ("Cache-Control", handler.directives)]
        handler.give(body, headers) if user else handler.give(b"", (), 401)

    with make_proxy(Untouched()) as proxy:

        def led_to(method: str = "GET", **headers: str) -> str:
            got = proxy.ask(path, method, headers)
            return str(got.header("location")) if got.status == 307 else str(got.status)

        for directives, times in (("private", 1), ("no-store", 3)):
            upstream.seen.clear()
            upstream.add(ITEM, act=protected)
            upstream.RequestHandlerClass.directives = directives  # type: ignore[attr-defined]
            for _ in range(3):
                for user in ("alice", "bob"):
                    to = f"https://data.example.org/{directives}-{user}.tif"
                    assert led_to(Authorization=f"{directives}-{user}") == to
                    assert (
                        led_to("HEAD", Authorization=f"{directives}-{user}", Range="bytes=1-2")
                        == to
                    )
                assert led_to(**{"X-API-Key": f"{directives}-carol"}).endswith("carol.tif")
                assert led_to() == "401"
                assert led_to(Authorization="") == "401"
            assert len([seen for seen in upstream.seen if "alice" in str(seen)]) == times * (
                1 if times == 1 else 2
            )
        upstream.seen.clear()
        add_item(upstream, red=f"{HREF}?sig={SECRET}")
        for _ in range(2):
            assert led_to(Authorization="dave") == f"{HREF}?sig={SECRET}"
        assert len(upstream.seen) == 2


def test_what_is_counted(upstream: Upstream, make_proxy: Callable[..., Any]) -> None:
    """An operator sees that it serves, and counts of what failed, of no client's choice."""
    add_item(upstream)
    with make_proxy(Down()) as proxy:
        proxy.ask(f"{ITEM}/assets/red?sig={SECRET}")
        proxy.ask(f"{ITEM}/assets/{SECRET}", "HEAD")
        proxy.ask("/none", SECRET)
        upstream.add("/broken", b"", (), 999)
        proxy.ask("/broken")
        health = proxy.ask("/healthz")
        assert (health.status, health.json()) == (200, {"status": "ok"})
        assert proxy.ask("/healthz", "POST").status == 405
        expected = [
            'failures_total{of="api"} 1.0',
            'failures_total{of="rucio"} 1.0',
            'redirects_total{to="original"} 1.0',
            'requests_total{method="-",status="405"} 1.0',
            'requests_total{method="GET",status="307"} 1.0',
            'requests_total{method="GET",status="502"} 1.0',
            'requests_total{method="HEAD",status="404"} 1.0',
        ]
        # A request is counted when it has ended, which may be after its answer.
        until_s = time.monotonic() + 30
        while (found := counted(proxy)) != expected and time.monotonic() < until_s:
            pass
        assert found == expected
        assert b"stac_serve_seconds_total 0." in proxy.ask("/metrics").body
    assert [seen.target for seen in upstream.seen if "healthz" in seen.target] == []


def counted(proxy: Proxy) -> list[str]:
    """What Prometheus reads, but for times."""
    lines = proxy.ask("/metrics").body.decode().splitlines()
    found = [line.removeprefix("stac_serve_") for line in lines if not line.startswith("#")]
    return sorted(line for line in found if not line.startswith("seconds"))


def test_nothing_is_written(upstream: Upstream, proxy: Proxy) -> None:
    """Other methods do not pass."""
    assert proxy.ask(f"{ITEM}/assets/red", "POST", body=b"{}").status == 405
    assert proxy.ask(f"{ITEM}/assets/red", "DELETE").status == 405
    assert not upstream.seen


HREFS = st.text() | st.builds(
    "".join, st.lists(st.sampled_from(["https:", "//", "a.org", "/", "@", "\\", "?", "#", "é\r\n"]))
)


@given(HREFS, st.text())
def test_any_href(href: str, key: str) -> None:
    """A redirect leads to a host over HTTP, in one line of ASCII, or there is none."""
    try:
        url = original_url({"assets": {key: {"href": href}}}, key)
    except ConfigurationError:
        return
    assert url == location(url)
    assert url.startswith(("http://", "https://"))
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
