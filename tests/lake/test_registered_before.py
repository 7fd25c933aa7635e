"""Registration where others are faster, may not, or have two versions of the same."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from rucio.common.exception import Duplicate

from stac_client import AccessError, StacClient, State
from stac_client._source_rse import source_protocol
from tests.items import make_asset, make_item, many_items

if TYPE_CHECKING:
    from pathlib import Path

    from rucio.client import Client

    from stac_testbed import Lake
    from tests.origin import Origin

URL = "https://data.example.org/x.tif"
NEW = "2099-01-01T00:00:00Z"


def scene(collection: str, asset: dict[str, Any], updated: str | None = None) -> dict[str, Any]:
    """An item of one asset, of a version."""
    properties = {"datetime": "2025-06-01T00:00:00Z"} | ({"updated": updated} if updated else {})
    return make_item(collection, "scene", {"x": asset}, properties=properties)


def test_the_slower_of_two_registrars(client: StacClient, rucio: Client, collection: str) -> None:
    """It tells what is in Rucio, where another one has come between its look and its request."""
    add_replicas = rucio.add_replicas

    def after_another(rse: str, files: list[dict[str, Any]], **options: Any) -> Any:
        add_replicas(rse, [{**file, "bytes": 11, "md5": "0" * 32} for file in files[:1]])
        add_replicas(rse, [{**file, "md5": "1" * 32} for file in files[1:]])
        return add_replicas(rse, files, **options)

    rucio.add_replicas = after_another
    registration = client.create_replicas(many_items(collection, 1, 2), "STAC")
    (failed,) = registration.by_state(State.FAILED)
    assert "is in Rucio with size 11, but the item says 10" in failed.reason
    (registered,) = registration.by_state(State.REGISTERED)
    assert registered.md5 == "1" * 32


def test_two_source_rses_with_one_url(client: StacClient, rucio: Client, collection: str) -> None:
    """Rucio lists the URL at one of them; each knows its own all the same, and drift at each."""
    with suppress(Duplicate):
        rucio.add_rse("STAC-2", deterministic=False)
        rucio.add_protocol("STAC-2", source_protocol("https"))
    items = many_items(collection, 1, 2)
    moved = many_items(collection, 1, 2)
    moved[0]["assets"]["band-0"]["href"] = URL
    for rse in ("STAC", "STAC-2"):
        assert client.create_replicas(items, rse).counts == {State.REGISTERED: 2}
    for rse in ("STAC", "STAC-2"):
        assert client.create_replicas(items, rse).counts == {State.ALREADY_THERE: 2}
        (failed,) = client.create_replicas(moved, rse).by_state(State.FAILED)
        assert f"registered at {rse} with another URL" in failed.reason
        assert client.plan(moved, rse).rejected == {failed.reason: 1}


def test_more_assets_than_rucio_attaches_at_a_time(
    client: StacClient, rucio: Client, collection: str
) -> None:
    """An item of 2,500 assets becomes a dataset of 2,500 files."""
    (item,) = many_items(collection, 1, 2500)
    assert client.create_replicas(item, "STAC", metadata=False).counts == {State.REGISTERED: 2500}
    assert len(list(rucio.list_content(collection, f"/{collection}/item-0"))) == 2500
    assert client.create_replicas(item, "STAC").counts == {State.ALREADY_THERE: 2500}


def test_what_is_there_is_there_for_everybody(
    stac_lake: Lake, client: StacClient, collection: str
) -> None:
    """Who may not register is told that it is there, and what is not there may not be added."""
    items = many_items(collection, 2, 2)
    client.create_replicas(items[:1], "STAC").raise_for_failed()
    alice = stac_lake.client("alice")
    assert alice.whoami()["account"] == "alice"
    registration = StacClient(alice).create_replicas(items, "STAC")
    assert registration.counts == {State.ALREADY_THERE: 2, State.FAILED: 2}


@pytest.mark.parametrize("account", ["root", "alice"])
def test_nothing_is_looked_up_in_vain(
    stac_lake: Lake, collection: str, origin: Origin, account: str
) -> None:
    """Scope and permission are asked for before any byte, and the plan says the same."""
    url = origin.add("/x.tif", b"x" * 100)
    wanted = "no-such-scope-at-all" if account == "root" else collection
    item = scene(wanted, {"href": url, "roles": ["data"]})
    client = stac_lake.client(account)
    assert client.whoami()["account"] == account
    stac = StacClient(client)
    plan = stac.plan(item, "STAC")
    (outcome,) = stac.create_replicas(item, "STAC")
    assert outcome.state is State.FAILED
    assert plan.rejected == {outcome.reason: 1}
    said = "Scope not found" if account == "root" else "alice can not add file replicas"
    assert said in outcome.reason
    assert origin.seen == []
    root = stac_lake.client()
    assert list(root.list_dids(collection, {"name": "*"}, did_type="all")) == []


@pytest.mark.parametrize("later_first", [False, True])
def test_the_later_version_in_a_batch_wins(
    client: StacClient, collection: str, tmp_path: Path, *, later_first: bool
) -> None:
    """It is registered, the other one says what differs, and is not journalled as done."""
    old = scene(collection, make_asset(URL, 10), "2025-01-01T00:00:00Z")
    new = scene(collection, make_asset(URL, 11), "2025-01-02T00:00:00Z")
    both = [new, old] if later_first else [old, new]
    registered, skipped = sorted(
        client.sync(both, "STAC", tmp_path / "journal"), key=lambda each: each.state.value
    )
    assert (registered.state, registered.size_bytes) == (State.REGISTERED, 11)
    assert skipped.state is State.SKIPPED
    assert "a later `updated`, too, and with another size: 11 and 10" in skipped.reason or (
        "a later `updated`, too, and with another size: 10 and 11" in skipped.reason
    )
    assert list(client.sync(new, "STAC", tmp_path / "journal")) == []
    (drift,) = client.sync(old, "STAC", tmp_path / "journal")
    assert "size 11" in drift.reason


def test_two_versions_of_which_nobody_says_the_later(
    client: StacClient, collection: str, tmp_path: Path
) -> None:
    """The second fails, and neither is journalled as done."""
    both = [scene(collection, make_asset(URL, size)) for size in (10, 11)]
    for state in (State.REGISTERED, State.ALREADY_THERE):
        outcomes = list(client.sync(both, "STAC", tmp_path / "journal"))
        assert {each.state for each in outcomes} == {state, State.FAILED}
        (failed,) = (each for each in outcomes if each.state is State.FAILED)
        assert failed.reason == "the same asset came before, with another size: 11 and 10"


def test_an_update_without_a_size(client: StacClient, collection: str, origin: Origin) -> None:
    """What was updated after it was registered is looked at again, once it may be, or told."""
    url = origin.add("/x.tif", b"x" * 100)
    asset = {"href": url, "roles": ["data"]}
    client.create_replicas(scene(collection, asset), "STAC").raise_for_failed()
    origin.seen.clear()
    earlier = scene(collection, asset, "2020-01-01T00:00:00Z")
    assert client.create_replicas(earlier, "STAC").counts == {State.ALREADY_THERE: 1}
    assert origin.seen == []
    later = scene(collection, asset, NEW)
    assert [client.plan(each, "STAC").files_outdated for each in (earlier, later)] == [0, 1]
    (there,) = client.create_replicas(later, "STAC", probe="item")
    assert there.state is State.ALREADY_THERE
    assert "updated after it was registered" in there.reason
    assert origin.seen == []
    (there,) = client.create_replicas(later, "STAC")
    assert (there.state, there.reason) == (State.ALREADY_THERE, "")
    assert origin.methods == ["HEAD"]
    origin.add("/x.tif", b"x" * 101)
    (failed,) = client.create_replicas(later, "STAC")
    assert failed.state is State.FAILED
    assert "is in Rucio with size 100" in failed.reason


def test_what_is_no_item_is_one_outcome(client: StacClient, collection: str) -> None:
    """Null, or an item without a type, among items fails alone."""
    (item,) = many_items(collection, 1, 1)
    typeless = {key: value for key, value in item.items() if key != "type"}
    for items in ([None, typeless, item], {"type": "FeatureCollection", "features": [None, item]}):
        counts = client.create_replicas(items, "STAC").counts
        assert counts.pop(State.FAILED) == (2 if isinstance(items, list) else 1)
        assert sum(counts.values()) == 1


def test_a_suspended_account(stac_lake: Lake, client: StacClient, collection: str) -> None:
    """Of a suspended account Rucio says that there is none; the message says what it may be."""
    items = many_items(collection, 1, 1)
    client.create_replicas(items, "STAC").raise_for_failed()
    alice = stac_lake.client("alice")
    assert alice.whoami()["account"] == "alice"
    root = stac_lake.client()
    root.update_account("alice", "status", "SUSPENDED")
    try:
        with pytest.raises(AccessError, match="does not exist; Rucio says so of suspended acc"):
            StacClient(alice).create_replication_rules(items, "DISK-A")
    finally:
        root.update_account("alice", "status", "ACTIVE")
