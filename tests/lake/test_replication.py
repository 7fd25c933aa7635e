"""Rules, transfers by Rucio's own daemons, and alternates, on a real lake."""

from __future__ import annotations

import copy
import hashlib
import json
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jsonschema
import pystac_client
import pytest
import requests

from stac_client import ALTERNATE_ASSETS, AccessError, ConfigurationError, RequestError, StacClient
from stac_policy.naming import DID
from stac_testbed import STORAGE_EXPRESSION, STORAGE_RSES
from tests.items import many_items

from .conftest import ASSETS

if TYPE_CHECKING:
    from pystac import ItemCollection
    from rucio.client import Client

    from stac_client import Modifier
    from stac_testbed.lake import Lake
    from tests.lake.conftest import Requests


DISKS = list(STORAGE_RSES.values())


@pytest.fixture(scope="module")
def replicated(stac_lake: Lake) -> ItemCollection:
    """Two items of each collection, registered and replicated to all storages."""
    client = StacClient(stac_lake.client())
    search = pystac_client.Client.open(stac_lake.stac_url).search(
        ids=[
            "mont-blanc-20250601",
            "matterhorn-20250606",
            "mont-blanc-20250603",
            "matterhorn-20250608",
        ]
    )
    items = search.item_collection()
    assert len(items) == 4
    registration = client.create_replicas(items, "STAC", assets=ASSETS)
    registration.raise_for_failed()
    rules = client.create_replication_rules(
        registration, STORAGE_EXPRESSION, copies=2, comment="for the tests"
    )
    (rule,) = client.wait(rules, timeout_s=300, poll_s=1)
    assert (rule.state, rule.locks_ok) == ("OK", 2 * len(registration.dids))
    return items


def search_again(stac_lake: Any, modifier: Modifier, items: ItemCollection) -> ItemCollection:
    """The same items, from a search with a modifier."""
    catalogue = pystac_client.Client.open(stac_lake.stac_url, modifier=modifier)
    return catalogue.search(ids=[item.id for item in items]).item_collection()


def assets_of(items: ItemCollection) -> list[Any]:
    """Every asset of items, with its item."""
    return [(item, key, asset) for item in items for key, asset in item.assets.items()]


def test_copies_have_the_origins_bytes(
    replicated: ItemCollection, stac_lake: Lake, client: StacClient
) -> None:
    """What the storages hold is what the origins hold, by whichever mode it was copied."""
    originals = {(item.id, key): asset.href for item, key, asset in assets_of(replicated)}
    compared = 0
    for item, key, asset in assets_of(search_again(stac_lake, client.modifier, replicated)):
        original = requests.get(originals[item.id, key], timeout=60).content
        for rse in DISKS:
            there = requests.get(asset.extra_fields["alternate"][rse]["href"], timeout=60)
            assert hashlib.sha256(there.content).digest() == hashlib.sha256(original).digest()
            compared += 1
    assert compared == 24


def test_availability(replicated: ItemCollection, client: StacClient) -> None:
    """Each item is complete at each storage and at the source RSE."""
    rows = client.replication_availability(replicated, assets=ASSETS)
    assert len(rows) == 4 * 3
    assert {row.rse for row in rows} == {"STAC", *DISKS}
    assert all(row.complete and (row.available, row.coming) == (3, 0) for row in rows)


def test_alternates_follow_the_specification(
    replicated: ItemCollection, stac_lake: Lake, client: StacClient
) -> None:
    """Items with alternates are valid, name the extension once, and the source RSE on the asset."""
    schema = json.loads(
        resources.files("stac_testbed").joinpath("alternate-assets.schema.json").read_text()
    )
    items = search_again(stac_lake, client.modifier, replicated)
    for item in items:
        jsonschema.Draft7Validator(schema).validate(item.to_dict())
        assert item.stac_extensions.count(ALTERNATE_ASSETS) == 1
    for _, _, asset in assets_of(items):
        assert asset.extra_fields["alternate:name"] == "STAC"
        assert sorted(asset.extra_fields["alternate"]) == DISKS


