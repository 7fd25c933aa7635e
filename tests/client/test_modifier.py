"""The modifier: what pystac-client hands over, and what is done to it; Rucio is not asked here."""

from __future__ import annotations

import copy
import inspect
import json
import pathlib
import pickle
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pystac
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rucio.common.exception import DatabaseException

from stac_client import (
    ALTERNATE_ASSETS,
    AlternatesWarning,
    ConfigurationError,
    Modifier,
    ModifierOptions,
    StacClient,
)
from stac_client._assets import Asset, select_assets
from stac_policy.naming import DID
from tests.fake_rucio import FakeRucio
from tests.items import HREF, make_item

from .modifying import COPY, modifier_of, page

if TYPE_CHECKING:
    from collections.abc import Callable


PFNS = {DID("c", "/c/i/a.tif"): {"STAC": [HREF], "DISK": [COPY]}}


@pytest.fixture
def replicas() -> FakeRucio:
    """Replicas of one asset."""
    return FakeRucio(PFNS)


@pytest.fixture
def modifier(replicas: FakeRucio) -> Modifier:
    """The modifier."""
    return Modifier(replicas)


EXPECTED: dict[str, Any] = {
    "href": HREF,
    "title": "x",
    "alternate:name": "STAC",
    "alternate": {"DISK": {"href": COPY, "alternate:name": "DISK"}},
}


def test_signed_pfns() -> None:
    """Of replicas that Rucio signs for this account, an item tells nothing, also if preferred."""
    (did,) = PFNS
    signed = {"S3": ["https://s3.example.org/x.tif?X-Amz-Signature=S3CRET"]}
    found = make_item()
    Modifier(FakeRucio({did: signed}), ModifierOptions(prefer=["S3"]))(found)
    assert "S3CRET" not in json.dumps(found)
    assert found["assets"]["a"]["href"] == HREF


# What pystac-client hands over.


def test_page(modifier: Modifier, replicas: FakeRucio) -> None:
    """A page is modified in place, in one request, and keeps its objects."""
    page: dict[str, Any] = {
        "type": "FeatureCollection",
        "features": [make_item(), make_item(id="other")],
    }
    features = list(page["features"])
    assets = [feature["assets"]["a"] for feature in features]
    untouched = copy.deepcopy(features[1])
    assert modifier(page) is None  # type: ignore[func-returns-value]  # a search warns of all else
    assert [id(each) for each in page["features"]] == [id(each) for each in features]
    assert [id(each["assets"]["a"]) for each in features] == [id(each) for each in assets]
    assert assets[0] == EXPECTED
    assert features[0]["stac_extensions"] == [ALTERNATE_ASSETS]
    assert features[1] == untouched
    assert replicas.asked == [2]


def test_item_dict(modifier: Modifier) -> None:
    """An item as dict is modified in place."""
    found = make_item(stac_extensions=["https://example.org/schema.json"])
    asset = found["assets"]["a"]
    modifier(found)
    assert found["assets"]["a"] is asset
    assert asset == EXPECTED
    assert found["stac_extensions"] == ["https://example.org/schema.json", ALTERNATE_ASSETS]


def test_item(modifier: Modifier) -> None:
    """An item as object is modified in place; so is its dict afterwards."""
    found = pystac.Item.from_dict(make_item())
    asset = found.assets["a"]
    modifier(found)
    assert found.assets["a"] is asset
    assert asset.href == HREF
    assert found.to_dict(transform_hrefs=False)["assets"]["a"] == EXPECTED
    assert found.stac_extensions == [ALTERNATE_ASSETS]


def test_item_collection(modifier: Modifier, replicas: FakeRucio) -> None:
    """An item collection is modified in place, in one request."""
    items = [pystac.Item.from_dict(make_item(id=name)) for name in ("i", "other")]
    collection = pystac.ItemCollection(items, clone_items=False)
    modifier(collection)
    assert items[0].to_dict(transform_hrefs=False)["assets"]["a"] == EXPECTED
    assert "alternate" not in items[1].assets["a"].extra_fields
    assert replicas.asked == [2]


