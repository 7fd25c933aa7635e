"""Which DIDs are STAC's, and which only look like them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from stac_policy.dids import derived_scope, is_asset, stac_parts
from stac_policy.naming import DID, asset_name, collection_name, collection_scope, item_name
from tests.items import assets_of

from .strategies import hrefs, ids, keys, names
from .support import configured

if TYPE_CHECKING:
    from collections.abc import Iterator


LONG = "noaa-cdr-sea-surface-temperature-optimum-interpolation"
LONG_SCOPE = "noaa-cdr-sea-sur-" + collection_scope(LONG)[17:]


@pytest.fixture(autouse=True, scope="module")
def _fixed_scopes(_no_rucio_cfg: None) -> Iterator[None]:
    """Two fixed scopes, one with an API of its own."""
    with configured(scopes="user.alice, earth=https://stac.example.org"):
        yield


@pytest.mark.parametrize(
    ("scope", "name", "asset", "stac"),
    [
        ("c", "/c/i/k.tif", True, True),
        ("c", "/c/i", False, True),
        ("c", "/c", False, True),
        ("c", "/c/i/k/x", False, False),
        ("c", "c/i/k.tif", False, False),
        ("c", "/c/i/", False, False),
        ("c", "/c//k", False, False),
        ("c", "/", False, False),
        ("c", "", False, False),
        ("d", "/c/i/k.tif", False, False),
        ("C", "/c/i/k.tif", False, False),
        ("", "/c/i/k.tif", False, False),
        ("user.alice", "/c/i/k.tif", True, True),
        ("user.alice", "/c/i", False, True),
        ("user.alice", "/any/thing/else", True, True),
        ("user.alice", "data.root", False, False),
        ("user.bob", "/c/i/k.tif", False, False),
        ("earth", "/c/i/k.tif", True, True),
        ("https", "/c/i/k.tif", False, False),
        (LONG_SCOPE, f"/{LONG}/i/k.tif", True, True),
        (LONG[:25], f"/{LONG}/i/k.tif", False, False),
        (LONG, f"/{LONG}/i/k.tif", False, False),
        ("a-.20b", "/a-.20b/i/k.tif", True, True),
        ("a b", "/a-.20b/i/k.tif", False, False),
        ("a-.20b", "/a b/i/k.tif", False, False),
        ("a-.41b", "/a-.41b/i/k.tif", False, False),  # `escape` leaves an A as it is
        ("c", "/c/i/k\n", False, False),
        ("cms", "/store/data/x.root", False, False),
        ("belle", "/belle/MC/release-04/x.mdst", False, False),
        ("data18_13TeV", "AOD.14795494._005958.pool.root.1", False, False),
    ],
)
def test_dids(scope: str, name: str, asset: bool, stac: bool) -> None:
    """A DID is STAC's by its name's form together with its scope."""
    assert is_asset(DID(scope, name)) is asset
    assert bool(stac_parts(DID(scope, name))) is stac


def test_assets_of_catalogues(catalogue_items: list[dict[str, Any]]) -> None:
    """Every asset of a catalogue is one, in its collection's scope and in a fixed one alone."""
    count = 0
    for collection, item, key, href, siblings in assets_of(catalogue_items):
        name = asset_name(collection, item, key, href, siblings)
        scope = collection_scope(collection)
        assert is_asset(DID(scope, name))
        assert is_asset(DID("earth", name))
        assert not is_asset(DID("elsewhere", name))
        assert not is_asset(DID(scope, item_name(collection, item)))
        count += 1
    assert count > 60


@given(ids, ids, ids | keys, hrefs)
def test_any_ids(collection: Any, item: Any, key: Any, href: str | None) -> None:
    """Whatever its ids are, an asset is one, and its item and collection are STAC's."""
    name = asset_name(collection, item, key, href)
    assert is_asset(DID("user.alice", name))
    for scope in filter(None, {"user.alice", derived_scope(name)}):
        for other in (item_name(collection, item), collection_name(collection)):
            if derived_scope(other) == derived_scope(name):
                assert stac_parts(DID(scope, other))
            assert not is_asset(DID(scope, other))


@given(names)
def test_scopes_of_others(name: str) -> None:
    """In a scope that is neither derived nor fixed there is nothing of STAC's."""
    assert not stac_parts(DID("user.bob", name)) or derived_scope(name) == "user.bob"


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("/c/i/k", "c"),
        ("/c", "c"),
        (f"/{LONG}/i", LONG_SCOPE),
        (item_name("c" * 300, "i"), None),
        ("/c/i/k/x", None),
        ("c/i/k", None),
        ("", None),
    ],
)
def test_derived_scope(name: str, scope: str | None) -> None:
    """The derived scope comes from the collection, unless it cannot be read from the name."""
    assert derived_scope(name) == scope


def test_without_fixed_scopes() -> None:
    """Without the option there are no fixed scopes."""
    with configured():
        assert not is_asset(DID("user.alice", "/c/i/k.tif"))
        assert is_asset(DID("c", "/c/i/k.tif"))
