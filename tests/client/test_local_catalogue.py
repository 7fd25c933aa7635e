"""The catalogue that a download leaves: valid, self-contained, and growing."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pystac
import pytest
from pystac.validation import validate_dict

import stac_testbed
from stac_client import ALTERNATE_ASSETS, ConfigurationError
from stac_client._local_catalogue import Extent
from tests.fake_rucio import RED_HREF, FakeRucio
from tests.items import make_item

from .downloading import (
    ALREADY_THERE,
    BODY,
    DOWNLOADED,
    FAILED,
    OTHER,
    SKIPPED,
    adler32,
    download,
    scene,
)

if TYPE_CHECKING:
    from tests.origin import Origin


SCHEMA = json.loads(
    Path(stac_testbed.__file__).with_name("alternate-assets.schema.json").read_text()
)


@pytest.fixture
def rucio(storage: Origin) -> FakeRucio:
    """A Rucio that knows `red` and `nir` of three items in two collections."""
    rucio = FakeRucio()
    url = storage.add("/f", BODY)
    for key in ("red", "nir"):
        rucio.add(BODY, {"A": url}, "i", key)
        rucio.add(BODY, {"A": url}, "j", key)
        rucio.add(BODY, {"A": url}, "i", key, collection="andes")
    return rucio


def opened(folder: Path) -> dict[Any, Any]:
    """The items of a valid catalogue, by collection and id."""
    catalogue = pystac.Catalog.from_file(str(folder / "catalog.json"))
    for found in (catalogue, *catalogue.get_collections()):
        assert validate_dict(found.to_dict(), extensions=[]) != []
    items = {}
    for item in catalogue.get_items(recursive=True):
        document = item.to_dict()
        assert validate_dict(document, extensions=[]) != []
        collection = item.get_collection()
        assert collection is not None
        assert collection.id == item.collection_id
        assert item.get_root() is catalogue
        items[item.collection_id, item.id] = item
    return items


def raw(folder: Path, name: str = "alps/i/i.json") -> Any:
    """A JSON file of the catalogue as it is."""
    return json.loads((folder / name).read_text())


def test_items_point_to_their_files(rucio: FakeRucio, tmp_path: Path) -> None:
    """Items are valid, their assets lead to the files, and the original URLs are alternates."""
    downloads = download(rucio, tmp_path, scene(), scene("j"))
    assert downloads.catalogue == tmp_path / "catalog.json"
    assert downloads.catalogue_problems == ()
    items = opened(tmp_path)
    assert sorted(items) == [("alps", "i"), ("alps", "j")]
    for item in items.values():
        assert Path(item.assets["red"].get_absolute_href()).read_bytes() == BODY
    document = raw(tmp_path)
    jsonschema.Draft7Validator(SCHEMA).validate(document)
    assert document["assets"]["red"] == {
        "href": "./red.tif",
        "roles": ["data"],
        "alternate": {"original": {"href": RED_HREF, "alternate:name": "original"}},
        "alternate:name": "local",
        "file:size": len(BODY),
        "rucio:adler32": adler32(BODY),
    }
    assert document["stac_extensions"].count(ALTERNATE_ASSETS) == 1
    assert any("/file/" in extension for extension in document["stac_extensions"])


def test_no_link_of_the_structure_leads_elsewhere(rucio: FakeRucio, tmp_path: Path) -> None:
    """The catalogue is self-contained; where it comes from is in its canonical links."""
    download(rucio, tmp_path)
    names = ["catalog.json", "alps/collection.json", "alps/i/i.json"]
    links = [link for name in names for link in raw(tmp_path, name)["links"]]
    remote = [(link["rel"], link["href"]) for link in links if "://" in link["href"]]
    assert remote == [
        ("canonical", "https://stac.example.org/collections/alps"),
        ("canonical", "https://stac.example.org/collections/alps/items/i"),
    ]


def test_the_folder_can_be_moved(rucio: FakeRucio, tmp_path: Path) -> None:
    """All structure is relative: a moved folder is as good."""
    download(rucio, tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    (item,) = opened(tmp_path / "there").values()
    assert Path(item.assets["red"].get_absolute_href()).is_relative_to(tmp_path / "there")


def test_the_source_rse_is_named(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """The original URL is the alternate of the RSE that it is registered at."""
    source = storage.add("/source.tif", BODY)
    rucio.add(BODY, {"A": storage.url + "/f", "STAC": source})
    download(rucio, tmp_path, scene(href=source))
    expected = {"STAC": {"href": source, "alternate:name": "STAC"}}
    assert raw(tmp_path)["assets"]["red"]["alternate"] == expected


def test_what_the_item_says_is_kept(rucio: FakeRucio, tmp_path: Path) -> None:
    """Multihashes that were right, extensions, links and properties of the item stay."""
    sha256 = "1220" + hashlib.sha256(BODY).hexdigest()
    item = scene(**{"file:checksum": sha256, "title": "Red"})
    item["links"].append({"rel": "license", "href": "../license.html"})
    item["stac_extensions"] = ["https://stac-extensions.github.io/file/v1.0.0/schema.json"]
    given = json.dumps(item)
    download(rucio, tmp_path, item)
    document = raw(tmp_path)
    assert document["assets"]["red"]["file:checksum"] == sha256
    assert document["assets"]["red"]["title"] == "Red"
    assert document["properties"] == item["properties"]
    assert document["stac_extensions"] == [*item["stac_extensions"], ALTERNATE_ASSETS]
    license_url = "https://stac.example.org/collections/alps/license.html"
    assert {"rel": "license", "href": license_url} in document["links"]
    assert json.dumps(item) == given


def test_what_failed_keeps_its_url(rucio: FakeRucio, tmp_path: Path) -> None:
    """Assets that failed or were not selected keep their URLs, made absolute."""
    item = scene("i", "red", "blue", "preview", href="../red.tif")
    item["assets"]["preview"]["roles"] = ["overview"]
    downloads = download(rucio, tmp_path, item, scene("k"))
    assert [outcome.state for outcome in downloads] == [DOWNLOADED, FAILED, SKIPPED, FAILED]
    items = opened(tmp_path)
    base = "https://stac.example.org/collections/alps/red.tif"
    hrefs = {key: asset.href for key, asset in items["alps", "i"].assets.items()}
    assert hrefs == {"red": "./red.tif", "blue": base, "preview": base}
    assert items["alps", "k"].assets["red"].href == RED_HREF
    assert (
        "stac_extensions" not in raw(tmp_path, "alps/k/k.json")
        or not (raw(tmp_path, "alps/k/k.json")["stac_extensions"])
    )


def test_what_was_skipped_is_left_out(rucio: FakeRucio, tmp_path: Path) -> None:
    """An item of which nothing was available is not in the catalogue."""
    download(rucio, tmp_path, scene(), scene("k"), only_available=True)
    assert list(opened(tmp_path)) == [("alps", "i")]


def test_it_grows(rucio: FakeRucio, tmp_path: Path) -> None:
    """Other assets, items and collections are added by later downloads; nothing comes twice."""
    download(rucio, tmp_path, scene("i", "red", "nir"), assets=["red"])
    download(rucio, tmp_path, scene("i", "red", "nir"), assets=["nir"])
    download(rucio, tmp_path, scene("j"), scene(collection="andes"))
    items = opened(tmp_path)
    assert sorted(items) == [("alps", "i"), ("alps", "j"), ("andes", "i")]
    assert {asset.href for asset in items["alps", "i"].assets.values()} == {
        "./red.tif",
        "./nir.tif",
    }
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    download(rucio, tmp_path, scene("i", "red", "nir"), scene("j"))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_a_file_that_has_gone(rucio: FakeRucio, tmp_path: Path) -> None:
    """An asset whose file was removed by hand gets its URL back, unless it comes again."""
    download(rucio, tmp_path, scene("i", "red", "nir"))
    (tmp_path / "alps/i/red.tif").unlink()
    download(rucio, tmp_path, scene("i", "red", "nir"), assets=["nir"])
    assert raw(tmp_path)["assets"]["red"]["href"] == RED_HREF


def test_a_file_that_cannot_be_repaired(rucio: FakeRucio, storage: Origin, tmp_path: Path) -> None:
    """A wrong file that cannot be fetched again stays, but its asset has its URL again."""
    download(rucio, tmp_path)
    (tmp_path / "alps/i/red.tif").write_bytes(OTHER)
    storage.add("/f", OTHER)
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is FAILED
    assert f"{tmp_path}/alps/i/red.tif stays, though its adler32 is not" in outcome.reason
    assert (tmp_path / "alps/i/red.tif").read_bytes() == OTHER
    assert raw(tmp_path)["assets"]["red"]["href"] == RED_HREF


def test_a_file_of_another_version(rucio: FakeRucio, tmp_path: Path) -> None:
    """A file of an earlier version of an item is not taken for one of the new version."""
    download(rucio, tmp_path, scene("i", "red", "nir"))
    new: Any = scene("i", "red", "nir", size=7)
    for asset in new["assets"].values():
        asset["file:size"] = asset.pop("size")
    outcomes = download(rucio, tmp_path, new, assets=["red"])
    assert outcomes.counts == {FAILED: 1}
    assert [asset["href"] for asset in raw(tmp_path)["assets"].values()] == [RED_HREF] * 2


@pytest.mark.parametrize("ids", [("c" * 120, "i" * 127), ("c" * 247, "i"), ("c", "i" * 247)])
def test_ids_that_make_long_names(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, ids: tuple[str, str]
) -> None:
    """Where the names of an item and its assets are cut differently, hrefs still lead right."""
    collection, item = ids
    rucio.add(BODY, {"A": storage.add("/f", BODY)}, item, collection=collection)
    for state in (DOWNLOADED, ALREADY_THERE):
        downloads = download(rucio, tmp_path, scene(item, collection=collection))
        assert (downloads.counts, downloads.catalogue_problems) == ({state: 1}, ())
        (found,) = opened(tmp_path).values()
        assert Path(found.assets["red"].get_absolute_href() or "").read_bytes() == BODY
    download(rucio, tmp_path, scene(item, "red", "none", collection=collection), assets=["none"])
    (found,) = opened(tmp_path).values()
    assert Path(found.assets["red"].get_absolute_href() or "").read_bytes() == BODY


def test_a_json_file_of_somebody_else(rucio: FakeRucio, tmp_path: Path) -> None:
    """A file in the place of an item that is none stays as it is, and is told."""
    (tmp_path / "alps/i").mkdir(parents=True)
    (tmp_path / "alps/i/i.json").write_text("mine")
    downloads = download(rucio, tmp_path)
    assert downloads.counts == {DOWNLOADED: 1}
    assert downloads.catalogue_problems[0].startswith("item alps/i could not be written")
    assert (tmp_path / "alps/i/i.json").read_text() == "mine"


def test_a_file_without_replicas(rucio: FakeRucio, tmp_path: Path) -> None:
    """A file that is there stays in the catalogue when Rucio no longer knows it."""
    download(rucio, tmp_path)
    rucio.files.clear()
    (outcome,) = download(rucio, tmp_path)
    assert outcome.state is FAILED
    assert raw(tmp_path)["assets"]["red"]["href"] == "./red.tif"


def test_repair_from_the_catalogue_itself(rucio: FakeRucio, tmp_path: Path) -> None:
    """The local catalogue can be given as the items: what is wrong in it is fetched again."""
    download(rucio, tmp_path, scene("i"), scene("j"))
    (tmp_path / "alps/j/red.tif").write_bytes(OTHER)
    before = raw(tmp_path) | {"stac_version": "1.1.0"}  # pystac brings items up to date
    catalogue = pystac.Catalog.from_file(str(tmp_path / "catalog.json"))
    items = [*catalogue.get_items(recursive=True)]
    by_item = {each.item: each.state for each in download(rucio, tmp_path, *items)}
    assert by_item == {"i": ALREADY_THERE, "j": DOWNLOADED}
    assert raw(tmp_path) == before
    assert sorted(opened(tmp_path)) == [("alps", "i"), ("alps", "j")]


def test_items_with_preferred_copies(rucio: FakeRucio, tmp_path: Path) -> None:
    """An item whose href a modifier has made another protocol's is found by its original URL."""
    copy = "davs://storage.example.org/red.tif"
    item = scene(
        href=copy,
        alternate={"STAC": {"href": RED_HREF, "alternate:name": "STAC"}},
        **{"alternate:name": "DISK"},
    )
    (outcome,) = download(rucio, tmp_path, item)
    assert outcome.state is DOWNLOADED
    asset = raw(tmp_path)["assets"]["red"]
    assert asset["href"] == "./red.tif"
    assert {rse: place["href"] for rse, place in asset["alternate"].items()} == {
        "STAC": RED_HREF,
        "DISK": copy,
    }


