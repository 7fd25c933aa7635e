"""Replication rules as they are, followed and deleted; and where copies are."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

from rucio.common.exception import DataIdentifierNotFound, RuleNotFound

from stac_client._assets import registrable
from stac_client._rucio import did_of, grouped, number_of, text_of
from stac_client._tables import Bar, Table, counted
from stac_client.errors import ConfigurationError, StacRucioError, UnreachableError
from stac_policy.naming import DID, split_name, unescape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rucio.client import Client

    from stac_client._items import ItemsLike
    from stac_client._rucio import Rucio
    from stac_client._selection import AssetSelection
    from stac_client._tables import Part

    _Place = tuple[DID, str]

T = TypeVar("T")


@dataclass(frozen=True)
class Availability:
    """How much of an item is at an RSE."""

    collection: str
    item: str
    rse: str
    """Empty of an item that is not in Rucio."""
    available: int
    """Assets whose bytes are there."""
    coming: int
    """Assets that are on their way there."""
    assets: int
    """All assets of the item that were asked for."""

    @property
    def complete(self) -> bool:
        """Whether all assets that were asked for are there."""
        return self.available == self.assets


def replication_availability(
    rucio: Rucio, items: ItemsLike, selection: AssetSelection, scope: str | None
) -> list[Availability]:
    """Ask Rucio where the assets of items are, in one request for each 1,000 assets."""
    assets = list(registrable(items, selection, scope))
    files = rucio.files(asset.did for asset in assets)
    rows = []
    for members in grouped(assets, lambda asset: asset.dataset).values():
        states = [files[asset.did].states for asset in members if asset.did in files]
        for rse in sorted({rse for by_rse in states for rse in by_rse}) or [""]:
            at_rse = [by_rse.get(rse) for by_rse in states]
            rows.append(
                Availability(
                    collection=members[0].collection,
                    item=members[0].item,
                    rse=rse,
                    available=at_rse.count("AVAILABLE"),
                    coming=at_rse.count("COPYING"),
                    assets=len(members),
                )
            )
    return rows


_LOGGER = logging.getLogger(__name__)
_SELECTION = "stac-selection-"
_UNKNOWN = DID("", "")
_DONE = ("OK", "GONE")
_LONGEST_PAUSE_S = 60.0  # between two questions of who waits
_PAUSES_GROW = 1.2
ENDED = ("SUSPENDED", "INCOMPLETE", "GONE")
"""States of rules that do not change by themselves, and are not what was wanted."""
_SUSPENDED = (
    "Rucio has given it up: the limit of its account may be too small, or it was stuck for 14 days"
)


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

    @property
    def locks(self) -> int:
        """How many files shall be there, each as often as there shall be copies."""
        known = self.locks_ok + self.locks_replicating + self.locks_stuck
        return max(known, (self.files or 0) * self.copies)


@dataclass(frozen=True)
class StuckFile:
    """A file that a rule could not bring to an RSE so far."""

    did: DID
    rse: str
    attempts: int
    """How often its transfer was tried."""
    reason: str
    """What Rucio or FTS said."""


@dataclass(frozen=True)
class ItemStatus:
    """How much of all its files, or of an item to an RSE, a rule has brought."""

    rule_id: str
    rule_state: str
    """As in `Rule`."""
    collection: str
    item: str
    """Ids of collection and item, as they are in names where they cannot be read back; both are
    empty in the row of a whole rule."""
    rse: str
    """The RSE; of a whole rule, or one without locks, the RSE expression."""
    ok: int
    """Files that are there."""
    replicating: int
    """Files that are on their way."""
    stuck: tuple[StuckFile, ...]
    rule_error: str | None = None
    """Why the rule is stuck, suspended or incomplete, if it is."""
    by_rse: Mapping[str, int] = field(default_factory=dict)
    """In the row of a whole rule that is REPLICATING over a dataset: how many of its files each
    RSE has, whatever brought them."""

    @property
    def reason(self) -> str | None:
        """Why files are stuck, or else why the rule is not OK."""
        return "; ".join(dict.fromkeys(file.reason for file in self.stuck)) or self.rule_error


RulesLike = Rule | str | Iterable[Rule | str]
"""Rules or ids of rules, one or many."""


def rule_ids(rules: RulesLike) -> list[str]:
    """Return the ids of rules."""
    several = [rules] if isinstance(rules, (Rule, str)) else rules
    return [rule if isinstance(rule, str) else rule.id for rule in several]


def get_rule(rucio: Rucio, rule_id: str) -> Rule:
    """Ask Rucio for a rule.

    Raises:
        ConfigurationError: There is none with this id.
    """
    return _known(find_rule(rucio, rule_id), rule_id)


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
        entries = [*client.list_replication_rules({"account": account})]  # read, to be closed
        return [judged(client, entry) for entry in entries]

    return rucio.ask(f"listing the rules of account {account}", request)


def rules_over(rucio: Rucio, files: Iterable[DID]) -> list[str]:
    """Ask for the ids of the rules of all accounts over files, with a request for each file."""
    found: dict[str, None] = {}
    for did in files:

        def request(client: Client, did: DID = did) -> list[str]:
            return [text_of(each["id"]) for each in client.list_associated_rules_for_file(*did)]

        found |= dict.fromkeys(rucio.ask(f"listing the rules over {did}", request))
    return [*found]


def extend_rule(rucio: Rucio, rule_id: str, lifetime_s: int | None) -> None:
    """Let a rule end so many seconds from now, or never.

    Raises:
        ConfigurationError: There is no such rule.
    """

    def extend(client: Client) -> bool:
        client.update_replication_rule(rule_id, {"lifetime": lifetime_s})
        return True

    _known(rucio.ask_unless(f"extending rule {rule_id}", extend, RuleNotFound), rule_id)


def judged(client: Client, entry: Mapping[str, Any]) -> Rule:
    """Return a rule as Rucio describes it, after a look whether one that is OK has all its files.

    Rucio calls a rule OK until it has noticed that files were added, and also if some were taken
    away, or all. Their number is asked for; they are listed only where it is not the expected one.
    """
    rule = _rule(entry)
    if rule.state == "SUSPENDED" and not rule.error:
        return replace(rule, error=_SUSPENDED)
    if rule.state != "OK":
        return rule
    try:
        count = number_of(client.get_did(*rule.did, dynamic_depth="FILE")["length"])
        counted = replace(rule, files=count)
        made_of = rule.did.name.startswith(_SELECTION) and rule.did.name.rpartition("-")[2]
        if count and made_of in {False, str(count)} and rule.locks_ok >= counted.locks:
            return counted
        # A file in several datasets of a container is counted more than once.
        return _confirmed(rule, {*map(did_of, client.list_files(*rule.did))})
    except DataIdentifierNotFound:
        return _confirmed(rule, set())


def _confirmed(rule: Rule, files: Collection[DID]) -> Rule:
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


def wait_for_rules(
    rucio: Rucio,
    rules: RulesLike,
    *,
    timeout_s: float,
    poll_s: float,
    through_stuck: bool,
    on_update: Callable[[ReplicationRules], None] | None,
) -> ReplicationRules:
    """Follow rules as `StacClient.wait` does, which says what the arguments mean."""
    deadline = time.monotonic() + timeout_s
    given = [rules] if isinstance(rules, (Rule, str)) else list(rules)
    ids = list(dict.fromkeys(rule_ids(given)))
    latest = {rule.id: rule for rule in given if isinstance(rule, Rule)}
    unanswered = _ask_again(rucio, ids, latest, deadline)
    if unanswered is not None:
        raise unanswered
    if ids and all(rule.did == _UNKNOWN for rule in latest.values()):
        _known(None, ids[0])
    asked, told = ids, None
    longest_s = max(_LONGEST_PAUSE_S, poll_s)
    while True:
        if on_update is not None and unanswered is None:
            now = RulesNow(latest[rule_id] for rule_id in ids)
            if now != told:
                on_update(told := now)
        remaining_s = deadline - time.monotonic()
        over = all(_is_over(latest[rule_id], through_stuck=through_stuck) for rule_id in ids)
        if unanswered is not None and remaining_s <= 0:
            raise unanswered
        if unanswered is None and (over or remaining_s <= 0):
            if len(asked) == len(ids):
                return ReplicationRules(latest[rule_id] for rule_id in ids)
            asked = ids  # what was OK earlier may be gone by now
        else:
            time.sleep(min(poll_s, remaining_s))
            poll_s = min(poll_s * _PAUSES_GROW, longest_s)
            asked = ids if over else [each for each in ids if latest[each].state not in _DONE]
        unanswered = _ask_again(rucio, asked, latest, deadline)


def _is_over(rule: Rule, *, through_stuck: bool) -> bool:
    return rule.state in {"OK", *ENDED} or (rule.state == "STUCK" and not through_stuck)


def _ask_again(
    rucio: Rucio, ids: Iterable[str], latest: dict[str, Rule], deadline: float
) -> StacRucioError | None:
    """Bring rules up to date; return the error of a server that did not answer.

    Raises:
        StacRucioError: The server refuses to answer.
    """
    try:
        for rule_id in ids:
            within_s = max(0.0, deadline - time.monotonic())
            rule = find_rule(rucio, rule_id, within_s=within_s)
            latest[rule_id] = rule or _gone(rule_id, latest.get(rule_id))
    except StacRucioError as error:
        if not error.transient and not isinstance(error, UnreachableError):
            raise
        _LOGGER.warning("%s", error)
        return error
    return None


def _gone(rule_id: str, known: Rule | None) -> Rule:
    rule = known or Rule(rule_id, _UNKNOWN, "", 0, "GONE", 0, 0, 0, error=None)
    return replace(rule, state="GONE", error="Rucio has no such rule: it has ended or was deleted")


def retry_rule(rucio: Rucio, rule_id: str) -> None:
    """Let Rucio's judge-repairer try the stuck files of a rule again when it comes by."""

    def retry(client: Client) -> bool:
        client.update_replication_rule(rule_id, {"boost_rule": True})
        return True

    _known(rucio.ask_unless(f"retrying rule {rule_id}", retry, RuleNotFound), rule_id)


