"""Fixtures of the tests of the served API."""

from __future__ import annotations

import hypothesis
import pytest

from tests.items import make_item

from .behind import running_behind
from .front import Marking, running_front

hypothesis.settings.register_profile(
    "serving", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("serving")


@pytest.fixture
def behind():
    """A server in the place of an API."""
    with running_behind() as server:
        yield server


@pytest.fixture
def front(behind):
    """The application in front of it."""
    with running_front(behind.url, Marking()) as running:
        yield running


@pytest.fixture
def make_front(behind):
    """Makes the application in front of it with other options; used as a context."""

    def make(modifier=None, **options):
        return running_front(behind.url, modifier or Marking(), **options)

    return make


def page_of(url, **fields):
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
