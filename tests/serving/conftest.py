"""Fixtures of the tests of the served API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.items import make_item

from .proxy import Marking, running_proxy
from .upstream import running_upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.serving.proxy import Proxy
    from tests.serving.upstream import Upstream


@pytest.fixture(scope="session")
def _upstream() -> Iterator[Upstream]:
    with running_upstream() as server:
        yield server


@pytest.fixture(scope="session")
def _proxy(_upstream: Upstream) -> Iterator[Proxy]:
    with running_proxy(_upstream.url, Marking(), cache_s=0) as running:
        yield running


@pytest.fixture
def upstream(_upstream: Upstream) -> Upstream:
    """A server in the place of an API, which answers nothing yet and has seen nothing."""
    _upstream.seen.clear()
    _upstream.answers.clear()
    return _upstream


@pytest.fixture
def proxy(upstream: Upstream, _proxy: Proxy) -> Proxy:  # noqa: ARG001 - which is reset
    """The application in front of it."""
    return _proxy


@pytest.fixture
def make_proxy(upstream: Upstream) -> Callable[..., Any]:
    """Makes the application in front of it with other options; used as a context."""

    def make(modifier: Any = None, **options: Any) -> AbstractContextManager[Any]:
        return running_proxy(upstream.url, modifier or Marking(), **options)

    return make


def page_of(url: str, **fields: Any) -> dict[Any, Any]:
    """A page with one item, as an API at a URL gives it."""
    item_url = f"{url}/collections/c/items/i"
    return {
        "type": "FeatureCollection",
        "features": [
            make_item(
                assets={"data": {"href": f"{item_url}/data.tif"}},
                links=[
                    {"rel": "self", "href": item_url},
                    {"rel": "collection", "href": f"{url}/collections/c"},
                ],
            )
        ],
        "links": [{"rel": "root", "href": f"{url}/"}],
        **fields,
    }
