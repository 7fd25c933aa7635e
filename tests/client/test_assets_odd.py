"""From odd items to assets: nothing crashes, nothing is lost, whatever the types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stac_client._assets import Asset, select_assets
from stac_client._checksums import Checksums
from stac_client._results import Outcome
from stac_policy.urls import refusal
from tests.items import HREF, make_item

from .files import only

ODD = [None, True, -1, 0, 1.5, "", "x", [], ["x"], {}, {"x": None}]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("field", ["id", "collection", "assets", "links"])
def test_odd_items(field: str, odd: Any) -> None:
    """An item with a field of an odd type gives an asset or a reason, and never raises."""
    found = list(select_assets(make_item() | {field: odd}))
    if field == "assets":
        assert [each.key for each in found] == (list(odd) if isinstance(odd, dict) else [])
        assert not any(isinstance(each, Asset) for each in found)
    else:
        (each,) = found
        usable = field == "links" or odd == "x"
        assert isinstance(each, Asset) == usable


@pytest.mark.parametrize("odd", [None, True, 1, "https://data.example.org/x.tif", [], [{}]])
def test_assets_that_are_none(odd: Any) -> None:
    """An asset that is no object has no href, and spoils no other."""
    found = {
        each.key: each for each in select_assets(make_item(assets={"a": odd, "b": {"href": HREF}}))
    }
    assert isinstance(found["a"], Outcome)
    assert found["a"].reason == "no href"
    assert isinstance(found["b"], Asset)


@pytest.mark.parametrize("size", [True, False, -1, 1.0, "1024", None, [1], {}])
@pytest.mark.parametrize("field", ["file:size", "rucio:size"])
def test_odd_sizes(field: str, size: Any) -> None:
    """A size that is no size is not known; the next best one is taken."""
    assert only({"href": HREF, field: size}).size_bytes is None
    assert only({"href": HREF, field: size, "rucio:config": {"rucio:size": 9}}).size_bytes == 9


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize(
    "field",
    ["file:checksum", "rucio:adler32", "rucio:md5", "rucio:config", "roles", "type", "alternate"],
)
def test_odd_fields_of_an_asset(field: str, odd: Any) -> None:
    """A field of an odd type takes nothing from an asset but itself."""
    asset = only({"href": HREF, field: odd})
    assert isinstance(asset, Asset)
    assert (asset.url, asset.size_bytes, asset.checksums) == (HREF, None, Checksums())


@pytest.mark.parametrize("odd", [*ODD, [None], [{"rel": "self"}], [{"rel": "self", "href": 5}]])
def test_odd_links(odd: Any) -> None:
    """Odd links resolve nothing, and disturb nothing."""
    asset, refused = (only({"href": href}, links=odd) for href in (HREF, "x.tif"))
    assert isinstance(asset, Asset)
    assert asset.url == HREF
    assert isinstance(refused, Outcome)
    assert "no scheme" in refused.reason


TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
HREFS = TEXT | st.sampled_from(
    [
        HREF,
        "x.tif",
        "http://[::1",
        "http://[::g]/x",
        "https://a\u2100b/x",
        "//[",
        "https://h:99999/x",
        "https://h:x/x",
        "https://h/x?collection=c&item=%zz",
        "https://u:p@h/x",
        "s3://b/k",
        "?\ud800=1",
        "#",
        " https://h/x",
        "https:x",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | HREFS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | HREFS, inner, max_size=3),
    max_leaves=8,
)
ASSETS = st.fixed_dictionaries(
    {},
    optional={
        "href": HREFS | JSON,
        "type": JSON,
        "roles": st.lists(st.sampled_from(["data", "tiles", "x"]) | JSON, max_size=2) | JSON,
        "file:size": st.integers() | JSON,
        "file:checksum": st.binary(max_size=40).map(bytes.hex) | JSON,
        "rucio:config": st.dictionaries(st.sampled_from(["rucio:size", "rucio:adler32"]), JSON)
        | JSON,
        "rucio:adler32": JSON,
    },
)
KEYS = st.sampled_from(["a", "a.tif", "a.TIF", "tilejson", ""]) | TEXT
ITEMS = st.fixed_dictionaries(
    {
        "type": st.just("Feature"),
        "assets": st.dictionaries(KEYS, ASSETS | JSON, max_size=4) | JSON,
    },
    optional={
        "collection": TEXT | JSON,
        "id": TEXT | JSON,
        "links": st.lists(
            st.fixed_dictionaries({"rel": st.just("self"), "href": HREFS | JSON}) | JSON, max_size=2
        )
        | JSON,
    },
)


@given(found=ITEMS, scope=st.none() | st.just("user.alice"), by_keys=st.booleans())
@example(
    found=make_item("c", "i", {"a": {"href": "http://[::1"}}),
    scope=None,
    by_keys=False,
)
def test_any_item(found: dict[str, Any], scope: Any, *, by_keys: bool) -> None:
    """Whatever an item holds, each asset gives one asset or one reason, under DIDs of their own."""
    assets = found["assets"] if isinstance(found["assets"], dict) else {}
    selected = list(select_assets(found, list(assets) if by_keys else None, scope))
    assert [each.key for each in selected] == list(assets)
    registrable = [each for each in selected if isinstance(each, Asset)]
    for asset in registrable:
        assert refusal(asset.url) is None
        assert asset.did.scope == asset.dataset.scope == (scope or asset.did.scope)
        assert asset.size_bytes is None or asset.size_bytes >= 0
    for outcome in selected:
        if isinstance(outcome, Outcome):
            assert outcome.reason
            json.dumps([outcome.collection, outcome.item, outcome.key, outcome.reason])
    assert len({asset.did for asset in registrable}) == len(registrable)


@pytest.mark.parametrize("properties", [None, [1], "x", 7, {"updated": 7}])
def test_odd_properties(properties: Any) -> None:
    """What is no properties says nothing of when an item was updated."""
    (asset,) = select_assets(make_item(properties=properties))
    assert isinstance(asset, Asset)


def test_a_secret_behind_the_fragment_of_a_bucket() -> None:
    """It does not become a part of a key, and so of a URL that is stored."""
    href = "s3://sentinel-cogs/x.tif#access_token=S3CRET"
    (outcome,) = select_assets(make_item(assets={"a": {"href": href}}))
    assert not isinstance(outcome, Asset)
    assert "S3CRET" not in outcome.reason
    assert "secret behind #" in outcome.reason
