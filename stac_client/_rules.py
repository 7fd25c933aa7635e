"""Replication rules as they are: asked for, extended, tried again and deleted."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from rucio.common.exception import DataIdentifierNotFound, RuleNotFound

from stac_client._rucio import did_of, grouped, number_of, text_of
from stac_client._tables import Bar, Table, counted
from stac_client.errors import ConfigurationError
from stac_policy.urls import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rucio.client import Client

    from stac_client._rucio import Rucio
    from stac_client._tables import Part
    from stac_policy.naming import DID

T = TypeVar("T")

_SELECTION = "stac-selection-"
_ID = re.compile("[0-9a-f]{32}", re.IGNORECASE)
_LONGER = 10  # times as many rules as are wanted make a list too long to be asked for
ENDED = ("SUSPENDED", "INCOMPLETE", "GONE")
"""States of rules that do not change by themselves, and are not what was wanted."""


@dataclass(frozen=True)
class Rule:
    """A replication rule, as it was when Rucio was asked."""

    id: str
    did: DID
    """What it is over."""
    rse_expression: str
    copies: int
    state: str
    """As Rucio has it: OK, REPLICATING, STUCK, SUSPENDED, WAITING_APPROVAL or INJECT; but OK only
    if all its files are where they shall be. INCOMPLETE if Rucio has lost files that it was made
    for, or it is over none; GONE if Rucio has no such rule any more."""
    locks_ok: int
    """Files that are where they shall be."""
    locks_replicating: int
    locks_stuck: int
    error: str | None
    """Why it is stuck, suspended, incomplete or gone, if it is."""
    expires_at: datetime | None = None
    """When it ends, in UTC, if it does."""
    files: int | None = None
    """How many files it is over, where that was asked for."""
    account: str = ""
    """Whose it is."""
    created_at: datetime | None = None
    """When it was made, in UTC, where Rucio has said so."""

    @property
    def locks(self) -> int:
        """How many files shall be there, each as often as there shall be copies."""
        counted = self.locks_ok + self.locks_replicating + self.locks_stuck
        return max(counted, (self.files or 0) * self.copies)


RulesLike = Rule | str | Iterable[Rule | str]
"""Rules or ids of rules, one or many."""


def rule_ids(rules: RulesLike) -> list[str]:
    """Return the ids of rules.

    Raises:
        ConfigurationError: There are none, or one is none.
    """
    several = [rules] if isinstance(rules, (Rule, str)) else rules
    ids = [rule if isinstance(rule, str) else rule.id for rule in several]
    if not ids or "" in ids:
        raise ConfigurationError("no rules are given")
    if text := not_an_id(ids):
        raise ConfigurationError(text)
    return ids


def not_an_id(ids: Iterable[str]) -> str:
    """Return what to say of the first that is not the id of a rule, if there is one."""
    wrong = next((each for each in ids if not is_rule_id(each)), None)
    if wrong is None:
        return ""
    return f"{printable(wrong[:80])!r} is not the id of a rule, which has 32 hex digits"


def is_rule_id(text: str) -> bool:
    """Return whether a text is the id of a rule."""
    return bool(_ID.fullmatch(text))


def get_rule(rucio: Rucio, rule_id: str) -> Rule:
    """Ask Rucio for a rule.

    Raises:
        ConfigurationError: There is none with this id.
    """
    return existing(find_rule(rucio, rule_id), rule_id)


def find_rule(rucio: Rucio, rule_id: str, *, within_s: float = math.inf) -> Rule | None:
    """Ask Rucio for a rule, with two requests if it is OK; return None if there is none."""

    def request(client: Client) -> Rule:
        return judged(client, client.get_replication_rule(rule_id))

    doing = f"asking for rule {rule_id}"
    return rucio.ask_unless(doing, request, RuleNotFound, within_s=within_s)


def rules_of_account(rucio: Rucio) -> list[Rule]:
    """Ask for the rules of the account, with a request more for each that is OK."""
    account = rucio.account

    def request(client: Client) -> list[Rule]:
        return [rule_of(entry) for entry in client.list_replication_rules({"account": account})]

    rules = rucio.ask(f"listing the rules of account {account}", request)
    return [confirm(rucio, rule) for rule in rules]


def listed_rules(
    rucio: Rucio, doing: str, filters: dict[str, str], wanted: int, *, within_s: float = math.inf
) -> list[Rule] | None:
    """Ask for the rules that pass filters; None if they are far more than may be wanted."""

    def request(client: Client) -> list[Rule]:
        entries = islice(client.list_replication_rules(filters), _LONGER * wanted + 1)
        return [rule_of(entry) for entry in entries]

    found = rucio.ask(doing, request, within_s=within_s)
    return found if len(found) <= _LONGER * wanted else None


def rules_over(rucio: Rucio, files: Collection[DID]) -> Iterator[Rule]:
    """Ask for the rules of all accounts over files, or over what they are in.

    A request for each 1,000 files tells what they are in, and one for each scope of all these
    its rules; only where a scope has far more rules than may be meant, each DID is asked for.
    """
    over = {*files, *rucio.parents(files)}
    for scope, dids in sorted(grouped(over, attrgetter("scope")).items()):
        doing = f"listing the rules in scope {scope}"
        found = listed_rules(rucio, doing, {"scope": scope}, len(dids))
        if found is None:
            found = [rule for did in sorted(dids) for rule in _rules_of(rucio, did)]
        yield from (confirm(rucio, rule) for rule in found if rule.did in over)


def _rules_of(rucio: Rucio, did: DID) -> list[Rule]:
    def request(client: Client) -> list[Rule]:
        return [rule_of(entry) for entry in client.list_did_rules(*did)]

    doing = f"listing the rules of {did}"
    return rucio.ask_unless(doing, request, DataIdentifierNotFound) or []


def extend_rule(rucio: Rucio, rule_id: str, lifetime_s: int | None) -> None:
    """Let a rule end so many seconds from now, or never.

    Raises:
        ConfigurationError: There is no such rule.
    """

    def extend(client: Client) -> bool:
        client.update_replication_rule(rule_id, {"lifetime": lifetime_s})
        return True

    existing(rucio.ask_unless(f"extending rule {rule_id}", extend, RuleNotFound), rule_id)


def confirm(rucio: Rucio, rule: Rule, *, within_s: float = math.inf) -> Rule:
    """Return a rule as `judged` does, with a request if Rucio calls it OK."""
    if rule.state != "OK":
        return rule
    doing = f"asking for the files of rule {rule.id}"
    return rucio.ask(doing, partial(_confirmed, rule=rule), within_s=within_s)


def judged(client: Client, entry: Mapping[str, Any]) -> Rule:
    """Return a rule as Rucio describes it, after a look whether one that is OK has all its files.

    Rucio calls a rule OK until it has noticed that files were added, and also if some were taken
    away, or all. Their number is asked for; they are listed only where it is not the expected one.
    """
    rule = rule_of(entry)
    return _confirmed(client, rule) if rule.state == "OK" else rule


def _confirmed(client: Client, rule: Rule) -> Rule:
    try:
        count = number_of(client.get_did(*rule.did, dynamic_depth="FILE")["length"])
        counted = replace(rule, files=count)
        made_of = rule.did.name.startswith(_SELECTION) and rule.did.name.rpartition("-")[2]
        if count and made_of in {False, str(count)} and rule.locks_ok >= counted.locks:
            return counted
        # A file in several datasets of a container is counted more than once.
        return _over(rule, {*map(did_of, client.list_files(*rule.did))})
    except DataIdentifierNotFound:
        return _over(rule, set())


def _over(rule: Rule, files: Collection[DID]) -> Rule:
    """Return a rule that Rucio calls OK, in the state that follows from the files it is over."""
    rule = replace(rule, files=len(files))
    if not files:
        return replace(rule, state="INCOMPLETE", error=f"there are no files in {rule.did}")
    # Names of earlier selections end before the number of files.
    lost = not selection_name(files).startswith(rule.did.name)
    if rule.did.name.startswith(_SELECTION) and lost:
        error = f"{rule.did} has lost files that it was made of: {len(files):,} left"
        return replace(rule, state="INCOMPLETE", error=error)
    return rule if rule.locks_ok >= rule.locks else replace(rule, state="REPLICATING")


def retry_rule(rucio: Rucio, rule_id: str) -> None:
    """Let Rucio's judge-repairer try the stuck files of a rule again when it comes by."""

    def retry(client: Client) -> bool:
        client.update_replication_rule(rule_id, {"boost_rule": True})
        return True

    existing(rucio.ask_unless(f"retrying rule {rule_id}", retry, RuleNotFound), rule_id)


