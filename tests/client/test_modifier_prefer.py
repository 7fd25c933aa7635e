"""Preferences: which copy is chosen, and why."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stac_client import ConfigurationError, Modifier
from stac_client._alternates import locations
from stac_client._preference import allowed, choose, is_expression
from stac_policy.naming import DID
from tests.fake_rucio import FakeRucio
from tests.items import HREF, make_item

PFNS = {
    "STAC": [HREF],
    "DISK-A": ["root://a.org:1094//x", "davs://a.org:443/x"],
    "DISK-B": ["davs://b.org:443/x"],
    "TAPE": ["srm://t.org/x"],
}
RESOLVED = {"tier=disk": {"DISK-A", "DISK-B"}, "tier=none": set(), "tier=tape": {"TAPE", "OTHER"}}


def key(prefer, pfns=PFNS, rses=None):
    """The key of the choice."""
    chosen = choose(locations(pfns).values(), prefer, pfns if rses is None else rses, RESOLVED)
    return chosen and chosen.location.key


def smallest(copies):
    """Choose the RSE with the shortest URL."""
    return min(copies, key=lambda rse: (len(copies[rse][0]), rse))


def none(_):
    """Choose none."""


@pytest.mark.parametrize(
    ("prefer", "chosen"),
    [
        ([], None),
        (["NOWHERE"], None),
        (["DISK-B"], "DISK-B"),
        (["NOWHERE", "TAPE", "DISK-A"], "TAPE"),
        (["DISK-A"], "DISK-A"),
        (["tier=disk"], "DISK-A"),
        (["tier=none", "tier=tape"], "TAPE"),
        (["unknown=x", "STAC"], "STAC"),
        (["davs"], "DISK-A-davs"),
        (["s3", "srm"], "TAPE"),
        ([lambda _: None, "DISK-B"], "DISK-B"),
        ([max], "TAPE"),
        ([smallest], "TAPE"),
    ],
)
def test_choice(prefer, chosen):
    """The first preference that a copy meets decides; of several copies the first by name."""
    assert key(prefer) == chosen


def test_what_a_chooser_gets():
    """A function gets every allowed RSE with its hrefs, the best first."""
    given: list[dict[str, list[str]]] = []
    key([given.append], rses=["DISK-A", "TAPE"])
    assert given == [{"DISK-A": PFNS["DISK-A"], "TAPE": PFNS["TAPE"]}]


def test_a_chooser_names_an_rse_without_a_copy():
    """A function that names an RSE without a copy is wrong, and is told so."""
    with pytest.raises(ConfigurationError, match="'NOWHERE'"):
        key([lambda _: "NOWHERE"])


WORDS = st.sampled_from([*PFNS, "NOWHERE", "davs", "https", *RESOLVED])


@given(
    st.dictionaries(st.sampled_from([*PFNS]), st.just(None)).map(
        lambda some: {k: PFNS[k] for k in some}
    ),
    st.lists(WORDS, max_size=4),
    st.sets(st.sampled_from([*PFNS])),
)
def test_the_order_is_respected(pfns, prefer, rses):
    """No copy that is allowed meets an earlier preference than the chosen one does."""
    choice = choose(locations(pfns).values(), prefer, rses, RESOLVED)
    chosen_at = prefer.index(choice.preference) if choice else len(prefer)
    for way in locations(pfns).values():
        if way.rse in rses:
            for earlier in prefer[:chosen_at]:
                assert earlier not in {way.rse, way.scheme}
                assert way.rse not in RESOLVED.get(earlier, ())
    if choice:
        assert choice.location.rse in rses


@pytest.mark.parametrize(
    ("only", "exclude", "left"),
    [
        ([], [], [*PFNS]),
        (["DISK-A"], [], ["DISK-A"]),
        (["tier=disk", "TAPE"], [], ["DISK-A", "DISK-B", "TAPE"]),
        (["tier=none"], [], []),
        ([], ["STAC"], ["DISK-A", "DISK-B", "TAPE"]),
        (["tier=disk"], ["DISK-A"], ["DISK-B"]),
        ([], ["tier=disk", "tier=tape", "STAC"], []),
    ],
)
def test_only_and_exclude(only, exclude, left):
    """Only those of `only`, without those of `exclude`."""
    assert allowed(PFNS, only, exclude, RESOLVED) == left


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("DISK-A", False),
        ("davs", False),
        ("srm+https", False),
        ("CERN.EOS_1", False),
        ("tier=disk", True),
        ("*", True),
        ("A|B", True),
        ("(A)", True),
        ("tier=disk\\A", True),
        ("freespace>100", True),
    ],
)
def test_expressions(text, expression):
    """An RSE's name and a scheme cost no request; an expression is resolved."""
    assert is_expression(text) is expression


