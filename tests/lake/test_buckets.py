"""A public bucket that a catalogue writes `s3://`, from registration to copies."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

import pytest
import requests

from stac_client._results import State
from stac_testbed import STORAGE_RSES
from stac_testbed.layout import BUCKET, OBJECT_STORE
from tests.items import make_item
from tests.policy.support import configured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rucio.client import Client

    from stac_client import StacClient
    from stac_testbed import Lake

KEYS = ["scenes/red.tif", "scenes//a b+c=d,é.tif"]


@pytest.fixture
def store(stac_lake: Lake) -> Iterator[str]:
    """The URL of the lake's object store, whose bucket the table of origins has."""
    for key in KEYS:
        path = stac_lake.layout.data(OBJECT_STORE) / BUCKET / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(10_000))
    with configured(origins=str(stac_lake.layout.origins_file)):
        yield stac_lake.layout.url(OBJECT_STORE)


def test_an_object_store_answers_as_s3_does(store: str) -> None:
    """Anybody gets an object, and 403 for a bucket and for what is not there."""
    url = f"{store}/{BUCKET}"
    for method in ("GET", "HEAD"):
        found = requests.request(method, f"{url}/{KEYS[0]}", timeout=60)
        assert (found.status_code, found.headers["Content-Length"]) == (200, "10000")
        for denied in (url, f"{url}/", f"{url}/absent", f"{url}/scenes", store):
            assert requests.request(method, denied, timeout=60).status_code == 403


def test_from_s3_to_copies(
    store: str, stac_lake: Lake, rucio: Client, client: StacClient, collection: str
) -> None:
    """Objects are registered at their URLs, replicated by stock Rucio, and have the same bytes."""
    assets = {
        f"a{number}": {"href": f"s3://{BUCKET}/{key}", "roles": ["data"]}
        for number, key in enumerate(KEYS)
    }
    assets["private"] = {"href": "s3://a-bucket-of-somebody/x.tif", "roles": ["data"]}
    items = [make_item(collection, "scene", assets)]
    assert client.plan(items, "STAC").files == len(KEYS)
    registration = client.create_replicas(items, "STAC")
    assert registration.counts == {State.REGISTERED: len(KEYS), State.SKIPPED: 1}
    (skipped,) = registration.by_state(State.SKIPPED)
    assert "whether s3 bucket a-bucket-of-somebody is public is not known" in skipped.reason

    rules = client.create_replication_rules(registration, "tier=disk", copies=len(STORAGE_RSES))
    assert [rule.state for rule in client.wait(rules, timeout_s=300, poll_s=1)] == ["OK"]
    listed = rucio.list_replicas([did._asdict() for did in registration.dids])
    pfns = {file["name"]: file["rses"] for file in listed}
    for did, key in zip(registration.dids, KEYS, strict=True):
        original = (stac_lake.layout.data(OBJECT_STORE) / BUCKET / key).read_bytes()
        for rse in STORAGE_RSES.values():
            copy = requests.get(pfns[did.name][rse][0], timeout=60).content
            assert hashlib.sha256(copy).digest() == hashlib.sha256(original).digest()
    assert pfns[registration.dids[0].name]["STAC"] == [f"{store}/{BUCKET}/{KEYS[0]}"]

    # The same objects, as another catalogue spells them.
    for key, href in zip(("a0", "a1"), (KEYS[0], "scenes//a%20b%2Bc%3Dd,%C3%A9.tif"), strict=True):
        assets[key] = {"href": f"{store}/{BUCKET}/{href}", "roles": ["data"]}
    again = client.create_replicas([make_item(collection, "scene", assets)], "STAC")
    assert again.counts == {State.ALREADY_THERE: len(KEYS), State.SKIPPED: 1}
    plan = client.plan([make_item(collection, "scene", assets)], "STAC")
    assert plan.already_there == len(KEYS)
    moved = make_item(collection, "scene", {"a0": {"href": f"s3://{BUCKET}/{KEYS[1]}"}})
    (failed,) = client.create_replicas([moved], "STAC", probe="item")
    assert "with another URL" in failed.reason
