"""Collections and places of items that do not say them themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import ConfigurationError, ItemsWarning, ModifierOptions, StacClient
from stac_client._assets import Asset, select_assets
from stac_client._item_completion import Completion
from stac_client._items import iter_items
from stac_client._modifier import Modifier
from tests.clock import own_time
from tests.fake_rucio import FakeRucio
from tests.items import make_item
from tests.origin import raw, status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.origin import Origin

API = "https://stac.example.org/v1"
COLLECTION = {"type": "Collection", "id": "alps", "stac_version": "1.0.0", "extent": {}}
ASSETS = {"B04": {"href": "./B04.tif", "roles": ["data"]}}


def nameless(*links: tuple[str, str], **fields: Any) -> dict[str, Any]:
    """Return an item without a collection, with links."""
    made = [{"rel": rel, "href": href} for rel, href in links]
    assets = {"B04": {"href": "https://data.example.org/B04.tif", "roles": ["data"]}}
    return {**make_item(None, "i", assets, links=made), **fields}


def found_in(item: Any, **options: Any) -> Any:
    """Return the name of the only asset of items, or the reason why it has none."""
    (found,) = (
        asset for each in iter_items(item, Completion(**options)) for asset in select_assets(each)
    )
    return str(found.did) if isinstance(found, Asset) else found.reason


def url_in(items: Any, **options: Any) -> Any:
    """Return the URL of the only asset of items, or the reason why it has none."""
    (found,) = (
        asset for each in iter_items(items, Completion(**options)) for asset in select_assets(each)
    )
    return found.url if isinstance(found, Asset) else found.reason


def written(folder: Path, name: str, document: Any, *, indent: int | None = None) -> Path:
    """Write a document, and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=indent))
    return path


# Collections.


@pytest.mark.parametrize(
    "link",
    [
        ("collection", f"{API}/collections/alps"),
        ("collection", f"{API}/collections/alps/"),
        ("collection", f"{API}/collections/alps?f=json"),
        ("parent", f"{API}/collections/alps"),
        ("collection", "../collections/alps"),
        ("collection", "/collections/al%70s"),
    ],
)
def test_the_link_of_an_api_says_the_collection(link: tuple[str, str]) -> None:
    """Nobody is asked for it."""
    assert found_in(nameless(link), offline=True) == "alps:/alps/i/B04.tif"


def test_properties_say_the_collection() -> None:
    """They do where the field is empty, and before the one that the user gives."""
    item = nameless(collection="", properties={"collection": "alps"})
    assert found_in(item) == found_in(item, collection="x") == "alps:/alps/i/B04.tif"


@pytest.mark.parametrize(
    "fields",
    [
        {"title": "alps"},
        {"properties": {"collection": 7, "title": "alps"}},
        {"properties": {"collection": ["alps"]}},
        {"properties": None},
        {"links": None},
        {"links": [{"rel": "parent", "href": "https://h/alps.json", "title": "alps"}]},
        {"links": [{"rel": "root", "href": f"{API}/collections/alps"}]},
        {"links": [{"rel": "collection"}, 7]},
        {"links": [{"rel": "collection", "href": "../alps/collection.json"}]},
        {"links": [{"rel": "collection", "href": "/alps/collection.json"}]},
        {"links": [{"rel": "collection", "href": "file:///alps/collection.json"}]},
        {"links": [{"rel": "collection", "href": "s3://b/alps/collection.json"}]},
    ],
)
def test_nothing_is_guessed(fields: dict[str, Any]) -> None:
    """A title or a file's name is no collection; then the one is taken that the user gives."""
    item = {**nameless(), **fields}
    assert "belongs to no collection" in found_in(item)
    assert "--collection" in found_in(item)
    assert found_in(item, collection="x") == "x:/x/i/B04.tif"


def test_the_field_rules() -> None:
    """The item's own field is what the specification has for it; nothing else is looked at."""
    item = nameless(("collection", f"{API}/collections/pyrenees"), collection="alps")
    item["properties"]["collection"] = "carpathians"
    assert found_in(item, collection="x") == "alps:/alps/i/B04.tif"


def test_contradictions_are_refused() -> None:
    """Where two places differ, both are named, and nothing is chosen."""
    item = nameless(("collection", f"{API}/collections/pyrenees"))
    item["properties"]["collection"] = "alps"
    for reason in (found_in(item), found_in(item, collection="alps")):
        assert reason == (
            "the item's collection is not clear: its collection link says 'pyrenees', "
            "its properties.collection says 'alps'"
        )


