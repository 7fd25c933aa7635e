"""Alternates: replicas written into assets, and original hrefs restored."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import Outcome
from stac_client._alternates import (
    ALTERNATE_ASSETS,
    ORIGINAL,
    PFN,
    restore_original_href,
    with_alternates,
    with_replicas,
)
from stac_client._assets import select_assets
from stac_client._replicas import Mounts, replicas_by_key
from tests.items import HREF, make_item

if TYPE_CHECKING:
    from collections.abc import Mapping


A, B, C = (f"https://{rse}.example.org/c/i/x.tif" for rse in "abc")

RSES = st.sampled_from(["A", "B", "STAC", ORIGINAL, "s3"])
URLS = st.sampled_from([HREF, A, B, C, "s3://bucket/x.tif", f"{HREF}?sig=1"])
ODD = st.none() | st.booleans() | st.text(max_size=2) | st.lists(st.integers(), max_size=1)
OTHERS = st.fixed_dictionaries({"href": URLS}, optional={"title": st.text(max_size=2)})
ASSETS = st.fixed_dictionaries(
    {"href": URLS},
    optional={
        "title": ODD,
        "roles": st.just(["data"]),
        "alternate": st.dictionaries(RSES | st.just("mirror"), OTHERS | ODD, max_size=3) | ODD,
        "alternate:name": RSES | ODD,
    },
)
UNSIGNED = URLS.map(lambda url: url.replace("?sig", "?v"))
PFNS = st.dictionaries(RSES, st.lists(UNSIGNED, max_size=2, unique=True), max_size=4)
MOUNTS = Mounts({"root://a:1094//": "https://gate.example.org/eos"})
PREFER = st.lists(RSES | st.just("NOWHERE"), max_size=3)


def alternates_of(asset: dict[str, Any]) -> dict[Any, Any]:
    """The hrefs of an asset's alternates by their keys, without what is none."""
    alternates = asset.get("alternate")
    alternates = alternates if isinstance(alternates, dict) else {}
    return {key: each["href"] for key, each in alternates.items() if isinstance(each, dict)}


@given(ASSETS, PFNS, PREFER)
def test_twice_is_once(asset: dict[str, Any], pfns: dict[str, Any], prefer: list[str]) -> None:
    """Doing it again changes nothing more."""
    once = with_replicas(asset, pfns, prefer)
    assert with_replicas(once, pfns, prefer) == once
    assert list(with_replicas(once, pfns, prefer)) == list(once)


@given(ASSETS, PFNS, PREFER)
def test_nothing_is_changed_in_place(
    asset: dict[str, Any], pfns: dict[str, Any], prefer: list[str]
) -> None:
    """Neither the asset, nor anything in it, nor the PFNs are changed."""
    before = copy.deepcopy((asset, pfns, prefer))
    with_replicas(asset, pfns, prefer)
    assert (asset, pfns, prefer) == before


_SIGNED = ["X-Amz-Signature=S", "token=S", "a=b;sig=S"]


@given(
    st.dictionaries(RSES, st.lists(st.sampled_from([A, B]), max_size=1), max_size=2),
    st.dictionaries(RSES, st.sampled_from(_SIGNED), min_size=1, max_size=3),
    st.sampled_from(["https://s3.example.org/x.tif?", "s3s://u:S@s3/x?", "davs://u:S@h/x?"]),
    PREFER,
)
def test_signed_pfns_are_not_shown(
    pfns: dict[str, Any], signed: dict[str, str], url: str, prefer: list[str]
) -> None:
    """What Rucio signs for an account that may sign gets into no item, which others may read."""
    asset = {"href": HREF}
    everything = {
        rse: [*([f"{url}{signed[rse]}"] if rse in signed else []), *pfns.get(rse, [])]
        for rse in {**pfns, **signed}
    }
    assert with_replicas(asset, everything, prefer) == with_replicas(asset, pfns, prefer)


@given(ASSETS, PFNS, PREFER)
def test_no_url_is_lost(asset: dict[str, Any], pfns: dict[str, Any], prefer: list[str]) -> None:
    """The original URL, others' alternates and every replica are still there afterwards."""
    found = with_replicas(asset, pfns, prefer)
    urls = {found["href"], *alternates_of(found).values()}
    ways = replicas_by_key(pfns)
    others = {url for key, url in alternates_of(asset).items() if key not in ways}
    replicas = {pfn for each in pfns.values() for pfn in each}
    assert {asset["href"], *others, *replicas} <= urls
    assert urls <= {asset["href"], *alternates_of(asset).values(), *replicas}


