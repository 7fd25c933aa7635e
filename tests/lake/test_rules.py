"""Rules that are there when they are asked for again, and waiting for them, on a real lake."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import requests

from stac_client import (
    AccessError,
    ConfigurationError,
    ReplicationRules,
    RequestError,
    RuleWarning,
    StacClient,
    State,
    UnreachableError,
)
from tests.items import many_items
from tests.servers import running_server
from tests.testbed.support import wait_for

from .clients import rucio_client

if TYPE_CHECKING:
    from pathlib import Path

    from rucio.client import Client

    from stac_client import Rule
    from stac_testbed.lake import Lake
    from tests.lake.conftest import Requests
    from tests.lake.scene import Scene

DAY_S = 86_400


@pytest.fixture
def files(client: StacClient, collection: str) -> Any:
    """Two registered files of a host that is not there."""
    registration = client.create_replicas(many_items(collection, 1, 2), "STAC")
    registration.raise_for_failed()
    return registration


@pytest.fixture
def alice(stac_lake: Lake) -> StacClient:
    """A StacClient of an ordinary account."""
    rucio = stac_lake.client("alice")
    assert rucio.whoami()["account"] == "alice"
    return StacClient(rucio)


def ask(client: StacClient, files: Any, **options: Any) -> Rule:
    """Ask for a copy."""
    (rule,) = client.create_replication_rules(files, "DISK-A", **options)
    return rule


def days_left(rule: Rule) -> float:
    """In how many days a rule ends."""
    assert rule.expires_at is not None
    return (rule.expires_at - datetime.now(timezone.utc)) / timedelta(days=1)


def test_a_rule_that_would_end_too_early_is_extended(client: StacClient, files: Any) -> None:
    """It is the same rule; one that would end later stays, and that is said."""
    rule = ask(client, files, lifetime_s=3600)
    assert days_left(rule) == pytest.approx(1 / 24, abs=0.01)
    longer = ask(client, files, lifetime_s=30 * DAY_S)
    assert longer.id == rule.id
    assert days_left(longer) == pytest.approx(30, abs=0.1)
    with pytest.warns(RuleWarning, match="its end is 20"):
        assert days_left(ask(client, files, lifetime_s=DAY_S)) == pytest.approx(30, abs=0.1)
    endless = ask(client, files)
    assert (endless.id, endless.expires_at) == (rule.id, None)
    with pytest.warns(RuleWarning, match="its end is never"):
        assert ask(client, files, lifetime_s=DAY_S).expires_at is None


def test_a_deleted_rule_is_revived_in_its_hour_of_grace(client: StacClient, files: Any) -> None:
    """What is asked for again shall not end within the hour."""
    rule = ask(client, files)
    client.delete_replication_rules(rule)
    (dying,) = client.replication_rules(rule)
    assert 0 < days_left(dying) < 0.05
    again = ask(client, files)
    assert (again.id, again.expires_at) == (rule.id, None)


def test_a_rule_that_has_ended_is_made_anew(rucio: Client, files: Any) -> None:
    """One that the judge-cleaner has not removed yet is waited for, and is never the answer."""
    client = StacClient(rucio, retry_s=120)
    rule = ask(client, files)
    client.delete_replication_rules(rule, at_once=True)
    again = ask(client, files)
    assert again.id != rule.id
    assert again.expires_at is None
    (found,) = client.replication_rules(again)
    assert found.id == again.id


def test_activity_and_comment_are_changed(client: StacClient, rucio: Client, files: Any) -> None:
    """What a rule can be changed in is changed; nothing is where nothing is wanted."""
    rule = ask(client, files, comment="a")
    again = ask(client, files, comment="b", activity="Express")
    assert again.id == rule.id == ask(client, files).id
    found = rucio.get_replication_rule(rule.id)
    assert (found["comments"], found["activity"]) == ("b", "Express")


def test_an_activity_that_the_server_does_not_know(client: StacClient, files: Any) -> None:
    """Those that it knows are named, and not the whole schema that they stand in."""
    with pytest.raises(ConfigurationError) as caught:
        ask(client, files, activity="Nope")
    said = str(caught.value)
    assert "'Nope' is not one of ['" in said
    assert said.endswith("] (field 'activity')")
    assert "properties" not in said


def test_what_cannot_be_changed_is_said(client: StacClient, files: Any) -> None:
    """Rucio does not change the grouping of a rule."""
    rule = ask(client, files)
    with pytest.raises(RequestError, match=rf"{rule.id}.*grouping is DATASET \(wanted: NONE\)"):
        ask(client, files, grouping="NONE")


def test_a_suspended_rule_is_not_the_wanted_one(
    client: StacClient, rucio: Client, files: Any
) -> None:
    """Asking again says that it is suspended, and so does its status, though it has no copies."""
    rule = ask(client, files)
    rucio.update_replication_rule(rule.id, {"state": "SUSPENDED"})
    with pytest.raises(RequestError, match=f"{rule.id} .*SUSPENDED.*deleted"):
        ask(client, files)
    (waited,) = client.wait(rule, timeout_s=60, poll_s=1)
    assert (waited.state, waited.error is None) == ("SUSPENDED", False)
    assert {row.rule_state for row in client.rule_status(rule)} == {"SUSPENDED"}


def test_who_may_not_change_a_rule(alice: StacClient, files: Any) -> None:
    """Rucio lets an ordinary account make rules and not change them: that is said, with both."""
    rule = ask(alice, files, lifetime_s=3600)
    assert ask(alice, files, lifetime_s=3600).id == rule.id
    with pytest.raises(AccessError, match=f"{rule.id}.*wanted: never.*alice may not change it"):
        ask(alice, files)


@pytest.fixture
def newcomer(rucio: Client, stac_lake: Lake, collection: str) -> StacClient:
    """An account that has nothing yet: no scope, no rules, no limits."""
    account = f"new-{collection}"
    creds = {"username": "root", "password": stac_lake.layout.passwords["root"]}
    rucio.add_account(account, "USER", "new@localhost")
    rucio.add_identity(account, "root", "USERPASS", "new@localhost", password=creds["password"])
    return StacClient(rucio_client(stac_lake, account, creds=creds))


def test_a_rule_of_an_account_without_a_scope(newcomer: StacClient, files: Any) -> None:
    """It is told that the dataset cannot be in the scope of the collection."""
    with pytest.raises(AccessError, match=rf"{files[0].did.scope}:.*dataset_scope= chooses"):
        ask(newcomer, files)


@pytest.fixture
def poor(rucio: Client, newcomer: StacClient) -> StacClient:
    """An account without rules that may have five bytes at DISK-A."""
    account = newcomer._rucio.account
    rucio.add_scope(account, f"user.{account}")
    rucio.set_local_account_limit(account, "DISK-A", 5)
    return newcomer


def test_a_rule_beyond_the_limits_of_an_account(
    poor: StacClient, rucio: Client, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused with what it needs and what is left, also where Rucio would suspend it."""
    account = poor._rucio.account
    refused = rf"needs 20 bytes .*{account} has left: 5 bytes at DISK-A"
    for asynchronous_from in (1000, 1):
        monkeypatch.setattr("stac_client._new_rules._ASYNCHRONOUS_FROM", asynchronous_from)
        with pytest.raises(AccessError, match=refused):
            ask(poor, files)
    rucio.set_local_account_limit(account, "DISK-A", 21)
    rucio.set_global_account_limit(account, "DISK-A|DISK-B", 5)
    with pytest.raises(AccessError, match=refused):
        ask(poor, files)
    assert list(poor._rucio.client.list_account_rules(account)) == []
    rucio.set_global_account_limit(account, "DISK-A|DISK-B", 21)
    assert ask(poor, files).state == "INJECT"


