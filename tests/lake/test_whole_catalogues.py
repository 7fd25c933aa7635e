"""Plan, sync, status and deregistration, on a real Rucio server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from stac_client import ConfigurationError, StacClient, State, by_media_type, by_role, write_back
from stac_client._alternates import with_replicas
from stac_client._assets import Asset, select_assets
from stac_client._item_completion import Completion
from stac_client._items import iter_items
from stac_policy.naming import collection_scope
from stac_testbed import STORAGE_RSES
from tests.catalogues import ITEMS, SCENES
from tests.items import make_asset, make_item, many_items, url_of

if TYPE_CHECKING:
    from pathlib import Path

    from pystac import ItemCollection
    from rucio.client import Client

    from stac_testbed.lake import Lake
    from tests.lake.conftest import Requests


DISK = next(iter(STORAGE_RSES.values()))


SIZELESS = "CBERS4MUX"


def with_sizes(item: dict[str, Any]) -> dict[Any, Any]:
    """The item, saying a size of each of its assets unless it is of the collection without any."""
    sizes = {} if item.get("collection") == SIZELESS else {"file:size": 10}
    return item | {"assets": {key: sizes | asset for key, asset in item["assets"].items()}}


def ids_of(item: dict[str, Any]) -> tuple[Any, Any]:
    """The ids of an item, and of its collection if it has one."""
    return item.get("collection", ""), item["id"]


def test_whole_catalogues(
    client: StacClient, rucio: Client, catalogue_items: list[dict[str, Any]]
) -> None:
    """Each asset gets a DID in Rucio or a reason, and the plan says which before."""
    if catalogue_items is ITEMS:
        by_ids = {ids_of(item): with_sizes(item) for item in ITEMS}
    else:
        ours = {ids_of(item) for item in ITEMS}
        completed = iter_items(catalogue_items, Completion(offline=True))
        by_ids = {ids_of(item): item for item in completed if ids_of(item) not in ours}
    urls = {
        (*ids, key): url_of(item, key) for ids, item in by_ids.items() for key in item["assets"]
    }
    items = [*by_ids.values()]
    there = set(rucio.list_scopes())
    for collection in {item["collection"] for item in items if item.get("collection")}:
        if collection_scope(collection) not in there:
            rucio.add_scope("root", collection_scope(collection))
    gated = {
        str(found.did)
        for item in items
        for found in select_assets(item)
        if isinstance(found, Asset) and not found.access.kind.is_anonymous
    }
    assert len(gated) > 10
    plan = client.plan(items, "STAC")
    registration = client.create_replicas(items, "STAC", probe="item")
    assert sorted((each.collection, each.item, each.key) for each in registration) == sorted(urls)
    counts = registration.counts
    assert counts[State.REGISTERED] + counts[State.SKIPPED] == len(urls)
    assert plan.files + sum(plan.rejected.values()) == len(urls)
    assert plan.items == len(items)
    without_size = [outcome for outcome in registration if "size is not known" in outcome.reason]
    assert plan.files - plan.files_without_size == counts[State.REGISTERED]
    assert plan.files_without_size == len(without_size)
    assert all(outcome.reason for outcome in registration.by_state(State.SKIPPED))
    listed = list(rucio.list_replicas([did._asdict() for did in registration.dids]))
    assert len(listed) == counts[State.REGISTERED]
    assert {(file["scope"], file["name"]): file["rses"]["STAC"] for file in listed} == {
        each.did: [urls[each.collection, each.item, each.key]]
        for each in registration.by_state(State.REGISTERED)
    }
    if catalogue_items is ITEMS:
        assert {str(did) for did in registration.dids} == {
            f"{scene.dataset}/{last}"
            for scene in SCENES
            for last in scene.registered.values()
            if scene.item.get("collection") != SIZELESS
        } - gated
        assert [each.collection for each in without_size] == [SIZELESS]
    assert sum(file["bytes"] for file in listed) == plan.size_bytes


def test_a_plan_writes_nothing(client: StacClient, rucio: Client, collection: str) -> None:
    """Files, bytes, hosts and reasons are told before a single write."""
    items = many_items(collection, 3, 2)
    items.append(make_item(collection, "odd", {"s3": make_asset("s3://bucket/key.tif")}))
    plan = client.plan(items, "STAC")
    assert (plan.items, plan.files, plan.size_bytes, plan.already_there) == (4, 6, 60, 0)
    assert dict(plan.hosts) == {"data.example.org": 6}
    ((reason, count),) = plan.rejected.items()
    assert ("is public is not known" in reason, count) == (True, 1)
    assert plan.examples[reason] == [f"{collection}/odd asset s3"]
    assert list(rucio.list_dids(collection, {"name": "*"}, did_type="all")) == []
    client.create_replicas(items, "STAC")
    assert client.plan(items, "STAC").already_there == 6
    items[0]["assets"]["band-0"]["file:size"] = 11
    assert client.plan(items, "STAC").rejected.total() == 2


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (["a"], {"a"}),
        (by_role("metadata", "thumbnail"), {"b", "c"}),
        (by_media_type("image/tiff"), {"a"}),
        (lambda key, _: key > "a", {"b", "c"}),
        (None, {"a"}),
    ],
)
def test_assets_are_selected(
    client: StacClient, collection: str, selection: Any, expected: set[str]
) -> None:
    """By key, role, media type or any predicate; by default those with the role data."""
    url = "https://data.example.org/x"
    assets = {
        "a": make_asset(url) | {"type": "image/tiff; application=geotiff"},
        "b": make_asset(url) | {"type": "application/xml", "roles": ["metadata"]},
        "c": make_asset(url) | {"type": "image/png", "roles": ["thumbnail"]},
    }
    registration = client.create_replicas(
        [make_item(collection, "scene", assets)], "STAC", assets=selection
    )
    assert {outcome.key for outcome in registration.by_state(State.REGISTERED)} == expected


def test_items_from_files(client: StacClient, collection: str, tmp_path: Path) -> None:
    """Item collections, NDJSON and stac-geoparquet give the same registrations as the items."""
    items = many_items(collection, 3, 2)
    for item in items:
        item["geometry"] = {"type": "Point", "coordinates": [10.0, 47.0]}
        item["bbox"] = [10.0, 47.0, 10.0, 47.0]
    assert client.create_replicas(items, "STAC").counts == {State.REGISTERED: 6}
    as_json, as_lines = tmp_path / "items.json", tmp_path / "items.ndjson"
    as_json.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    as_lines.write_text("\n".join(map(json.dumps, items)))
    for path in (as_json, as_lines):
        assert client.create_replicas(path, "STAC").counts == {State.ALREADY_THERE: 6}
    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    as_parquet = tmp_path / "items.parquet"
    to_parquet(parse_stac_items_to_arrow(items), as_parquet)
    assert client.create_replicas(as_parquet, "STAC").counts == {State.ALREADY_THERE: 6}
    as_lines.write_text('{"type": "Feature"')
    with pytest.raises(ConfigurationError, match=r"items.ndjson: neither JSON nor stac-geoparquet"):
        client.create_replicas(as_lines, "STAC")


def test_sync_is_incremental(
    client: StacClient, collection: str, requests_sent: Requests, tmp_path: Path
) -> None:
    """Of what the journal has, Rucio is asked whether it is there; the rest is registered."""
    journal = tmp_path / "journal"
    items = many_items(collection, 4, 2)
    assert len(list(client.sync(items, "STAC", journal))) == 8
    requests_sent.sent.clear()
    assert list(client.sync(items, "STAC", journal)) == []
    assert requests_sent.sent == ["GET /rses/STAC", *["POST /replicas/list"] * 2]
    items += [item | {"id": f"new-{item['id']}"} for item in items[:1]]
    items[1]["assets"]["band-9"] = make_asset("https://data.example.org/9.tif")
    outcomes = list(client.sync(items, "STAC", journal))
    assert (
        sorted(outcome.state.value for outcome in outcomes)
        == ["already there"] * 2 + ["registered"] * 3
    )


def test_a_journal_knows_what_it_was_for(
    client: StacClient, rucio: Client, collection: str, tmp_path: Path
) -> None:
    """Another purpose is other work, whatever the same journal has of the same items."""
    journal = tmp_path / "journal"
    items = many_items(collection, 2, 2)
    for item in items:
        del item["assets"]["band-1"]["file:size"]
    rucio.add_scope("root", f"{collection}-fixed")
    fixed = StacClient(rucio, scope=f"{collection}-fixed")

    def states(stac: StacClient = client, **options: Any) -> dict[str, int]:
        return Counter(str(one.state.value) for one in stac.sync(items, "STAC", journal, **options))

    assert states(assets=["band-0"]) == {"registered": 2}
    assert states(assets=["band-0"]) == {}
    assert states(assets=by_role("data"), probe="item") == {"already there": 2, "skipped": 2}
    assert states(probe="item") == {}  # the same assets
    assert states() == {"already there": 2, "failed": 2}  # no origin says their size
    assert states(fixed, probe="item") == {"registered": 2, "skipped": 2}
    assert states(fixed, probe="item", containers=True) == {"already there": 2, "skipped": 2}
    container = rucio.list_content(f"{collection}-fixed", f"/{collection}")
    assert len([*container]) == 2


def test_what_was_deregistered_is_registered_again(stac_lake: Lake, tmp_path: Path) -> None:
    """A journal is believed as far as Rucio still has what it says."""
    stac_lake.client().add_scope("registrar", "sync-deregistered")
    client = StacClient(stac_lake.client("registrar"))
    journal = tmp_path / "journal"
    items = many_items("sync-deregistered", 3, 2)
    assert len(list(client.sync(items, "STAC", journal))) == 6
    client.delete_replicas(items[1], "STAC", assets="band-0").raise_for_failed()
    outcomes = list(client.sync(items, "STAC", journal))
    assert {(one.item, one.key, one.state) for one in outcomes} == {
        ("item-1", "band-0", State.REGISTERED),
        ("item-1", "band-1", State.ALREADY_THERE),
    }
    assert list(client.sync(items, "STAC", journal)) == []


def test_sync_tries_again_what_failed(client: StacClient, rucio: Client, tmp_path: Path) -> None:
    """Items with a failed asset stay out of the journal until they succeed."""
    items = many_items("sync-without-scope", 2, 2)
    journal = tmp_path / "journal"
    assert {outcome.state for outcome in client.sync(items, "STAC", journal)} == {State.FAILED}
    rucio.add_scope("root", "sync-without-scope")
    assert {outcome.state for outcome in client.sync(items, "STAC", journal)} == {State.REGISTERED}


def test_a_journal_serves_one_purpose(client: StacClient, collection: str, tmp_path: Path) -> None:
    """The journal of one RSE is not taken for that of another, nor any file for a journal."""
    list(client.sync(many_items(collection, 1, 1), "STAC", tmp_path / "journal"))
    with pytest.raises(ConfigurationError, match="one of its own"):
        list(client.sync([], DISK, tmp_path / "journal"))
    (tmp_path / "thesis.txt").write_text("precious " * 100)
    with pytest.raises(ConfigurationError, match=r"thesis.txt cannot be used"):
        list(client.sync([], "STAC", tmp_path / "thesis.txt"))
    assert (tmp_path / "thesis.txt").read_text() == "precious " * 100


_SYNC = """
import sys
from pathlib import Path
from stac_client import StacClient
from stac_testbed import load
folder, items, journal = map(Path, sys.argv[1:])
client = StacClient(load(folder).client())
for outcome in client.sync(items, "STAC", journal, probe="item"):
    print(outcome.state.value, flush=True)
