"""What the client says of rules and copies, as tables that show themselves."""

from __future__ import annotations

from collections import Counter

from stac_client.replication.availability import Availability
from stac_client.replication.rules import Rule
from stac_client.replication.status import ItemStatus

from .markup import html_bar, html_block, html_table
from .table import Table

_ID_SHOWN = 8  # characters of a rule's id that tell it from others
_STATES = ("STUCK", "REPLICATING", "SUSPENDED", "WAITING_APPROVAL", "INJECT", "OK")
"""Of rules, the one to look at first before the others."""


class ReplicationRules(Table[Rule]):
    """Replication rules, as they were when Rucio was asked."""

    def _repr_html_(self) -> str:
        """For notebooks: how far they are, then the rules."""
        done, total = sum(rule.locks_ok for rule in self), sum(map(_locks, self))
        return html_block(html_bar(done, total, self._summary()), html_table(self._shown()))

    def _summary(self) -> str:
        found = Counter(rule.state for rule in self)
        states = ", ".join(f"{found[state]:,} {state}" for state in sorted(found, key=_urgency))
        return f"{_counted(len(self), 'rule')}: {states}" if states else "no rules"

    def _shown(self) -> list[dict[str, object]]:
        return [
            {
                "rule": f"{rule.id[:_ID_SHOWN]}…",
                "state": rule.state,
                "copies there": f"{rule.locks_ok:,} of {_locks(rule):,}",
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
        ok, replicating, stuck = (
            sum(row.ok for row in self),
            sum(row.replicating for row in self),
            sum(len(row.stuck) for row in self),
        )
        return (
            f"{_counted(len({row.rule_id for row in self}), 'rule')}, "
            f"{_counted(ok + replicating + stuck, 'copy', 'copies')}: "
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


def _locks(rule: Rule) -> int:
    return rule.locks_ok + rule.locks_replicating + rule.locks_stuck


def _urgency(state: str) -> int:
    return _STATES.index(state) if state in _STATES else 0


def _counted(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or f'{noun}s'}"
