"""What Rucio's daemons do to rules, copies and originals, and what is said of it afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stac_client import State

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
    copies = scene.lake.layout.data("storage-a") / "rucio" / rule.did.scope
    assert len([*copies.rglob("*.tif")]) == 2
    scene.end(rule)
    scene.lake.run("reaper")
    assert scene.copies() == {"STAC": "AVAILABLE"}
    assert [*copies.rglob("*.tif")] == []
    assert scene.register() == {State.ALREADY_THERE: 2}
    assert scene.downloaded(tmp_path) == {State.DOWNLOADED: 2}
    assert scene.places() == {"STAC"}


@pytest.mark.usefixtures("greedy")
def test_a_bad_copy_is_made_again(scene: Scene) -> None:
    """The necromancer finds another replica, and the rule brings a new copy from it."""
    rule = scene.replicate()
    scene.rucio.declare_bad_file_replicas([{**scene.red._asdict(), "rse": "DISK-A"}], "rotten")
    assert scene.copies() == {"STAC": "AVAILABLE", "DISK-A": "BAD"}
    scene.lake.run("necromancer")
    assert scene.copies()["DISK-A"] != "BAD"
    (rule,) = scene.client.wait(rule, timeout_s=120, poll_s=0.5)
    assert (rule.state, rule.locks_ok) == ("OK", 2)
    assert scene.copies() == {"STAC": "AVAILABLE", "DISK-A": "AVAILABLE"}