@pytest.mark.parametrize("key", ["i", "I"])
def test_an_asset_with_the_name_of_the_item(storage: Origin, tmp_path: Path, key: str) -> None:
    """An item's JSON never takes the place of an asset, whether case counts or not."""
    rucio, href = FakeRucio(), "https://data.example.org/i.json"
    rucio.add(BODY, {"A": storage.add("/f", BODY)}, "i", key, href=href)
    (outcome,) = download(rucio, tmp_path, scene("i", key, href=href))
    assert outcome.path == tmp_path / f"alps/i/{key}.json"
    assert outcome.path.read_bytes() == BODY
    assert (tmp_path / "alps/i/item-i.json").exists()
    assert list(opened(tmp_path)) == [("alps", "i")]


def test_a_catalogue_that_is_there(rucio: FakeRucio, tmp_path: Path) -> None:
    """A STAC catalogue that is in the folder keeps its fields and links."""
    mine = pystac.Catalog("mine", "My catalogue", title="Mine")
    mine.add_link(pystac.Link("license", "https://example.org/license"))
    mine.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    download(rucio, tmp_path)
    document = raw(tmp_path, "catalog.json")
    assert (document["id"], document["title"]) == ("mine", "Mine")
    assert [link["rel"] for link in document["links"]].count("license") == 1
    assert list(opened(tmp_path)) == [("alps", "i")]


