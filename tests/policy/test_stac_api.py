"""Items of a STAC API: asked for once, under their ids, with the URLs of their assets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from stac_policy.stac_api import _cache
from tests.clock import own_time
from tests.origin import redirect

from .catalogue import HREF, ITEM, ask, fails, item_json, item_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.origin import Origin


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own_time(monkeypatch, "stac_policy.http", sleep=lambda _: None)
    yield
    _cache.cache_clear()


# How often it is asked


def test_item(origin: Origin) -> None:
    """An item gives the href of each asset as it has it, and None for an asset without."""
    assets = {"a": {"href": HREF}, "b": {}, "c": {"href": ""}, "d": 1, "e": {"href": 7}}
    answer = {"id": "i", "assets": assets}
    origin.add(ITEM, json.dumps(answer).encode())
    item = ask(origin)
    assert item.hrefs == {"a": HREF, "b": None, "c": None, "d": None, "e": None}
    assert [item.access[key].url for key in "abcde"] == [HREF, None, None, None, None]


def test_asked_once(origin: Origin) -> None:
    """An item is asked for once."""
    origin.add(ITEM, item_json({"a": HREF}))
    assert ask(origin) is ask(origin)
    assert [request.method for request in origin.seen] == ["GET"]


def test_asked_again_after_the_age_limit(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An item is asked for again when it is older than the limit, and its news are seen."""
    now = 1_000_000.0
    own_time(monkeypatch, "stac_policy.stac_api", time=lambda: now)
    origin.add(ITEM, item_json({"a": HREF}))
    assert "b" not in ask(origin, cache_s=100).hrefs
    now += 99
    ask(origin, cache_s=100)
    assert len(origin.seen) == 1
    origin.add(ITEM, item_json({"b": HREF}))
    now += 1
    assert "b" in ask(origin, cache_s=100).hrefs
    assert len(origin.seen) == 2


@pytest.mark.parametrize("options", [{"cache_s": 0}, {"cache_items": 0}])
def test_no_cache(origin: Origin, options: dict[str, Any]) -> None:
    """With a limit of 0 an item is asked for each time."""
    origin.add(ITEM, item_json({"a": HREF}))
    for _ in range(3):
        ask(origin, **options)
    assert len(origin.seen) == 3


def test_cache_size(origin: Origin) -> None:
    """No more items are kept than the limit says; the one not used for longest goes first."""
    for item in "xyz":
        origin.add(item_path(item=item), item_json({"a": HREF}, item))
    for item in "xyxzxy":
        ask(origin, item, cache_items=2)
    paths = [request.path.rpartition("/")[2] for request in origin.seen]
    assert paths == ["x", "y", "z", "y"]


def test_apis_and_collections_are_told_apart(origin: Origin, other_origin: Origin) -> None:
    """Items with the same id in other collections and APIs are other items."""
    origin.add(ITEM, item_json({"a": HREF}))
    origin.add(item_path("other"), item_json({"b": HREF}))
    other_origin.add(ITEM, item_json({"c": HREF}))
    found = [ask(origin), ask(origin, collection="other"), ask(origin, api=other_origin.url)]
    assert [list(item.hrefs) for item in found] == [["a"], ["b"], ["c"]]


