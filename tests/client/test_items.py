"""Items from whatever holds items."""

from __future__ import annotations

import io
import json
import types
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pystac
import pystac_client
import pytest
from pystac_client import ItemSearch
from pystac_client.stac_api_io import StacApiIO

from stac_client import (
    AccessError,
    ConfigurationError,
    ItemsWarning,
    RequestError,
    UnreachableError,
)
from stac_client._assets import select_assets
from stac_client._items import iter_items
from stac_client._results import Outcome, State
from stac_client._stac_api import ApiIO
from stac_policy.urls import link_href
from tests.items import HREF, make_item
from tests.origin import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.origin import Origin


CONFORMS_TO = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/collections",
]


def make_object(name: Any) -> pystac.Item:
    """An item as object."""
    return pystac.Item.from_dict(make_item("c", name))


def make_collection() -> pystac.Collection:
    """A collection."""
    extent = pystac.Extent(
        pystac.SpatialExtent([5, 45, 9, 47]), pystac.TemporalExtent([None, None])
    )
    return pystac.Collection("c", "…", extent)


def as_stream(value: Any) -> io.BytesIO:
    """A stream of JSON."""
    return io.BytesIO(json.dumps(value).encode())


def page(*names: Any, following: Any = None, **fields: Any) -> Answer:
    """An answer with a page of items, and the link to the following one."""
    links = [{"rel": "next", "href": following}] if following else []
    body = {
        "type": "FeatureCollection",
        "features": [make_item("c", name) for name in names],
        "links": links,
        **fields,
    }
    return as_json(body)


