"""Registering what is there: few requests, none that writes, whatever datasets do not tell."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from stac_client import StacClient, State
from tests.items import ADLER32, make_asset, make_item, many_items

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rucio.client import Client

    from stac_testbed import Lake

    Asked = list[tuple[str, int]]

DISKS = "DISK-A", "DISK-B"


@pytest.fixture
def asked(rucio: Client) -> Iterator[Asked]:
    """What `rucio` asks for, and of how many DIDs."""
    asked: Asked = []

    def write_down(response: Any, **_: Any) -> None:
        path = response.request.path_url
        if path != "/rses/STAC":
            asked.append((path, str(response.request.body).count('"name"')))

    rucio.session.hooks["response"].append(write_down)
    yield asked
    rucio.session.hooks["response"].remove(write_down)


def content(rucio: Client, collection: str, item: int) -> set[str]:
    """The names of the files in the dataset of an item."""
    listed = rucio.list_content(collection, f"/{collection}/item-{item}")
    return {each["name"].rpartition("/")[2] for each in listed}


def file(collection: str, item: int, key: str) -> dict[str, Any]:
    """The DID of an asset."""
    return {"scope": collection, "name": f"/{collection}/item-{item}/{key}.tif"}


def test_requests_for_1000_assets(
    client: StacClient, rucio: Client, collection: str, asked: Asked, tmp_path: Path
) -> None:
    """Two, that read alone, also with copies elsewhere, and as many of a sync."""
    items = many_items(collection, 100, 10)
    dids = client.create_replicas(items, "STAC").dids
    for rse in DISKS:
        for part in (dids[:500], dids[500:]):
            copies = [{**did._asdict(), "bytes": 10, "adler32": ADLER32} for did in part]
            rucio.add_replicas(rse, copies)
    journal = tmp_path / "journal"
    registers = partial(client.create_replicas, items, "STAC")
    syncs = partial(client.sync, items, "STAC", journal)
    for again, states in (
        (registers, {State.ALREADY_THERE}),
        (syncs, {State.ALREADY_THERE}),
        (syncs, set()),  # with its journal
    ):
        asked.clear()
        assert {each.state for each in again()} == states
        assert asked == [("/replicas/list", 50)] * 2


def test_files_that_are_listed_through_another_dataset(
    client: StacClient, rucio: Client, collection: str
) -> None:
    """A file that is in another item's dataset alone is put into its own one, too."""
    items = many_items(collection, 2, 2)
    client.create_replicas(items, "STAC").raise_for_failed()
    strayed = [file(collection, 0, "band-1")]
    rucio.detach_dids(collection, f"/{collection}/item-0", strayed)
    rucio.attach_dids(collection, f"/{collection}/item-1", strayed)
    assert client.create_replicas(items, "STAC").counts == {State.ALREADY_THERE: 4}
    assert content(rucio, collection, 0) == {"band-0.tif", "band-1.tif"}


def test_files_without_a_replica_are_hidden(
    stac_lake: Lake, client: StacClient, rucio: Client, collection: str
) -> None:
    """A file in its dataset that has a copy elsewhere alone is registered, unless it differs."""
    items = many_items(collection, 2, 2)
    client.create_replicas(items, "STAC").raise_for_failed()
    strayed = [file(collection, 0, "band-1")]
    rucio.add_replicas(DISKS[0], [{**strayed[0], "bytes": 10, "adler32": ADLER32}])
    registrar = StacClient(stac_lake.client("registrar"))
    registrar.delete_replicas(items[0], "STAC", assets="band-1").raise_for_failed()
    larger = many_items(collection, 2, 2)
    larger[0]["assets"]["band-1"]["file:size"] = 11
    registration = client.create_replicas(larger, "STAC")
    assert registration.counts == {State.ALREADY_THERE: 3, State.FAILED: 1}
    assert "size 10, but the item says 11" in registration.by_state(State.FAILED)[0].reason
    registration = client.create_replicas(items, "STAC")
    assert registration.counts == {State.ALREADY_THERE: 3, State.REGISTERED: 1}


def test_an_empty_dataset_looks_like_a_missing_one(
    client: StacClient, rucio: Client, collection: str
) -> None:
    """It is filled again, whatever else is there."""
    items = many_items(collection, 3, 2)
    client.create_replicas(items, "STAC").raise_for_failed()
    for item in (0, 1):
        members = [file(collection, item, key) for key in ("band-0", "band-1")]
        rucio.detach_dids(collection, f"/{collection}/item-{item}", members)
    assert client.create_replicas(items, "STAC").counts == {State.ALREADY_THERE: 6}
    for item in range(3):
        assert content(rucio, collection, item) == {"band-0.tif", "band-1.tif"}


def test_a_few_assets_of_a_large_item(client: StacClient, collection: str, asked: Asked) -> None:
    """They are asked for alone."""
    items = many_items(collection, 1, 60)
    client.create_replicas(items, "STAC").raise_for_failed()
    asked.clear()
    again = client.create_replicas(items, "STAC", assets="band-7")
    assert again.counts == {State.ALREADY_THERE: 1}
    assert asked == [("/replicas/list", 1), ("/dids/bulkfiles", 1)]


def test_items_that_say_nothing_but_when_they_were_updated(
    client: StacClient, collection: str, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their datasets tell that nothing changed since, in one more request for twice as many."""
    items = many_items(collection, 4, 5)
    client.create_replicas(items, "STAC").raise_for_failed()
    for item in items:
        item["properties"]["updated"] = "2020-01-01T00:00:00Z"
        for asset in item["assets"].values():
            del asset["file:size"], asset["rucio:adler32"]
    asked.clear()
    monkeypatch.setattr("stac_client._registration.REQUEST_DIDS", 10)
    assert client.create_replicas(items, "STAC").counts == {State.ALREADY_THERE: 20}
    assert asked == [("/replicas/list", 2), ("/replicas/list", 2), ("/dids/bulkmeta", 4)]


def test_who_may_not_write(stac_lake: Lake, client: StacClient, collection: str) -> None:
    """An account that may not write finds the dataset in its container, too."""
    item = make_item(collection, "scene", {"x": make_asset("https://data.example.org/x.tif")})
    client.create_replicas(item, "STAC", containers=True).raise_for_failed()
    alice = StacClient(stac_lake.client("alice"))
    again = alice.create_replicas(item, "STAC", containers=True)
    assert again.counts == {State.ALREADY_THERE: 1}