def test_the_document_of_the_link(origin: Origin) -> None:
    """The id in it is taken, by one request for all items, now and later."""
    url = origin.add("/alpine/collection.json", json.dumps(COLLECTION).encode())
    items = [nameless(("collection", url)), nameless(("collection", url), id="j")]
    completion = Completion()
    for _ in range(2):
        assert [item["collection"] for item in iter_items(items, completion)] == ["alps"] * 2
    assert origin.methods == ["GET"]
    assert items[0].get("collection") is None
    relative = nameless(
        ("self", f"{origin.url}/alpine/i/i.json"), ("collection", "../collection.json")
    )
    assert found_in(relative) == "alps:/alps/i/B04.tif"
    placeless = nameless(("collection", "../collection.json"))
    assert found_in(placeless, base_url=f"{origin.url}/alpine/i") == "alps:/alps/i/B04.tif"


def test_offline_no_document_is_asked_for(origin: Origin) -> None:
    """The reason says which link was not followed; what was read before is known."""
    url = origin.add("/collection.json", json.dumps(COLLECTION).encode())
    item = nameless(("collection", f"{url}?token=s3cr3t"))
    reason = found_in(item, offline=True)
    assert f"its collection link {url} was not followed" in reason
    assert found_in(item, offline=True, collection="x") == "x:/x/i/B04.tif"
    assert origin.seen == []


def test_documents_contradict_properties(origin: Origin) -> None:
    """As links do."""
    url = origin.add("/collection.json", json.dumps(COLLECTION).encode())
    item = nameless(("collection", url), properties={"collection": "pyrenees"})
    assert "collection link says 'alps', its properties.collection says 'p" in found_in(item)


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        b"7",
        b"[" * 100_000,
        b'{"type": "Catalog", "id": "alps"}',
        b'{"type": "Feature", "id": "alps"}',
        b'{"type": "Collection", "id": 7}',
        b'{"type": "Collection", "id": ""}',
        b'{"type": "Collection"}',
        b'{"id": "alps"}',
    ],
)
def test_what_is_no_collection(origin: Origin, document: bytes) -> None:
    """It says nothing; each link is followed once, and again in the next reading."""
    url = origin.add("/alps.json", document)
    completion = Completion()
    for times in (1, 2):
        items = [*iter_items([nameless(("collection", url))] * 3, completion)]
        assert [item.get("collection") for item in items] == [None] * 3
        assert len(origin.seen) == times
    (outcome,) = select_assets(items[0])
    assert not isinstance(outcome, Asset)
    assert f"its collection link {url}: " in outcome.reason
    assert found_in(nameless(("collection", url)), collection="x") == "x:/x/i/B04.tif"


def test_a_dead_link(origin: Origin) -> None:
    """The reason has it, without secrets."""
    origin.add("/alps.json", status(403))
    reason = found_in(nameless(("collection", f"{origin.url}/alps.json?token=s3cr3t")))
    assert "403" in reason
    assert "s3cr3t" not in reason
    metadata = "http://169.254.169.254/collection.json"
    assert metadata in found_in(nameless(("collection", metadata)))


def test_a_host_that_gives_nothing(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds nobody up for ever: after three documents it is asked no more, until next time."""
    own_time(monkeypatch, "stac_policy.http", sleep=lambda _: None)
    for number in range(10):
        origin.add(f"/{number}.json", status(503))
    items = [nameless(("collection", f"{origin.url}/{number}.json")) for number in range(10)]
    completion = Completion()
    (*_, last) = iter_items(items, completion)
    assert {request.path for request in origin.seen} == {"/0.json", "/1.json", "/2.json"}
    (outcome,) = select_assets(last)
    assert not isinstance(outcome, Asset)
    assert "/9.json: its host is not asked any more" in outcome.reason
    origin.add("/9.json", json.dumps(COLLECTION).encode())
    assert [item["collection"] for item in iter_items(items[9:], completion)] == ["alps"]


def test_a_host_that_has_no_end(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one whose documents come slowly, whoever their URLs name as a user."""
    monkeypatch.setattr("stac_client._item_completion._DOCUMENT_S", 0.2)
    monkeypatch.setattr("stac_client._item_completion._SLOW_S", 0.1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n"
    items = []
    for number in range(10):
        url = origin.add(f"/{number}.json", raw(head, b" " * 8192, pause_s=0.01))
        items.append(nameless(("collection", url.replace("://", f"://user{number}@"))))
    (*_, last) = iter_items(items, Completion())
    assert len(origin.seen) == 3
    (outcome,) = select_assets(last)
    assert not isinstance(outcome, Asset)
    assert "its host is not asked any more" in outcome.reason


@pytest.mark.parametrize("indent", [None, 1])
def test_a_collection_beside_an_item_in_a_file(tmp_path: Path, indent: int | None) -> None:
    """It is read from there, and for an item alone: many in a file come from anywhere."""
    written(tmp_path, "alpine/collection.json", COLLECTION)
    item = nameless(("collection", "../collection.json"))
    path = written(tmp_path, "alpine/i/i.json", item, indent=indent)
    assert found_in(path, offline=True) == found_in(str(path)) == "alps:/alps/i/B04.tif"
    path.write_text(f"{json.dumps(item)}\n{json.dumps({**item, 'id': 'j'})}\n")
    assert [each.get("collection") for each in iter_items(path)] == [None, None]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [item]}))
    assert "belongs to no collection" in found_in(path)


