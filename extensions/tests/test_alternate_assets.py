"""The Alternate Assets extension for pystac, as its wheel installs it: `make extension`."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pystac.extensions.alternate_assets import (
    ALTERNATE_ASSETS_EXTENSION_HOOKS,
    DEFAULT_VERSION,
    SCHEMA_URI_PATTERN,
    SUPPORTED_VERSIONS,
    Alternate,
    AlternateAssetsExtension,
    ItemAssetDefinition,
)

NEWEST = SCHEMA_URI_PATTERN.format(version=DEFAULT_VERSION)
OLDER = [SCHEMA_URI_PATTERN.format(version=v) for v in SUPPORTED_VERSIONS if v != DEFAULT_VERSION]
OTHER = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
(SCHEMA_FILE,) = Path(__file__).parents[2].glob("*testbed/**/alternate-assets.schema.json")
SCHEMA = jsonschema.Draft7Validator(json.loads(SCHEMA_FILE.read_text()))
PACKAGE = "pystac-ext-alternate-assets"
FINDS_ENTRY_POINTS = tuple(map(int, metadata.version("pystac").split(".")[:2])) >= (1, 15)
"""Whether this pystac loads extensions by their entry points."""

HREF = "https://origin.example.org/red.tif"
S3 = "s3://bucket/red.tif"

NAMES = st.text(min_size=1, max_size=8)
FIELDS = st.dictionaries(
    NAMES.map(lambda name: f"storage:{name}"), st.booleans() | st.lists(NAMES), max_size=2
)
ALTERNATES = st.dictionaries(
    NAMES,
    st.builds(
        Alternate.create,
        href=NAMES.map(lambda name: f"https://example.org/{quote(name)}"),
        name=st.none() | NAMES,
        title=st.none() | NAMES,
        description=st.none() | NAMES,
        extra_fields=FIELDS,
    ),
    max_size=3,
)


def make_item(**fields: object) -> pystac.Item:
    """An item with one asset, which has these fields."""
    item = pystac.Item("i", None, None, datetime(2025, 6, 1, tzinfo=timezone.utc), {})
    item.add_asset("red", pystac.Asset.from_dict({"href": HREF, **fields}))
    return item


def make_collection(**fields: object) -> pystac.Collection:
    """A collection with these fields."""
    extent = pystac.Extent(
        pystac.SpatialExtent([[0, 0, 1, 1]]), pystac.TemporalExtent([[None, None]])
    )
    return pystac.Collection("c", "A collection.", extent, extra_fields=fields)


@pytest.fixture
def item() -> pystac.Item:
    """An item that follows the extension."""
    item = make_item(**{"title": "Red", "storage:refs": ["here"], "alternate:name": "HTTPS"})
    red = AlternateAssetsExtension.ext(item.assets["red"], add_if_missing=True)
    red.add_alternate("s3", Alternate.create(S3, "S3", extra_fields={"storage:refs": ["aws"]}))
    red.add_alternate("near", Alternate.create("./near/red.tif", description="next door"))
    return item


# The distribution.


def test_the_wheel_adds_one_file_to_pystac() -> None:
    """Besides its metadata, the wheel holds the module and nothing that pystac has, too."""
    files = [str(file) for file in metadata.files(PACKAGE) or ()]
    assert any(file.endswith("licenses/LICENSE") for file in files)
    installed = [file for file in files if ".dist-info/" not in file and ".pyc" not in file]
    assert installed == ["pystac/extensions/alternate_assets.py"]
    owners = [
        each.name
        for each in metadata.distributions()
        if any(str(file) in installed for file in each.files or ())
    ]
    assert owners == [PACKAGE]


def test_the_entry_point_gives_the_hooks() -> None:
    """The entry point by which pystac finds the extension gives its hooks."""
    (found,) = metadata.entry_points(group="pystac.extensions", name="alternate-assets")
    assert found.load() is ALTERNATE_ASSETS_EXTENSION_HOOKS


@pytest.mark.parametrize("imported", [True, False], ids=["imported", "installed"])
def test_pystac_knows_the_extension(*, imported: bool) -> None:
    """A fresh pystac migrates items once the module is imported, or is merely installed."""
    program = "import json, sys, pystac\n"
    if imported:
        program += "import pystac.extensions.alternate_assets\n"
    program += "item = pystac.Item.from_dict(json.load(sys.stdin), migrate=True)\n"
    program += "print(*item.stac_extensions)"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        input=json.dumps(old_item([OLDER[0]])),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert found == (NEWEST if imported or FINDS_ENTRY_POINTS else OLDER[0])


# Accessors.


@given(ALTERNATES, st.none() | NAMES)
def test_round_trip(alternates: dict[str, Alternate], name: str | None) -> None:
    """What is set is valid, and is there again after writing and reading the item."""
    item = make_item()
    red = AlternateAssetsExtension.ext(item.assets["red"], add_if_missing=True)
    red.apply(alternates, name)
    written = json.loads(json.dumps(item.to_dict()))
    SCHEMA.validate(written)
    again = AlternateAssetsExtension.ext(pystac.Item.from_dict(written).assets["red"])
    assert again.alternates == alternates
    assert again.alternate_name == name
    again.apply({})
    assert again.asset.to_dict() == {"href": HREF}


@given(ALTERNATES)
def test_asset_of_each_alternate(alternates: dict[str, Alternate]) -> None:
    """Each alternate gives an asset with its href and fields; those given are not changed."""
    item = make_item(title="Red")
    AlternateAssetsExtension.ext(item.assets["red"], add_if_missing=True).apply(alternates)
    before = copy.deepcopy(item.to_dict())
    extended = AlternateAssetsExtension.ext(item)
    for key, alternate in alternates.items():
        found = extended.get_asset("red", key)
        assert found.to_dict() == {"title": "Red", **alternate.to_dict()}
        assert extended.get_assets(key)["red"].to_dict() == found.to_dict()
        found.extra_fields["changed"] = True
    assert item.to_dict() == before


def test_accessors(item: pystac.Item) -> None:
    """An alternate's fields are read and written in the asset itself."""
    red = AlternateAssetsExtension.ext(item.assets["red"])
    s3 = red.alternates["s3"]
    assert (s3.href, s3.name, s3.title, s3.description) == (S3, "S3", None, None)
    assert s3.properties["storage:refs"] == ["aws"]
    s3.href, s3.name, s3.title, s3.description = "s3://other", None, "Title", "Description"
    assert item.assets["red"].extra_fields["alternate"]["s3"] == {
        "href": "s3://other",
        "title": "Title",
        "description": "Description",
        "storage:refs": ["aws"],
    }
    red.alternate_name = "WWW"
    assert item.assets["red"].extra_fields["alternate:name"] == "WWW"
    assert repr(red) == "<AssetAlternateAssetsExtension alternates=s3, near>"
    assert repr(s3) == "<Alternate name=None>"
    assert repr(AlternateAssetsExtension.ext(item)) == "<OwnerAlternateAssetsExtension Item id=i>"