def test_failures_are_kept_for_a_minute(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that was missing is asked for again, but not for each of its assets."""
    now = 1_000_020.0
    own_time(monkeypatch, "stac_policy.stac_api", time=lambda: now)
    assert fails(origin) == fails(origin) == f"{origin.url}{ITEM}: HTTP 404"
    assert len(origin.seen) == 1
    origin.add(ITEM, item_json({"a": HREF}))
    now += 60
    assert ask(origin).hrefs == {"a": HREF}


# What it is asked for


@pytest.mark.parametrize(
    ("given", "quoted"),
    [
        ("S2B_20EPT-0_L2A.v1~", "S2B_20EPT-0_L2A.v1~"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        ("a b+c", "a%20b%2Bc"),
        ("psscene-vis-clip: PSScene", "psscene-vis-clip%3A%20PSScene"),
        ("é\N{PILE OF POO}", "%C3%A9%F0%9F%92%A9"),
        ("x?y=1&z#w", "x%3Fy%3D1%26z%23w"),
        ("../../admin", "..%2F..%2Fadmin"),
        ("\ud800", "%ED%A0%80"),
        ("a\r\nHost: b", "a%0D%0AHost%3A%20b"),
    ],
)
def test_ids_are_quoted(origin: Origin, given: str, quoted: str) -> None:
    """Ids are quoted as one segment each of the path."""
    origin.add(f"/v1/collections/{quoted}/items/{quoted}", item_json({"a": HREF}, given))
    assert ask(origin, given, given, api=f"{origin.url}/v1").hrefs == {"a": HREF}


@pytest.mark.parametrize(
    ("collection", "item"), [("c", "."), ("c", ".."), ("..", "i"), ("..", "..")]
)
def test_ids_of_dots(origin: Origin, collection: str, item: str) -> None:
    """No id, not even `..`, gets anything but the item of that id."""
    for path in ("/", "/items", "/items/", "/items/i", "/collections/c/", "/collections/c/items/"):
        origin.add(path, item_json({"a": HREF}, "c"))
    assert fails(origin, item, collection)


# Relative hrefs


def with_self(href: str | None, rel: str = "self") -> dict[Any, Any]:
    """Give the fields of an item with one link."""
    return {"links": [7, {"rel": "root", "href": "/"}, {"rel": rel, "href": href}]}


@pytest.mark.parametrize(
    ("href", "fields", "url"),
    [
        ("B04.tif", {}, "{api}/v1/collections/c/items/B04.tif"),
        ("./B04.tif?x=1", {}, "{api}/v1/collections/c/items/B04.tif?x=1"),
        ("/data/B04.tif", {}, "{api}/data/B04.tif"),
        ("//cdn.example.org/B04.tif", {}, "http://cdn.example.org/B04.tif"),
        ("B04.tif", {"links": None}, "{api}/v1/collections/c/items/B04.tif"),
        ("B04.tif", with_self("https://x.org/"), "https://x.org/B04.tif"),
        ("../B04.tif", with_self("https://x.org/a/b/i.json?z=1"), "https://x.org/a/B04.tif"),
        ("B04.tif", with_self("/s/i.json"), "{api}/s/B04.tif"),
        ("B04.tif", with_self(None), "{api}/v1/collections/c/items/B04.tif"),
        ("B04.tif", with_self("http://["), "{api}/v1/collections/c/items/B04.tif"),
        (
            "B04.tif",
            with_self("https://x.org/", rel="item"),
            "{api}/v1/collections/c/items/B04.tif",
        ),
        (
            "https://x.org/a/../b//c.tif?",
            with_self("https://y.org/"),
            "https://x.org/a/../b//c.tif?",
        ),
        ("s3://usgs-lidar-public/a", {}, "https://usgs-lidar-public.s3.us-west-2.amazonaws.com/a"),
        ("http://[", {}, None),
    ],
)
def test_urls(origin: Origin, href: str, fields: dict[Any, Any], url: str | None) -> None:
    """A relative href belongs to the item's own URL, or else to the one that was asked."""
    origin.add("/v1" + ITEM, item_json({"a": href}, **fields))
    found = ask(origin, api=f"{origin.url}/v1").access["a"].url
    assert found == (url and url.format(api=origin.url))


def test_relative_to_where_a_redirect_led(origin: Origin) -> None:
    """Without a self link, a relative href belongs to the URL that redirects led to."""
    origin.add("/else/where?sig=1", item_json({"a": "B04.tif"}))
    origin.add(ITEM, b"", redirect("/else/where?sig=1"))
    assert ask(origin).access["a"].url == f"{origin.url}/else/B04.tif"
