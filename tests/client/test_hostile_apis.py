"""STAC APIs that are made to break, hold up, fill or rob those who search them."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
from pystac_client import Client, CollectionClient
from pystac_client.stac_api_io import StacApiIO

from stac_client import RequestError, StacRucioError, State
from stac_client import _stac_api as module
from stac_client._assets import select_assets
from stac_client._items import iter_items
from stac_client._stac_api import open_api
from tests.serving.upstream import running_upstream

from .hostile_apis import HEADERS, ITEMS, LINKS, PAGES, SECRET, behind, link, page, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.serving.upstream import Upstream


__all__ = ["behind"]


def theirs(url: Any) -> Client:
    """An API, opened in the way of pystac-client's users."""
    return Client.open(url, stac_io=StacApiIO(headers=HEADERS, max_retries=0, timeout=10))


def ours(url: Any) -> Client:
    """An API, opened in our way."""
    return open_api(url, HEADERS)


def outcomes(api: Any) -> list[Any]:
    """What becomes of what a search finds."""
    return [found for item in iter_items(api.search()) for found in select_assets(item)]


OURS = [(ours, kind) for kind in LINKS]
# What a user's own way to an API sends is the user's.
THEIRS = [(theirs, kind) for kind in LINKS if kind not in {"metadata", "another method"}]


@pytest.mark.parametrize(("opened", "kind"), [*OURS, *THEIRS])
def test_links(behind: Upstream, kind: Any, opened: Any) -> None:
    """A link to a next page that leads nowhere, elsewhere or in circles is an error."""
    answered = serve(behind, page("c", link(behind, kind)))
    with pytest.raises(StacRucioError) as caught:
        outcomes(opened(behind.url))
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(answered) <= 3
    assert {one.method for one in behind.seen} <= {"GET", "POST"}


@pytest.mark.parametrize("opened", [theirs, ours])
@pytest.mark.parametrize("kind", PAGES)
def test_pages(behind: Upstream, kind: str, opened: Callable[..., Any]) -> None:
    """What is no page is an error, and what is no item on it an outcome."""
    serve(behind, PAGES[kind])
    message, states = "", {State.FAILED}
    try:
        states = {outcome.state for outcome in outcomes(opened(behind.url))}
    except StacRucioError as error:
        message = str(error)
    assert "\n" not in message
    assert states == {State.FAILED}


def test_an_api_that_redirects_in_circles(behind: Upstream) -> None:
    """As where one proxy wants a slash at the end, and another takes it away."""
    behind.add("", b"", {"Location": f"{behind.url}/"}, 301)
    behind.add("/", b"", {"Location": behind.url}, 301)
    with pytest.raises(RequestError, match=r"redirects in circles; is the URL right\?") as caught:
        ours(behind.url)
    assert not caught.value.transient


def test_all_pages(behind: Upstream) -> None:
    """Pages are followed to their end, with the user's headers."""
    behind.add("/search", page("c", {"href": f"{behind.url}/2"}))
    behind.add("/2", page("c", {"href": f"{behind.url}/3"}))
    behind.add("/3", page("c"))
    assert len(outcomes(ours(behind.url))) == 3
    assert all(one.header("x-key") == SECRET for one in behind.seen)


def test_an_api_and_its_collections(behind: Upstream) -> None:
    """An API gives all its items, and a collection of it its own, as they are searched for."""
    behind.add("/search", page("c", {"href": f"{behind.url}/2"}))
    behind.add("/2", page("c"))
    links = [{"rel": rel, "href": behind.url} for rel in ("self", "root")]
    extent = {"spatial": {"bbox": [[0, 0, 1, 1]]}, "temporal": {"interval": [[None, None]]}}
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "c",
        "description": "x",
        "license": "x",
        "extent": extent,
        "links": links,
    }
    api = theirs(behind.url)
    assert len(list(iter_items(api))) == 2
    assert behind.seen[-2].method == "POST"
    del behind.seen[:]
    of_api = CollectionClient.from_dict(collection, root=api)
    assert len(list(iter_items(of_api))) == 2
    assert b'"collections": ["c"]' in behind.seen[0].body


@pytest.mark.parametrize("by", ["link", "redirect"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_headers_for_one_origin(behind: Upstream, by: str, host: str) -> None:
    """Headers that are given go to the API's origin, and to no other host or port."""
    with running_upstream() as other:
        elsewhere = other.url.replace("127.0.0.1", host) + "/2"
        other.add("/2", page("c"))
        if by == "link":
            behind.add("/search", page("c", {"href": elsewhere}))
        else:
            behind.add("/search", b"", {"Location": elsewhere}, 303)
        assert outcomes(ours(behind.url))
        (seen,) = other.seen
        assert SECRET not in str(seen.headers)
        assert SECRET in str(behind.seen[-1].headers)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("unit", "told"), [(b" " * 65_536, "bytes"), (b"[]," * 9_000, "values")])
def test_size(
    behind: Upstream, monkeypatch: pytest.MonkeyPatch, packed: bool, unit: bytes, told: str
) -> None:
    """A page that is too large, or has too many values, is not read to its end."""
    monkeypatch.setattr(module, "_PAGE_BYTES", 400_000)
    body = b'{"features": [' + unit * (10 if told == "values" else 1_000)
    coding = {"Content-Encoding": "gzip"} if packed else {}
    behind.add("/search", gzip.compress(body) if packed else body, {**ITEMS, **coding})
    with pytest.raises(StacRucioError, match=f"more than [0-9]+ {told}"):
        outcomes(ours(behind.url))