def test_an_alternate_is_added_or_replaced(item: pystac.Item) -> None:
    """Adding under a key that is there replaces what is there, and no other."""
    red = AlternateAssetsExtension.ext(item.assets["red"])
    red.add_alternate("s3", Alternate.create("s3://other"))
    assert {key: each.href for key, each in red.alternates.items()} == {
        "s3": "s3://other",
        "near": "./near/red.tif",
    }
    assert red.alternates["s3"] == Alternate({"href": "s3://other"})
    assert red.alternates["s3"] != red.alternates["near"]


# Other locations.


def test_what_an_asset_says_of_its_own_location_is_not_taken_along(item: pystac.Item) -> None:
    """The asset of an alternate has the asset's fields, but neither its storage nor alternates."""
    extended = AlternateAssetsExtension.ext(item)
    assert extended.get_asset("red", "s3").to_dict() == {
        "href": S3,
        "title": "Red",
        "alternate:name": "S3",
        "storage:refs": ["aws"],
    }
    assert extended.get_asset("red", "near").to_dict() == {
        "href": "./near/red.tif",
        "title": "Red",
        "description": "next door",
    }


def test_relative_links_are_resolved(item: pystac.Item) -> None:
    """A relative link of an alternate is relative to the item, as the asset's is."""
    item.set_self_href("https://example.org/items/i.json")
    found = AlternateAssetsExtension.ext(item).get_asset("red", "near")
    assert found.get_absolute_href() == "https://example.org/items/near/red.tif"