def test_a_rule_that_the_injector_suspends(poor: StacClient, files: Any) -> None:
    """Its status is a row that says so, though it has no locks."""
    did, rucio = files[0].did, poor._rucio.client
    (rule_id,) = rucio.add_replication_rule([did._asdict()], 1, "DISK-A", asynchronous=True)
    (rule,) = poor.wait(rule_id, timeout_s=60, poll_s=0.5)
    assert rule.state == "SUSPENDED"
    (row,) = poor.rule_status(rule_id)
    assert (row.rule_state, row.rse, row.ok) == ("SUSPENDED", "DISK-A", 0)
    assert "limit of its account" in str(row.rule_error)


def test_a_rule_over_other_files_has_a_status(
    client: StacClient, rucio: Client, collection: str
) -> None:
    """Its rows name scope and name where others name collection and item."""
    file = {"scope": collection, "name": "run1.root", "bytes": 1, "adler32": "00000001"}
    rucio.add_replicas("DISK-B", [file])
    did = {"scope": collection, "name": "run1.root"}
    (rule_id,) = rucio.add_replication_rule([did], 1, "DISK-B")
    (row,) = client.rule_status(rule_id, by_item=True)
    assert (row.collection, row.item, row.rse, row.ok) == (collection, "run1.root", "DISK-B", 1)
    assert [rule.state for rule in client.wait(rule_id, timeout_s=60)] == ["OK"]


