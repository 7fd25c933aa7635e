"""From items to assets: nothing crashes, nothing is lost, no wrong URL comes out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from stac_client._assets import Asset, select_assets
from stac_client._checksums import Checksums
from stac_client._results import Outcome, State
from stac_policy.naming import DID, NAME_LENGTH, SCOPE_LENGTH

from .catalogues import (
    EUMETSAT,
    EUMETSAT_ENTRY,
    EUMETSAT_ID,
    MD5,
    REGISTERED,
    REPORTED,
    SHA256,
    SHA512,
)
from .items import TIF, item, only

DATA = Path(__file__).parents[1] / "data"


def corpus():
    """All real items."""
    for name in ("earth-search.json", "planetary-computer.json"):
        yield from json.loads((DATA / name).read_text())["features"]


def by_key(found):
    """What was given, by the key of its asset."""
    return {each.key: each for each in found}


# Rows of the catalogue of catalogues.


@pytest.mark.parametrize("case", REGISTERED, ids=lambda case: case.case)
def test_registered(case):
    """What is a file has its DID and its own URL, unchanged."""
    asset = by_key(select_assets(case.item))[case.key]
    assert isinstance(asset, Asset), asset
    assert str(asset.did) == case.did
    assert asset.dataset == DID(asset.did.scope, asset.did.name.rpartition("/")[0])
    assert asset.url == (case.url or case.item["assets"][case.key]["href"])


@pytest.mark.parametrize("case", REPORTED, ids=lambda case: case.case)
def test_reported(case):
    """What can not be registered is reported with its item, its key, the reason, and no secret."""
    outcome = by_key(select_assets(case.item))[case.key]
    assert isinstance(outcome, Outcome), outcome
    assert outcome.state is State.SKIPPED
    assert case.reason in outcome.reason
    assert (outcome.collection, outcome.item) == (
        case.item.get("collection", ""),
        case.item["id"],
    )
    assert (outcome.did, outcome.dataset) == (None, None)
    assert "SECRET" not in str(outcome)


def test_a_collection_called_like_the_scope_of_an_account():
    """It can be registered in another scope."""
    (case,) = [case for case in REPORTED if "account" in case.case]
    asset = by_key(select_assets(case.item, scope="earth"))[case.key]
    assert asset.did == DID("earth", "/user.alice/i/b.tif")


def test_collections_that_meet_when_cut():
    """Collection ids that are equal in their first 25 characters have scopes of their own."""
    ids = [
        "met-office-global-deterministic-height",
        "met-office-global-deterministic-near-surface",
        "noaa-cdr-sea-surface-temperature-optimum-interpolation",
        "noaa-cdr-sea-surface-temperature-whoi",
    ]
    found = [next(select_assets(item(name, "i", {"a": {"href": TIF}}))) for name in ids]
    scopes = {asset.did.scope for asset in found}
    assert len(scopes) == 4
    assert all(len(scope) <= SCOPE_LENGTH for scope in scopes)


def test_name_above_250_characters():
    """A name that is too long is shortened, to another one for each asset."""
    keys = [EUMETSAT_ENTRY, EUMETSAT_ENTRY.replace("0040.nc", "0041.nc"), "EOPMetadata.xml"]
    assets = {key: {"href": f"{EUMETSAT}/{EUMETSAT_ID}/entry?name={key}"} for key in keys}
    found = list(select_assets(item("EO:EUM:DAT:0662", EUMETSAT_ID, assets)))
    names = {asset.did.name for asset in found}
    assert len(names) == 3
    assert max(map(len, names)) <= NAME_LENGTH
    assert [asset.url for asset in found] == [asset["href"] for asset in assets.values()]


@pytest.mark.parametrize(
    ("fields", "size_bytes", "checksums"),
    [
        ({"file:checksum": SHA512}, None, Checksums(multihash=SHA512)),
        (
            {"file:size": 205_931_957, "file:checksum": SHA256},
            205_931_957,
            Checksums(multihash=SHA256),
        ),
        (
            {"file:size": 7, "file:checksum": MD5},
            7,
            Checksums(md5=MD5[6:], multihash=MD5),
        ),
        ({"file:checksum": "d41d8cd98f00b204e9800998ecf8427e"}, None, Checksums()),
        ({"file:checksum": "d41d8cd98f00b204e9800998ecf8427e-12"}, None, Checksums()),
        (
            {
                "rucio:config": {
                    "rucio:host": "https://rucio.example.org",
                    "rucio:scope": "cms",
                    "rucio:name": "x.tif",
                    "rucio:scheme": "https",
                    "rucio:size": 1024,
                    "rucio:adler32": "0A1B2C3D",
                }
            },
            1024,
            Checksums(adler32="0a1b2c3d"),
        ),
        (
            {"rucio:size": 5, "rucio:adler32": "0a1b2c3d", "rucio:md5": "0" * 32},
            5,
            Checksums(adler32="0a1b2c3d", md5="0" * 32),
        ),
        (
            {"file:size": 6, "rucio:config": {"rucio:size": 5}},
            6,
            Checksums(),
        ),
        ({"file:size": 0}, 0, Checksums()),
    ],
)
def test_size_and_checksums_of_the_item(fields, size_bytes, checksums):
    """What the item says of size and checksums is taken; what only looks like it is not."""
    asset = only({"href": TIF, **fields})
    assert (asset.size_bytes, asset.checksums) == (size_bytes, checksums)


# Which assets are selected.


def test_assets_with_the_role_data():
    """Where assets have the role data, the others are left out with that reason."""
    assets = {
        "red": {"href": TIF, "roles": ["data", "reflectance"]},
        "thumb": {"href": TIF, "roles": ["thumbnail"]},
        "metadata": {"href": TIF},
    }
    found = by_key(select_assets(item("c", "i", assets)))
    assert isinstance(found["red"], Asset)
    for key in ("thumb", "metadata"):
        assert found[key].reason == "its role is not data, as that of other assets is"


@pytest.mark.parametrize("roles", [None, [], ["overview"], "data", 7])
def test_without_the_role_data_all_files(roles):
    """Where no asset has the role data, all are selected that are files."""
    assets = {
        "red": {"href": TIF, "roles": roles},
        "thumb": {"href": TIF},
        "tilejson": {"href": TIF, "roles": roles},
        "rendered_preview": {"href": TIF, "roles": roles},
        "map": {"href": TIF, "roles": ["tiles"]},
    }
    found = select_assets(item("c", "i", assets))
    assert [asset.key for asset in found if isinstance(asset, Asset)] == ["red", "thumb"]


@pytest.mark.parametrize("key", ["tilejson", "rendered_preview"])
def test_api_endpoints_are_not_data(key):
    """An API endpoint is not selected by default, even as data."""
    outcome = only({"href": TIF, "roles": ["data"]}, assets={key: {"href": TIF, "roles": ["data"]}})
    assert outcome.reason == "an API endpoint, not a file"


def test_asked_for_by_key():
    """With keys only these are given, whatever their roles, and nothing is said of the others."""
    assets = {
        "red": {"href": TIF, "roles": ["data"]},
        "thumb": {"href": TIF, "roles": ["thumbnail"]},
        "tilejson": {"href": TIF},
        "none": {},
    }
    found = by_key(select_assets(item("c", "i", assets), ["thumb", "tilejson", "none", "other"]))
    assert list(found) == ["thumb", "tilejson", "none"]
    assert isinstance(found["thumb"], Asset)
    assert isinstance(found["tilejson"], Asset)
    assert found["none"].reason == "no href"
    assert list(select_assets(item("c", "i", assets), [])) == []


def test_fixed_scope():
    """A fixed scope takes the place of the derived one; the names stay."""
    (derived,) = select_assets(item("alps", "i", {"a": {"href": TIF}}))
    (fixed,) = select_assets(item("alps", "i", {"a": {"href": TIF}}), scope="user.alice")
    assert derived.did == DID("alps", "/alps/i/a.tif")
    assert fixed.did == DID("user.alice", "/alps/i/a.tif")
    assert fixed.dataset == DID("user.alice", "/alps/i")


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["B04", "B04.tif"], ["B04", "B04.tif"]),
        (["B04.tif", "B04"], ["B04.tif", "B04"]),
        (["B04", "B04.TIF"], ["B04.tif", "B04.TIF"]),
    ],
)
def test_keys_that_would_meet(keys, names):
    """Two assets of an item never have the same DID, in whichever order they come."""
    found = select_assets(item("c", "i", {key: {"href": TIF} for key in keys}))
    assert [asset.did.name.rpartition("/")[2] for asset in found] == names


# The real items.


def test_corpus_by_default():
    """Of 1,212 real assets each gives an asset or a reason; counted from roles and schemes."""
    found = [(each, next_) for each in corpus() for next_ in select_assets(each)]
    assert len({(each["collection"], each["id"]) for each, _ in found}) == 63
    counts = Counter(
        (each["collection"], next_.reason.partition(" ")[0] if isinstance(next_, Outcome) else "")
        for each, next_ in found
    )
    assert counts == {
        ("sentinel-2-c1-l2a", ""): 102,
        ("sentinel-2-c1-l2a", "its"): 36,
        ("sentinel-2-l2a", ""): 105 + 480,
        ("sentinel-2-l2a", "s3"): 117,
        ("sentinel-2-l2a", "its"): 41 + 240,
        ("cop-dem-glo-30", "s3"): 10,
        ("aster-l1t", ""): 30,
        ("aster-l1t", "its"): 51,
    }
    assert sum(counts.values()) == 1212


def test_corpus_by_key():
    """All real assets with an https URL can be registered, as they are, under DIDs of their own."""
    dids = {}
    checksums = Counter()
    for each in corpus():
        before = json.dumps(each)
        for found in select_assets(each, list(each["assets"])):
            href = each["assets"][found.key]["href"]
            assert (found.collection, found.item) == (each["collection"], each["id"])
            assert isinstance(found, Asset) == href.startswith("https://")
            if isinstance(found, Asset):
                assert found.url == href
                assert dids.setdefault(found.did, href) is href
                checksums[found.size_bytes is not None, found.checksums.multihash is not None] += 1
        assert json.dumps(each) == before
    assert len(dids) == 1212 - 140  # s3 hrefs
    assert checksums == {(True, True): 138, (False, False): len(dids) - 138}