@pytest.mark.parametrize(
    "href", ["/etc/collection.json", "../missing.json", "..", "./i.json", "a://[", "//[", "\0"]
)
def test_files_that_are_no_collection(tmp_path: Path, href: str) -> None:
    """Files are looked for beside the item alone; what is no collection says nothing."""
    path = written(tmp_path, "alpine/i/i.json", nameless(("collection", href)))
    assert "belongs to no collection" in found_in(path)


def test_an_item_that_claims_to_lie_in_a_file(tmp_path: Path) -> None:
    """Only where it was read counts: no file is read because an item says so."""
    written(tmp_path, "collection.json", COLLECTION)
    item = nameless(("self", str(tmp_path / "i.json")), ("collection", "./collection.json"))
    assert "belongs to no collection" in found_in(item)
    assert "belongs to no collection" in found_in([item])


def test_the_modifier_knows_the_same_collections(rucio: FakeRucio, origin: Origin) -> None:
    """Items as dicts and as objects get the copies of what they were registered as."""
    copy = "davs://disk.example.org:443/B04.tif"
    rucio.add(b"B04", {"DISK-A": copy}, "i", "B04", collection="alps")
    url = origin.add("/collection.json", json.dumps(COLLECTION).encode())
    items = [
        nameless(("collection", f"{API}/collections/alps")),
        nameless(properties={"collection": "alps", "datetime": "2025-06-01T00:00:00Z"}),
        nameless(("collection", url)),
        nameless(),
    ]
    modifier = Modifier(rucio, ModifierOptions(), completion=Completion("alps"))
    for item in items:
        found = pystac.Item.from_dict(item)
        modifier(found)
        modifier(item)
        assert [*item["assets"]["B04"]["alternate"]] == ["DISK-A"]
        assert [*found.assets["B04"].extra_fields["alternate"]] == ["DISK-A"]
        assert "collection" not in item


# Places.


def test_the_self_link_comes_first(tmp_path: Path) -> None:
    """Before where the item was read, and before the URL that the user gives."""
    item = make_item("alps", "i", ASSETS, self_link="https://stac.example.org/alps/i.json")
    path = written(tmp_path, "i.json", item)
    assert url_in(path, base_url="https://b.example.org") == "https://stac.example.org/alps/B04.tif"


@pytest.mark.parametrize("self_link", [None, "./i.json", "/alps/i.json", "http://["])
def test_the_url_an_item_was_read_from(origin: Origin, self_link: str | None) -> None:
    """It comes next, and a relative self link starts there."""
    item = make_item("alps", "i", ASSETS, self_link=self_link)
    url = origin.add("/alps/i.json", json.dumps(item).encode())
    assert url_in(url, base_url="https://b.example.org") == f"{origin.url}/alps/B04.tif"
    page = {"type": "FeatureCollection", "features": [item]}
    url = origin.add("/alps/page.json", json.dumps(page).encode())
    catalogue = {"type": "Catalog", "id": "c", "links": [{"rel": "item", "href": "./page.json"}]}
    assert url_in(origin.add("/alps/c.json", json.dumps(catalogue).encode())) == (
        f"{origin.url}/alps/B04.tif"
    )


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://b.example.org", "https://b.example.org/B04.tif"),
        ("https://b.example.org/x/", "https://b.example.org/x/B04.tif"),
        ("https://b.example.org/x", "https://b.example.org/x/B04.tif"),
        ("https://b.example.org/x/i.json", "https://b.example.org/x/B04.tif"),
    ],
)
def test_the_url_that_the_user_gives(tmp_path: Path, base_url: str, url: str) -> None:
    """It is that of a folder, or of a document in it, wherever the items come from."""
    item = make_item("alps", "i", ASSETS)
    for own in ("./i.json", "/home/me/i.json"):  # says nothing without a URL to start at
        assert url_in(make_item("alps", "i", ASSETS, self_link=own), base_url=base_url) == url
    assert url_in(item, base_url=base_url) == url
    assert url_in([item], base_url=base_url) == url
    assert url_in(written(tmp_path, "i.json", item), base_url=base_url) == url
    assert url_in(pystac.Item.from_dict(item), base_url=base_url) == url
    both = tmp_path / "i.ndjson"
    both.write_text(json.dumps(item) + "\n")
    assert url_in(both, base_url=base_url) == url