def delete_rule(rucio: Rucio, rule_id: str, *, at_once: bool, purge: bool) -> None:
    """Delete a rule; one that is gone already is no error."""

    def delete(client: Client) -> None:
        if at_once:
            purged = {"purge_replicas": True} if purge else {}
            client.update_replication_rule(rule_id, {**purged, "lifetime": 0})
        else:
            client.delete_replication_rule(rule_id, purge_replicas=purge or None)

    rucio.ask_unless(f"deleting rule {rule_id}", delete, RuleNotFound)


def rule_status(rucio: Rucio, rule_id: str, *, by_item: bool) -> Iterator[ItemStatus]:
    """Ask how far a rule has come, with two requests; with three by item if it is OK or stuck.

    Raises:
        ConfigurationError: There is none with this id.
    """

    def request(
        client: Client,
    ) -> tuple[Rule, list[tuple[_Place, str]], dict[_Place, StuckFile], dict[str, int]]:
        rule = judged(client, client.get_replication_rule(rule_id))
        # Rucio examines what is STUCK; of a rule in another state, only its locks say which are.
        needed = by_item or (rule.locks_stuck and rule.state != "STUCK")
        locks = [
            (_place(lock), text_of(lock["state"]))
            for lock in (client.list_replica_locks(rule_id) if needed else ())
        ]
        stuck = _stuck_files(client, rule) if rule.state == "STUCK" else {}
        by_rse = {}
        if rule.state == "REPLICATING" and not by_item:
            by_rse = {
                text_of(each["rse"]): number_of(each["available_length"])
                for each in client.list_dataset_replicas(*rule.did, deep=True)
            }
        return rule, locks, stuck, by_rse

    answers = rucio.ask_unless(f"asking for the state of rule {rule_id}", request, RuleNotFound)
    rule, locks, known, by_rse = _known(answers, rule_id)
    of_rule = partial(ItemStatus, rule_id=rule_id, rule_state=rule.state, rule_error=rule.error)

    def files(places: Iterable[_Place]) -> tuple[StuckFile, ...]:
        unknown = rule.error or "it became stuck only now; ask again"
        return tuple(known.get(place) or StuckFile(*place, 0, unknown) for place in places)

    if not (by_item and locks):
        collection, item = _item(rule.did) if by_item else ("", "")
        yield of_rule(
            collection=collection,
            item=item,
            rse=rule.rse_expression,
            ok=rule.locks_ok,
            replicating=rule.locks_replicating,
            stuck=files([*known] or [place for place, state in locks if state == "STUCK"]),
            by_rse=by_rse,
        )
        return
    groups = grouped(locks, lambda lock: (_item(lock[0][0]), lock[0][1]))
    for ((collection, item), rse), of_item in groups.items():
        states = Counter(state for _, state in of_item)
        stuck = [place for place, state in of_item if state == "STUCK"]
        yield of_rule(
            collection=collection,
            item=item,
            rse=rse,
            ok=states["OK"],
            replicating=states["REPLICATING"],
            stuck=files(stuck),
        )


