"""One rule over many items, its status in each state, and waiting for many rules.

Where copies are is declared in Rucio's database: nothing is transferred, and the judge-injector,
which needs minutes for as many locks, has nothing to do. Times are those of the processors, of
client, server and database together: a busy machine tells less in them.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import chain, cycle
from typing import TYPE_CHECKING

from stac_client import StacClient

from .harness import Goal, Row, counted, seconds, side_by_side
from .items import make_items
from .setting import COPY_RSES, SOURCE_RSE, requests_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .setting import Setting

_GOALS_S = {"OK": 0.5, "STUCK": 3.0, "REPLICATING": 0.5}
_STUCK = 50  # one file in so many
_ATTEMPTS = 3
_LATER_S = 86_400  # before then the judge-injector takes no rule


def run(setting: Setting) -> Iterator[Row]:
    """Make a rule over items that have their copies already, and rules over each of them."""
    client = setting.lake.client()
    client.add_replication_rule = partial(client.add_replication_rule, delay_injection=_LATER_S)
    stac = StacClient(client)
    count, assets = setting.size.rule_items, setting.size.assets
    items = list(make_items(setting.new_collection(client), count, assets))
    registration = stac.create_replicas(items, SOURCE_RSE)
    registration.raise_for_failed()
    setting.add_copies(client, (outcome.did for outcome in registration if outcome.did))
    with requests_of(client) as sent:
        took_s = seconds(lambda: stac.create_replication_rules(registration, "tier=disk", copies=2))
    what = f"one rule over {count:,} items, {len(registration):,} files"
    yield counted(what, len(sent), "requests", Goal(most=4), f"{took_s:.1f} s")
    (rule,) = stac.create_replication_rules(registration, "tier=disk", copies=2)

    def busy_s() -> float:
        return time.process_time() + setting.servers_busy_s

    for state, most_s in _GOALS_S.items():
        setting.run_module("rules", rule.id, state, server=True)
        with requests_of(client) as sent:
            (status,) = stac.rule_status(rule)
        assert status.rule_state == state  # noqa: S101 - what is measured must be so
        said = f"status while it is {state}"
        yield counted(said, len(sent), "requests", Goal(most=3))
        asked = range(setting.size.rounds)
        took_s = min(seconds(lambda: stac.rule_status(rule), busy_s) for _ in asked)
        waited_s = min(seconds(lambda: stac.rule_status(rule)) for _ in asked)
        note = f"of processors; elapsed {waited_s:.2f} s; the fastest of {len(asked)}"
        yield counted(f"{said}, {len(status.stuck)} stuck", took_s, "s", Goal(most=most_s), note)
    rounds = side_by_side(
        lambda _: stac.rule_status(rule, by_item=True),
        lambda _: [*client.list_replica_locks(rule.id)],
        setting.size.rounds,
        busy_s,
    )
    yield rounds.slower("status by item and RSE", "bare list_replica_locks", Goal(most=1.1))
    made = stac.create_replication_rules(items[:100], "tier=disk", copies=2, per_item=True)
    known = stac.replication_rules(made)
    with requests_of(client) as sent:
        stac.wait(known, timeout_s=0)
    said = f"each time that wait asks for {len(known)} rules"
    yield counted(said, len(sent), "requests", Goal(most=1))


def _declare(rule_id: str, name: str) -> None:
    """Write into Rucio's database that a rule is in a state, and that its copies are."""
    from rucio.common.utils import generate_uuid
    from rucio.core.rse import get_rse_id
    from rucio.db.sqla import models
    from rucio.db.sqla.constants import (
        DatabaseOperationType,
        LockState,
        ReplicaState,
        RequestState,
        RuleState,
    )
    from rucio.db.sqla.session import db_session
    from sqlalchemy import delete, insert, select, update

    with db_session(DatabaseOperationType.WRITE) as session:
        rule = session.get_one(models.ReplicationRule, rule_id)
        content = models.DataIdentifierAssociation
        within = (content.scope == rule.scope, content.name == rule.name)
        files = session.execute(select(content).where(*within)).scalars().all()
        there, other = (get_rse_id(rse, session=session) for rse in COPY_RSES)
        one_stuck = chain([LockState.STUCK], [LockState.OK] * (_STUCK - 1))
        states = {
            "OK": [LockState.OK],
            "STUCK": one_stuck,
            "REPLICATING": [LockState.REPLICATING],
        }
        at_other = [state for _, state in zip(files, cycle(states[name]), strict=False)]
        session.execute(delete(models.ReplicaLock).where(models.ReplicaLock.rule_id == rule_id))
        lock = {"rule_id": rule_id, "account": rule.account}
        locks = [
            {**lock, "scope": f.child_scope, "name": f.child_name, "bytes": f.bytes, **where}
            for f, state in zip(files, at_other, strict=True)
            for where in (
                {"rse_id": there, "state": LockState.OK},
                {"rse_id": other, "state": state},
            )
        ]
        session.execute(insert(models.ReplicaLock), locks)
        failing = [each for each in locks if each["state"] == LockState.STUCK]
        replica = models.RSEFileAssociation
        of_files = (replica.rse_id == other, replica.scope == files[0].child_scope)
        came = ReplicaState.COPYING if name == "REPLICATING" else ReplicaState.AVAILABLE
        session.execute(update(replica).where(*of_files).values(state=came))
        never_came = replica.name.in_([each["name"] for each in failing])
        session.execute(
            update(replica).where(*of_files, never_came).values(state=ReplicaState.UNAVAILABLE)
        )
        failed = [
            {
                "id": generate_uuid(),
                "scope": each["scope"],
                "name": each["name"],
                "dest_rse_id": other,
                "source_rse_id": there,
                "state": RequestState.FAILED,
            }
            for each in failing
            for _ in range(_ATTEMPTS)
        ]
        if failed:
            session.execute(insert(models.RequestHistory), failed)
        rule.state, rule.error = RuleState[name], "a reason" if failed else None
        found = [each["state"] for each in locks]
        rule.locks_ok_cnt = found.count(LockState.OK)
        rule.locks_stuck_cnt = found.count(LockState.STUCK)
        rule.locks_replicating_cnt = found.count(LockState.REPLICATING)
        # The judge-repairer takes none that was changed later than now.
        later = datetime.now(timezone.utc) + timedelta(seconds=_LATER_S)
        rule.updated_at = later.replace(tzinfo=None)


if __name__ == "__main__":
    _declare(*sys.argv[1:])