def delete_rule(rucio: Rucio, rule_id: str, *, at_once: bool, purge: bool) -> None:
    """Delete a rule; one that is gone already is no error."""

    def delete(client: Client) -> None:
        if at_once:
            purged = {"purge_replicas": True} if purge else {}
            client.update_replication_rule(rule_id, {**purged, "lifetime": 0})
        else:
            client.delete_replication_rule(rule_id, purge_replicas=purge or None)

    rucio.ask_unless(f"deleting rule {rule_id}", delete, RuleNotFound)


def existing(answer: T | None, rule_id: str) -> T:
    """Return what Rucio answered of a rule.

    Raises:
        ConfigurationError: There is no such rule.
    """
    if answer is None:
        raise ConfigurationError(f"there is no rule {rule_id}")
    return answer


def selection_name(files: Collection[DID]) -> str:
    """Name a dataset from the files that it holds, in any order, and from their number."""
    digest = hashlib.sha256("\n".join(sorted(map(str, files))).encode())
    return f"{_SELECTION}{digest.hexdigest()[:32]}-{len(files)}"


MOST_ON_SQLITE = 996  # transfers: docs/decisions/0027-large-rules-on-sqlite.md
ON_SQLITE = (
    "on SQLite, which is for test beds, a stock Rucio makes no rule with more than "
    f"{MOST_ON_SQLITE} transfers; ask for fewer"
)
PUT_ASIDE = (
    "put aside for Rucio's judge-injector. If that never makes it, its log says why: " + ON_SQLITE
)
_UNSAID = {
    "INJECT": PUT_ASIDE,
    "SUSPENDED": "Rucio has given it up: the limit of its account may be too small, or it was "
    "stuck for 14 days",
}
"""Why rules are in states of which Rucio says nothing more."""


