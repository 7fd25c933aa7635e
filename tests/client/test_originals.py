"""Originals: assets whose href a modifier has turned into a copy's."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import Outcome
from stac_client._alternates import with_original, with_replicas
from stac_client._assets import select_assets
from tests.items import HREF, make_item

DAVS = "davs://disk-a.example.org/c/i/x.tif"
NEAR = "https://disk-b.example.org/c/i/x.tif"
PFNS = {"STAC": (HREF,), "DISK-A": (DAVS,), "DISK-B": (NEAR,)}
SOURCE_RSES = [None, "STAC", "OTHER"]


def hrefs(fields):
    """All hrefs of an asset."""
    return {fields["href"], *(place["href"] for place in fields.get("alternate", {}).values())}


def modified(href, pfns, *prefer):
    """The fields of an asset after a modifier."""
    return with_replicas({"href": href, "title": "X"}, pfns, prefer)


@pytest.mark.parametrize("copy_at", ["DISK-A", "DISK-B"])
def test_registered_originals(copy_at):
    """The source RSE names the original among the alternates; no URL is lost."""
    fields = modified(HREF, PFNS, copy_at)
    assert fields["href"] != HREF
    found = with_original(fields, "STAC")
    assert (found["href"], found["title"]) == (HREF, "X")
    assert hrefs(found) == hrefs(fields)


@pytest.mark.parametrize("source_rse", SOURCE_RSES)
@pytest.mark.parametrize("href", [HREF, "./x.tif", "https://data.example.org/x.tif?version=1"])
def test_originals_that_no_rse_has(href, source_rse):
    """The alternate `original` is the original, relative or not, as it was."""
    fields = modified(href, {"DISK-A": (DAVS,), "DISK-B": (NEAR,)}, "DISK-A")
    assert with_original(fields, source_rse)["href"] == href


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
def test_what_no_modifier_has_changed(fields, source_rse):
    """A catalogue's own href stays, whatever alternates it has."""
    assert with_original(fields, source_rse) is fields


@pytest.mark.parametrize("key", ["STAC", "original"])
def test_the_same_url_twice(key):
    """An original that is the href already stays it."""
    fields = {"href": HREF, "alternate": {key: {"href": HREF}}}
    assert with_original(fields, "STAC")["href"] == HREF


def test_one_url_of_http():
    """What can not be registered gives way to the only alternate that can."""
    fields = {"href": "s3://bucket/x.tif", "alternate": {"https": {"href": HREF}}}
    assert with_original(fields, "STAC")["href"] == HREF
    assert "s3://bucket/x.tif" in hrefs(with_original(fields, "STAC"))


def test_several_urls_of_http():
    """Which of several it is matters for a registration, and else only as far as its name does."""
    several = {"a": {"href": HREF}, "b": {"href": NEAR}}
    assert with_original({"href": DAVS, "alternate": several}, "STAC")["href"] == DAVS
    assert with_original({"href": DAVS, "alternate": several})["href"] in {HREF, NEAR}
    unlike = {"a": {"href": HREF}, "b": {"href": "https://data.example.org/x.jp2"}}
    assert with_original({"href": DAVS, "alternate": unlike})["href"] == DAVS


URLS = st.sampled_from([HREF, DAVS, NEAR, "./x.tif", "s3://bucket/x.tif"]) | st.none()
PLACES = st.fixed_dictionaries({"href": URLS}, optional={"title": st.just("")}) | st.none()
KEYS = st.sampled_from(["STAC", "DISK-A", "original", "local", "mirror"])
ASSETS = st.fixed_dictionaries(
    {"href": URLS},
    optional={
        "alternate": st.dictionaries(KEYS, PLACES, max_size=4) | st.none(),
        "alternate:name": KEYS | st.integers(),
    },
)


@given(ASSETS, st.sampled_from(SOURCE_RSES))
def test_any_asset(fields, source_rse):
    """Nothing is changed in place, and what it has found stays found."""
    before = copy.deepcopy(fields)
    found = with_original(fields, source_rse)
    assert fields == before
    assert with_original(found, source_rse)["href"] == found["href"]


@given(
    st.sampled_from([HREF, f"{HREF}?a=1", "https://data.example.org"]),
    st.sampled_from([(), ("DISK-A",), ("DISK-B", "DISK-A")]),
    st.booleans(),
)
def test_names_and_urls_stay(href, prefer, registered):
    """Whatever copy a modifier prefers, the asset that is registered is the same."""
    pfns = {**PFNS, "STAC": (href,)} if registered else {"DISK-A": (DAVS,), "DISK-B": (NEAR,)}
    (plain,) = select_assets(make_item(assets={"x.tif": {"href": href}}), None, None, "STAC")
    given_item = make_item(assets={"x.tif": modified(href, pfns, *prefer)})
    (found,) = select_assets(given_item, None, None, "STAC")
    assert not isinstance(found, Outcome)
    assert found == plain