def test_a_rule_over_an_item_that_has_grown(scene: Scene, client: StacClient) -> None:
    """It is not OK before the new asset is there, too."""
    (rule,) = client.create_replication_rules(scene.item, "DISK-A", per_item=True)
    client.wait(rule, timeout_s=300, poll_s=0.5)
    scene.add("blue")
    (again,) = client.create_replication_rules(scene.item, "DISK-A", per_item=True)
    assert again.id == rule.id
    (waited,) = client.wait(again, timeout_s=300, poll_s=0.5)
    assert (waited.state, waited.locks_ok, waited.files) == ("OK", 3, 3)


def test_one_rule_that_fails_stops_no_other(
    scene: Scene, client: StacClient, rucio: Client, files: Any
) -> None:
    """Rules over items are made for all that they can be made for."""
    (rule,) = client.create_replication_rules(files, "DISK-A", per_item=True)
    rucio.update_replication_rule(rule.id, {"state": "SUSPENDED"})
    registration = files + client.create_replicas(scene.item, "STAC")
    with pytest.raises(RequestError, match=rf"{rule.id} .*SUSPENDED.*\(1 of 2 rules failed"):
        client.create_replication_rules(registration, "DISK-A", per_item=True)
    name = scene.red.name.rpartition("/")[0]
    (made,) = rucio.list_did_rules(scene.red.scope, name)
    assert client.wait(made["id"], timeout_s=300, poll_s=0.5)[0].state == "OK"


