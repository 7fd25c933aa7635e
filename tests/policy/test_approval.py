"""Approval of rules in Rucio's own code, with a real database: `auto_approve = stac`."""

from __future__ import annotations

from typing import Any

import pytest

from .server import run_with_server

LIMIT_BYTES = 1000

_RUCIO = """
from rucio.common.config import get_config
from rucio.common.exception import RucioException
from rucio.common.types import InternalAccount, InternalScope
from rucio.core import account, did, replica, rse, rule, scope
from rucio.db.sqla.constants import AccountType, DIDType
from stac_policy.algorithms import approve
from stac_policy.settings import settings

root, alice, registrar = map(InternalAccount, ("root", "alice", "registrar"))
owners = {"c": root, "user.alice": alice, "esa": root, "own": alice, "mock": root}
scopes = {name: InternalScope(name) for name in owners}
with write() as db:
    for owner in (root, alice, registrar):
        account.add_account(owner, AccountType.USER, None, session=db)
    account.add_account_attribute(registrar, "stac_registrar", True, session=db)
    for name, internal in scopes.items():
        scope.add_scope(internal, owners[name], session=db)
    source = rse.add_rse("SOURCE", session=db)
    for name in ("DISK", "TAPE"):
        rse.add_rse(name, session=db)
    generous = rse.add_rse("GENEROUS", session=db)
    rse.add_rse_attribute(generous, "auto_approve_bytes", 10**6, session=db)

def file(scope, name, size_bytes, db):
    replica.add_replica(
        source, scopes[scope], name, size_bytes, root, adler32="00000001", session=db
    )
    return {"scope": scopes[scope], "name": name}

def collect(scope, name, children, db, kind=DIDType.DATASET, close=True):
    did.add_did(scopes[scope], name, kind, root, session=db)
    if children:
        did.attach_dids(scopes[scope], name, children, root, session=db)
    if close:
        did.set_status(scopes[scope], name, session=db, open=False)
    return {"scope": scopes[scope], "name": name}

with write() as db:
    small = file("c", "/c/i/small.tif", 100, db)
    small2 = file("c", "/c/j/small.tif", 100, db)
    fixed = file("esa", "/c/i/fixed.tif", 100, db)
    just = file("c", "/c/i/just.tif", LIMIT - 100 - 1, db)
    large = file("c", "/c/i/large.tif", LIMIT - 100, db)
    other = file("c", "other.root", 1, db)
    alices = file("user.alice", "x.root", 1, db)
    dids = {
        "small": collect("user.alice", "small", [small, small2, fixed], db),
        "item": collect("c", "/c/i", [small], db),
        "open item": collect("c", "/c/j", [small2], db, close=False),
        "container": collect("c", "/c", [
            {"scope": scopes["c"], "name": "/c/i"}, {"scope": scopes["c"], "name": "/c/j"},
        ], db, DIDType.CONTAINER),
        "open selection": collect("user.alice", "open", [small], db, close=False),
        "open item in a fixed scope": collect("esa", "/c/i", [fixed], db, close=False),
        "just below": collect("user.alice", "just", [small, just], db),
        "at the limit": collect("user.alice", "large", [small, large], db),
        "mixed": collect("user.alice", "mixed", [small, other], db),
        "other": collect("user.alice", "other", [alices], db),
        "empty": collect("user.alice", "empty", [], db),
        "file": small,
        "large file": file("c", "/c/k/large.tif", LIMIT, db),
        "other file": other,
    }
    of_own = file("own", "/own/i/small.tif", 1, db)
    of_mock = file("mock", "/mock/i/small.tif", 1, db)
    dids |= {
        "own open item": collect("own", "/own/i", [of_own], db, close=False),
        "own closed item": collect("own", "/own/j", [of_own], db),
        "open item in anybody's scope": collect("mock", "/mock/i", [of_mock], db, close=False),
        "open selection in a STAC scope": collect("c", "selection", [small], db, close=False),
    }
    for name, inner in {
        "closed over closed": "small",
        "closed over open item": "open item",
        "closed over open": "open selection",
        "closed over own open item": "own open item",
        "closed over closed over open": "closed over open",
        "closed over closed over closed": "closed over closed",
    }.items():
        dids[name] = collect(
            "user.alice", name.replace(" ", "-"), [dict(dids[inner])], db, DIDType.CONTAINER
        )

def ask(what, rses):
    \"\"\"The state of a new rule that asks for approval, which is not kept.\"\"\"
    with read() as db:
        (rule_id,) = rule.add_rule(
            [dids[what]], alice, 1, rses, "DATASET", None, None, False, None,
            ask_approval=True, session=db,
        )
        return rule.get_rule(rule_id, session=db)["state"].name

def judge(what, rses, algorithm=None, copies=1, account=alice):
    \"\"\"What an algorithm, or else the configured one, says to a new rule.\"\"\"
    with read() as db:
        new = rule.models.ReplicationRule(
            account=account, rse_expression=rses, copies=copies, **dids[what]
        )
        row = db.query(rule.models.DataIdentifier).filter_by(**dids[what]).one()
        try:
            if algorithm is None:
                approved = rule.AutoApprove(new, row, session=db).evaluate()
            else:
                approved = algorithm(new, row, db)
            return {True: "approved", False: "not approved"}[approved]
        except RucioException as error:
            return type(error).__name__

def beside_rucio(whats):
    return [
        [judge(what, rses, approve), judge(what, rses, rule.AutoApprove.default)]
        for what in whats for rses in ("DISK", "GENEROUS", "DISK|TAPE", "NONE")
    ]

def configure(section, option, value):
    get_config().set(section, option, value)
    settings.cache_clear()

answer = {
    "states": {what: ask(what, "DISK") for what in dids},
    "disk": {what: judge(what, "DISK") for what in dids},
    "generous": {what: judge(what, "GENEROUS") for what in dids},
    "several": {what: judge(what, "DISK|TAPE") for what in dids},
    "copies": [judge("item", "DISK", copies=copies) for copies in (1, 9, 10)],
    "beside Rucio": beside_rucio(OTHERS),
    "registrar": {what: judge(what, "DISK", account=registrar) for what in dids},
    "root": {what: judge(what, "DISK", account=root) for what in dids},
}
configure("rules", "auto_approve", "default")
answer["not asked for"] = {what: judge(what, "DISK") for what in dids}
configure("rules", "auto_approve", "stac")
configure("stac", "auto_approve_bytes", "0")
answer["zero"] = {what: judge(what, "DISK") for what in dids}
answer["zero beside Rucio"] = beside_rucio(["small", "file", "other", "open item"])
configure("stac", "auto_approve_bytes", str(LIMIT))

class ByHand(rule.AutoApprove):
    @classmethod
    def _module_init_(cls):
        cls.register("by_hand", approve)

ByHand._module_init_()
configure("rules", "auto_approve", "by_hand")
answer["by hand"] = {what: judge(what, "DISK") for what in dids}
print(json.dumps(answer))
"""