@given(ASSETS, PFNS, PREFER)
def test_other_fields_stay(asset: dict[str, Any], pfns: dict[str, Any], prefer: list[str]) -> None:
    """Fields that are not the extension's stay as they are, in alternates too."""
    found = with_replicas(asset, pfns, prefer)
    ours = {"href", "alternate", "alternate:name"}
    assert {key: found[key] for key in found if key not in ours} == {
        key: asset[key] for key in asset if key not in ours
    }
    for key, url in alternates_of(asset).items():
        if alternates_of(found).get(key) == url:
            fields = found["alternate"][key]
            assert fields == fields | asset["alternate"][key]


@given(ASSETS, PFNS, PREFER)
def test_what_the_specification_wants(
    asset: dict[str, Any], pfns: dict[str, Any], prefer: list[str]
) -> None:
    """There is no empty `alternate` and no empty name, and each replica has its RSE's name."""
    found = with_replicas(asset, pfns, prefer)
    assert found.get("alternate") != {}
    if "alternate:name" in found:
        assert isinstance(found["alternate:name"], str)
        assert found["alternate:name"]
    for key, place in replicas_by_key(pfns).items():
        if alternates_of(found).get(key) == place.url:
            assert found["alternate"][key]["alternate:name"] == key


@given(ASSETS, PFNS, PREFER)
def test_preferred(asset: dict[str, Any], pfns: dict[str, Any], prefer: list[str]) -> None:
    """The href is the best copy at the first preferred RSE that has one, or stays as it is."""
    wanted = [pfns[rse][0] for rse in prefer if pfns.get(rse)]
    assert with_replicas(asset, pfns, prefer)["href"] == (wanted[0] if wanted else asset["href"])


@given(ASSETS, PREFER)
def test_no_replicas(asset: dict[str, Any], prefer: list[str]) -> None:
    """Without replicas the href and others' alternates stay."""
    found = with_replicas(asset, {"A": []}, prefer)
    assert found["href"] == asset["href"]
    assert set(alternates_of(found).values()) | {found["href"]} == {
        asset["href"],
        *alternates_of(asset).values(),
    }


def test_copies() -> None:
    """Each replica becomes an alternate of its RSE; the source RSE names the asset itself."""
    found = with_replicas({"href": HREF, "title": "x"}, {"STAC": [HREF], "B": [B], "A": [A]})
    assert found == {
        "href": HREF,
        "title": "x",
        "alternate:name": "STAC",
        "alternate": {
            "A": {"href": A, "alternate:name": "A"},
            "B": {"href": B, "alternate:name": "B"},
        },
    }


def test_only_the_source() -> None:
    """Where there is no copy, the asset gets its name and no alternates."""
    found = with_replicas({"href": HREF}, {"STAC": [HREF]})
    assert found == {"href": HREF, "alternate:name": "STAC"}


@pytest.mark.parametrize(
    ("prefer", "href", "name"),
    [
        (["A", "B"], A, "A"),
        (["B", "A"], B, "B"),
        (["NOWHERE", "EMPTY", "B"], B, "B"),
        (["NOWHERE"], HREF, "STAC"),
        (["STAC", "A"], HREF, "STAC"),
        ([], HREF, "STAC"),
    ],
)
def test_prefer(prefer: list[Any], href: str, name: str) -> None:
    """The first preferred RSE with a copy gives the href; the others are its alternates."""
    pfns = {"STAC": [HREF], "A": [A, C], "B": [B], "EMPTY": []}
    found = with_replicas({"href": HREF}, pfns, prefer)
    everywhere = {"STAC": HREF, "A": A, "A-https": C, "B": B}
    assert (found["href"], found["alternate:name"]) == (href, name)
    assert everywhere.pop(name) == href
    assert alternates_of(found) == everywhere


def test_prefer_where_no_rse_has_the_original() -> None:
    """An original that is at no RSE, such as a signed one, is kept as such."""
    signed = f"{HREF}?sig=1"
    found = with_replicas({"href": signed}, {"STAC": [HREF], "A": [A]}, ["A"])
    assert found["href"] == A
    assert alternates_of(found) == {ORIGINAL: signed, "STAC": HREF}
    assert found["alternate"][ORIGINAL]["alternate:name"] == ORIGINAL