@pytest.mark.parametrize(
    "content", ["no JSON", "[]", '{"type": "Collection", "links": []}', "\x00"]
)
def test_something_else_is_in_its_place(
    rucio: FakeRucio, storage: Origin, tmp_path: Path, content: str
) -> None:
    """A catalog.json that is none of STAC is left alone, and nothing is downloaded."""
    (tmp_path / "catalog.json").write_text(content)
    with pytest.raises(ConfigurationError, match="no STAC catalogue"):
        download(rucio, tmp_path)
    assert (tmp_path / "catalog.json").read_text() == content
    assert storage.seen == []


def test_problems_lose_nothing(rucio: FakeRucio, tmp_path: Path) -> None:
    """Where items cannot be written, the outcomes of files are there, and the problem is told."""
    (tmp_path / "alps/i/i.json").mkdir(parents=True)
    (tmp_path / "andes").mkdir()
    (tmp_path / "andes/collection.json").write_text("mine")
    downloads = download(rucio, tmp_path, scene(), scene(collection="andes"))
    assert downloads.counts == {DOWNLOADED: 2}
    item, collection = downloads.catalogue_problems
    assert item.startswith("item alps/i could not be written: ")
    assert "andes/collection.json could not be written" in collection
    with pytest.raises(Exception, match="all files are there, but item alps/i"):
        downloads.raise_for_failed()
    assert (tmp_path / "andes/collection.json").read_text() == "mine"