def test_several(modifier: Modifier, replicas: FakeRucio) -> None:
    """Items in a list, a tuple or a set are modified in one request, whatever they are."""
    page: dict[str, Any] = {"type": "FeatureCollection", "features": [make_item(), make_item()]}
    item = pystac.Item.from_dict(make_item())
    found: list[Any] = [make_item(), item, page, make_collection(), {}]
    for several in (found, tuple(found), dict(enumerate(found)).values()):
        modifier(several)
    assert found[0]["assets"]["a"] == EXPECTED
    assert item.to_dict(transform_hrefs=False)["assets"]["a"] == EXPECTED
    assert [each["assets"]["a"] for each in page["features"]] == [EXPECTED] * 2
    objects = {pystac.Item.from_dict(make_item())}
    modifier(objects)
    assert "alternate" in objects.pop().assets["a"].extra_fields
    assert replicas.asked == [1]


@pytest.mark.parametrize(
    "wrong",
    [None, 5, "x", b"x", pathlib.Path("x"), lambda: None, pystac.Asset(HREF)],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.parametrize(
    "among", [lambda each: each, lambda each: [make_item(), each]], ids=["alone", "in a list"]
)
def test_no_items(
    modifier: Modifier,
    replicas: FakeRucio,
    wrong: Any,
    among: Callable[..., Any],
) -> None:
    """What can hold no items is refused, and nothing beside it is modified."""
    thing = among(wrong)
    with pytest.raises(TypeError, match=f"or a list of these, not {type(wrong).__name__}"):
        modifier(thing)
    with pytest.raises(TypeError):
        modifier.explain(thing)
    assert replicas.asked == []
    assert thing is wrong or thing[0] == make_item()


@pytest.mark.parametrize("iterate", [iter, reversed, enumerate])
def test_iterators(modifier: Modifier, iterate: Any) -> None:
    """An iterator, of which nothing would be left, is refused untouched."""
    items = [make_item()]
    iterator = iterate(items)
    with pytest.raises(TypeError, match=f"not {type(iterator).__name__}"):
        modifier(iterator)
    assert len(list(iterator)) == 1


@pytest.mark.parametrize("given", [(), (make_item(),)])
def test_options_in_a_call(modifier: Modifier, given: tuple[Any, ...]) -> None:
    """Options are not given in a call, which says where they go."""
    with pytest.raises(TypeError, match=r"modifier\.with_options\(prefer=…, strict=…\)"):
        modifier(*given, prefer=["DISK"], strict=True)  # type: ignore[arg-type]  # that is the test


def test_unknown_options(modifier: Modifier) -> None:
    """An option with a slip of the pen is refused, and so is a wrong value."""
    with pytest.raises(TypeError, match="prefr"):
        modifier.with_options(prefr=["DISK"])  # type: ignore[call-arg]  # that is the test
    with pytest.raises(ConfigurationError, match="cache_s"):
        modifier.with_options(cache_s=-1)


def test_options_can_be_read(modifier: Modifier) -> None:
    """The options of a modifier are a value, which nobody can change."""
    other = modifier.with_options(prefer="DISK", timeout_s=None)
    assert other.options == ModifierOptions(prefer="DISK", timeout_s=None)
    assert modifier.options == ModifierOptions()
    with pytest.raises(FrozenInstanceError):
        other.options.strict = True  # type: ignore[misc]  # that is the test


def test_what_help_shows() -> None:
    """No option has an object without a name as its default."""
    for function in (Modifier.__init__, Modifier.__call__, Modifier.with_options, ModifierOptions):
        shown = str(inspect.signature(function))
        assert not any(odd in shown for odd in (" at 0x", "object object", "<lambda>", "<factory>"))


class _Portable(FakeRucio):
    """A Rucio that can be pickled."""

    def __reduce__(self) -> tuple[type[_Portable], tuple[dict[Any, Any]]]:
        return _Portable, (PFNS,)


def pickled(each: Any) -> Any:
    """What it is in another process."""
    return pickle.loads(pickle.dumps(each))  # noqa: S301 - our own


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_copies_of_a_modifier(copied: Callable[..., Any]) -> None:
    """A modifier can be copied and pickled; its copy has its options and scope, and asks anew."""
    rucio = _Portable(PFNS)
    modifier = Modifier(rucio, ModifierOptions(prefer="DISK", exclude="STAC"), "c")
    modifier(make_item(None))
    other = copied(copied(modifier))
    assert other.options == modifier.options
    for each in (modifier, other):
        found = make_item("another")
        each(found)
        assert found["assets"]["a"] == make_item("another")["assets"]["a"]
        each(found := make_item())
        assert found["assets"]["a"]["href"] == COPY


def test_options_add_up(replicas: FakeRucio) -> None:
    """A modifier made from another keeps the options that are not given."""
    modifier = (
        modifier_of(replicas, prefer="DISK").with_options(exclude="STAC").with_options(timeout_s=5)
    )
    found = make_item()
    modifier(found)
    assert found["assets"]["a"]["href"] == COPY
    found = make_item()
    modifier.with_options(prefer=())(found)
    assert found["assets"]["a"]["href"] == HREF
    found = make_item()
    modifier.with_options(exclude="DISK")(found)
    assert found["assets"]["a"] == {"href": HREF, "title": "x", "alternate:name": "STAC"}


def make_collection() -> pystac.Collection:
    """A collection."""
    extent = pystac.Extent(
        pystac.SpatialExtent([5, 45, 9, 47]), pystac.TemporalExtent([None, None])
    )
    return pystac.Collection("c", "…", extent)


@pytest.mark.parametrize(
    "thing",
    [
        [],
        set(),
        {},
        {"collections": [make_collection().to_dict()], "links": []},
        make_collection().to_dict(),
        make_collection(),
        pystac.Catalog("x", "…"),
        {"type": "FeatureCollection", "features": []},
        {"type": "FeatureCollection", "features": None},
        {"type": "FeatureCollection", "features": "features"},
        {"type": "FeatureCollection", "features": [None, 5, "x", []]},
        {"type": "Feature"},
        make_item(assets=None),
        make_item(assets=[]),
        make_item(assets={"a": None, "b": "x", "c": {}, "d": {"href": None}, "e": {"href": 5}}),
        make_item(assets={"": {"href": HREF}}),
        make_item() | {"collection": None},
        make_item(collection=""),
        make_item(id=5),
        make_item(id=None),
        make_item(None, "i", {"a": {"href": HREF}}),
    ],
    ids=lambda thing: str(thing)[:40],
)
def test_what_has_no_replicas(modifier: Modifier, replicas: FakeRucio, thing: Any) -> None:
    """What holds no asset that could have replicas is left alone, and costs no request."""
    before = copy.deepcopy(thing)
    modifier(thing)
    assert replicas.asked == []
    if isinstance(thing, pystac.STACObject):
        assert thing.to_dict() == before.to_dict()
    else:
        assert thing == before


def test_item_object_without_a_collection(modifier: Modifier, replicas: FakeRucio) -> None:
    """An item object without a collection is left alone."""
    found = pystac.Item.from_dict(make_item(None, "i", {"a": {"href": HREF}}))
    modifier(found)
    assert found.assets["a"].extra_fields == {}
    assert replicas.asked == []


@pytest.mark.parametrize("collection", [None, "user.alice", "group.phys"])
def test_items_without_a_scope(
    modifier: Modifier, replicas: FakeRucio, collection: str | None
) -> None:
    """An item that has no scope of its own is left alone, and the others are not."""
    nowhere = make_item(collection, "i", {"a": {"href": HREF}})
    found = [nowhere, make_item()]
    modifier(found)
    assert nowhere["assets"] == {"a": {"href": HREF}}
    assert found[1]["assets"]["a"] == EXPECTED
    assert replicas.asked == [1]


def test_garbage_beside_an_asset(modifier: Modifier) -> None:
    """Garbage beside an asset stays, and keeps nothing from the asset."""
    garbage = {"b": None, "c": "x", "d": {"href": None}, "e": {}}
    found = make_item(assets={"a": {"href": HREF, "title": "x"}, **garbage}, stac_extensions=None)
    modifier(found)
    assert found["assets"] == {"a": EXPECTED, **garbage}
    assert found["stac_extensions"] == [ALTERNATE_ASSETS]


@pytest.mark.parametrize("odd", [None, 5, "x", [], ["x"], {"DISK": None}, {"x": {"href": 5}}])
@pytest.mark.parametrize("field", ["alternate", "alternate:name"])
def test_odd_alternates(modifier: Modifier, field: str, odd: Any) -> None:
    """Odd alternates of others keep nothing from the asset."""
    found = make_item(assets={"a": {"href": HREF, field: odd}})
    modifier(found)
    assert found["assets"]["a"]["alternate"]["DISK"] == EXPECTED["alternate"]["DISK"]


# Which files an asset's replicas are those of.


def test_signed_href(modifier: Modifier) -> None:
    """An asset whose URL was signed meanwhile still gets its copies, and keeps its URL."""
    found = make_item(assets={"a": {"href": f"{HREF}?se=2025&sig=x"}})
    modifier(found)
    asset = found["assets"]["a"]
    assert asset["href"] == f"{HREF}?se=2025&sig=x"
    assert {key: each["href"] for key, each in asset["alternate"].items()} == {
        "STAC": HREF,
        "DISK": COPY,
    }


def test_prefer(replicas: FakeRucio) -> None:
    """A modifier that prefers puts the copy into the href; so often as it is called."""
    replicas.rses["TAPE"] = {}
    modifier = StacClient(replicas).modifier.with_options(prefer=["TAPE", "DISK"])
    found = make_item()
    for _ in range(2):
        modifier(found)
        assert found["assets"]["a"] == {
            "href": COPY,
            "title": "x",
            "alternate:name": "DISK",
            "alternate": {"STAC": {"href": HREF, "alternate:name": "STAC"}},
        }


def test_prefer_a_copy_without_suffix() -> None:
    """An asset is found again when its href is a copy with another suffix, or none."""
    pfns = {DID("c", "/c/i/a.tif"): {"STAC": [HREF], "TAPE": ["https://tape.example.org/0042"]}}
    modifier = modifier_of(FakeRucio(pfns), prefer=["TAPE"])
    found = make_item()
    modifier(found)
    once = copy.deepcopy(found)
    assert once["assets"]["a"]["href"] == "https://tape.example.org/0042"
    modifier(found)
    assert found == once


def test_fixed_scope() -> None:
    """A fixed scope takes the place of the derived one, also in a modifier made from another."""
    pfns = {DID("user.alice", "/c/i/a.tif"): PFNS[DID("c", "/c/i/a.tif")]}
    client = StacClient(FakeRucio(pfns), scope="user.alice")
    for modifier in (client.modifier, client.modifier.with_options(prefer=["STAC"])):
        found = make_item()
        modifier(found)
        assert found["assets"]["a"] == EXPECTED


HREFS = st.sampled_from([HREF, "https://data.example.org/x.TIF", "https://data.example.org/x"])
FIELDS = st.fixed_dictionaries({}, optional={"href": HREFS | st.none()}) | st.none()
KEYS = st.sampled_from(["a", "a.tif", "a.TIF", "a.tif.tif", "b", "b:c/d"])


@given(st.dictionaries(KEYS, FIELDS, max_size=5))
def test_it_asks_for_what_is_registered(assets: dict[Any, Any]) -> None:
    """Every asset that can be registered finds its replicas, whatever the keys beside it."""
    found = make_item(assets=assets)
    registered = {
        each.key: each.did for each in select_assets(found, assets) if isinstance(each, Asset)
    }
    pfns = {did: {"DISK": [f"https://disk.example.org{did.name}"]} for did in registered.values()}
    Modifier(FakeRucio(pfns))(found)
    for key, did in registered.items():
        alternate = found["assets"][key]["alternate"]["DISK"]
        assert alternate["href"] == f"https://disk.example.org{did.name}"


def test_objects_and_dicts_alike() -> None:
    """An item gets the same alternates whether it is handed over as object or as dict."""
    assets = {key: {"href": HREF} for key in ("a", "a.tif", "b", "b:c/d")}
    selected = list(select_assets(make_item(assets=assets)))
    pfns = {
        each.did: {"DISK": [f"https://disk.example.org{each.did.name}"]}
        for each in selected
        if each.did
    }
    assert len(pfns) == 4
    as_dict = make_item(assets=assets)
    as_object = pystac.Item.from_dict(copy.deepcopy(as_dict))
    modifier = Modifier(FakeRucio(pfns))
    modifier(as_dict)
    modifier(as_object)
    assert as_object.to_dict(transform_hrefs=False)["assets"] == as_dict["assets"]
    json.dumps(as_dict)


def test_many_assets(replicas: FakeRucio, modifier: Modifier) -> None:
    """Rucio is asked once for each 1,000 assets."""
    items = [make_item(id=f"i{number}") for number in range(2001)]
    modifier({"type": "FeatureCollection", "features": items})
    assert sorted(replicas.asked) == [1, 1000, 1000]


def test_the_same_item_twice(replicas: FakeRucio, modifier: Modifier) -> None:
    """An item that a page holds twice is asked for once, and modified in both places."""
    items = [make_item(), make_item()]
    modifier({"type": "FeatureCollection", "features": items})
    assert replicas.asked == [1]
    assert [each["assets"]["a"] for each in items] == [EXPECTED] * 2


# When Rucio does not answer.


def test_rucio_fails(modifier: Modifier, replicas: FakeRucio) -> None:
    """Where Rucio refuses, the items are as the catalogue gave them, and a warning says so."""
    replicas.told["list_replicas"] = DatabaseException("database is locked")
    found = make_item()
    with pytest.warns(AlternatesWarning, match=r"no alternates: .*database is locked"):
        modifier(found)
    assert found == make_item()


# With other modifiers.


def sign(thing: Any) -> None:
    """Append a signature to hrefs, as planetary_computer.sign_inplace does."""
    for feature in thing["features"]:
        for asset in feature["assets"].values():
            if "sig=" not in asset["href"]:
                asset["href"] += "?se=2030&sig=SECRET"


@pytest.mark.parametrize("prefer", [(), ("DISK",), ("STAC",)])
@pytest.mark.parametrize("order", ["before", "after", "both"])
def test_signed(server: FakeRucio, prefer: tuple[Any, ...], order: str) -> None:
    """Signing before or after the modifier neither hides copies nor loses a URL."""
    modifier = modifier_of(server, prefer=prefer)
    chain: dict[str, list[Callable[[Any], None]]] = {
        "before": [sign, modifier],
        "after": [modifier, sign],
        "both": [sign, modifier, sign],
    }
    found = page()
    for _ in range(2):
        for step in chain[order]:
            step(found)
        asset = found["features"][0]["assets"]["a0"]
        ways = [asset["href"], *(each["href"] for each in asset["alternate"].values())]
        assert {way.partition("?")[0] for way in ways} == {HREF, COPY}
        wanted = COPY if prefer == ("DISK",) else HREF
        assert asset["href"].partition("?")[0] == wanted
    assert server.asked == [1]


def test_reprs(replicas: FakeRucio) -> None:
    """What is shown of clients and modifiers says whom they ask, and what for."""
    stac = StacClient(replicas)
    rucio = "https://rucio.example.org/, account root"
    assert repr(stac) == f"<StacClient: {rucio}>"
    assert repr(stac.modifier) == f"<Modifier: {rucio}>"
    assert repr(stac.modifier.with_options(prefer=["DISK"], mounts={"root://a//": "/a"})) == (
        f"<Modifier: {rucio}, prefer=['DISK']>"
    )
    replicas.rses["STAC-1"] = {"deterministic": False}
    assert repr(stac.plan([], "STAC-1")) == "<Plan: 0 items, 0 files, 0 bytes>"