def test_a_catalogue_in_files(tmp_path: Path) -> None:
    """Its files have the URLs that they have below the URL of its folder."""
    links = [{"rel": "item", "href": "./a b/i.json"}]
    catalogue = written(tmp_path, "c.json", {"type": "Catalog", "id": "c", "links": links})
    hrefs = {
        "relative": "./x/B04.tif",
        "above": "../B04.tif",
        "local": str(tmp_path / "a b" / "B 04.tif"),
        "uri": (tmp_path / "B04.tif").as_uri(),
        "elsewhere": "/elsewhere/B04.tif",
        "outside": f"{tmp_path}/../B04.tif",
        "web": "https://data.example.org/B04.tif",
        "cdn": "//data.example.org/B04.tif",
    }
    item = make_item("alps", "i", {key: {"href": href} for key, href in hrefs.items()})
    written(tmp_path, "a b/i.json", item)
    (read,) = iter_items(catalogue, Completion(base_url="https://b.example.org/cat"))
    found = {each.key: each for each in select_assets(read)}
    assert {key: each.url for key, each in found.items() if isinstance(each, Asset)} == {
        "relative": "https://b.example.org/cat/a%20b/x/B04.tif",
        "above": "https://b.example.org/cat/B04.tif",
        "local": "https://b.example.org/cat/a%20b/B%2004.tif",
        "uri": "https://b.example.org/cat/B04.tif",
        "web": hrefs["web"],
        "cdn": hrefs["web"],
    }
    assert found.keys() == hrefs.keys()
    (read,) = iter_items(catalogue)
    (asset,) = (each for each in select_assets(read) if isinstance(each, Asset))
    assert asset.key == "web"


@pytest.mark.parametrize(
    "options",
    [
        {"collection": ""},
        {"collection": 7},
        {"base_url": ""},
        {"base_url": "/data"},
        {"base_url": "s3://bucket/"},
        {"base_url": 7},
    ],
)
def test_wrong_options(options: Any) -> None:
    """What is no collection and no URL is refused at once."""
    with pytest.raises(ConfigurationError, match=r"^(collection|base_url) is"):
        Completion(**options)


LINKS = st.fixed_dictionaries(
    {},
    optional={
        "rel": st.sampled_from(["self", "collection", "parent"]),
        "href": st.sampled_from(
            ["https://h:x/", "//[", "collections/a", "/collections/%FF", "x.json"]
        )
        | st.text()
        | st.none(),
    },
)
ITEMS = st.fixed_dictionaries(
    {"type": st.just("Feature")},
    optional={
        "collection": st.none() | st.text() | st.integers() | st.lists(st.none()),
        "properties": st.none() | st.dictionaries(st.just("collection"), st.text() | st.integers()),
        "links": st.none() | st.lists(LINKS | st.none() | st.text()) | st.text(),
        "assets": st.none()
        | st.dictionaries(st.text(), st.none() | st.dictionaries(st.just("href"), st.text())),
    },
)


@given(ITEMS, st.sampled_from([None, "x"]), st.sampled_from([None, "https://b.example.org/"]))
def test_any_item(item: dict[str, Any], collection: str | None, base_url: str | None) -> None:
    """Nothing crashes, nothing is changed in place, and what is complete stays so."""
    completion = Completion(collection, base_url, offline=True)
    before = json.dumps(item)
    (found,) = iter_items([item], completion)
    assert json.dumps(item) == before
    assert [*iter_items([found], completion)] == [found]
    list(select_assets(found))


def test_what_no_item_needs() -> None:
    """A collection and a base URL that no item needs are told, once there were items."""
    rucio = FakeRucio()
    rucio.rses["STAC"] = {"deterministic": False}
    stac = StacClient(rucio, collection="alps", base_url="https://data.example.org/")
    assert stac.plan([], "STAC").items == 0
    with pytest.warns(ItemsWarning, match=r"^base_url and collection of StacClient: not needed"):
        stac.plan(make_item(self_link="https://stac.example.org/i"), "STAC")
    with pytest.warns(ItemsWarning, match=r"^base_url of StacClient: not needed by any item"):
        stac.plan(make_item(None, self_link="https://stac.example.org/i"), "STAC")