WORLD = [-180, -90, 180, 90]


def boxed(bbox: Any, **properties: Any) -> dict[str, Any]:
    """An item with a box and times."""
    return make_item(bbox=bbox, properties=properties)


def extent_of(*items: Any, **earlier: Any) -> tuple[Any, Any]:
    """The box and the time span of a collection with these items."""
    extent = Extent.of_collection(earlier)
    for each in items:
        extent |= Extent.of_item(each)
    found = extent.to_dict()
    assert Extent.of_collection({"extent": found}).to_dict() == found
    return found["spatial"]["bbox"][0], found["temporal"]["interval"][0]


def test_extent() -> None:
    """The extent holds all items: boxes with and without heights, times and time spans."""
    bbox, interval = extent_of(
        boxed([7, 46, 100, 8, 47, 200], datetime="2025-06-01T00:00:00Z"),
        boxed(
            [9, 45, 10, 46],
            datetime=None,
            start_datetime="2025-05-01T02:00:00+02:00",
            end_datetime="2025-05-02T00:00:00.500Z",
        ),
        boxed(None, datetime="2025-05-20T00:00:00"),
    )
    assert bbox == [7, 45, 10, 47]
    assert interval == ["2025-05-01T00:00:00Z", "2025-06-01T00:00:00Z"]


def test_an_extent_grows() -> None:
    """What a collection says of its extent stays in it, an open end too."""
    earlier = {
        "spatial": {"bbox": [[0, 0, 1, 1]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
    }
    bbox, interval = extent_of(boxed([2, 2, 3, 3], datetime="2025-06-01T00:00:00Z"), extent=earlier)
    assert bbox == [0, 0, 3, 3]
    assert interval == ["2020-01-01T00:00:00Z", None]


def test_extent_across_the_antimeridian() -> None:
    """A box across the antimeridian takes all longitudes."""
    assert extent_of(boxed([170, -10, -170, 10]))[0] == [-180, -10, 180, 10]


@pytest.mark.parametrize(
    "bbox",
    [None, "odd", [], [1, 2, 3], ["a"] * 4, [None] * 4, [float("nan")] * 4, [10**400] * 4, 7],
)
@pytest.mark.parametrize("when", [None, "yesterday", 7, ""])
def test_extent_of_nothing(bbox: Any, when: Any) -> None:
    """Without usable boxes and times it is the whole world, at all times."""
    assert extent_of(boxed(bbox, datetime=when)) == (WORLD, [None, None])


@pytest.mark.parametrize("extent", [None, {}, {"spatial": [], "temporal": {"interval": []}}])
def test_extent_of_odd_collections(extent: dict[Any, Any] | None) -> None:
    """A collection without a usable extent has none."""
    assert extent_of(extent=extent) == (WORLD, [None, None])