def test_twice_is_once(replicated: ItemCollection, stac_lake: Lake, client: StacClient) -> None:
    """Modifying again changes nothing, for objects, pages and dicts alike."""
    for modifier in (client.modifier, client.modifier.with_options(prefer=DISKS[1:])):
        page = search_again(stac_lake, modifier, replicated).to_dict()
        again = copy.deepcopy(page)
        modifier(again)
        assert again == page
        (item, *_) = search_again(stac_lake, modifier, replicated)
        before = item.to_dict()
        modifier(item)
        assert item.to_dict() == before


def test_prefer_puts_the_near_copy_into_href(
    replicated: ItemCollection, stac_lake: Lake, client: StacClient
) -> None:
    """The preferred copy becomes the href, and the original its alternate."""
    originals = {(item.id, key): asset.href for item, key, asset in assets_of(replicated)}
    modifier = client.modifier.with_options(prefer=["srm", DISKS[1]])
    for item, key, asset in assets_of(search_again(stac_lake, modifier, replicated)):
        assert urlsplit(asset.href).port == stac_lake.layout.ports["storage-b"]
        assert asset.extra_fields["alternate:name"] == DISKS[1]
        alternates = asset.extra_fields["alternate"]
        assert sorted(alternates) == [DISKS[0], "STAC"]
        assert alternates["STAC"]["href"] == originals[item.id, key]


@pytest.mark.usefixtures("replicated")
def test_get_item_is_modified_too(stac_lake: Lake, client: StacClient) -> None:
    """pystac-client's get_item hands over an object, which is modified in place."""
    catalogue = pystac_client.Client.open(stac_lake.stac_url, modifier=client.modifier)
    found = catalogue.get_collection("alpine-optical")
    assert found is not None
    item = found.get_item("mont-blanc-20250601")
    assert item is not None
    assert sorted(item.assets["red"].extra_fields["alternate"]) == DISKS


def test_one_request_a_page(client: StacClient, collection: str, requests_sent: Requests) -> None:
    """A page of 1,000 assets costs one request, whether they are registered or not."""
    items = many_items(collection, 100, 10)
    client.modifier({"type": "FeatureCollection", "features": items})
    assert requests_sent.sent == ["POST /replicas/list"]


def test_the_same_selection_gives_the_same_rule(
    replicated: ItemCollection, client: StacClient, collection: str, requests_sent: Requests
) -> None:
    """Asking again for the same files, in any order, makes no second rule."""
    wanted: dict[str, Any] = {"assets": ASSETS, "copies": 2, "dataset_scope": collection}
    rules = client.create_replication_rules(replicated, STORAGE_EXPRESSION, **wanted)
    requests_sent.sent.clear()
    again = client.create_replication_rules([*replicated][::-1], STORAGE_EXPRESSION, **wanted)
    assert [rule.id for rule in again] == [rule.id for rule in rules]
    # Lost files are asked for, dataset and rule are tried, the rule and its files are read.
    assert len(requests_sent) == 6, requests_sent.sent


def test_requests_for_a_rule(client: StacClient, collection: str, requests_sent: Requests) -> None:
    """A new rule over hundreds of items takes three requests, where the scope is known."""
    registration = client.create_replicas(many_items(collection, 400, 1), "STAC")
    requests_sent.sent.clear()
    rules = client.create_replication_rules(registration, DISKS[0], dataset_scope=collection)
    assert len(requests_sent) == 3, requests_sent.sent
    client.delete_replication_rules(rules, at_once=True)


