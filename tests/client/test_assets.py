"""From items to assets: nothing crashes, nothing is lost, no wrong URL comes out."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from stac_client._assets import Asset, fetched, select_assets
from stac_client._checksums import Checksums
from stac_client._results import Outcome, State
from stac_policy.naming import DID, SCOPE_LENGTH
from tests.catalogues import SCENES, SHA256, SHA512
from tests.items import HREF, make_item, url_of

from .files import only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.catalogues import Scene


MD5 = "d50110" + hashlib.md5(b"B04", usedforsecurity=False).hexdigest()


def by_key(found: Iterator[Asset | Outcome]) -> dict[Any, Any]:
    """What was given, by the key of its asset."""
    return {each.key: each for each in found}


def check(scene: Scene, found: dict[Any, Any], registered: dict[str, Any]) -> None:
    """Exactly these keys are assets with the names, datasets and URLs that were written down."""
    assert list(found) == list(scene.item["assets"])
    assert {key for key, each in found.items() if isinstance(each, Asset)} == {*registered}
    for key, last in registered.items():
        asset = found[key]
        assert str(asset.did) == f"{scene.dataset}/{last}"
        assert str(asset.dataset) == scene.dataset
        assert asset.url == scene.urls.get(key, url_of(scene.item, key))
    for key in found.keys() - registered:
        outcome = found[key]
        assert isinstance(outcome, Outcome), outcome
        assert outcome.state is State.SKIPPED
        assert outcome.collection == scene.item.get("collection", "")
        assert outcome.item == scene.item["id"]
        assert (outcome.did, outcome.dataset) == (None, None)
        assert "SECRET" not in str(outcome)


# Rows of the catalogue of catalogues.


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.case)
def test_scenes(scene: Scene) -> None:
    """Each asset has its DID and its own URL, or is reported with its item, key and reason."""
    found = by_key(select_assets(scene.item))
    check(scene, found, scene.registered)
    assert scene.reported.keys() == found.keys() - scene.registered
    for key, reason in scene.reported.items():
        assert reason in found[key].reason


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.case)
def test_scenes_by_key(scene: Scene) -> None:
    """By their keys all assets are registered that can be, whatever their roles."""
    found = by_key(select_assets(scene.item, list(scene.item["assets"])))
    check(scene, found, scene.registered | scene.on_request)
    for key in scene.reported.keys() - scene.on_request:
        assert any(
            word in found[key].reason for word in ("scheme", "fragment", scene.reported[key])
        )


def test_what_scenes_say_of_sizes_and_checksums() -> None:
    """Sizes and multihashes are taken where they are some; a bare md5 and an ETag are none."""
    found = [asset for scene in SCENES for asset in select_assets(scene.item)]
    assert {
        (asset.collection, asset.key): (asset.size_bytes, asset.checksums)
        for asset in found
        if isinstance(asset, Asset) and (asset.size_bytes, asset.checksums) != (None, Checksums())
    } == {
        ("sentinel-2-c1-l2a", "nir"): (205_931_957, Checksums(multihash=SHA256)),
        ("landsat-c2l2-sr", "blue"): (None, Checksums(multihash=SHA512)),
        ("sentinel-1-rtc", "vv"): (1024, Checksums()),
        ("seed", "B04"): (1024, Checksums(adler32="0a1b2c3d")),
    }


def test_a_collection_called_like_the_scope_of_an_account() -> None:
    """It can be registered in another scope."""
    item = make_item("user.alice", "i", {"b": {"href": "https://data.example.org/b.tif"}})
    (refused,) = select_assets(item)
    assert isinstance(refused, Outcome)
    assert "would get an account's scope" in refused.reason
    asset = by_key(select_assets(item, scope="earth"))["b"]
    assert asset.did == DID("earth", "/user.alice/i/b.tif")


def test_collections_that_meet_when_cut() -> None:
    """Collection ids that are equal in their first 25 characters have scopes of their own."""
    ids = [
        "met-office-global-deterministic-height",
        "met-office-global-deterministic-near-surface",
        "noaa-cdr-sea-surface-temperature-optimum-interpolation",
        "noaa-cdr-sea-surface-temperature-whoi",
    ]
    found = [next(select_assets(make_item(name, "i", {"a": {"href": HREF}}))) for name in ids]
    scopes = {asset.did.scope for asset in found if asset.did}
    assert len(scopes) == 4
    assert all(len(scope) <= SCOPE_LENGTH for scope in scopes)


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
def test_size_and_checksums_of_the_item(
    fields: dict[str, Any], size_bytes: int | None, checksums: Checksums
) -> None:
    """What the item says of size and checksums is taken; what only looks like it is not."""
    asset = only({"href": HREF, **fields})
    assert isinstance(asset, Asset)
    assert (asset.size_bytes, asset.checksums) == (size_bytes, checksums)


# Which assets are selected.


def test_asked_for_by_key() -> None:
    """With keys only these are given, whatever their roles, and nothing is said of the others."""
    assets = {
        "red": {"href": HREF, "roles": ["data"]},
        "thumb": {"href": HREF, "roles": ["thumbnail"]},
        "tilejson": {"href": HREF},
        "none": {},
    }
    found = by_key(select_assets(make_item(assets=assets), ["thumb", "tilejson", "none", "other"]))
    assert list(found) == ["thumb", "tilejson", "none"]
    assert isinstance(found["thumb"], Asset)
    assert isinstance(found["tilejson"], Asset)
    assert found["none"].reason == "no href"
    assert list(select_assets(make_item(assets=assets), [])) == []


def test_fixed_scope() -> None:
    """A fixed scope takes the place of the derived one; the names stay."""
    (derived,) = select_assets(make_item("alps", "i", {"a": {"href": HREF}}))
    (fixed,) = select_assets(make_item("alps", "i", {"a": {"href": HREF}}), scope="user.alice")
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
def test_keys_that_would_meet(keys: list[str], names: list[str]) -> None:
    """Two assets of an item never have the same DID, in whichever order they come."""
    found = select_assets(make_item(assets={key: {"href": HREF} for key in keys}))
    assert [asset.did.name.rpartition("/")[2] for asset in found if asset.did] == names


# All items of our own, and real ones.


def test_every_asset_is_registered_or_reported(catalogue_items: list[dict[str, Any]]) -> None:
    """Each asset is one under a DID of its own, with its own URL, or is reported; none is lost."""
    dids: dict[DID | None, tuple[str, ...]] = {}
    for item in catalogue_items:
        before = json.dumps(item)
        ids = item.get("collection", ""), item["id"]
        for selection in (None, list(item["assets"])):
            found = list(select_assets(item, selection))
            assert [each.key for each in found] == list(item["assets"])
            for each in found:
                assert (each.collection, each.item) == ids
                if isinstance(each, Asset):
                    assert each.url == url_of(item, each.key)
                    assert dids.setdefault(each.did, (*ids, each.key)) == (*ids, each.key)
                else:
                    assert each.state is State.SKIPPED
                    assert each.reason
        assert json.dumps(item) == before
    assert len({*dids.values()}) == len(dids) > 20


def expected_of(item: dict[str, Any], key: str) -> str:
    """What must become of an asset of the corpus: the beginning of its reason, or ""."""
    url = url_of(item, key)
    if not item.get("collection"):
        return "the item belongs to no collection"
    if not url.startswith(("https://", "http://")):
        return "no scheme"
    return "the URL has a fragment" if "#" in url else ""


def test_corpus(corpus: list[dict[str, Any]]) -> None:
    """Each real asset can be registered, or cannot for its reason, as its href tells."""
    registered = 0
    for item in corpus:
        for found in select_assets(item, list(item["assets"])):
            expected = expected_of(item, found.key)
            assert isinstance(found, Asset) is not bool(expected), (item["id"], found)
            assert isinstance(found, Asset) or found.reason.startswith(expected), found
            registered += isinstance(found, Asset)
    assert registered > 1000


def test_sizes_and_checksums_of_the_corpus(corpus: list[dict[str, Any]]) -> None:
    """What real items say of sizes and multihashes is taken as it is."""
    known = 0
    for item in corpus:
        for found in select_assets(item, list(item["assets"])):
            fields = item["assets"][found.key]
            if isinstance(found, Asset) and "file:size" in fields:
                assert found.size_bytes == fields["file:size"]
                known += 1
            if isinstance(found, Asset) and fields.get("file:checksum", "").startswith("1220"):
                assert found.checksums.multihash == fields["file:checksum"]
    assert known >= 138


# From hrefs to URLs: absolute ones stay, relative ones are resolved.


@pytest.mark.parametrize(
    "href",
    [
        "https://data.example.org/a/../b//c/./x.tif",
        "https://data.example.org:443/x.tif",
        "https://data.example.org/%7Eme/%2e%2E/x.tif?b=2&a=1&a=&c",
        "https://data.example.org/x;v=1/y.tif",
        "http://[2001:db8::1]:8080/x.tif",
    ],
)
def test_absolute_hrefs_stay_as_they_are(href: str) -> None:
    """An absolute href is not tidied in any way, whatever the item's own URL is."""
    links = [{"rel": "self", "href": "https://stac.example.org/items/i"}]
    for asset in (only({"href": href}, links=links), only({"href": href})):
        assert isinstance(asset, Asset)
        assert asset.url == href


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("x.tif", "https://stac.example.org:8443/c/items/x.tif"),
        ("./x.tif", "https://stac.example.org:8443/c/items/x.tif"),
        ("../../d/x.tif?v=1", "https://stac.example.org:8443/d/x.tif?v=1"),
        ("/x.tif", "https://stac.example.org:8443/x.tif"),
        ("//data.example.org/x.tif", "https://data.example.org/x.tif"),
        ("?asset=x", "https://stac.example.org:8443/c/items/i.json?asset=x"),
    ],
)
def test_relative_hrefs(href: str, url: str) -> None:
    """A relative href is resolved against the item's own URL, whose query stays behind."""
    links = [
        {"rel": "parent", "href": "https://wrong.example.org/"},
        {"rel": "self", "href": "https://stac.example.org:8443/c/items/i.json?token=SECRET"},
    ]
    asset = only({"href": href}, links=links)
    assert isinstance(asset, Asset)
    assert asset.url == url


def test_secrets_of_the_self_link_are_not_registered() -> None:
    """Where a relative href takes a secret from the item's own URL, it is refused."""
    for base in ("https://user:SECRET@h.example.org/i", "https://h.example.org/i?sig=SECRET"):
        outcome = only({"href": "#x"}, links=[{"rel": "self", "href": base}])
        assert isinstance(outcome, Outcome)
        assert "SECRET" not in str(outcome)


@pytest.mark.parametrize(
    ("length", "gateway", "is_fetched"),
    [
        (900, True, True),
        (1000, True, False),
        (900, False, False),
    ],
)
def test_urls_that_do_not_fit_a_gateway(length: int, *, gateway: bool, is_fetched: bool) -> None:
    """What FTS would refuse a whole job for, with the gateway's URL around it, is said before."""
    url = "https://usgs-landsat.s3.us-west-2.amazonaws.com/".ljust(length, "x")
    (selected,) = select_assets(make_item(assets={"B04": {"href": url, "roles": ["data"]}}))
    found = fetched(selected, gateway=gateway)
    assert isinstance(found, Asset) is is_fetched
    if isinstance(found, Outcome):
        assert found.state is State.SKIPPED
        assert ("too long" in str(found.reason)) is gateway