def _known(answer: T | None, rule_id: str) -> T:
    if answer is None:
        raise ConfigurationError(f"there is no rule {rule_id}")
    return answer


def selection_name(files: Collection[DID]) -> str:
    """Name a dataset from the files that it holds, in any order, and from their number."""
    digest = hashlib.sha256("\n".join(sorted(map(str, files))).encode())
    return f"{_SELECTION}{digest.hexdigest()[:32]}-{len(files)}"


PUT_ASIDE = (
    "put aside for Rucio's judge-injector. If that never makes it, its log says why: on SQLite, "
    "which is for test beds, a stock Rucio makes none with more than 996 transfers; ask for fewer"
)


def _rule(entry: Mapping[str, Any]) -> Rule:
    return Rule(
        id=text_of(entry["id"]),
        did=did_of(entry),
        rse_expression=text_of(entry["rse_expression"]),
        copies=number_of(entry["copies"]),
        state=text_of(entry["state"]),
        locks_ok=number_of(entry["locks_ok_cnt"]),
        locks_replicating=number_of(entry["locks_replicating_cnt"]),
        locks_stuck=number_of(entry["locks_stuck_cnt"]),
        error=plain(entry["error"]) or (PUT_ASIDE if entry["state"] == "INJECT" else None),
        expires_at=ends_at(entry),
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


def ends_at(entry: Mapping[str, Any]) -> datetime | None:
    """Return when a rule ends, in UTC, as Rucio describes it; None if it does not."""
    time = entry["expires_at"]
    return time.replace(tzinfo=timezone.utc) if isinstance(time, datetime) else None


def _item(did: DID) -> tuple[str, str]:
    """Return collection and item of a name, or scope and name of one that has none."""
    parts = split_name(did.name)
    return (readable(parts[0]), readable(parts[1])) if len(parts) > 1 else did


def readable(part: str) -> str:
    """Return the id that a part of a name stands for, or the part where it was shortened."""
    try:
        return unescape(part)
    except ValueError:  # shortened: only the catalogue knows the original
        return part


def _place(entry: Mapping[str, Any]) -> _Place:
    """The file and the RSE of a lock or a transfer."""
    return did_of(entry), text_of(entry["rse"])


def _stuck_files(client: Client, rule: Rule) -> dict[_Place, StuckFile]:
    files = {}
    for transfer in client.examine_replication_rule(rule.id)["transfers"]:
        last = str(transfer["last_error"]).rpartition(".")[2]
        source = f" from {transfer['last_source']}" if transfer["last_source"] else ""
        reason = f"{rule.error or 'no reason given'} (last transfer{source}: {last})"
        place = _place(transfer)
        files[place] = StuckFile(*place, number_of(transfer["attempts"]), reason)
    return files


_ID_SHOWN = 8  # characters of a rule's id that tell it from others
_STATES = (
    *("GONE", "INCOMPLETE", "STUCK", "REPLICATING", "SUSPENDED", "WAITING_APPROVAL", "INJECT"),
    "OK",
)
"""Of rules, the one to look at first before the others."""


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
        return [
            {
                "rule": f"{rule.id[:_ID_SHOWN]}…",
                "state": rule.state,
                "copies there": f"{rule.locks_ok:,} of {rule.locks:,}",
                "stuck": rule.locks_stuck or None,
                "at": rule.rse_expression,
                "of": rule.did,
                "ends": rule.expires_at,
                "because": rule.error,
            }
            for rule in self
        ]


class RulesNow(ReplicationRules):
    """Replication rules while they are followed; printed, they are one line."""

    def __str__(self) -> str:
        done, total = sum(rule.locks_ok for rule in self), sum(rule.locks for rule in self)
        return f"{self._summary()}; {done:,} of {total:,} copies there"


class RuleStatus(Table[ItemStatus]):
    """How far rules have come, as a whole or by item and RSE."""

    def _summary(self) -> str:
        rules = len({row.rule_id for row in self})
        ok = sum(row.ok for row in self)
        replicating = sum(row.replicating for row in self)
        stuck = sum(len(row.stuck) for row in self)
        return (
            f"{counted(rules, 'rule')}, {counted(ok + replicating + stuck, 'copy', 'copies')}: "
            f"{ok:,} there, {replicating:,} on their way, {stuck:,} stuck"
        )

    def _parts(self) -> Sequence[Part]:
        """Each rule, and its items, those that need a look first."""
        parts: list[Part] = [self._summary()]
        for rule_id, rows in grouped(self, attrgetter("rule_id")).items():
            rows.sort(key=lambda row: (-len(row.stuck), -row.replicating))
            parts += [f"rule {rule_id} {rows[0].rule_state}", [*map(_of_item, rows)]]
        return parts


class ReplicationAvailability(Table[Availability]):
    """How much of each item is at each RSE."""

    def _summary(self) -> str:
        items = {(row.collection, row.item) for row in self}
        complete = Counter(row.rse for row in self if row.complete)
        places = ", ".join(f"{count:,} at {rse}" for rse, count in sorted(complete.items()))
        absent = sum(not row.rse for row in self)
        more = f", not registered: {absent:,}" if absent else ""
        return f"{counted(len(items), 'item')}, complete: {places or 'none'}{more}"

    def _shown(self) -> list[dict[str, object]]:
        """A row for each item, a column for each RSE."""
        rses = sorted({row.rse for row in self if row.rse})
        shown: dict[str, dict[str, object]] = {}
        for row in self:
            item = f"{row.collection}/{row.item}"
            cells = shown.setdefault(item, {"item": item, **dict.fromkeys(rses, "none")})
            coming = f", {row.coming:,} coming" if row.coming else ""
            if row.rse:
                cells[row.rse] = f"{row.available:,} of {row.assets:,}{coming}"
        return list(shown.values())


def _of_item(row: ItemStatus) -> dict[str, object]:
    return {
        "item": f"{row.collection}/{row.item}" if row.item else "all",
        "RSE": row.rse,
        "there": row.ok,
        "files by RSE": ", ".join(f"{rse} {count:,}" for rse, count in sorted(row.by_rse.items()))
        or None,
        "on their way": row.replicating,
        "stuck": len(row.stuck),
        "because": row.reason,
    }


def _urgency(state: str) -> int:
    return _STATES.index(state) if state in _STATES else 0