@pytest.mark.usefixtures("_no_limits")
def test_requests_for_a_large_rule(
    client: StacClient, collection: str, rucio: Client, requests_sent: Requests
) -> None:
    """Over more files than one request can name, Rucio works on it by itself: limits come first."""
    registration = client.create_replicas(many_items(collection, 300, 4), "STAC")
    requests_sent.sent.clear()
    (rule,) = client.create_replication_rules(registration, DISKS[0], dataset_scope=collection)
    assert len(requests_sent) == 3 + 2, requests_sent.sent
    assert (rule.state, rule.locks_ok, rule.copies) == ("INJECT", 0, 1)
    files = {DID(file["scope"], file["name"]) for file in rucio.list_files(*rule.did)}
    assert files == set(registration.dids)
    requests_sent.sent.clear()
    client.rule_status([rule])
    assert len(requests_sent) <= 3, requests_sent.sent
    client.delete_replication_rules([rule], at_once=True)


def test_an_ordinary_account_replicates(replicated: ItemCollection, stac_lake: Lake) -> None:
    """A user needs no rights on the catalogue's scopes to make a rule over its files."""
    alice = StacClient(stac_lake.client("alice"))
    (rule,) = alice.create_replication_rules(replicated, DISKS[0], assets=["red", "vv"])
    assert rule.did.scope == "user.alice"
    (rule,) = alice.wait([rule], timeout_s=300, poll_s=1)
    assert (rule.state, rule.locks_ok) == ("OK", 4)


def test_deleting_rules(client: StacClient, collection: str, rucio: Client) -> None:
    """A deleted rule is gone as soon as Rucio's cleaner has come by; deleting it again is fine."""
    registration = client.create_replicas(many_items(collection, 1, 2), "STAC")
    rules = client.create_replication_rules(registration, DISKS[0])
    client.delete_replication_rules(rules)  # Rucio's way: with an hour for a change of mind
    assert rucio.get_replication_rule(rules[0].id)["expires_at"]
    client.delete_replication_rules(rules, at_once=True)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=0.5)
    assert rule.state == "GONE"
    with pytest.raises(ConfigurationError, match=rules[0].id):
        client.replication_rules(rules)
    client.delete_replication_rules(rules)


def test_a_user_may_not_delete_what_is_not_hers(
    client: StacClient, collection: str, stac_lake: Lake
) -> None:
    """A refused deletion says so in one line."""
    registration = client.create_replicas(many_items(collection, 1, 1), "STAC")
    rules = client.create_replication_rules(registration, DISKS[0])
    with pytest.raises(AccessError, match=rules[0].id):
        StacClient(stac_lake.client("alice")).delete_replication_rules(rules)
    client.delete_replication_rules(rules, at_once=True)


def test_unregistered_assets(client: StacClient, collection: str) -> None:
    """A rule over assets that Rucio does not know says to register them first."""
    with pytest.raises(RequestError, match="create_replicas"):
        client.create_replication_rules(many_items(collection, 1, 1), STORAGE_EXPRESSION)


@pytest.mark.parametrize(("expression", "copies"), [("tier=tape", 1), ("tier=disk", 3)])
def test_impossible_rules(
    client: StacClient, collection: str, expression: str, copies: int
) -> None:
    """An expression that gives too few RSEs says how to check it."""
    registration = client.create_replicas(many_items(collection, 1, 1), "STAC")
    with pytest.raises(ConfigurationError, match="rucio rse list"):
        client.create_replication_rules(registration, expression, copies=copies)


def test_no_rule_targets_the_source_rse(client: StacClient, collection: str) -> None:
    """The source RSE has no storage: Rucio refuses rules to it."""
    registration = client.create_replicas(many_items(collection, 1, 1), "STAC")
    with pytest.raises(RequestError, match="not available for writing"):
        client.create_replication_rules(registration, "STAC")


def test_nothing_selected(client: StacClient) -> None:
    """A rule over nothing is refused before anything is asked."""
    with pytest.raises(ConfigurationError, match="no assets"):
        client.create_replication_rules([], STORAGE_EXPRESSION)
