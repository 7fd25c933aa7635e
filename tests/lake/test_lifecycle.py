"""What Rucio's daemons do to rules, copies and originals, and what is said of it afterwards."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
from rucio.common.exception import RuleNotFound

from stac_client import State
from stac_testbed.layout import ORIGINS
from tests.items import make_item
from tests.testbed.support import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rucio.client import Client

    from stac_client import Rule, StacClient
    from stac_testbed import Lake

KEYS = ("red", "nir")


class Scene:
    """An item of a collection of its own, registered, with what a test does to it."""

    def __init__(self, lake: Lake, client: StacClient, rucio: Client, collection: str) -> None:
        self.lake, self.client, self.rucio = lake, client, rucio
        self.originals = lake.layout.data("origin-a") / collection
        self.originals.mkdir()
        url = f"{lake.layout.url('origin-a')}/{collection}"
        for key in KEYS:
            (self.originals / f"{key}.tif").write_bytes(self.content(key))
        assets = {key: {"href": f"{url}/{key}.tif", "roles": ["data"]} for key in KEYS}
        self.item = make_item(collection, "scene", assets)
        registration = client.create_replicas(self.item, "STAC")
        registration.raise_for_failed()
        self.red, self.nir = registration.dids

    def content(self, key: str) -> bytes:
        """The bytes of an asset."""
        return key.encode() * 1000

    def replicate(self, rse: str = "DISK-A") -> Rule:
        """Bring a copy of each asset to an RSE."""
        rules = self.client.create_replication_rules(self.item, rse)
        (rule,) = self.client.wait(rules, timeout_s=120, poll_s=0.5)
        assert (rule.state, rule.locks_ok) == ("OK", 2)
        return rule

    def end(self, rule: Rule) -> None:
        """Delete a rule and wait until Rucio's cleaner has come by."""
        self.client.delete_replication_rules(rule, at_once=True)
        assert wait_for(lambda: self.gone(rule))

    def gone(self, rule: Rule) -> bool:
        """Whether Rucio has a rule no more."""
        try:
            self.rucio.get_replication_rule(rule.id)
        except RuleNotFound:
            return True
        return False

    def copies(self, key: str = "red") -> dict[str, str]:
        """The states of the replicas of an asset."""
        did = self.red if key == "red" else self.nir
        (file,) = self.rucio.list_replicas([did._asdict()], all_states=True)
        states: dict[str, str] = file["states"]
        return states

    def register(self) -> dict[State, int]:
        """Register again."""
        return self.client.create_replicas(self.item, "STAC").counts

    def downloaded(self, folder: Path, rse: str | None = None) -> dict[State, int]:
        """Download everything, and look whether what is there is what shall be."""
        downloads = self.client.download(self.item, folder, rse=rse)
        for outcome in downloads:
            if outcome.path is not None:
                assert outcome.path.read_bytes() == self.content(outcome.key)
        return downloads.counts

    def places(self, key: str = "red") -> set[str]:
        """Where the modifier says that an asset is."""
        item = copy.deepcopy(self.item)
        self.client.modifier.with_options(cache_s=0)(item)
        asset = item["assets"][key]
        return {asset.get("alternate:name", "only in the catalogue"), *asset.get("alternate", ())}


@pytest.fixture
def scene(stac_lake: Lake, client: StacClient, rucio: Client, collection: str) -> Iterator[Scene]:
    """A scene; in the end its originals are there, and origins were asked to read alone."""
    scene = Scene(stac_lake, client, rucio, collection)
    yield scene
    for key in KEYS:
        assert (scene.originals / f"{key}.tif").read_bytes() == scene.content(key)
    for origin in ORIGINS:
        for line in stac_lake.layout.access_log(origin).read_text().splitlines():
            assert line.split('"')[1].split()[0] in {"GET", "HEAD"}, line


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
