"""What became of assets: line by line for programs, counted and explained for people."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from .exits import Failure
from .output import Column
from .text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stac_client import Outcome

    from .output import Output

REGISTERED = (
    Column("collection", "collection"),
    Column("item", "item"),
    Column("key", "asset"),
    Column("state", "state"),
    Column("did", "DID"),
    Column("reason", "reason"),
)
"""Columns of what was registered or deregistered."""

DOWNLOADED = (*REGISTERED[:4], Column("path", "path"), Column("reason", "reason"))
"""Columns of what was downloaded."""

_STATES = (
    Column("state", "state"),
    Column("assets", "assets", "number"),
    Column("size_bytes", "size", "bytes"),
)
_MOST_REASONS = 20


class OutcomeReport:
    """Writes outcomes as they come, and counts them; its size does not grow with their number."""

    def __init__(self, output: Output, columns: Sequence[Column]) -> None:
        """Make one.

        Args:
            output: Where to.
            columns: The columns of a line for programs.
        """
        self._output = output
        self._columns = columns
        self._counts: Counter[str] = Counter()
        self._sizes: Counter[str] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}
        self._first_failure = ""

    def __str__(self) -> str:
        counts = (f"{count:,} {state}" for state, count in self._counts.items())
        return ", ".join(counts) or "no assets"

    def add(self, outcome: Outcome) -> None:
        """Take one more outcome."""
        state = outcome.state.value
        self._counts[state] += 1
        self._sizes[state] += outcome.size_bytes or 0
        if state == "failed" and not self._first_failure:
            self._first_failure = str(outcome)
        if outcome.reason:
            self._explain(outcome, state)
        if not self._output.for_people:
            self._output.row(self._columns, as_row(outcome))

    def finish(self) -> None:
        """Show the summary.

        Raises:
            Failure: Assets have failed.
        """
        if self._output.for_people:
            self._show()
        elif sys.stderr.isatty():
            click.echo(str(self), err=True)
        if failed := self._counts["failed"]:
            of_all = f"{failed:,} of {counted(sum(self._counts.values()), 'asset')} failed"
            shown = self._output.for_people
            raise Failure(of_all if shown else f"{of_all}; the first: {self._first_failure}")

    def _explain(self, outcome: Outcome, state: str) -> None:
        reason = (state, outcome.reason)
        if reason not in self._examples and len(self._examples) >= _MOST_REASONS:
            reason = (state, "other reasons")
        self._reasons[reason] += 1
        item = f"{outcome.collection}/{outcome.item} " if outcome.item else ""
        self._examples.setdefault(reason, f"{item}{outcome.key}")

    def _show(self) -> None:
        states = (
            {"state": state, "assets": count, "size_bytes": self._sizes[state] or None}
            for state, count in self._counts.items()
        )
        self._output.rows(_STATES, states)
        self._output.explain(
            (count, state, reason, self._examples[state, reason])
            for (state, reason), count in self._reasons.most_common()
        )
        if not self._counts:
            click.echo("There are no such assets.")


def report(output: Output, outcomes: Iterable[Outcome], columns: Sequence[Column]) -> None:
    """Report all outcomes.

    Raises:
        Failure: Assets have failed.
    """
    so_far = OutcomeReport(output, columns)
    for outcome in outcomes:
        so_far.add(outcome)
    so_far.finish()


def as_row(outcome: Outcome) -> dict[str, Any]:
    """All fields of an outcome, as JSON can hold them."""
    from stac_client.results import Outcomes

    return Outcomes([outcome]).to_dicts()[0]