def test_the_name_that_the_catalogue_gives() -> None:
    """A name that the catalogue gives its own URL stays with that URL."""
    asset = {"href": HREF, "alternate:name": "HTTPS", "alternate": {"S3": {"href": "s3://b/x"}}}
    plain = with_replicas(asset, {"A": [A]})
    assert plain["alternate:name"] == "HTTPS"
    assert alternates_of(plain) == {"A": A, "S3": "s3://b/x"}
    preferred = with_replicas(asset, {"A": [A]}, ["A"])
    assert preferred["alternate:name"] == "A"
    assert alternates_of(preferred) == {"HTTPS": HREF, "S3": "s3://b/x"}


@pytest.mark.parametrize("name", [ORIGINAL, None, ["x"], 7, ""])
def test_others_use_our_names(name: Any) -> None:
    """An alternate of others is not overwritten, whatever they call it."""
    asset = {"href": HREF, "alternate:name": name, "alternate": {ORIGINAL: {"href": B}}}
    found = with_replicas(asset, {"A": [A]}, ["A"])
    assert found["href"] == A
    assert sorted(alternates_of(found).values()) == sorted([B, HREF])


def test_names_change_places() -> None:
    """From one preference to another, every copy keeps its name."""
    pfns = {"STAC": [HREF], "A": [A], "B": [B]}
    found = {"href": HREF}
    for prefer in (["A"], ["B"], [], ["STAC"], ["A"]):
        found = with_replicas(found, pfns, prefer)
        copies = alternates_of(found) | {found["alternate:name"]: found["href"]}
        assert copies == {"STAC": HREF, "A": A, "B": B}


def test_further_protocols() -> None:
    """Further protocols of an RSE have its name with their scheme, and numbers if need be."""
    pfns = {
        "A": [
            "davs://a.org:443/x",
            "root://a.org:1094//x",
            "davs://a.org:8443/x",
            "davs://b.org/x",
        ],
        "A-davs": ["https://c.org/x"],
    }
    assert {key: (way.rse, way.pfn) for key, way in replicas_by_key(pfns).items()} == {
        "A": ("A", "davs://a.org:443/x"),
        "A-davs": ("A-davs", "https://c.org/x"),
        "A-root": ("A", "root://a.org:1094//x"),
        "A-davs-2": ("A", "davs://a.org:8443/x"),
        "A-davs-3": ("A", "davs://b.org/x"),
    }


def test_mounted() -> None:
    """The path where an RSE is mounted is one more way to it; its URL keeps its key."""
    pfns = {"A": ["https://a.org/eos/x.tif"], "B": [B]}
    found = replicas_by_key(pfns, Mounts({"https://a.org/eos/": "/eos"}))
    assert {key: (way.rse, way.scheme, way.url) for key, way in found.items()} == {
        "A": ("A", "https", "https://a.org/eos/x.tif"),
        "B": ("B", "https", B),
        "A-file": ("A", "file", "/eos/x.tif"),
    }


@pytest.mark.parametrize(
    ("pfn", "url"),
    [
        ("davs://a:443/x?y", "https://a:443/x?y"),
        ("DAV://a/x", "http://a/x"),
        ("root://a:1094//x y/%20.tif", "https://gate.example.org/eos/x%20y/%2520.tif"),
    ],
)
def test_what_tools_read(pfn: str, url: str) -> None:
    """A copy has the URL that tools read as its href, and its PFN in a field of its own."""
    asset: Any = {"href": HREF, "alternate": {"A": {"href": "x", PFN: "davs://old/x"}}}
    for prefer in ("A", "STAC"):
        replicas = replicas_by_key({"A": [pfn], "STAC": [HREF]}, MOUNTS)
        asset = with_alternates(asset, replicas, replicas[prefer])
    assert asset == {
        "href": HREF,
        "alternate:name": "STAC",
        "alternate": {"A": {"href": url, "alternate:name": "A", PFN: pfn}},
    }
    preferred = with_alternates(asset, replicas, replicas["A"])
    assert (preferred["href"], preferred[PFN]) == (url, pfn)
    assert preferred["alternate"] == {"STAC": {"href": HREF, "alternate:name": "STAC"}}
    # As registration and downloads see it, though all is HTTP now.
    assert restore_original_href(preferred)["href"] == HREF
    assert restore_original_href(preferred, "STAC")["href"] == HREF
    moved = {**asset, "alternate": {**asset["alternate"], "A": {"href": "x", PFN: pfn}}}
    stored = with_alternates(moved, replicas_by_key({"A": ["https://new.org/x"]}))
    assert stored["alternate"]["A"] == {"href": "https://new.org/x", "alternate:name": "A"}