def test_an_asset_may_itself_be_what_is_asked_for(item: pystac.Item) -> None:
    """An asset whose own name is asked for is given, as it is where it has no such alternate."""
    found = AlternateAssetsExtension.ext(item).get_asset("red", "HTTPS")
    assert found.to_dict() == {
        "href": HREF,
        "title": "Red",
        "alternate:name": "HTTPS",
        "storage:refs": ["here"],
    }


def test_assets_at_one_location(item: pystac.Item) -> None:
    """Of all assets, those are given that are there."""
    item.add_asset("nir", pystac.Asset("https://origin.example.org/nir.tif"))
    extended = AlternateAssetsExtension.ext(item)
    assert {key: asset.href for key, asset in extended.get_assets("s3").items()} == {"red": S3}
    assert {key: asset.href for key, asset in extended.get_assets("HTTPS").items()} == {"red": HREF}
    assert extended.get_assets("nowhere") == {}


def test_no_such_alternate(item: pystac.Item) -> None:
    """An alternate that is not there is named, with those that are."""
    extended = AlternateAssetsExtension.ext(item)
    with pytest.raises(KeyError, match=r"i, asset red: .* no alternate 'gs'; it has 's3', 'near'"):
        extended.get_asset("red", "gs")
    item.add_asset("nir", pystac.Asset(HREF))
    with pytest.raises(KeyError, match="it has none"):
        extended.get_asset("nir", "s3")
    with pytest.raises(KeyError, match=r"^'blue'$"):
        extended.get_asset("blue", "s3")
    secret = AlternateAssetsExtension.ext(pystac.Asset(f"{HREF}?sig=secret"))
    secret.add_alternate("s3", Alternate.create(f"{S3}?sig=secret"))
    with pytest.raises(KeyError, match="'gs'") as refused:
        secret.get_asset("gs")
    assert "secret" not in f"{refused.value}{secret}{secret.alternates}"


def test_assets_of_a_collection() -> None:
    """Assets of a collection have alternates, too."""
    collection = make_collection()
    collection.add_asset("all", pystac.Asset("https://example.org/all.zip"))
    everything = AlternateAssetsExtension.ext(collection.assets["all"], add_if_missing=True)
    everything.alternates = {"s3": Alternate.create("s3://bucket/all.zip")}
    assert AlternateAssetsExtension.ext(collection).get_asset("all", "s3").href == (
        "s3://bucket/all.zip"
    )
    assert collection.stac_extensions == [NEWEST]


def test_item_assets() -> None:
    """A collection announces alternates of its items' assets; these have no href."""
    collection = make_collection(item_assets={"red": {"type": "image/tiff"}})
    definition = ItemAssetDefinition(collection.extra_fields["item_assets"]["red"], collection)
    red = AlternateAssetsExtension.ext(definition, add_if_missing=True)
    red.apply({"s3": Alternate.create(name="S3", description="Ask for access.")}, "HTTPS")
    again = pystac.Collection.from_dict(collection.to_dict())
    assert again.extra_fields["item_assets"]["red"] == {
        "type": "image/tiff",
        "alternate": {"s3": {"alternate:name": "S3", "description": "Ask for access."}},
        "alternate:name": "HTTPS",
    }
    assert again.stac_extensions == [NEWEST]
    with pytest.raises(pystac.RequiredPropertyMissing, match="href"):
        _ = red.alternates["s3"].href
    assert repr(red) == "<ItemAssetsAlternateAssetsExtension title=None>"


# What pystac's extensions have in common.


def test_extension_must_be_named() -> None:
    """Fields are not read where the item does not name the extension."""
    item = make_item()
    assert not AlternateAssetsExtension.has_extension(item)
    for extended in (item, item.assets["red"]):
        with pytest.raises(pystac.ExtensionNotImplemented):
            AlternateAssetsExtension.ext(extended)
    AlternateAssetsExtension.add_to(item)
    AlternateAssetsExtension.add_to(item)
    assert item.stac_extensions == [NEWEST]
    AlternateAssetsExtension.ensure_has_extension(item)
    AlternateAssetsExtension.remove_from(item)
    assert item.stac_extensions == []