@pytest.mark.parametrize("option", ["prefer", "only", "exclude"])
@pytest.mark.parametrize("value", [5, [5], "", [""], ["A", None], {"A"}, {"A": 1}])
def test_wrong_options(option, value):
    """What is neither an RSE nor an expression is refused at once."""
    with pytest.raises(ConfigurationError, match=option):
        Modifier(FakeRucio({}), **{option: value})


@pytest.mark.parametrize("option", ["timeout_s", "cache_s"])
def test_wrong_times(option):
    """A time that is none is refused at once."""
    with pytest.raises(ConfigurationError, match=option):
        Modifier(FakeRucio({}), **{option: cast("Any", -1)})


def modified(**options):
    """The asset after a modifier with options."""
    modifier = Modifier(FakeRucio({DID("c", "/c/i/a.tif"): PFNS}))
    found = make_item(assets={"a": {"href": HREF}})
    modifier(**options)(found)
    once = dict(found["assets"]["a"])
    modifier(**options)(found)
    assert found["assets"]["a"] == once
    return once


def test_a_single_preference_needs_no_list():
    """A string or a function alone is a list of one."""
    assert modified(prefer="DISK-B") == modified(prefer=["DISK-B"])
    assert modified(prefer=smallest)["alternate:name"] == "TAPE"


def test_only_writes_no_others():
    """With `only`, an asset shows the copies there; its own URL keeps its RSE's name."""
    assert modified(only="DISK-B") == {
        "href": HREF,
        "alternate:name": "STAC",
        "alternate": {"DISK-B": {"href": PFNS["DISK-B"][0], "alternate:name": "DISK-B"}},
    }


def test_prefer_within_only():
    """What is left out is not chosen, and the original is kept under its RSE's name."""
    asset = modified(prefer=["DISK-A", "DISK-B"], only="DISK-B")
    assert asset == {
        "href": PFNS["DISK-B"][0],
        "alternate:name": "DISK-B",
        "alternate": {"STAC": {"href": HREF, "alternate:name": "STAC"}},
    }
    assert modified(prefer=["DISK-A"], exclude=["DISK-A"])["href"] == HREF


def test_nothing_is_left():
    """Where nothing is left to show, the asset only learns its RSE's name."""
    assert modified(only="NOWHERE") == {"href": HREF, "alternate:name": "STAC"}


# What is explained.

PREFERRED = """\
i/a (c:/c/i/a.tif): DISK-A-davs becomes the href, because its scheme davs is preferred
    DISK-A  root://a.org:1094//x
    DISK-B  davs://b.org:443/x  (left out by only or exclude)
    STAC  https://data.example.org/x.tif
    TAPE  srm://t.org/x
  * DISK-A-davs  davs://a.org:443/x"""


def explained(assets=None, **options):
    """The explanation of the only asset."""
    modifier = Modifier(FakeRucio({DID("c", "/c/i/a.tif"): PFNS}))(**options)
    found = make_item(assets=assets or {"a": {"href": HREF}})
    before = str(found)
    (explanation,) = modifier.explain(found)
    assert str(found) == before
    return explanation


def test_explanation():
    """An explanation names every candidate, what was left out, and the reason."""
    explanation = explained(prefer=["NOWHERE", "davs"], exclude="DISK-B")
    assert str(explanation) == PREFERRED
    assert explanation.chosen.rse == "DISK-A"
    assert explanation.did == DID("c", "/c/i/a.tif")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "the href stays, because nothing is preferred"),
        ({"prefer": "STAC"}, "STAC becomes the href, because STAC is preferred"),
        ({"prefer": smallest}, "TAPE becomes the href, because the function smallest chose it"),
        (
            {"prefer": ["A", none]},
            "the href stays, because no replica is at any that is preferred: A, the function none",
        ),
        ({"only": "A"}, "the href stays, because only and exclude leave no replica"),
    ],
)
def test_reasons(options, reason):
    """Each choice has its reason."""
    assert explained(**options).reason == reason


def test_reasons_without_replicas():
    """An asset that Rucio does not know, or that has no replica, is explained as well."""
    assert explained({"b": {"href": HREF}}).reason.endswith("Rucio does not know the asset")
    modifier = Modifier(FakeRucio({DID("c", "/c/i/a.tif"): {}}))
    (explanation,) = modifier.explain(make_item())
    assert explanation.reason.endswith("no replica is available")


def test_no_secret_is_explained():
    """A signed URL is explained without its signature."""
    replicas = FakeRucio({DID("c", "/c/i/a.tif"): {"S3": ["https://s3.org/x?sig=SECRET"]}})
    (explanation,) = Modifier(replicas).explain(make_item())
    assert "SECRET" not in str(explanation)