@given(PFNS)
def test_every_way_has_a_key(pfns: dict[str, Any]) -> None:
    """Every PFN of every RSE has one key, and the best of an RSE has the RSE's name."""
    found = replicas_by_key(pfns)
    assert all(key == way.key for key, way in found.items())
    ways = {(way.rse, way.url) for way in found.values()}
    assert ways == {(rse, pfn) for rse, each in pfns.items() for pfn in each}
    assert len(ways) == len(found)
    assert {rse: found[rse].url for rse in pfns if pfns[rse]} == {
        rse: each[0] for rse, each in pfns.items() if each
    }


@given(ASSETS, PFNS, st.sets(RSES))
def test_only_some_rses(asset: dict[str, Any], pfns: dict[str, Any], rses: set[Any]) -> None:
    """What is not to be written gives the asset's own URL its name, and is not written."""
    found = with_alternates(asset, replicas_by_key(pfns), shown=rses)
    shown = {pfn for rse in pfns for pfn in pfns[rse] if rse in rses}
    before = {asset["href"], *alternates_of(asset).values()}
    assert {found["href"], *alternates_of(found).values()} <= before | shown


def test_the_name_of_the_source_rse() -> None:
    """An original at an RSE that is left out keeps that RSE's name."""
    found = replicas_by_key({"STAC": [HREF], "A": [A], "B": [B]})
    asset = with_alternates({"href": HREF}, found, found["A"], shown=["A"])
    assert asset == {
        "href": A,
        "alternate:name": "A",
        "alternate": {"STAC": {"href": HREF, "alternate:name": "STAC"}},
    }


def test_fields_of_the_place_move_with_the_href() -> None:
    """What says where an href leads and who may go there moves with it, and back again."""
    place = {"storage:refs": ["aws"], "auth:refs": ["oauth"]}
    asset = {"href": HREF, "title": "x", **place}
    pfns = {"STAC": [HREF], "A": [A]}
    there = with_replicas(asset, pfns, ["A"])
    assert there == {
        "href": A,
        "title": "x",
        "alternate:name": "A",
        "alternate": {"STAC": {"href": HREF, "alternate:name": "STAC", **place}},
    }
    back = with_replicas(there, pfns, ["STAC"])
    assert back == {
        **asset,
        "alternate:name": "STAC",
        "alternate": {"A": {"href": A, "alternate:name": "A"}},
    }


def test_storage_of_each_way() -> None:
    """Each way to an RSE refers to the RSE's storage scheme, and so does the asset itself."""
    found = replicas_by_key({"STAC": [HREF], "A": [A, C]})
    refs = {"STAC": "STAC", "A": "A-rucio"}
    once = with_alternates({"href": HREF}, found, found["A"], refs=refs)
    assert once == {
        "href": A,
        "alternate:name": "A",
        "storage:refs": ["A-rucio"],
        "alternate": {
            "STAC": {"href": HREF, "alternate:name": "STAC", "storage:refs": ["STAC"]},
            "A-https": {"href": C, "alternate:name": "A-https", "storage:refs": ["A-rucio"]},
        },
    }
    assert with_alternates(once, found, found["A"], refs=refs) == once


def test_extension() -> None:
    """The schema is the one of the version that is followed."""
    assert (
        ALTERNATE_ASSETS == "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"
    )


# Originals: assets whose href a modifier has turned into that of a replica.


DAVS = "davs://disk-a.example.org/c/i/x.tif"
NEAR = "https://disk-b.example.org/c/i/x.tif"
COPIES = {"STAC": (HREF,), "DISK-A": (DAVS,), "DISK-B": (NEAR,)}
SOURCE_RSES = [None, "STAC", "OTHER"]


def hrefs(fields: Mapping[str, Any] | dict[str, Any]) -> set[Any]:
    """All hrefs of an asset."""
    return {fields["href"], *(place["href"] for place in fields.get("alternate", {}).values())}


def modified(href: Any, pfns: Any, *prefer: Any) -> dict[str, Any]:
    """The fields of an asset after a modifier."""
    return with_replicas({"href": href, "title": "X"}, pfns, prefer)


@pytest.mark.parametrize("copy_at", ["DISK-A", "DISK-B"])
def test_registered_originals(copy_at: str) -> None:
    """The source RSE names the original among the alternates; no URL is lost."""
    fields = modified(HREF, COPIES, copy_at)
    assert fields["href"] != HREF
    found = restore_original_href(fields, "STAC")
    assert (found["href"], found["title"]) == (HREF, "X")
    assert hrefs(found) == hrefs(fields)


