"""Replicas and DIDs that Rucio does not hold to be good: nothing counts them as registered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rucio.common.exception import ReplicaNotFound
from sqlalchemy import create_engine, text

from stac_client import StacClient, State, summarise_catalogue
from stac_client.admin import examine
from tests.items import many_items

if TYPE_CHECKING:
    from rucio.client import Client

    from stac_client import Registration
    from stac_policy.naming import DID
    from stac_testbed import Lake

SOURCE = "STAC"


class Bad:
    """Two items of two assets each, of which one asset is not good."""

    def __init__(self, lake: Lake, client: StacClient, rucio: Client, collection: str) -> None:
        self.lake, self.client, self.rucio = lake, client, rucio
        self.items = many_items(collection, 2, 2)
        self.did: DID = self.register().dids[0]

    def register(self) -> Registration:
        """Register all."""
        return self.client.create_replicas(self.items, SOURCE)

    def declare(self, rse: str = SOURCE) -> None:
        """Declare the replica of the first asset bad."""
        self.rucio.declare_bad_file_replicas([{**self.did._asdict(), "rse": rse}], "rotten")

    def lose(self) -> None:
        """Have Rucio take the first asset for lost."""
        self.declare()
        self.lake.run("necromancer")

    def said(self) -> str:
        """Why the first asset fails, and it alone, by whichever way it is asked for."""
        registration = self.register()
        assert registration.counts == {State.ALREADY_THERE: 3, State.FAILED: 1}
        (failed,) = registration.by_state(State.FAILED)
        assert failed.did == self.did
        plan = self.client.plan(self.items, SOURCE)
        assert plan.rejected == {failed.reason: 1}
        assert (plan.already_there, plan.files) == (3, 3)
        return failed.reason

    def deregister(self) -> dict[State, int]:
        """Deregister what is not good, as a registrar."""
        registrar = StacClient(self.lake.client("registrar"))
        return registrar.delete_replicas(self.items, SOURCE, only_bad=True).counts

    def heal(self) -> None:
        """Deregister what is bad and register it again."""
        assert self.deregister() == {State.DEREGISTERED: 1, State.SKIPPED: 3}
        assert self.register().counts == {State.REGISTERED: 1, State.ALREADY_THERE: 3}
        assert self.register().counts == {State.ALREADY_THERE: 4}


@pytest.fixture
def bad(stac_lake: Lake, client: StacClient, rucio: Client, collection: str) -> Bad:
    """Items that are registered."""
    return Bad(stac_lake, client, rucio, collection)


def test_bad(bad: Bad) -> None:
    """A replica that was declared bad fails alone, and heals when it is registered anew."""
    bad.declare()
    assert re.search("declared bad.* deregister it there and register it again", bad.said())
    bad.heal()


def test_bad_with_another_replica(bad: Bad, rucio: Client) -> None:
    """The same where Rucio has another copy, and after its necromancer has been there."""
    copy = {**bad.did._asdict(), "bytes": 10, "adler32": "0000000a"}
    rucio.add_replicas("DISK-A", [copy])
    bad.declare()
    bad.lake.run("necromancer")
    assert "register it again" in bad.said()
    bad.heal()


def test_unavailable_for_a_time(bad: Bad, rucio: Client) -> None:
    """What operators have declared unavailable for a time comes back by itself."""
    rucio.update_replicas_states(SOURCE, [{**bad.did._asdict(), "state": "T"}])
    assert "unavailable there for a time; try again later" in bad.said()
    rucio.update_replicas_states(SOURCE, [{**bad.did._asdict(), "state": "A"}])
    assert bad.register().counts == {State.ALREADY_THERE: 4}


def test_a_pfn_of_a_source_rse_is_not_found(bad: Bad, rucio: Client) -> None:
    """As the operator's guide says: by their PFNs files of a source RSE are declared in vain."""
    url = bad.items[0]["assets"]["band-0"]["href"]
    with pytest.raises(ReplicaNotFound):
        rucio.declare_bad_file_replicas([url], "rotten")
    rucio.add_bad_pfns([url], "rotten", "BAD", None)
    bad.lake.run("minos")
    assert bad.register().counts == {State.ALREADY_THERE: 4}


def test_a_sync_looks_again(bad: Bad, tmp_path: Path) -> None:
    """A sync with its journal finds what became bad, until it is good again."""
    journal = tmp_path / "journal"
    states = [each.state for each in bad.client.sync(bad.items, SOURCE, journal)]
    assert states == [State.ALREADY_THERE] * 4
    bad.declare()
    for _ in range(2):
        outcomes = list(bad.client.sync(bad.items, SOURCE, journal))
        assert [each.did for each in outcomes if each.state is State.FAILED] == [bad.did]
    bad.heal()
    assert State.FAILED not in {each.state for each in bad.client.sync(bad.items, SOURCE, journal)}
    assert list(bad.client.sync(bad.items, SOURCE, journal)) == []


def test_lost(bad: Bad) -> None:
    """A lost DID fails alone, also when a new replica was added to it, and says the way out."""
    bad.lose()
    assert "is LOST in Rucio" in bad.said()
    assert bad.deregister() == {State.DEREGISTERED: 1, State.SKIPPED: 3}
    assert "is LOST in Rucio" in bad.said()
    url = bad.items[0]["assets"]["band-0"]["href"]
    replica = {**bad.did._asdict(), "bytes": 10, "adler32": "0000000a", "pfn": url}
    bad.rucio.add_replicas(SOURCE, [replica])
    assert "is LOST in Rucio" in bad.said()


def test_the_others_of_a_lost_file_are_replicated(bad: Bad) -> None:
    """A rule over items with a lost file is over the others, and that is told."""
    bad.lose()
    with pytest.warns(UserWarning, match="is LOST in Rucio"):
        (rule,) = bad.client.create_replication_rules(bad.items, "DISK-A")
    assert rule.locks == 3
    bad.client.delete_replication_rules(rule, at_once=True)


def test_a_lost_name_is_given_back(bad: Bad) -> None:
    """What the operator's guide says gives a lost name back, and then it can be registered."""
    bad.lose()
    guide = (Path(__file__).parents[2] / "docs" / "operators.md").read_text()
    (statement,) = re.findall("UPDATE dids[^;]+", guide)
    engine = create_engine(bad.lake.layout.database_url)
    with engine.begin() as database:
        assert database.execute(text(statement), bad.did._asdict()).rowcount == 1
    engine.dispose()
    assert "not available there" in bad.said()
    bad.heal()


def test_another_scope_takes_a_lost_file(bad: Bad, rucio: Client, collection: str) -> None:
    """In another scope the file of a lost name can be registered at once."""
    bad.lose()
    rucio.add_scope("root", f"{collection}-2")
    again = StacClient(rucio, scope=f"{collection}-2")
    assert again.create_replicas(bad.items, SOURCE).counts == {State.REGISTERED: 4}


def test_doctor_finds_it(bad: Bad) -> None:
    """The doctor names a file that Rucio does not hold to be good."""
    bad.declare()
    findings = examine(bad.lake.client, SOURCE, catalogue=summarise_catalogue(bad.items))
    (found,) = (each for each in findings if each.code == "file-not-good")
    assert str(bad.did) in found.what
    assert (
        found.command
        == f"stac-rucio deregister ITEMS --rse {SOURCE} --bad  # then register them again"
    )