def test_asset_without_owner() -> None:
    """An asset that belongs to no item can have alternates."""
    red = AlternateAssetsExtension.ext(pystac.Asset(HREF))
    red.add_alternate("s3", Alternate.create(S3))
    assert red.get_asset("s3").href == S3
    assert red.get_asset("s3").owner is None


def test_what_has_no_alternates() -> None:
    """A catalogue has no assets and so no alternates."""
    with pytest.raises(pystac.ExtensionTypeError, match="Catalog"):
        AlternateAssetsExtension.ext(pystac.Catalog("c", "A catalogue."))


# Migration.


def old_item(uris: list[str], **fields: object) -> dict[str, Any]:
    """An item as a dict, of an older version of STAC."""
    return {**make_item(**fields).to_dict(), "stac_version": "1.0.0", "stac_extensions": uris}


@pytest.mark.parametrize("older", OLDER)
def test_older_versions_are_migrated(older: str) -> None:
    """Reading an item of an older version gives one of the newest; its alternates stay."""
    alternate = {"s3": {"href": S3, "title": "S3", "description": "", "roles": ["data"]}}
    read = pystac.Item.from_dict(old_item([older, OTHER], alternate=alternate), migrate=True)
    assert read.stac_extensions == [NEWEST, OTHER]
    assert read.assets["red"].extra_fields["alternate"] == {
        "s3": {"href": S3, "title": "S3", "roles": ["data"]}
    }
    SCHEMA.validate(read.to_dict())
    assert AlternateAssetsExtension.ext(read).get_asset("red", "s3").href == S3


@pytest.mark.parametrize(
    "uris", [[*OLDER], [*OLDER, NEWEST], [NEWEST, *OLDER]], ids=["older", "before", "behind"]
)
def test_several_versions_become_one(uris: list[str]) -> None:
    """An item that names several versions names the newest afterwards, once."""
    read = pystac.Item.from_dict(old_item(uris), migrate=True)
    assert read.stac_extensions == [NEWEST]


def test_what_has_no_meaning_goes() -> None:
    """An empty field of alternates goes, and the hrefs of what a collection announces."""
    read = pystac.Item.from_dict(old_item([OLDER[0]], alternate={}), migrate=True)
    assert read.assets["red"].to_dict() == {"href": HREF}
    collection = make_collection(
        item_assets={"red": {"alternate": {"s3": {"href": S3, "title": "S3"}}}, "nir": {}}
    ).to_dict()
    collection["stac_extensions"] = [OLDER[0]]
    announced = pystac.Collection.from_dict(collection, migrate=True).extra_fields["item_assets"]
    assert announced == {"red": {"alternate": {"s3": {"title": "S3"}}}, "nir": {}}


@pytest.mark.parametrize("alternate", [{}, {"s3": S3}, [{"href": S3, "description": ""}], S3, None])
def test_others_are_left_alone(alternate: object) -> None:
    """Items that do not name an older version are read as they are, whatever is in them."""
    for uris in ([OTHER], [NEWEST]):
        read = pystac.Item.from_dict(old_item(uris, alternate=alternate), migrate=True)
        assert read.assets["red"].extra_fields == {"alternate": alternate}
        assert read.stac_extensions == uris


JSON = st.recursive(
    st.none() | st.booleans() | st.just("") | NAMES,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["red", "alternate", "s3", "description"]), inner)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_migration_takes_anything(assets: object, item_assets: object) -> None:
    """Whatever stands where assets should be, migration neither fails nor is done twice."""
    collection = make_collection().to_dict()
    collection.update(assets=assets, item_assets=item_assets, stac_extensions=[OLDER[0]])
    info = pystac.serialization.identify_stac_object(collection)
    version = info.version_range.latest_valid_version()
    ALTERNATE_ASSETS_EXTENSION_HOOKS.migrate(collection, version, info)
    assert collection["stac_extensions"] == [NEWEST]
    once = copy.deepcopy(collection)
    ALTERNATE_ASSETS_EXTENSION_HOOKS.migrate(collection, version, info)
    assert collection == once