CLOSED = {
    *{"small", "item", "just below", "file", "own closed item"},
    *{"closed over closed", "closed over closed over closed"},
}
APPROVED = CLOSED | {
    *{"open item", "container", "open item in a fixed scope", "closed over open item"},
}
OTHERS = [
    "open selection",
    "own open item",
    "open item in anybody's scope",
    "open selection in a STAC scope",
    "closed over open",
    "closed over own open item",
    "closed over closed over open",
    "at the limit",
    "mixed",
    "other",
    "empty",
    "large file",
    "other file",
]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What becomes of rules that ask for approval, by what they are over."""
    folder = tmp_path_factory.mktemp("approval")
    for template in ("rule_approval_request", "rule_approved_user", "rule_approved_admin"):
        (folder / f"{template}.tmpl").write_text("A mail.")
    return run_with_server(
        f"LIMIT, OTHERS = {LIMIT_BYTES}, {OTHERS}\n{_RUCIO}",
        folder,
        common={"mailtemplatedir": str(folder)},
        rules={"auto_approve": "stac"},
        stac={"auto_approve_bytes": str(LIMIT_BYTES), "scopes": "esa"},
    )


def of(answers: Any, answer: str) -> set[Any]:
    """Give what rules were over that have an answer."""
    return {what for what, found in answers.items() if found == answer}


def test_small_rules_over_stac_assets(states: Any) -> None:
    """Rules over less than the limit are approved if it is all STAC's and stays so."""
    assert of(states["disk"], "approved") == APPROVED
    assert of(states["disk"], "not approved") == set(OTHERS)
    assert of(states["states"], "INJECT") == APPROVED
    assert of(states["states"], "WAITING_APPROVAL") == set(OTHERS)


def test_who_may_add(states: Any) -> None:
    """For who may add to an open item, as registrars and owners may, it is no better than others.

    Each of the closed collections that hold an open one could be filled after its approval.
    """
    assert of(states["registrar"], "approved") == CLOSED
    assert of(states["root"], "approved") == CLOSED | {"own open item", "closed over own open item"}


def test_copies_count(states: Any) -> None:
    """All copies of a rule count."""
    assert states["copies"] == ["approved", "approved", "not approved"]


def test_the_attribute_of_an_rse(states: Any) -> None:
    """Where Rucio's default approves, which it never does for files, the rule is approved too."""
    assert of(states["generous"], "approved") == APPROVED | {
        "at the limit",
        "mixed",
        "other",
        "empty",
        "closed over open",
        "closed over own open item",
        "closed over closed over open",
    }


def test_several_rses(states: Any) -> None:
    """Rules over several RSEs that are not approved are refused, as Rucio refuses them."""
    assert of(states["several"], "approved") == APPROVED
    assert of(states["several"], "InvalidReplicationRule") == set(OTHERS)


def test_limit_of_zero(states: Any) -> None:
    """With a limit of 0, which is the default, nothing is approved but by Rucio's default."""
    assert of(states["zero"], "not approved") == APPROVED | set(OTHERS)


def test_as_rucios_default(states: Any) -> None:
    """What is not approved is judged exactly as Rucio's default judges it."""
    pairs = states["beside Rucio"] + states["zero beside Rucio"]
    assert all(ours == rucios for ours, rucios in pairs)
    assert {ours for ours, _ in pairs} == {
        "approved",
        "not approved",
        "InvalidReplicationRule",
        "InvalidRSEExpression",
    }


def test_named_only(states: Any) -> None:
    """A server that does not ask for it by name has Rucio's default, whatever the limit."""
    assert of(states["not asked for"], "not approved") == APPROVED | set(OTHERS)


def test_registered_by_subclass(states: Any) -> None:
    """Registered with a subclass, as Rucio's documentation has it, it does the same."""
    assert states["by hand"] == states["disk"]