@pytest.mark.parametrize("source_rse", SOURCE_RSES)
@pytest.mark.parametrize("href", [HREF, "./x.tif", "https://data.example.org/x.tif?version=1"])
def test_originals_that_no_rse_has(href: str, source_rse: str | None) -> None:
    """The alternate `original` is the original, relative or not, as it was."""
    fields = modified(href, {"DISK-A": (DAVS,), "DISK-B": (NEAR,)}, "DISK-A")
    assert restore_original_href(fields, source_rse)["href"] == href


@pytest.mark.parametrize("source_rse", SOURCE_RSES)
@pytest.mark.parametrize(
    "fields",
    [
        {"href": HREF},
        {"href": HREF, "alternate": {"s3": {"href": "s3://bucket/x.tif"}}},
        {"href": HREF, "alternate": {"mirror": {"href": NEAR}}, "alternate:name": "main"},
        {"href": HREF, "alternate": None},
        {"href": HREF, "alternate": {"original": None, "STAC": {"href": 5}, "x": []}},
        {"href": "s3://bucket/x.tif", "alternate": {"other": {"href": "s3://mirror/x.tif"}}},
        {"href": None, "alternate": {"original": {"href": HREF}}},
        {"alternate": {"original": {"href": HREF}}},
    ],
)
def test_what_no_modifier_has_changed(fields: dict[str, Any], source_rse: str | None) -> None:
    """A catalogue's own href stays, whatever alternates it has."""
    assert restore_original_href(fields, source_rse) is fields


@pytest.mark.parametrize("key", ["STAC", "original"])
def test_the_same_url_twice(key: str) -> None:
    """An original that is the href already stays it."""
    fields = {"href": HREF, "alternate": {key: {"href": HREF}}}
    assert restore_original_href(fields, "STAC")["href"] == HREF


def test_one_url_of_http() -> None:
    """The copy at a storage gives way to the only alternate that can be the catalogue's own."""
    fields = {"href": DAVS, "alternate": {"https": {"href": HREF}}}
    assert restore_original_href(fields, "STAC")["href"] == HREF
    assert DAVS in hrefs(restore_original_href(fields, "STAC"))


def test_several_urls_of_http() -> None:
    """Which of several it is matters for a registration, and else only as far as its name does."""
    several = {"a": {"href": HREF}, "b": {"href": NEAR}}
    assert restore_original_href({"href": DAVS, "alternate": several}, "STAC")["href"] == DAVS
    assert restore_original_href({"href": DAVS, "alternate": several})["href"] in {HREF, NEAR}
    unlike = {"a": {"href": HREF}, "b": {"href": "https://data.example.org/x.jp2"}}
    assert restore_original_href({"href": DAVS, "alternate": unlike})["href"] == DAVS


ORIGINAL_URLS = st.sampled_from([HREF, DAVS, NEAR, "./x.tif", "s3://bucket/x.tif"]) | st.none()
PLACES = st.fixed_dictionaries({"href": ORIGINAL_URLS}, optional={"title": st.just("")}) | st.none()
KEYS = st.sampled_from(["STAC", "DISK-A", "original", "local", "mirror"])
CHANGED = st.fixed_dictionaries(
    {"href": ORIGINAL_URLS},
    optional={
        "alternate": st.dictionaries(KEYS, PLACES, max_size=4) | st.none(),
        "alternate:name": KEYS | st.integers(),
    },
)


@given(CHANGED, st.sampled_from(SOURCE_RSES))
def test_any_asset(fields: dict[str, Any], source_rse: Any) -> None:
    """Nothing is changed in place, and what it has found stays found."""
    before = copy.deepcopy(fields)
    found = restore_original_href(fields, source_rse)
    assert fields == before
    assert restore_original_href(found, source_rse)["href"] == found["href"]


@given(
    st.sampled_from([HREF, f"{HREF}?a=1", "https://data.example.org/x"]),
    st.sampled_from([(), ("DISK-A",), ("DISK-B", "DISK-A")]),
    st.booleans(),
)
def test_names_and_urls_stay(href: Any, prefer: Any, registered: bool) -> None:
    """Whatever copy a modifier prefers, the asset that is registered is the same."""
    pfns = {**COPIES, "STAC": (href,)} if registered else {"DISK-A": (DAVS,), "DISK-B": (NEAR,)}
    (plain,) = select_assets(make_item(assets={"x.tif": {"href": href}}), None, None, "STAC")
    given_item = make_item(assets={"x.tif": modified(href, pfns, *prefer)})
    (found,) = select_assets(given_item, None, None, "STAC")
    assert not isinstance(found, Outcome)
    assert found == plain