def rule_of(entry: Mapping[str, Any]) -> Rule:
    """Return a rule as Rucio describes it; what Rucio leaves unsaid of some states is said."""
    return Rule(
        id=text_of(entry["id"]),
        did=did_of(entry),
        rse_expression=text_of(entry["rse_expression"]),
        copies=number_of(entry["copies"]),
        state=text_of(entry["state"]),
        locks_ok=number_of(entry["locks_ok_cnt"]),
        locks_replicating=number_of(entry["locks_replicating_cnt"]),
        locks_stuck=number_of(entry["locks_stuck_cnt"]),
        error=plain(entry["error"]) or _UNSAID.get(entry["state"]),
        expires_at=utc(entry["expires_at"]),
        account=text_of(entry["account"]),
        created_at=utc(entry.get("created_at")),
    )


_REASONS = {
    "NO_SOURCES": "no copy can be read from there: is the RSE of one open for reading, and "
    "is there a distance between the two?",
    "ONLY_TAPE_SOURCES": "all copies are on tape",
    "MISMATCH_SCHEME": "the RSEs of the copies and of the rule have no scheme in common",
    "SUBMITTING": "the transfer was not submitted in time",
    "SUBMISSION_FAILED": "the transfer could not be submitted",
    "TRANSFER_FAILED": "the transfer failed",
}
_REASON = re.compile(r"RequestErrMsg\.(\w+):(?:RequestState\.(\w+)$)?")


def plain(error: str | None) -> str | None:
    """Return why a rule is stuck, in words besides the names of Rucio's constants."""
    found = _REASON.match(error or "")
    if error is None or found is None:
        return error
    name = found[2] or found[1]
    said = error[found.end() :] or _REASONS.get(name, "")
    return f"{said} ({name})" if said else name


def utc(time: Any) -> datetime | None:
    """Return a time in an answer as one in UTC; None of what is none."""
    return time.replace(tzinfo=timezone.utc) if isinstance(time, datetime) else None


_ID_SHOWN = 8  # characters of the id of a rule or selection that tell it from others
_STATES = (
    *("GONE", "INCOMPLETE", "STUCK", "REPLICATING", "SUSPENDED", "WAITING_APPROVAL", "INJECT"),
    "OK",
)
"""Of rules, the one to look at first before the others."""


def _shortened(did: DID) -> str:
    end = len(_SELECTION) + _ID_SHOWN if did.name.startswith(_SELECTION) else len(did.name)
    return f"{did.scope}:{did.name[:end]}{'…' if did.name[end:] else ''}"


class ReplicationRules(Table[Rule]):
    """Replication rules, as they were when Rucio was asked."""

    def _parts(self) -> Sequence[Part]:
        done, total = sum(rule.locks_ok for rule in self), sum(rule.locks for rule in self)
        return (Bar(done, total, self._summary()), self._shown())

    def _summary(self) -> str:
        found = Counter(rule.state for rule in self)
        states = ", ".join(f"{found[state]:,} {state}" for state in sorted(found, key=_urgency))
        return f"{counted(len(self), 'rule')}: {states}" if states else "no rules"

    def _shown(self) -> list[dict[str, object]]:
        several = len({rule.account for rule in self}) > 1
        return [
            {
                "rule": f"{rule.id[:_ID_SHOWN]}…",
                "state": rule.state,
                "copies there": f"{rule.locks_ok:,} of {rule.locks:,}",
                "stuck": rule.locks_stuck or None,
                "at": rule.rse_expression,
                "of": _shortened(rule.did),
                "account": rule.account if several else None,
                "ends (UTC)": rule.expires_at,
                "because": rule.error,
            }
            for rule in self
        ]


class RulesNow(ReplicationRules):
    """Replication rules while they are followed; printed, they are one line."""

    def __str__(self) -> str:
        done, total = sum(rule.locks_ok for rule in self), sum(rule.locks for rule in self)
        return f"{self._summary()}; {done:,} of {total:,} copies there"


def _urgency(state: str) -> int:
    return _STATES.index(state) if state in _STATES else 0
