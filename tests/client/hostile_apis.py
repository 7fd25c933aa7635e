"""STAC APIs whose pages are made to break, hold up, fill or rob whoever reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.items import make_asset, make_item
from tests.serving.upstream import running_upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.serving.upstream import Upstream


SECRET = "S3CRET"  # noqa: S105 - no output may hold it
HEADERS = {"Authorization": f"Bearer {SECRET}", "X-Key": SECRET}
ITEMS = {"Content-Type": "application/geo+json"}
MOST_PAGES = 30


@pytest.fixture
def behind() -> Iterator[Upstream]:
    """An API with a landing page and a search that finds what a test puts there."""
    with running_upstream() as server:
        links = [{"rel": rel, "href": server.url} for rel in ("self", "root")]
        for method in ("POST", "GET"):
            search = {"rel": "search", "href": f"{server.url}/search", "method": method}
            links.append({**search, "type": "application/geo+json"})
        core = "https://api.stacspec.org/v1.0.0"
        landing = {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "x",
            "description": "x",
            "conformsTo": [f"{core}/core", f"{core}/item-search"],
            "links": links,
        }
        server.add("", landing)
        server.answers["/v1/"] = server.answers["/v1"]
        yield server


def page(
    collection: str,
    following: dict[Any, Any] | None = None,
    assets: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[Any, Any]:
    """A page with an item, and perhaps a link to the next one."""
    assets = assets or {"a": make_asset("https://data.example.org/a.tif")}
    made = {"type": "FeatureCollection", "features": [make_item(collection, "i", assets)]}
    links = [{"rel": "next", **following}] if following else []
    return {**made, "links": links, **fields}


def serve(server: Any, body: Any) -> list[int]:
    """Let the search find a page, but not for ever; returns a list that grows with each."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    answered = []

    def act(handler: Any) -> None:
        answered.append(1)
        handler.give(body if len(answered) <= MOST_PAGES else b"{}", ITEMS.items())

    server.add("/search", act=act)
    return answered


LINKS: dict[str, dict[str, Any]] = {
    "a circle": {"href": "{api}/search?page=2"},
    "a circle of POSTs": {"href": "{api}/search", "method": "POST", "body": {"token": "x"}},
    "another method": {"href": "{api}/search", "method": "DELETE"},
    "no method": {"href": "{api}/search", "method": {"a": 1}},
    "no body": {"href": "{api}/search", "method": "POST", "body": 7, "merge": True},
    "no href": {"title": "more"},
    "a number": {"href": 7},
    "a file": {"href": "file:///etc/passwd"},
    "a path": {"href": "/etc/passwd"},
    "metadata": {"href": f"http://169.254.169.254/latest?sig={SECRET}"},
    "nobody": {"href": f"http://user:{SECRET}@127.0.0.1:1/x?sig={SECRET}"},
    "no port": {"href": f"http://user:{SECRET}@127.0.0.1:x/?sig={SECRET}"},
}
PAGES: dict[str, Any] = {
    "no page": [1],
    "null": None,
    "features of no list": {"type": "FeatureCollection", "features": 7, "links": []},
    "features of an object": {"features": {"a": 1}, "links": []},
    "features of no items": {"features": [7, None, [1], "x"], "links": []},
    "links of no list": {"features": [{}], "links": 7},
    "links of nothing": {"features": [{}], "links": None},
    "links of no objects": {"features": [{}], "links": [7]},
    "depth": b'{"features": ' + b"[" * 100_000,
    "no text": b"\xff\xfe\0",
    "not a number": b'{"features": [{"id": NaN}]}',
    "half of a pair": b'{"features": [{"id": "\\ud800"}], "links": []}',
}


def link(server: Upstream, kind: Any) -> dict[Any, Any]:
    """A link of `LINKS` to the next page."""
    return {
        name: value.replace("{api}", server.url) if isinstance(value, str) else value
        for name, value in LINKS[kind].items()
    }