def as_json(body: dict[Any, Any]) -> Answer:
    """An answer in JSON."""
    return Answer(json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def ids(items: Any) -> list[Any]:
    """The ids of the items that are given."""
    return [each.get("id") for each in iter_items(items)]


HOLDERS: dict[str, Callable[[], Any]] = {
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
def test_holders_of_items(holder: Callable[[], Any]) -> None:
    """Whatever holds items gives them in their order, as dicts."""
    found = list(iter_items(holder()))
    assert [each["id"] for each in found] == ["1", "2"]
    assert all(type(each) is dict for each in found)
    assert {each["assets"]["a"]["href"] for each in found} == {HREF}
    assert {each["collection"] for each in found} == {"c"}


@pytest.mark.parametrize("make", [partial(make_item, "c"), make_object])
def test_one_item(make: partial[dict[str, Any]] | Callable[..., Any]) -> None:
    """An item by itself, as object or dict, gives itself."""
    assert ids(make("1")) == ["1"]


@pytest.mark.parametrize(
    "nothing", [[], (), {"features": []}, pystac.ItemCollection([]), make_collection()]
)
def test_nothing(nothing: Any) -> None:
    """What holds no items gives none."""
    assert list(iter_items(nothing)) == []


def test_collection_and_the_ones_below() -> None:
    """A collection gives its own items and those of the catalogues below it."""
    when = datetime(2025, 6, 1, tzinfo=timezone.utc)
    upper, lower = make_collection(), pystac.Catalog("lower", "…")
    upper.add_child(lower)
    upper.add_item(pystac.Item("1", None, None, when, {}))
    lower.add_item(pystac.Item("2", None, None, when, {}))
    assert ids(upper) == ["1", "2"]


def test_a_dict_is_given_as_it_is() -> None:
    """An item as dict is not copied."""
    found = make_item("c", "1")
    assert next(iter_items([found])) is found


def test_an_object_is_given_with_its_own_url() -> None:
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


def test_it_does_not_read_ahead() -> None:
    """No item is taken before it is asked for."""
    taken = []

    def items() -> Iterator[dict[str, Any]]:
        for number in range(5):
            taken.append(number)
            yield make_item("c", str(number))

    found = iter_items(items())
    assert taken == []
    next(found)
    next(found)
    assert taken == [0, 1]


def test_items_before_a_wrong_one_are_given() -> None:
    """What holds no items is an error only when its turn comes."""
    found = iter_items([make_item("c", "1"), 5, make_item("c", "2")])
    assert next(found)["id"] == "1"
    with pytest.raises(
        ConfigurationError, match="a value of type int is neither a STAC item nor holds any"
    ):
        next(found)


def test_holders_in_holders() -> None:
    """Whatever holds items may be one of several."""
    pages = [{"features": [make_item("c", "1")]}, [make_object("2")], (), pystac.ItemCollection([])]
    assert ids([*pages, make_collection(), make_item("c", "3")]) == ["1", "2", "3"]


# What is no item.


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        5,
        ...,
        b"x.json",
        [5],
        {},
        {"type": "FeatureCollection"},
        {"features": None},
        {"features": 5},
        {"features": "x"},
        {"features": {"id": "1"}},
        [{"features": "x"}],
        make_item("c", "1", type="feature"),
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_what_is_no_item(wrong: Any) -> None:
    """What is no item, and holds none, is named in an error that says what to give."""
    with pytest.raises(
        ConfigurationError,
        match=r"^a (value of type \w+|page) is neither a STAC item nor holds any; give items",
    ) as caught:
        list(iter_items(wrong))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "odd", [None, 7, "/etc/passwd", {"id": "x", "assets": {}}, {"type": ["Catalog"]}, []]
)
def test_among_items(odd: Any) -> None:
    """What is no item among those of a page is one outcome, and never a path."""
    found = list(iter_items({"features": [make_item("c", "1"), odd, make_item("c", "2")]}))
    outcomes = [list(select_assets(each)) for each in found]
    assert [each.key for (each,) in (outcomes[0], outcomes[-1])] == ["a", "a"]
    for (outcome,) in outcomes[1:-1]:
        assert isinstance(outcome, Outcome)
        assert (outcome.state, outcome.key) == (State.FAILED, "")
        assert "not a STAC item" in outcome.reason
    assert len(found) == (2 if odd == [] else 3)


def test_none_among_items() -> None:
    """Nor does None among items as objects end anything."""
    assert [each.get("id") for each in iter_items([None, make_object("1"), None])] == [
        None,
        "1",
        None,
    ]


# Files.


@pytest.mark.parametrize("as_path", [str, Path])
@pytest.mark.parametrize("several", [False, True])
def test_files(tmp_path: Path, as_path: Any, *, several: bool) -> None:
    """The path of a file, as text too, gives the items of the file, and so do several."""
    file = tmp_path / "items.json"
    file.write_text(json.dumps([make_item("c", "1"), make_item("c", "2")]))
    path = as_path(file)
    assert ids([path, path] if several else path) == ["1", "2"] * (1 + several)


def test_open_files(tmp_path: Path) -> None:
    """An open file gives its items, and stays open."""
    file = tmp_path / "items.ndjson"
    file.write_text("".join(f"{json.dumps(make_item('c', name))}\n" for name in "12"))
    with file.open("rb") as opened:
        assert ids(opened) == ["1", "2"]
        assert not opened.closed
    with file.open(encoding="utf-8") as opened:
        assert ids(opened) == ["1", "2"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"{", "neither JSON"),
        (b"", None),
        (b'{"a": 1}\n{', "line 2: neither JSON"),
        (b"PAR1", "not stac-geoparquet"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"features":\n' + b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1}\n{"a": ' + b"[" * 100_000, "line 2: nested too deeply"),
    ],
)
def test_files_that_hold_none(tmp_path: Path, content: bytes | None, said: str | None) -> None:
    """What is wrong with a file is said with its name."""
    path = tmp_path / "x"
    if content is not None:
        path.write_bytes(content)
    if said is None:
        assert ids(path) == []
    else:
        with pytest.raises(ConfigurationError, match=f"{path}.*{said}"):
            ids(path)


