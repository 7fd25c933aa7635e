"""Replication rules over selected files: made, followed, deleted; and where copies are."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from operator import methodcaller
from typing import TYPE_CHECKING, Any, TypeVar

from rucio.common.exception import (
    DataIdentifierAlreadyExists,
    DataIdentifierNotFound,
    DuplicateRule,
    RuleNotFound,
)

from stac_client._assets import registrable
from stac_client._rucio import batched, grouped
from stac_client._tables import Bar, Table
from stac_client.errors import ConfigurationError, RequestError, StacRucioError
from stac_policy.naming import DID, split_name, unescape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

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
    """Ask Rucio where the assets of items are, in one request for each 1,000 assets.

    Raises:
        StacRucioError: Rucio or the STAC API cannot be reached.
    """
    assets = list(registrable(items, selection, scope))
    files = rucio.files(asset.did for asset in assets)
    rows = []
    for members in grouped(assets, lambda asset: asset.dataset).values():
        states = [files[asset.did].states for asset in members if asset.did in files]
        for rse in sorted({rse for by_rse in states for rse in by_rse}):
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


_ASYNCHRONOUS_FROM = 1000  # files; above it Rucio may take longer than a request may

_ATTACHMENTS = 20  # of up to 1,000 files each, in one request


@dataclass(frozen=True)
class Rule:
    """A replication rule, as it was when Rucio was asked."""

    id: str
    did: DID
    """What it is over."""
    rse_expression: str
    copies: int
    state: str
    """OK, REPLICATING, STUCK, SUSPENDED, WAITING_APPROVAL or INJECT."""
    locks_ok: int
    """Files that are where they shall be."""
    locks_replicating: int
    locks_stuck: int
    error: str | None
    """Why it is stuck, if it is."""

    @property
    def locks(self) -> int:
        """How many files shall be there, each as often as there shall be copies."""
        return self.locks_ok + self.locks_replicating + self.locks_stuck


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
    """How much of an item a rule has brought to an RSE."""

    rule_id: str
    rule_state: str
    """OK, REPLICATING, STUCK, SUSPENDED, WAITING_APPROVAL or INJECT."""
    collection: str
    item: str
    """Ids of collection and item; as they are in names where they cannot be read back."""
    rse: str
    ok: int
    """Files that are there."""
    replicating: int
    """Files that are on their way."""
    stuck: tuple[StuckFile, ...]


RulesLike = Rule | str | Iterable[Rule | str]
"""Rules or ids of rules, one or many."""


def rule_ids(rules: RulesLike) -> list[str]:
    """Return the ids of rules."""
    several = [rules] if isinstance(rules, (Rule, str)) else rules
    return [rule if isinstance(rule, str) else rule.id for rule in several]


def make_rule_over_files(
    rucio: Rucio, files: Collection[DID], scope: str | None, options: Mapping[str, Any]
) -> Rule:
    """Make one rule over one dataset that holds the files.

    The dataset is named from its content: the same files again, and an
    equal rule, give the rule that is there.

    Raises:
        StacRucioError: A file is not registered, the scope is not the
            account's, or Rucio refuses the rule.
    """
    dataset = DID(scope or _own_scope(rucio, files), selection_name(files))
    _fill(rucio, dataset, files)
    return make_rule(rucio, dataset, {**options, "asynchronous": len(files) > _ASYNCHRONOUS_FROM})


def make_rule(rucio: Rucio, did: DID, options: Mapping[str, Any]) -> Rule:
    """Make a rule over a DID, or return the equal one that is there.

    Args:
        rucio: Rucio.
        did: What it shall be over.
        options: As `Client.add_replication_rule` takes them.

    Raises:
        StacRucioError: There is no such DID, or Rucio refuses the rule.
    """

    def add(client: Client) -> str:
        (rule_id,) = client.add_replication_rule([did._asdict()], **options)
        return str(rule_id)

    doing = f"creating a rule over {did} to {options['rse_expression']}"
    rule_id = rucio.ask_unless(doing, add, DuplicateRule)
    if rule_id is None:
        return _equal(rucio, did, options)
    if options.get("asynchronous"):  # as Rucio puts it aside for its judge-injector
        expression, copies = options["rse_expression"], options["copies"]
        return Rule(rule_id, did, expression, copies, "INJECT", 0, 0, 0, error=None)
    return get_rule(rucio, rule_id)


def get_rule(rucio: Rucio, rule_id: str) -> Rule:
    """Ask Rucio for a rule.

    Raises:
        ConfigurationError: There is none with this id.
        StacRucioError: Rucio cannot be reached.
    """
    doing = f"asking for rule {rule_id}"
    rule = rucio.ask_unless(
        doing, lambda client: _rule(client.get_replication_rule(rule_id)), RuleNotFound
    )
    return _known(rule, rule_id)


def delete_rule(rucio: Rucio, rule_id: str, *, at_once: bool) -> None:
    """Delete a rule; one that is gone already is no error.

    Args:
        rucio: Rucio.
        rule_id: Its id.
        at_once: As soon as Rucio's judge-cleaner comes by, without its grace
            period of one hour.

    Raises:
        StacRucioError: The account may not, or Rucio cannot be reached.
    """

    def delete(client: Client) -> None:
        if at_once:
            client.update_replication_rule(rule_id, {"lifetime": 0})
        else:
            client.delete_replication_rule(rule_id)

    rucio.ask_unless(f"deleting rule {rule_id}", delete, RuleNotFound)


def rule_status(rucio: Rucio, rule_id: str) -> Iterator[ItemStatus]:
    """Ask how far a rule has come, with two requests, three if it is stuck.

    Raises:
        ConfigurationError: There is none with this id.
        StacRucioError: Rucio cannot be reached.
    """

    def request(client: Client) -> tuple[str, list[dict[str, Any]], dict[_Place, StuckFile]]:
        rule = client.get_replication_rule(rule_id)
        locks = list(client.list_replica_locks(rule_id))
        stuck = _stuck_files(client, rule) if rule["state"] == "STUCK" else {}
        return rule["state"], locks, stuck

    answers = rucio.ask_unless(f"asking for the state of rule {rule_id}", request, RuleNotFound)
    state, locks, known = _known(answers, rule_id)
    for ((collection, item), rse), of_item in grouped(locks, _item_and_rse).items():
        states = Counter(lock["state"] for lock in of_item)
        stuck = [_place(lock) for lock in of_item if lock["state"] == "STUCK"]
        yield ItemStatus(
            rule_id=rule_id,
            rule_state=state,
            collection=collection,
            item=item,
            rse=rse,
            ok=states["OK"],
            replicating=states["REPLICATING"],
            stuck=tuple(
                known.get(place) or StuckFile(*place, 0, "it became stuck only now; ask again")
                for place in stuck
            ),
        )


def _known(answer: T | None, rule_id: str) -> T:
    if answer is None:
        raise ConfigurationError(f"there is no rule {rule_id}")
    return answer


def _own_scope(rucio: Rucio, files: Collection[DID]) -> str:
    """The scope for a dataset of the account's own: by Rucio's convention `user.ACCOUNT`."""
    account = rucio.account
    scopes = rucio.ask(
        f"asking for the scopes of account {account}",
        lambda client: set(client.list_scopes_for_account(account)),
    )
    personal = f"user.{account}"
    return personal if personal in scopes else min(files).scope


def _fill(rucio: Rucio, dataset: DID, files: Collection[DID]) -> None:
    """Make a dataset with these files, or see to it that the one that is there has them."""
    first, *others = ([did._asdict() for did in batch] for batch in batched(sorted(files)))

    def add(client: Client) -> bool:
        client.add_dataset(dataset.scope, dataset.name, files=first)
        return True

    try:
        if not rucio.ask_unless(f"making the dataset {dataset}", add, DataIdentifierAlreadyExists):
            others = [first, *others]
        attachments = [{**dataset._asdict(), "dids": batch} for batch in others]
        for several in batched(attachments, _ATTACHMENTS):
            attach = methodcaller("attach_dids_to_dids", several, ignore_duplicate=True)
            rucio.ask(f"attaching files to {dataset}", attach)
    except StacRucioError as error:
        if isinstance(error.__cause__, DataIdentifierNotFound):
            error.hint = "register the assets first, with create_replicas"
        else:
            error.hint = f"{error.hint}; dataset_scope= chooses another scope".lstrip("; ")
        raise


def _equal(rucio: Rucio, did: DID, options: Mapping[str, Any]) -> Rule:
    """Return the rule of the account over a DID that has these options."""
    entries = rucio.ask(
        f"asking for the rules over {did}",
        lambda client: list(client.list_did_rules(did.scope, did.name)),
    )
    wanted = {name: options[name] for name in ("rse_expression", "copies")}
    for entry in entries:
        if entry.items() >= {"account": rucio.account, **wanted}.items():
            return _rule(entry)
    raise RequestError(
        f"the rule over {did} to {wanted['rse_expression']} has just gone", hint="try again"
    )


def selection_name(files: Collection[DID]) -> str:
    """Name a dataset from the files that it holds, in any order."""
    digest = hashlib.sha256("\n".join(sorted(map(str, files))).encode())
    return f"stac-selection-{digest.hexdigest()[:32]}"


def _rule(entry: dict[str, Any]) -> Rule:
    return Rule(
        id=entry["id"],
        did=DID(entry["scope"], entry["name"]),
        rse_expression=entry["rse_expression"],
        copies=entry["copies"],
        state=entry["state"],
        locks_ok=entry["locks_ok_cnt"],
        locks_replicating=entry["locks_replicating_cnt"],
        locks_stuck=entry["locks_stuck_cnt"],
        error=entry["error"],
    )


def _item_and_rse(lock: dict[str, Any]) -> tuple[tuple[str, str], str]:
    collection, *rest = split_name(lock["name"])
    if not rest:
        return (lock["scope"], lock["name"]), lock["rse"]  # a rule over other files too
    return (readable(collection), readable(rest[0])), lock["rse"]


def readable(part: str) -> str:
    """Return the id that a part of a name stands for, or the part where it was shortened."""
    try:
        return unescape(part)
    except ValueError:  # shortened: only the catalogue knows the original
        return part


def _place(entry: Mapping[str, Any]) -> _Place:
    """The file and the RSE of a lock or a transfer."""
    return DID(entry["scope"], entry["name"]), entry["rse"]


def _stuck_files(client: Client, rule: Mapping[str, Any]) -> dict[_Place, StuckFile]:
    files = {}
    for transfer in client.examine_replication_rule(rule["id"])["transfers"]:
        last = str(transfer["last_error"]).rpartition(".")[2]
        source = f" from {transfer['last_source']}" if transfer["last_source"] else ""
        reason = f"{rule['error'] or 'no reason given'} (last transfer{source}: {last})"
        place = _place(transfer)
        files[place] = StuckFile(*place, transfer["attempts"], reason)
    return files


_ID_SHOWN = 8  # characters of a rule's id that tell it from others
_STATES = ("STUCK", "REPLICATING", "SUSPENDED", "WAITING_APPROVAL", "INJECT", "OK")
"""Of rules, the one to look at first before the others."""


class ReplicationRules(Table[Rule]):
    """Replication rules, as they were when Rucio was asked."""

    def _parts(self) -> Sequence[Part]:
        done, total = sum(rule.locks_ok for rule in self), sum(rule.locks for rule in self)
        return (Bar(done, total, self._summary()), self._shown())

    def _summary(self) -> str:
        found = Counter(rule.state for rule in self)
        states = ", ".join(f"{found[state]:,} {state}" for state in sorted(found, key=_urgency))
        return f"{_counted(len(self), 'rule')}: {states}" if states else "no rules"

    def _shown(self) -> list[dict[str, object]]:
        return [
            {
                "rule": f"{rule.id[:_ID_SHOWN]}…",
                "state": rule.state,
                "copies there": f"{rule.locks_ok:,} of {rule.locks:,}",
                "stuck": rule.locks_stuck or None,
                "at": rule.rse_expression,
                "of": rule.did,
                "because": rule.error,
            }
            for rule in self
        ]


class RuleStatus(Table[ItemStatus]):
    """How far rules have come, by item and RSE."""

    def _summary(self) -> str:
        rules = len({row.rule_id for row in self})
        ok = sum(row.ok for row in self)
        replicating = sum(row.replicating for row in self)
        stuck = sum(len(row.stuck) for row in self)
        return (
            f"{_counted(rules, 'rule')}, {_counted(ok + replicating + stuck, 'copy', 'copies')}: "
            f"{ok:,} there, {replicating:,} on their way, {stuck:,} stuck"
        )

    def _shown(self) -> list[dict[str, object]]:
        """The items, those that need a look first."""
        ordered = sorted(self, key=lambda row: (-len(row.stuck), -row.replicating))
        return [
            {
                "item": f"{row.collection}/{row.item}",
                "RSE": row.rse,
                "there": row.ok,
                "on their way": row.replicating,
                "stuck": len(row.stuck),
                "because": "; ".join(dict.fromkeys(file.reason for file in row.stuck)),
                "rule": f"{row.rule_id[:_ID_SHOWN]}…",
            }
            for row in ordered
        ]


class ReplicationAvailability(Table[Availability]):
    """How much of each item is at each RSE."""

    def _summary(self) -> str:
        items = {(row.collection, row.item) for row in self}
        complete = Counter(row.rse for row in self if row.complete)
        places = ", ".join(f"{count:,} at {rse}" for rse, count in sorted(complete.items()))
        return f"{_counted(len(items), 'item')}, complete: {places or 'none'}"

    def _shown(self) -> list[dict[str, object]]:
        """A row for each item, a column for each RSE."""
        rses = sorted({row.rse for row in self})
        shown: dict[str, dict[str, object]] = {}
        for row in self:
            item = f"{row.collection}/{row.item}"
            cells = shown.setdefault(item, {"item": item, **dict.fromkeys(rses, "none")})
            coming = f", {row.coming:,} coming" if row.coming else ""
            cells[row.rse] = f"{row.available:,} of {row.assets:,}{coming}"
        return list(shown.values())


def _urgency(state: str) -> int:
    return _STATES.index(state) if state in _STATES else 0


def _counted(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or f'{noun}s'}"
