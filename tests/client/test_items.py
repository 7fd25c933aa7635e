"""Items from whatever holds items."""

from __future__ import annotations

import json
import types
from datetime import datetime, timezone
from functools import partial
from typing import Any

import pystac
import pystac_client
import pytest
from pystac_client import ItemSearch

from stac_client import ConfigurationError, RequestError, UnreachableError
from stac_client._items import iter_items
from tests.items import HREF, make_item

from .origin import Answer

CONFORMS_TO = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/collections",
]


def make_object(name):
    """An item as object."""
    return pystac.Item.from_dict(make_item("c", name))


def make_collection():
    """A collection."""
    extent = pystac.Extent(
        pystac.SpatialExtent([5, 45, 9, 47]), pystac.TemporalExtent([None, None])
    )
    return pystac.Collection("c", "…", extent)


def page(*names, following=None):
    """An answer with a page of items, and the link to the following one."""
    links = [{"rel": "next", "href": following}] if following else []
    body = {
        "type": "FeatureCollection",
        "features": [make_item("c", name) for name in names],
        "links": links,
    }
    return as_json(body)


def as_json(body):
    """An answer in JSON."""
    return Answer(json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def ids(items):
    """The ids of the items that are given."""
    return [each["id"] for each in iter_items(items)]


HOLDERS = {
    "list of dicts": lambda: [make_item("c", "1"), make_item("c", "2")],
    "list of objects": lambda: [make_object("1"), make_object("2")],
    "mixed": lambda: [make_item("c", "1"), make_object("2")],
    "tuple": lambda: (make_item("c", "1"), make_item("c", "2")),
    "generator": lambda: (make_item("c", name) for name in "12"),
    "dict view": {"a": make_item("c", "1"), "b": make_object("2")}.values,
    "item collection": lambda: pystac.ItemCollection([make_object("1"), make_object("2")]),
    "page": lambda: {
        "type": "FeatureCollection",
        "features": [make_item("c", "1"), make_item("c", "2")],
    },
    "page of objects": lambda: {"features": [make_object("1"), make_object("2")]},
    "read-only dicts": lambda: map(
        types.MappingProxyType, [make_item("c", "1"), make_item("c", "2")]
    ),
    "read-only page": lambda: types.MappingProxyType(
        {"features": [make_item("c", "1"), make_item("c", "2")]}
    ),
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
def test_holders_of_items(holder):
    """Whatever holds items gives them in their order, as dicts."""
    found = list(iter_items(holder()))
    assert [each["id"] for each in found] == ["1", "2"]
    assert all(type(each) is dict for each in found)
    assert {each["assets"]["a"]["href"] for each in found} == {HREF}
    assert {each["collection"] for each in found} == {"c"}


@pytest.mark.parametrize("make", [partial(make_item, "c"), make_object])
def test_one_item(make):
    """An item by itself, as object or dict, gives itself."""
    assert ids(make("1")) == ["1"]


@pytest.mark.parametrize(
    "nothing", [[], (), {"features": []}, pystac.ItemCollection([]), make_collection()]
)
def test_nothing(nothing):
    """What holds no items gives none."""
    assert list(iter_items(nothing)) == []


def test_collection_and_the_ones_below():
    """A collection gives its own items and those of the catalogues below it."""
    when = datetime(2025, 6, 1, tzinfo=timezone.utc)
    upper, lower = make_collection(), pystac.Catalog("lower", "…")
    upper.add_child(lower)
    upper.add_item(pystac.Item("1", None, None, when, {}))
    lower.add_item(pystac.Item("2", None, None, when, {}))
    assert ids(upper) == ["1", "2"]


def test_a_dict_is_given_as_it_is():
    """An item as dict is not copied."""
    found = make_item("c", "1")
    assert next(iter_items([found])) is found


def test_an_object_is_given_with_its_own_url():
    """An item as object keeps its own URL and its hrefs, relative ones too, and asks nobody."""
    links = [
        {"rel": "root", "href": "https://nowhere.invalid/"},
        {"rel": "self", "href": "https://data.example.org/c/1.json"},
    ]
    original = make_item("c", "1", links=links, assets={"a": {"href": "./x.tif"}})
    (found,) = iter_items(pystac.Item.from_dict(original))
    assert found["assets"]["a"]["href"] == "./x.tif"
    assert [link["href"] for link in found["links"] if link["rel"] == "self"] == [links[1]["href"]]


# Laziness.


def test_it_does_not_read_ahead():
    """No item is taken before it is asked for."""
    taken = []

    def items():
        for number in range(5):
            taken.append(number)
            yield make_item("c", str(number))

    found = iter_items(items())
    assert taken == []
    next(found)
    next(found)
    assert taken == [0, 1]


def test_items_before_a_wrong_one_are_given():
    """What is no item is an error only when its turn comes."""
    items: list[Any] = [make_item("c", "1"), "nonsense", make_item("c", "2")]
    found = iter_items(items)
    assert next(found)["id"] == "1"
    with pytest.raises(ConfigurationError, match="a str is not a STAC item"):
        next(found)


# What is no item.


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        "https://stac.example.org/search",
        ...,
        [None],
        [5],
        ["x"],
        [[]],
        [make_collection()],
        [pystac.ItemCollection([])],
        {},
        {"type": "FeatureCollection"},
        {"features": None},
        {"features": 5},
        {"features": "x"},
        {"features": {"id": "1"}},
        {"features": [None]},
        make_collection().to_dict(),
        make_item("c", "1", type="feature"),
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_what_is_no_item(wrong):
    """What is no item, and holds none, is named in an error that says what to give."""
    with pytest.raises(
        ConfigurationError, match=r"^a \w+ is not a STAC item; give items"
    ) as caught:
        list(iter_items(wrong))
    assert "\n" not in str(caught.value)


# STAC APIs.


def test_search(origin):
    """A search gives the items of all its pages, asking for each only when it is needed."""
    origin.add("/search", page("1", "2", following=f"{origin.url}/more"))
    origin.add("/more", page("3"))
    found = iter_items(ItemSearch(f"{origin.url}/search", method="GET"))
    assert origin.seen == []
    assert [next(found)["id"], next(found)["id"]] == ["1", "2"]
    assert len(origin.seen) == 1
    assert [each["id"] for each in found] == ["3"]
    assert len(origin.seen) == 2


def test_collection_of_an_api(origin):
    """A collection of an API gives the items that the API has for it."""
    landing = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "api",
        "description": "…",
        "conformsTo": CONFORMS_TO,
        "links": [
            {"rel": "self", "href": f"{origin.url}/"},
            {"rel": "root", "href": f"{origin.url}/"},
            {"rel": "data", "href": f"{origin.url}/collections"},
            {"rel": "search", "href": f"{origin.url}/search", "type": "application/geo+json"},
        ],
    }
    collection = make_collection().to_dict()
    collection["links"] = [
        {"rel": "self", "href": f"{origin.url}/collections/c"},
        {"rel": "root", "href": f"{origin.url}/"},
        {"rel": "items", "href": f"{origin.url}/collections/c/items"},
    ]
    origin.add("/", as_json(landing))
    origin.add("/collections/c", as_json(collection))
    origin.add("/collections/c/items", page("1", "2"))
    origin.add("/search", page("1", "2"))
    found = pystac_client.Client.open(f"{origin.url}/").get_collection("c")
    assert ids(found) == ["1", "2"]


def search_at(url):
    """A search that does not try again."""
    return ItemSearch(url, method="GET", stac_io=pystac_client.stac_api_io.StacApiIO(max_retries=0))


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_an_api_that_refuses(origin, status):
    """An API that answers with an error is told from one that does not answer, in one line."""
    url = origin.add("/search", Answer(b"no such\ncollection", status))
    with pytest.raises(RequestError, match=f"the STAC API answers {status}: no such$"):
        list(iter_items(search_at(url)))


def test_an_api_that_fails_later(origin):
    """The items of the pages before a failure are given."""
    origin.add("/search", page("1", following=f"{origin.url}/more"))
    origin.add("/more", Answer(status=500))
    found = iter_items(search_at(f"{origin.url}/search"))
    assert next(found)["id"] == "1"
    with pytest.raises(RequestError, match="the STAC API answers 500"):
        next(found)


def test_an_api_that_is_not_there(origin):
    """An API that does not answer is named as what it is."""
    url = origin.add("/search", Answer(reset_after=-1))
    with pytest.raises(UnreachableError, match=r"^the STAC API does not answer: "):
        list(iter_items(search_at(url)))


def test_an_api_that_answers_with_a_page(origin):
    """A web page in place of items, as proxies send it, is an error."""
    url = origin.add("/search", Answer(b"<html>Welcome to our network</html>"))
    with pytest.raises(RequestError, match=r"^the STAC catalogue can not be read: "):
        list(iter_items(search_at(url)))


def test_a_catalogue_with_a_missing_item(origin):
    """An item that a static catalogue links to and does not have is an error that names it."""
    url = origin.add("/1.json", Answer(status=404))
    collection = make_collection()
    collection.add_link(pystac.Link("item", url))
    with pytest.raises(RequestError, match=f"can not be read: .*{url}"):
        list(iter_items(collection))
