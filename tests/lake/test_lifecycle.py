"""What Rucio's daemons do to rules, copies and originals, and what is said of it afterwards."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from rucio.common.exception import RucioException

from stac_client import AccessError, RequestError, StacClient, State
from tests.testbed.support import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rucio.client import Client

    from tests.lake.scene import Scene


@pytest.fixture
def greedy(rucio: Client) -> Iterator[None]:
    """Storages whose copies are deleted as soon as no rule wants them."""
    for rse in ("DISK-A", "DISK-B"):
        rucio.add_rse_attribute(rse, "greedyDeletion", "True")
    yield
    for rse in ("DISK-A", "DISK-B"):
        rucio.delete_rse_attribute(rse, "greedyDeletion")


@pytest.mark.usefixtures("greedy")
def test_a_copy_that_no_rule_wants_is_reaped(scene: Scene, tmp_path: Path) -> None:
    """Then its bytes are gone, the original and what is said of it stay."""
    rule = scene.replicate()
    copies = scene.lake.layout.data("storage-a") / "rucio" / scene.red.scope
    assert len([*copies.rglob("*.tif")]) == 2
    scene.end(rule)
    scene.lake.run("reaper")
    assert scene.copies() == {"STAC": "AVAILABLE"}
    assert [*copies.rglob("*.tif")] == []
    assert scene.register() == {State.ALREADY_THERE: 2}
    assert scene.downloaded(tmp_path) == {State.DOWNLOADED: 2}
    assert scene.places() == {"STAC"}


def test_a_purged_copy_is_reaped_without_need_for_space(scene: Scene) -> None:
    """An epoch tombstone (`purge_replicas`) is reason enough."""
    scene.end(scene.replicate(), purge=True)
    scene.lake.run("reaper")
    assert scene.copies() == {"STAC": "AVAILABLE"}
    rule = scene.replicate()
    scene.client.delete_replication_rules(rule, purge=True)  # it has an hour of grace
    assert scene.rucio.get_replication_rule(rule.id)["purge_replicas"] is True


def test_a_copy_that_nothing_needs_the_space_of_stays(scene: Scene, tmp_path: Path) -> None:
    """It is shown and read as before, and a new rule has it at once."""
    scene.end(scene.replicate())
    scene.lake.run("reaper")
    assert scene.copies() == {"STAC": "AVAILABLE", "DISK-A": "AVAILABLE"}
    assert scene.places() == {"STAC", "DISK-A"}
    assert scene.downloaded(tmp_path, "DISK-A") == {State.DOWNLOADED: 2}
    (rule,) = scene.client.create_replication_rules(scene.item, "DISK-A")
    assert (rule.state, rule.locks_ok) == ("OK", 2)


def test_an_item_whose_dataset_has_ended(scene: Scene, tmp_path: Path) -> None:
    """The undertaker takes dataset and rules, and leaves files; registering brings it back."""
    selection = scene.replicate()
    (rule,) = scene.client.create_replication_rules(scene.item, "DISK-A", per_item=True)
    scene.rucio.set_metadata(*rule.did, "lifetime", 0)
    scene.lake.run("undertaker")
    waited = scene.client.wait([rule, selection], timeout_s=300, poll_s=0.5)
    assert [each.state for each in waited] == ["GONE", "OK"]
    assert scene.downloaded(tmp_path) == {State.DOWNLOADED: 2}
    assert scene.places() == {"STAC", "DISK-A"}
    scene.register()
    assert {file["name"] for file in scene.rucio.list_files(*rule.did)} == {
        scene.red.name,
        scene.nir.name,
    }
    (again,) = scene.client.create_replication_rules(scene.item, "DISK-A", per_item=True)
    (again,) = scene.client.wait(again, timeout_s=300, poll_s=0.5)
    assert (again.id == rule.id, again.state, again.locks_ok) == (False, "OK", 2)


def test_a_selection_that_has_ended(scene: Scene) -> None:
    """Its rule is gone; asking again makes both anew."""
    rule = scene.replicate()
    scene.rucio.set_metadata(*rule.did, "lifetime", 0)
    scene.lake.run("undertaker")
    (gone,) = scene.client.wait(rule, timeout_s=300, poll_s=0.5)
    assert gone.state == "GONE"
    again = scene.replicate()
    assert (again.did, again.id == rule.id) == (rule.did, False)


def test_a_file_that_has_ended(scene: Scene) -> None:
    """A selection that the undertaker has shortened is not OK; asking again mends it."""
    rule = scene.replicate()
    scene.rucio.set_metadata(*scene.red, "lifetime", 0)
    scene.lake.run("undertaker")
    for asked in (rule, rule.id):
        (waited,) = scene.client.wait(asked, timeout_s=300, poll_s=0.5)
        assert (waited.state, waited.files) == ("INCOMPLETE", 1)
    assert {row.rule_state for row in scene.client.rule_status(rule)} == {"INCOMPLETE"}
    scene.register()
    assert scene.replicate().id == rule.id
    assert scene.copies() == {"STAC": "AVAILABLE", "DISK-A": "AVAILABLE"}


@pytest.mark.usefixtures("greedy")
def test_a_bad_copy_is_made_again(scene: Scene) -> None:
    """The necromancer finds another replica, and the rule brings a new copy from it."""
    rule = scene.replicate()
    scene.rucio.declare_bad_file_replicas([{**scene.red._asdict(), "rse": "DISK-A"}], "rotten")
    assert scene.copies() == {"STAC": "AVAILABLE", "DISK-A": "BAD"}
    scene.lake.run("necromancer")
    assert scene.copies()["DISK-A"] != "BAD"
    (rule,) = scene.client.wait(rule, timeout_s=300, poll_s=0.5)
    assert (rule.state, rule.locks_ok) == ("OK", 2)
    assert scene.copies() == {"STAC": "AVAILABLE", "DISK-A": "AVAILABLE"}


def test_a_bad_original_with_a_copy(scene: Scene, tmp_path: Path) -> None:
    """What is read comes from the copy; the original is neither shown nor deleted."""
    rule = scene.replicate()
    scene.rucio.declare_bad_file_replicas([{**scene.red._asdict(), "rse": "STAC"}], "rotten")
    for daemon in ("necromancer", "reaper"):
        assert scene.copies()["STAC"] != "AVAILABLE"
        assert scene.places() == {"DISK-A", "only in the catalogue"}
        assert scene.places("nir") == {"DISK-A", "STAC"}
        assert scene.downloaded(tmp_path / daemon) == {State.DOWNLOADED: 2}
        available = {
            row.rse: row.available for row in scene.client.replication_availability(scene.item)
        }
        assert available == {"DISK-A": 2, "STAC": 1}
        scene.lake.run(daemon)
        assert scene.register() == {State.FAILED: 1, State.ALREADY_THERE: 1}
        assert scene.client.plan(scene.item, "STAC").already_there == 1
    (waited,) = scene.client.wait(rule, timeout_s=60, poll_s=0.5)
    assert (waited.state, waited.locks_ok) == ("OK", 2)


def test_a_file_that_is_lost(scene: Scene, tmp_path: Path) -> None:
    """Without any replica it is lost: its rule is not OK, and the others are as before."""
    rule = scene.replicate()
    for rse in ("STAC", "DISK-A"):
        scene.rucio.declare_bad_file_replicas([{**scene.red._asdict(), "rse": rse}], "rotten")
    scene.lake.run("necromancer", "reaper")
    assert scene.rucio.get_metadata(*scene.red)["availability"] == "LOST"
    (waited,) = scene.client.wait(rule, timeout_s=300, poll_s=0.5)
    assert (waited.state, waited.files) == ("INCOMPLETE", 1)
    assert "1 left" in str(waited.error)
    assert scene.places() == {"only in the catalogue"}
    assert scene.places("nir") == {"DISK-A", "STAC"}
    assert scene.downloaded(tmp_path) == {State.FAILED: 1, State.DOWNLOADED: 1}
    assert scene.register() == {State.FAILED: 1, State.ALREADY_THERE: 1}
    assert scene.client.plan(scene.item, "STAC").already_there == 1


def test_a_copy_that_is_unavailable_for_a_while(scene: Scene, tmp_path: Path) -> None:
    """Minos closes it and opens it again; meanwhile everything comes from elsewhere."""
    rule = scene.replicate()
    (file,) = scene.rucio.list_replicas([scene.red._asdict()])
    until = datetime.now(timezone.utc) + timedelta(seconds=1)
    scene.rucio.add_bad_pfns(
        file["rses"]["DISK-A"], "away", "TEMPORARY_UNAVAILABLE", f"{until:%Y-%m-%dT%H:%M:%S.%f}"
    )
    scene.lake.run("minos")
    assert scene.copies() == {"STAC": "AVAILABLE", "DISK-A": "TEMPORARY_UNAVAILABLE"}
    assert scene.places() == {"STAC"}
    assert scene.places("nir") == {"STAC", "DISK-A"}
    assert scene.downloaded(tmp_path / "any") == {State.DOWNLOADED: 2}
    assert scene.downloaded(tmp_path / "one", "DISK-A") == {State.FAILED: 1, State.DOWNLOADED: 1}
    (waited,) = scene.client.wait(rule, timeout_s=60, poll_s=0.5)
    assert waited.state == "OK"

    def is_back() -> bool:
        scene.lake.run("minos-temporary-expiration")
        return scene.copies()["DISK-A"] == "AVAILABLE"

    assert wait_for(is_back)
    assert scene.places() == {"STAC", "DISK-A"}


def test_a_stuck_rule_is_repaired(scene: Scene) -> None:
    """Who waits through that sees it end well, as soon as there is an original again."""
    scene.rucio.declare_bad_file_replicas([{**scene.red._asdict(), "rse": "STAC"}], "rotten")
    rules = scene.client.create_replication_rules(scene.item, "DISK-A")
    (stuck,) = scene.client.wait(rules, timeout_s=300, poll_s=0.5)
    assert (stuck.state, stuck.locks_stuck) == ("STUCK", 1)
    (row,) = scene.client.rule_status(rules)
    assert [file.did for file in row.stuck] == [scene.red]
    (of_item,) = scene.client.rule_status(rules, by_item=True).to_dicts()
    assert of_item["item"] == "scene"
    assert str(scene.red) in of_item["missing"]
    registrar = StacClient(scene.lake.client("registrar"))
    assert registrar.delete_replicas(scene.item, "STAC").counts == {State.DEREGISTERED: 2}
    assert registrar.create_replicas(scene.item, "STAC").counts == {State.REGISTERED: 2}
    alice = StacClient(scene.lake.client("alice"))
    with pytest.raises(AccessError, match="ask an administrator"):
        alice.retry_replication_rules(rules)
    scene.client.retry_replication_rules(rules)  # or it waits for 2 hours
    (repaired,) = scene.client.wait(rules, timeout_s=300, poll_s=0.5, through_stuck=True)
    assert (repaired.state, repaired.locks_ok) == ("OK", 2)


@pytest.mark.usefixtures("greedy")
def test_copies_that_are_being_deleted(
    scene: Scene, rucio: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rucio makes no rule over them meanwhile; that is said in words, and asked again."""
    scene.end(scene.replicate())
    states = [{**did._asdict(), "state": "B"} for did in (scene.red, scene.nir)]
    rucio.update_replicas_states("DISK-A", states)
    with pytest.raises(RequestError, match="copies are being made or deleted just now"):
        scene.client.create_replication_rules(scene.item, "DISK-A")
    add, asked = rucio.add_replication_rule, []

    def add_and_delete(*args: Any, **options: Any) -> Any:
        asked.append(args)
        try:
            return add(*args, **options)
        except RucioException:
            scene.lake.run("reaper")
            raise

    monkeypatch.setattr(rucio, "add_replication_rule", add_and_delete)
    client = StacClient(rucio, retry_s=120)
    (rule,) = client.create_replication_rules(scene.item, "DISK-A")
    assert len(asked) > 1
    (rule,) = client.wait(rule, timeout_s=300, poll_s=0.5)
    assert (rule.state, rule.locks_ok) == ("OK", 2)
