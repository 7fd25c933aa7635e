"""Registration at a source RSE of a real Rucio server."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from stac_client import ConfigurationError, RequestError, StacClient, State
from stac_policy.naming import DID
from tests.items import make_asset, make_item, many_items

from .conftest import ASSETS

if TYPE_CHECKING:
    from pystac import ItemCollection
    from rucio.client import Client

    from stac_testbed.lake import Lake
    from tests.lake.conftest import Requests


def listed(rucio: Any, outcomes: Any) -> dict[Any, Any]:
    """What Rucio lists for outcomes, by DID."""
    dids = [outcome.did._asdict() for outcome in outcomes]
    return {DID(file["scope"], file["name"]): file for file in rucio.list_replicas(dids)}


def test_urls_sizes_and_checksums_are_the_origins(
    client: StacClient, rucio: Client, scenes: ItemCollection
) -> None:
    """Every asset is registered under its own URL, with the size and checksum of its bytes."""
    registration = client.create_replicas(scenes, "STAC", assets=ASSETS)
    registration.raise_for_failed()
    assert len(registration.dids) == 72
    hrefs = {(item.id, key): asset.href for item in scenes for key, asset in item.assets.items()}
    files = listed(rucio, registration)
    assert len({urlsplit(href).port for href in hrefs.values()}) == 2
    for outcome in registration:
        file = files[outcome.did]
        href = hrefs[outcome.item, outcome.key]
        assert file["rses"]["STAC"] == [href]
        content = requests.get(href, timeout=60).content
        assert file["bytes"] == len(content)
        assert file["adler32"] in {None, f"{zlib.adler32(content):08x}"}
        assert file["md5"] in {None, hashlib.md5(content, usedforsecurity=False).hexdigest()}
        assert file["adler32"] or file["md5"]


def test_items_are_datasets_of_their_files(
    client: StacClient, rucio: Client, collection: str
) -> None:
    """Each item becomes a dataset that holds the files of its registered assets."""
    client.create_replicas(many_items(collection, 3, 4), "STAC").raise_for_failed()
    for number in range(3):
        content = rucio.list_content(collection, f"/{collection}/item-{number}")
        names = {entry["name"] for entry in content}
        assert names == {f"/{collection}/item-{number}/band-{band}.tif" for band in range(4)}


def test_again_changes_nothing(client: StacClient, collection: str) -> None:
    """What is there is recognised, and nothing of it is sent again."""
    items = many_items(collection, 2, 2)
    assert client.create_replicas(items, "STAC").counts == {State.REGISTERED: 4}
    assert client.create_replicas(items, "STAC").counts == {State.ALREADY_THERE: 4}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (make_asset("https://data.example.org/x.tif", size_bytes=11), "size 10"),
        (make_asset("https://data.example.org/x.tif", adler32="0000000b"), "adler32 0000000a"),
        (make_asset("https://data.example.org/moved.tif"), "another URL"),
    ],
)
def test_drift_is_reported(
    client: StacClient, collection: str, changed: dict[str, Any], said: str
) -> None:
    """Other bytes or another URL under a known DID fail, naming the difference."""
    before = make_item(collection, "scene", {"x": make_asset("https://data.example.org/x.tif")})
    after = make_item(collection, "scene", {"x": changed})
    client.create_replicas([before], "STAC").raise_for_failed()
    (outcome,) = client.create_replicas([after], "STAC")
    assert outcome.state is State.FAILED
    assert said in outcome.reason


def test_one_bad_asset_spoils_no_other(client: StacClient, collection: str) -> None:
    """What Rucio refuses fails alone; all others of the batch are registered."""
    items = many_items(collection, 4, 5)
    items[2]["assets"]["band-3"]["file:size"] = 2**70  # more than a database can hold
    registration = client.create_replicas(items, "STAC")
    (failed,) = registration.by_state(State.FAILED)
    assert (failed.item, failed.key) == ("item-2", "band-3")
    assert registration.counts == {State.REGISTERED: 19, State.FAILED: 1}
    assert client.create_replicas(items[:2], "STAC").counts == {State.ALREADY_THERE: 10}


def test_awkward_urls_are_kept_byte_for_byte(
    client: StacClient, rucio: Client, collection: str
) -> None:
    """Ports, queries, escapes, doubled slashes and odd characters come back as they were."""
    urls = [
        "https://data.example.org:8443/a//b/c.tif",
        "http://data.example.org:8080/a%20b/c.tif",
        "https://data.example.org/Panama+Canal,+Panama/x.tif",
        "https://data.example.org/odata/Products(0c6f1b1e-1d0b)/$value",
        "https://data.example.org/entry?name=EOPMetadata.xml",
        "https://data.example.org/odd.tif?x=a/",
    ]
    item = make_item(
        collection, "awkward", {f"a{number}": make_asset(url) for number, url in enumerate(urls)}
    )
    registration = client.create_replicas([item], "STAC")
    registration.raise_for_failed()
    files = listed(rucio, registration)
    assert [files[did]["rses"]["STAC"] for did in registration.dids] == [[url] for url in urls]


def test_what_can_not_be_registered_is_skipped_with_a_reason(
    client: StacClient, collection: str
) -> None:
    """No asset is dropped without a word, and no secret is repeated."""
    assets = {
        "none": {"roles": ["data"]},
        "s3": make_asset("s3://bucket/key.tif"),
        "signed": make_asset("https://data.example.org/x.tif?se=2025&sig=SECRET"),
        "login": make_asset("https://user:SECRET@data.example.org/x.tif"),
        "thumb": {"href": "https://data.example.org/x.png", "roles": ["thumbnail"]},
        "size": {"href": "https://data.example.org/y.tif", "roles": ["data"]},
    }
    item = make_item(collection, "scene", assets)
    registration = client.create_replicas([item], "STAC", probe="item")
    reasons = {outcome.key: outcome.reason for outcome in registration}
    assert {outcome.state for outcome in registration} == {State.SKIPPED}
    assert set(reasons) == set(assets)
    assert all(reasons.values())
    assert "SECRET" not in str(registration.to_dicts())
    assert reasons["none"] == "no href"
    assert "is public is not known" in reasons["s3"]
    assert "signed" in reasons["signed"]
    assert "size is not known" in reasons["size"]
    plan = client.plan([item], "STAC", probe="item")
    assert (plan.files, set(plan.rejected)) == (0, set(reasons.values()))


def test_md5_alone(client: StacClient, collection: str) -> None:
    """A plan counts it as incomplete where it is looked up, a registration says what it lacks."""
    asset = make_asset("https://data.example.org/x.tif") | {"rucio:md5": "0" * 32}
    del asset["rucio:adler32"]
    item = make_item(collection, "scene", {"x": asset})

    def unknown(probe: str) -> int:
        return client.plan(item, "STAC", probe=probe).files_without_checksum

    assert [unknown(probe) for probe in ("download", "head", "item")] == [1, 1, 0]
    for state in (State.REGISTERED, State.ALREADY_THERE):
        (outcome,) = client.create_replicas(item, "STAC", probe="item")
        assert outcome.state is state
        assert "adler32 is not known" in outcome.reason
    assert unknown("download") == 0  # what is there is not looked up


def test_a_key_that_no_item_has_is_reported(client: StacClient, collection: str) -> None:
    """A misspelt key does not end in silence."""
    registration = client.create_replicas(
        many_items(collection, 2, 1), "STAC", assets=["band-0", "bnad-1"]
    )
    (skipped,) = registration.by_state(State.SKIPPED)
    assert skipped.key == "bnad-1"
    assert registration.counts[State.REGISTERED] == 2


def test_requests_for_1000_assets(
    client: StacClient, collection: str, requests_sent: Requests
) -> None:
    """Registering 1,000 assets takes a handful of requests."""
    items = many_items(collection, 100, 10)
    client.create_replicas(items, "STAC").raise_for_failed()
    assert len(requests_sent) <= 7, requests_sent.sent
    requests_sent.sent.clear()
    more = [item | {"id": f"more-{item['id']}"} for item in items]
    client.create_replicas(more, "STAC").raise_for_failed()
    assert len(requests_sent) <= 7, requests_sent.sent


def test_a_dataset_without_files(client: StacClient, rucio: Client, collection: str) -> None:
    """Where an item's dataset is there before any of its files, it is filled like the others."""
    rucio.add_dataset(collection, f"/{collection}/item-1")
    client.create_replicas(many_items(collection, 3, 2), "STAC").raise_for_failed()
    for number in range(3):
        assert len(list(rucio.list_content(collection, f"/{collection}/item-{number}"))) == 2