# Static catalogues.


def as_static(folder: Path) -> Path:
    """A catalogue on disk with two items, one of them below a collection."""
    when = datetime(2025, 6, 1, tzinfo=timezone.utc)
    upper, lower = pystac.Catalog("upper", "…"), make_collection()
    for catalogue, name in ((upper, "1"), (lower, "2")):
        made = pystac.Item(name, None, None, when, {})
        made.add_asset("a", pystac.Asset("./x.tif"))
        catalogue.add_item(made)
    upper.add_child(lower)
    upper.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)
    return folder / "catalog.json"


def test_static_catalogues(tmp_path: Path) -> None:
    """A catalogue gives the same items by its path and as object, each with its own URL."""
    path = as_static(tmp_path)
    opened = pystac.Catalog.from_file(str(path))
    found = [list(iter_items(each)) for each in (path, [str(path)], opened)]
    for items in found:
        assert [each["id"] for each in items] == ["1", "2"]
        assert [link_href(each) for each in items] == [
            str(tmp_path / "1" / "1.json"),
            str(tmp_path / "c" / "2" / "2.json"),
        ]


def test_catalogues_in_circles(tmp_path: Path) -> None:
    """A walk that comes back to where it was ends, in files and in memory."""
    path = as_static(tmp_path)
    lower = tmp_path / "c" / "collection.json"
    content = json.loads(lower.read_text())
    content["links"] += [{"rel": "child", "href": href} for href in ("../catalog.json", "./")]
    content["links"][-1]["href"] = "./collection.json"
    lower.write_text(json.dumps(content))
    assert ids(path) == ids(pystac.Catalog.from_file(str(path))) == ["1", "2"]
    one, two = pystac.Catalog("one", "…"), pystac.Catalog("two", "…")
    one.add_child(two)
    two.add_link(pystac.Link("child", one))
    one.add_item(pystac.Item("1", None, None, datetime(2025, 6, 1, tzinfo=timezone.utc), {}))
    assert ids(one) == ["1"]