def test_rules_are_listed_extended_and_followed(
    scene: Scene, client: StacClient, stac_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account's rules, and all those over items, are found without their ids."""
    (rule,) = client.create_replication_rules(scene.item, "DISK-A", assets="red", lifetime_s=DAY_S)
    (of_item,) = client.create_replication_rules(scene.item, "DISK-B", per_item=True)
    ids = {rule.id, of_item.id}
    assert ids <= {each.id for each in client.replication_rules()}
    assert ids.isdisjoint(
        each.id for each in StacClient(stac_lake.client("alice")).replication_rules()
    )
    for longer in (10, 0):  # times as many rules are listed, rather than asked for singly
        monkeypatch.setattr("stac_client._rules._LONGER", longer)
        assert {each.id for each in client.replication_rules(over=scene.item)} == ids
    assert not client.replication_rules(over={**scene.item, "id": "unregistered"})
    over_nir = client.replication_rules(rule, over=scene.item, assets="nir")
    assert [each.id for each in over_nir] == [rule.id, of_item.id]
    client.extend_replication_rules(rule.id, 10 * DAY_S)
    assert days_left(client.replication_rules(rule)[0]) == pytest.approx(10, abs=0.1)
    client.extend_replication_rules([rule], None)
    assert client.replication_rules(rule)[0].expires_at is None
    with pytest.raises(ConfigurationError, match="there is no rule 0000"):
        client.extend_replication_rules("0" * 32, 1)
    with pytest.raises(ConfigurationError, match="lifetime_s is -1"):
        client.create_replication_rules(scene.item, "DISK-A", lifetime_s=-1)
    told: list[ReplicationRules] = []
    client.wait([rule, of_item], timeout_s=300, poll_s=0.2, on_update=told.append)
    assert all(before != after for before, after in pairwise(told))
    assert str(told[-1]) == "2 rules: 2 OK; 3 of 3 copies there"


def test_a_rule_on_its_way_tells_what_each_rse_has(
    scene: Scene, rucio: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In numbers that Rucio counts."""
    rule, answer = scene.replicate(), rucio.get_replication_rule
    on_its_way = {"state": "REPLICATING"}  # which ends too soon to be met for certain
    monkeypatch.setattr(rucio, "get_replication_rule", lambda rule_id: answer(rule_id) | on_its_way)
    (row,) = StacClient(rucio).rule_status(rule)
    assert (row.ok, row.by_rse, row.missing) == (2, {"STAC": 2, "DISK-A": 2}, ())


def test_signed_items_are_looked_up_by_name(
    scene: Scene, client: StacClient, tmp_path: Path
) -> None:
    """A signature hinders nothing but the registration of the URL that carries it."""
    rule = scene.replicate()
    signed = copy.deepcopy(scene.item)
    for asset in signed["assets"].values():
        asset["href"] += "?se=2030-01-01T00%3A00%3A00Z&sig=c2VjcmV0"
    signed["assets"]["new"] = {"href": f"{scene.url}/new.tif?sig=c2VjcmV0", "roles": ["data"]}
    (refused, *_) = client.create_replicas(signed, "STAC", assets="red")
    assert (refused.state, "signed" in refused.reason) == (State.SKIPPED, True)
    rows = client.replication_availability(signed, assets=["red", "nir"])
    assert rows == client.replication_availability(scene.item)
    assert client.create_replication_rules(signed, "DISK-A")[0].id == rule.id
    downloads = client.download(signed, tmp_path, assets=["red", "nir"])
    assert downloads.counts == {State.DOWNLOADED: 2}
    gone = client.delete_replicas(signed, "STAC", assets=["red", "nir"])
    assert gone.counts == client.delete_replicas(scene.item, "STAC").counts
    assert State.SKIPPED not in gone.counts


def test_a_rule_over_nothing_is_not_ok(scene: Scene, client: StacClient, rucio: Client) -> None:
    """Rucio calls it OK; nobody's files are there."""
    (rule,) = client.create_replication_rules(scene.item, "DISK-A", per_item=True)
    client.wait(rule, timeout_s=300, poll_s=0.5)
    rucio.detach_dids(*rule.did, [scene.red._asdict(), scene.nir._asdict()])
    assert wait_for(lambda: rucio.get_replication_rule(rule.id)["locks_ok_cnt"] == 0)
    (waited,) = client.wait(rule, timeout_s=60, poll_s=0.5)
    assert (waited.state, waited.files) == ("INCOMPLETE", 0)
    (row,) = client.rule_status(rule)
    assert (row.rule_state, row.rse) == ("INCOMPLETE", "DISK-A")


def test_a_rule_that_vanishes_does_not_end_the_wait(
    scene: Scene, client: StacClient, files: Any
) -> None:
    """It is reported as gone, and the others are waited for; so is one that was OK before."""
    (gone,) = client.create_replication_rules(scene.item, "DISK-B", assets=["nir"])
    scene.end(gone)
    (rule,) = client.create_replication_rules(scene.item, "DISK-A")
    (other,) = client.create_replication_rules(scene.item, "DISK-B", assets=["red"])
    never = ask(client, files)

    def end(rules: ReplicationRules) -> None:
        if [each.state for each in rules[1:3]] == ["OK", "OK"] and not scene.gone(rule):
            scene.end(rule)
            scene.end(never)

    wanted: list[Rule | str] = [gone, rule, other.id, never]
    waited = client.wait(wanted, timeout_s=300, poll_s=0.5, on_update=end)
    assert [each.state for each in waited] == ["GONE", "GONE", "OK", "GONE"]
    with pytest.raises(ConfigurationError, match=gone.id):
        client.wait(gone.id)


def test_many_rules_are_waited_for_by_one_list(
    client: StacClient,
    rucio: Client,
    alice: StacClient,
    files: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of each account, by rules or ids; singly where others have made the list too long."""
    registration = client.create_replicas(many_items(files[0].collection, 3, 1), "STAC")
    rules = client.create_replication_rules(registration, "DISK-A", per_item=True)
    of_alice = ask(alice, files)
    asked: list[str] = []

    def count(name: str) -> None:
        answer, called = getattr(rucio, name), name.partition("_")[0]

        def call(*arguments: Any) -> Any:
            asked.append(called)
            return answer(*arguments)

        monkeypatch.setattr(rucio, name, call)

    count("get_replication_rule")
    count("list_replication_rules")
    client = StacClient(rucio)
    found = client.wait([*rules, of_alice], timeout_s=0)
    assert [rule.id for rule in found] == [rule.id for rule in [*rules, of_alice]]
    assert [rule.account for rule in found] == ["root", "root", "root", "alice"]
    assert asked == ["list", "get"]
    asked.clear()
    client.wait([rule.id for rule in rules], timeout_s=0)
    assert asked == ["get", "list"]
    asked.clear()
    monkeypatch.setattr("stac_client._rules._LONGER", 1)
    client.wait(rules[::2], timeout_s=1, poll_s=0.1, through_stuck=True)
    assert asked[:3] == ["list", "get", "get"]
    assert asked.count("list") == 1


def test_waiting_outlives_a_server_that_does_not_answer(
    scene: Scene, rucio: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But not the time that it was given."""
    rules = scene.client.create_replication_rules(scene.item, "DISK-A")
    answer, fails = rucio.get_replication_rule, [False, True, True, True]

    def get(rule_id: str) -> Any:
        if fails and fails.pop(0):
            raise requests.ConnectionError
        return answer(rule_id)

    monkeypatch.setattr(rucio, "get_replication_rule", get)
    client = StacClient(rucio, retry_s=0)
    (rule,) = client.wait(rules, timeout_s=300, poll_s=0.2)
    assert (rule.state, fails) == ("OK", [])
    fails += [True] * 1000
    with pytest.raises(UnreachableError):
        client.wait(rules, timeout_s=60)
    fails[0] = False
    (other,) = client.replication_rules(rules)
    assert other.state == "OK"


@pytest.mark.usefixtures("_no_limits")
@pytest.mark.parametrize(("files", "copies"), [(1100, 1), (500, 2)])
def test_a_rule_over_many_files(
    client: StacClient, collection: str, requests_sent: Requests, files: int, copies: int
) -> None:
    """Each file has its locks, be they made at once or by Rucio's judge-injector."""
    registration = client.create_replicas(many_items(collection, 10, files // 10), "STAC")
    requests_sent.sent.clear()
    (rule,) = client.create_replication_rules(
        registration, "DISK-A|DISK-B", copies=copies, dataset_scope=collection
    )
    assert len(requests_sent) == (5 if files > 1000 else 3), requests_sent.sent
    assert (rule.state == "INJECT") == (files > 1000)
    assert wait_for(lambda: client.replication_rules([rule])[0].state != "INJECT")
    (rule,) = client.replication_rules([rule])
    # The files do not exist: some may be given up already.
    assert rule.locks_replicating + rule.locks_stuck == files * copies
    client.delete_replication_rules([rule], at_once=True)


_STOCK = """
from stac_testbed import rucio_server

rucio_server.group_alternatives = lambda: None
application = rucio_server.create_app()
"""


@pytest.mark.usefixtures("_no_limits")
def test_what_a_stock_rucio_makes_of_many_transfers(
    stac_lake: Lake, client: StacClient, collection: str, tmp_path: Path
) -> None:
    """On SQLite it fails, and what is to be done is said; other databases take it."""
    registration = client.create_replicas(many_items(collection, 10, 50), "STAC")
    (tmp_path / "stock.py").write_text(_STOCK)
    cfg, application = stac_lake.layout.server_cfg, "stock:application"
    with running_server(tmp_path, cfg, tmp_path, application=application) as url:
        stock = StacClient(rucio_client(stac_lake, rucio_host=url, auth_host=url))
        wanted: dict[str, Any] = {"copies": 2, "dataset_scope": collection}
        if stac_lake.layout.database_url.startswith("sqlite:"):
            with pytest.raises(RequestError, match="for test beds, a stock Rucio makes no rule"):
                stock.create_replication_rules(registration, "DISK-A|DISK-B", **wanted)
        else:
            (rule,) = stock.create_replication_rules(registration, "DISK-A|DISK-B", **wanted)
            client.delete_replication_rules([rule], at_once=True)