def test_files_without_a_dataset(client: StacClient, rucio: Client, collection: str) -> None:
    """Where files were registered and the work then broke off, their datasets are made."""
    items = many_items(collection, 3, 2)
    add_dids = rucio.add_dids

    def break_off(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("power cut")

    rucio.add_dids = break_off
    assert client.create_replicas(items[:2], "STAC").counts == {State.FAILED: 4}
    rucio.add_dids = add_dids  # not that of copies of the client
    counts = StacClient(rucio).create_replicas(items, "STAC").counts
    assert counts == {State.REGISTERED: 2, State.ALREADY_THERE: 4}
    for number in range(3):
        assert len(list(rucio.list_content(collection, f"/{collection}/item-{number}"))) == 2


def test_unknown_rse(client: StacClient, collection: str) -> None:
    """An unknown RSE ends the work at once, with a hint."""
    with pytest.raises(ConfigurationError, match=r"NOWHERE.*rucio rse list"):
        client.create_replicas(many_items(collection, 1, 1), "NOWHERE")


def test_missing_scope(client: StacClient) -> None:
    """A scope that Rucio lacks fails its assets, names it and says what to do."""
    registration = client.create_replicas(many_items("no-such-scope", 2, 2), "STAC")
    assert registration.counts == {State.FAILED: 4}
    with pytest.raises(RequestError, match=r"no-such-scope.*[Aa]sk an administrator"):
        registration.raise_for_failed()


def test_no_permission(stac_lake: Lake, collection: str) -> None:
    """An ordinary account is told that it may not, and whom to ask."""
    alice = StacClient(stac_lake.client("alice"))
    registration = alice.create_replicas(many_items(collection, 1, 2), "STAC")
    assert registration.counts == {State.FAILED: 2}
    with pytest.raises(RequestError, match=r"alice can ?not add file replicas.*administrator"):
        registration.raise_for_failed()
