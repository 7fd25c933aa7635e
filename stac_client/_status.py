"""How far rules have come, and where copies of items are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rucio.common.exception import RuleNotFound

from stac_client._assets import registrable
from stac_client._rucio import did_of, grouped, number_of, text_of
from stac_client._rules import Rule, existing, judged
from stac_client._tables import Table, counted
from stac_policy.naming import DID, split_name, unescape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rucio.client import Client

    from stac_client._items import ItemsLike
    from stac_client._rucio import Rucio
    from stac_client._selection import AssetSelection
    from stac_client._tables import Part

    _Place = tuple[DID, str]


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
    missing: tuple[DID, ...] = ()
    """In a row by item: the files that are not there, on their way or stuck."""

    @property
    def reason(self) -> str | None:
        """Why files are stuck, or else why the rule is not OK."""
        return "; ".join(dict.fromkeys(file.reason for file in self.stuck)) or self.rule_error


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
    rule, locks, known, by_rse = existing(answers, rule_id)
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
    item_of = cache(_item)  # there are several locks of each file
    groups = grouped(locks, lambda lock: (item_of(lock[0][0]), lock[0][1]))
    for ((collection, item), rse), of_item in groups.items():
        states = Counter(state for _, state in of_item)
        yield of_rule(
            collection=collection,
            item=item,
            rse=rse,
            ok=states["OK"],
            replicating=states["REPLICATING"],
            stuck=files(place for place, state in of_item if state == "STUCK"),
            missing=tuple(place[0] for place, state in of_item if state != "OK"),
        )


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


# Where copies are, whatever brought them.


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