"""


def test_sync_survives_kill_9(
    stac_lake: Lake, client: StacClient, collection: str, rucio: Client, tmp_path: Path
) -> None:
    """Killed again and again at any point, it ends with every asset in Rucio, none twice."""
    items = many_items(collection, 300, 10)
    path = tmp_path / "items.ndjson"
    path.write_text("\n".join(map(json.dumps, items)))
    places = (stac_lake.layout.folder, path, tmp_path / "journal")
    command = [sys.executable, "-c", _SYNC, *map(str, places)]
    for seconds in (1.5, 2.0, 2.5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - this Python
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    list(client.sync(path, "STAC", tmp_path / "journal", probe="item"))
    names = list(rucio.list_dids(collection, {"name": "*"}, did_type="all"))
    assert len(names) == len(set(names)) == 300 + 3000
    attached = [
        entry["name"]
        for number in range(0, 300, 50)
        for entry in rucio.list_content(collection, f"/{collection}/item-{number}")
    ]
    assert len(attached) == len(set(attached)) == 60
    assert list(client.sync(path, "STAC", tmp_path / "journal", probe="item")) == []


def test_status_names_what_is_stuck(stac_lake: Lake, client: StacClient, collection: str) -> None:
    """Each item shows how many files are there, and for each stuck one what Rucio or FTS said."""
    missing = f"{stac_lake.layout.url('origin-a')}/no-such-file.tif"
    present = f"{stac_lake.layout.url('origin-a')}/alpine-optical/aletsch-20250611/red.tif"
    item = make_item(
        collection,
        "half",
        {
            "gone": make_asset(missing),
            "here": {"href": present, "roles": ["data"]},
        },
    )
    registration = client.create_replicas([item], "STAC")
    registration.raise_for_failed()
    rules = client.create_replication_rules(registration, DISK)
    deadline = time.monotonic() + 90
    while True:
        (row,) = client.rule_status(rules, by_item=True)
        # An attempt that did not get as far as FTS has another reason, and is repeated.
        told = row.ok and any("404" in file.reason for file in row.stuck)
        if told or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert (row.collection, row.item, row.rse, row.ok) == (collection, "half", DISK, 1)
    (stuck,) = row.stuck
    assert stuck.did.name == f"/{collection}/half/gone.tif"
    assert stuck.attempts >= 1
    assert "404" in stuck.reason
    client.delete_replication_rules(rules, at_once=True)


def test_one_rule_for_each_item(client: StacClient, collection: str) -> None:
    """On request each item has a rule of its own, over its dataset; asking again gives the same."""
    registration = client.create_replicas(many_items(collection, 3, 2), "STAC")
    rules = client.create_replication_rules(registration, DISK, per_item=True)
    assert [rule.did.name for rule in rules] == [f"/{collection}/item-{i}" for i in range(3)]
    again = client.create_replication_rules(many_items(collection, 3, 2), DISK, per_item=True)
    assert [rule.id for rule in again] == [rule.id for rule in rules]
    with pytest.raises(ConfigurationError, match="per_item"):
        client.create_replication_rules(registration, DISK, per_item=True, dataset_scope="root")
    client.delete_replication_rules(rules, at_once=True)


def test_deregistration(rucio: Client, collection: str, stac_lake: Lake) -> None:
    """Registrars take out what they put in; what is not there is skipped; others may not."""
    items = many_items(collection, 2, 2)
    registrar = StacClient(stac_lake.client("registrar"))
    registrar.create_replicas(items, "STAC").raise_for_failed()
    refused = StacClient(stac_lake.client("alice")).delete_replicas(items, "STAC")
    assert refused.counts == {State.FAILED: 4}
    assert refused[0].reason.endswith("also an administrator needs the attribute stac_registrar")
    gone = registrar.delete_replicas(items, "STAC", assets=["band-0"])
    assert gone.counts == {State.DEREGISTERED: 2}
    assert registrar.delete_replicas(items, "STAC").counts == {
        State.DEREGISTERED: 2,
        State.SKIPPED: 2,
    }
    dids = [outcome.did._asdict() for outcome in gone if outcome.did]
    assert [file["rses"] for file in rucio.list_replicas(dids) if file["rses"]] == []


@pytest.mark.parametrize("as_objects", [True, False])
def test_what_was_learned_goes_into_the_items(
    client: StacClient, scenes: ItemCollection, as_objects: bool
) -> None:
    """Sizes, checksums and DIDs are written back, so that nobody has to find them out again."""
    registration = client.create_replicas(scenes, "STAC", assets=["vv", "thumbnail"])
    registration.raise_for_failed()
    items: Any = scenes if as_objects else scenes.to_dict()
    write_back(items, registration)
    items = items.to_dict() if as_objects else items
    again = client.create_replicas(items, "STAC", assets=["vv", "thumbnail"], probe="item")
    assert again.counts == {State.ALREADY_THERE: len(registration)}
    learned = {(outcome.item, outcome.key): outcome for outcome in registration}
    for item in items["features"]:
        for key in {"vv", "thumbnail"} & item["assets"].keys():
            fields, outcome = item["assets"][key], learned[item["id"], key]
            assert fields["file:size"] == outcome.size_bytes
            assert (fields["rucio:scope"], fields["rucio:name"]) == outcome.did
            assert fields.get("rucio:adler32") == outcome.adler32
            assert fields.get("rucio:md5") == outcome.md5
            assert outcome.adler32 or outcome.md5


def test_outcomes_as_a_table(client: StacClient, collection: str) -> None:
    """The outcomes can be had as a pandas DataFrame, and as JSON."""
    registration = client.create_replicas(many_items(collection, 2, 2), "STAC")
    table = registration.to_dataframe()
    assert list(table["state"]) == ["registered"] * 4
    assert json.loads(json.dumps(registration.to_dicts())) == table.to_dict("records")


@pytest.mark.parametrize("near", ["davs://disk.example.org/x/", "https://disk.example.org/x/"])
def test_items_that_a_modifier_has_changed(
    stac_lake: Lake, client: StacClient, collection: str, near: str
) -> None:
    """Items with copies as their hrefs are those that were registered, wherever they are given."""
    items = many_items(collection, 2, 2)
    client.create_replicas(items, "STAC").raise_for_failed()
    changed = json.loads(json.dumps(items))
    for item in changed:
        for key, asset in item["assets"].items():
            pfns = {"STAC": [asset["href"]], DISK: [f"{near}{key}.tif"]}
            item["assets"][key] = with_replicas(asset, pfns, prefer=[DISK])
            assert item["assets"][key]["href"] != asset["href"]
    assert client.plan(changed, "STAC").already_there == 4
    assert client.create_replicas(changed, "STAC").counts == {State.ALREADY_THERE: 4}
    assert client.replication_availability(changed) == client.replication_availability(items)
    rules = client.create_replication_rules(changed[:1], DISK)
    again = client.create_replication_rules(items[:1], DISK)
    assert [rule.id for rule in again] == [rule.id for rule in rules]
    client.delete_replication_rules(rules, at_once=True)
    registrar = StacClient(stac_lake.client("registrar"))
    assert registrar.delete_replicas(changed[1:], "STAC").counts == {State.DEREGISTERED: 2}