def test_catalogues_without_end(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue that has always another one below it, and no item, is given up."""
    monkeypatch.setattr("stac_client._items.MOST_EMPTY", 5)
    for number in range(10):
        child = {"rel": "child", "href": f"./{number + 1}"}
        origin.add(f"/{number}", as_json({"type": "Catalog", "links": [child]}))
    with pytest.raises(RequestError, match="5 catalogues without an item"):
        ids(f"{origin.url}/0")
    assert len(origin.seen) <= 7


@pytest.mark.parametrize("href", ["file:///etc/passwd", "/etc/passwd", "s3://b/k", 7])
@pytest.mark.parametrize("kind", ["item", "child", "items"])
def test_catalogues_that_lead_astray(origin: Origin, kind: str, href: str | int) -> None:
    """A catalogue from elsewhere leads to no file of this machine."""
    links = [{"rel": kind, "href": href}]
    origin.add("/c.json", as_json({"type": "Catalog", "links": links}))
    with pytest.raises((RequestError, UnreachableError), match=r"^the STAC API http"):
        ids(f"{origin.url}/c.json")


@pytest.mark.parametrize("base", [None, "/etc/catalog.json", 7])
@pytest.mark.parametrize("href", ["/etc/passwd", "./passwd", "file:///etc/passwd"])
@pytest.mark.parametrize("hold", [lambda held: held, lambda held: [held], as_stream])
def test_catalogues_from_nowhere(hold: Callable[..., Any], href: str, base: Any) -> None:
    """Nor does one that is no file of this machine itself, whatever it says of itself."""
    links = [{"rel": "item", "href": href}, {"rel": "self", "href": base}]
    catalogue = {"type": "Catalog", "links": links[: 1 if base is None else 2]}
    with pytest.raises(RequestError, match="the STAC catalogue gives no STAC: a link to"):
        ids(hold(catalogue))


@pytest.mark.parametrize("odd", [None, 7, "x", [7], [None]])
def test_odd_catalogues(origin: Origin, odd: Any) -> None:
    """A catalogue or an item of odd links is an error, or its links are left out."""
    origin.add("/c.json", as_json({"type": "Catalog", "links": odd}))
    with pytest.raises(RequestError, match="gives no STAC"):
        ids(f"{origin.url}/c.json")
    origin.add("/c.json", as_json({"type": "Catalog", "links": [{"rel": "item", "href": "i"}]}))
    origin.add("/i", as_json(make_item("c", "1", links=odd)))
    assert ids(f"{origin.url}/c.json") == ["1"]


# STAC APIs.


def test_search(origin: Origin) -> None:
    """A search gives the items of all its pages, asking for each only when it is needed."""
    origin.add("/search", page("1", "2", following=f"{origin.url}/more"))
    origin.add("/more", page("3"))
    found = iter_items(ItemSearch(f"{origin.url}/search", method="GET"))
    assert origin.seen == []
    assert [next(found)["id"], next(found)["id"]] == ["1", "2"]
    assert len(origin.seen) == 1
    assert [each["id"] for each in found] == ["3"]
    assert len(origin.seen) == 2


def test_collection_of_an_api(origin: Origin) -> None:
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


def test_collection_file_of_an_api(origin: Origin) -> None:
    """A collection that plain pystac reads from an API gives the pages of its items."""
    collection = make_collection().to_dict()
    collection["links"] = [{"rel": "items", "href": "./c/items"}]
    url = origin.add("/collections/c", as_json(collection))
    origin.add("/collections/c/items", page("1", following=f"{origin.url}/more"))
    origin.add("/more", page("2"))
    assert ids(pystac.Collection.from_file(url)) == ids(url) == ["1", "2"]
    assert ids(collection | {"links": [{"rel": "items", "href": f"{url}/items"}]}) == ["1", "2"]


def search_at(url: Any) -> ItemSearch:
    """A search that does not try again."""
    return ItemSearch(url, method="GET", stac_io=StacApiIO(max_retries=0))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 501, 503])
def test_an_api_that_refuses(origin: Origin, status: int) -> None:
    """An API that answers with an error is told from one that does not answer, in one line."""
    url = origin.add("/search", Answer(b"no such\ncollection", status))
    kind = AccessError if status in {401, 403} else RequestError
    ends = {401: "; it wants credentials", 403: "; it wants credentials", 404: "; is the URL right"}
    said = f"^the STAC API {url} answers {status}{ends.get(status, ': no such$')}"
    with pytest.raises(kind, match=said) as caught:
        list(iter_items(search_at(url)))
    assert caught.value.transient == (status == 503)


def test_an_api_that_fails_later(origin: Origin) -> None:
    """The items of the pages before a failure are given."""
    origin.add("/search", page("1", following=f"{origin.url}/more"))
    origin.add("/more", Answer(status=500))
    found = iter_items(search_at(f"{origin.url}/search"))
    assert next(found)["id"] == "1"
    with pytest.raises(RequestError, match=f"the STAC API {origin.url}/search answers 500"):
        next(found)


def test_an_api_that_is_not_there(origin: Origin) -> None:
    """An API that does not answer is named as what it is."""
    url = origin.add("/search", Answer(reset_after=-1))
    with pytest.raises(UnreachableError, match=f"^the STAC API {url} does not answer: "):
        list(iter_items(search_at(url)))


def test_an_api_that_answers_with_a_page(origin: Origin) -> None:
    """A web page in place of items, as proxies send it, is an error."""
    url = origin.add("/search", Answer(b"<html>Welcome to our network</html>"))
    with pytest.raises(RequestError, match=f"^the STAC API {url} gives no STAC: "):
        list(iter_items(search_at(url)))


def test_pages_of_another_reader(origin: Origin) -> None:
    """What makes the items, such as a search's own iterator, may fail as an API does."""
    url = origin.add("/search", Answer(status=500))
    with pytest.raises(RequestError, match=r"^the STAC API answers 500"):
        list(iter_items(search_at(url).items()))


def test_a_catalogue_with_a_missing_item(origin: Origin) -> None:
    """An item that a static catalogue links to and does not have is an error that names it."""
    url = origin.add("/1.json", Answer(status=404))
    collection = make_collection()
    collection.add_link(pystac.Link("item", url))
    with pytest.raises(RequestError, match=f"{url} answers 404"):
        list(iter_items(collection))


# Pages, with a user's own way to the API and with ours.


@pytest.fixture(params=["user's", "ours"])
def search(request: pytest.FixtureRequest, origin: Origin) -> Callable[..., ItemSearch]:
    """Makes a search of the API, whose pages a test adds."""
    reader = StacApiIO(max_retries=0) if request.param == "user's" else ApiIO()
    return lambda **options: ItemSearch(
        f"{origin.url}/search", method="GET", stac_io=reader, **options
    )


def test_empty_pages(origin: Origin, search: Callable[..., ItemSearch]) -> None:
    """A page without items does not end a search that goes on after it."""
    origin.add("/search", page("1", "2", following=f"{origin.url}/2"))
    origin.add("/2", page(following=f"{origin.url}/3"))
    origin.add("/3", page("3", "4", following=f"{origin.url}/4"))
    origin.add("/4", page())
    assert ids(search()) == ["1", "2", "3", "4"]
    assert ids(search(max_items=3)) == ["1", "2", "3"]
    assert ids(search(modifier=lambda page: page["features"].reverse())) == ["2", "1", "4", "3"]


@pytest.mark.parametrize("said", [{"numberMatched": 4}, {"context": {"matched": 4}}])
def test_fewer_items_than_found(
    origin: Origin, search: Callable[..., ItemSearch], said: dict[str, Any]
) -> None:
    """That the API counts more items than it gives is said, unless no more are wanted."""
    origin.add("/search", page("1", "2", following=f"{origin.url}/2", **said))
    origin.add("/2", page("3"))
    with pytest.warns(ItemsWarning, match=f"STAC API {origin.url}/search gave 3 of the 4 items"):
        assert ids(search()) == ["1", "2", "3"]
    with pytest.warns(ItemsWarning, match="gave 3 of the 4 items"):
        assert ids(search(max_items=4)) == ["1", "2", "3"]
    assert ids(search(max_items=3)) == ["1", "2", "3"]


@pytest.mark.parametrize("names", ["12", ""])
def test_pages_in_circles(origin: Origin, search: Callable[..., ItemSearch], names: str) -> None:
    """A page that leads to itself, with items or without, is an error."""
    origin.add("/search", page(*names, following=f"{origin.url}/search"))
    with pytest.raises(RequestError, match="pages that lead in circles"):
        ids(search())
    assert len(origin.seen) == 2


def test_pages_without_end(
    origin: Origin, search: Callable[..., ItemSearch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API that has always another page without items is given up."""
    monkeypatch.setattr("stac_client._stac_api.MOST_EMPTY", 5)
    for number in range(10):
        path = f"/{number}" if number else "/search"
        origin.add(path, page(following=f"{origin.url}/{number + 1}"))
    with pytest.raises(RequestError, match="more than 5 empty pages"):
        ids(search())


def test_items_of_no_page(origin: Origin, search: Callable[..., ItemSearch]) -> None:
    """Features that are no list are an error, and items that are none are outcomes."""
    origin.add("/search", as_json({"features": {"a": 1}, "links": []}))
    with pytest.raises(RequestError, match="features are no list"):
        ids(search())
    origin.add("/search", as_json({"features": [7, None, make_item("c", "1")], "links": []}))
    assert [each.get("id") for each in iter_items(search())] == [None, None, "1"]
