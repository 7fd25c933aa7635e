"""What goes to standard output: tables for people, lines for programs, JSON on request."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import click

from stac_policy.urls import printable
from stac_rucio.errors import Failure, OutputClosedError, counted, verbosity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]
    Explanation = tuple[int, str, str, str]  # how many assets, their state, the reason, one of them
    from collections.abc import Iterator

    from rich.progress import TaskID

    from stac_client import Outcome


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    """Of the field in the row, and in JSON."""
    title: str
    kind: str = "text"
    """`text`, `id` (never broken), `number` or `bytes`."""


class Output:
    """Writes rows in the way that standard output wants them."""

    def __init__(self, *, as_json: bool) -> None:
        """Make one.

        Args:
            as_json: JSON, one object a line, wherever it goes to.
        """
        self.as_json = as_json
        self.for_people = not as_json and sys.stdout.isatty()

    def rows(self, columns: Sequence[Column], rows: Iterable[Row], *, kind: str = "") -> None:
        """Write rows: on a terminal as a table, else line by line as they come.

        Args:
            columns: The columns.
            rows: The rows.
            kind: First word of each line for programs, where several kinds of lines come.
        """
        if self.for_people:
            from rich.console import Console

            from stac_client._tables import table

            shown = [{column.title: row.get(column.name) for column in columns} for row in rows]
            made = table(shown, {column.title: column.kind for column in columns})
            if made.row_count:
                Console().print(made)
            return
        for row in rows:
            self.row(columns, row, kind=kind)

    def row(self, columns: Sequence[Column], row: Row, *, kind: str = "") -> None:
        """Write one row for programs: tab-separated, or as JSON with all that is in it."""
        if self.as_json:
            write_json(row)
            return
        fields = (_plain(row.get(column.name)) for column in columns)
        write_line("\t".join([kind, *fields] if kind else fields))

    def facts(self, columns: Sequence[Column], row: Row) -> None:
        """Write a row with a line for each of its fields."""
        if not self.for_people:
            for column in columns:
                self.row([column], row, kind=column.name)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from stac_client._tables import cell

        table = Table.grid(padding=(0, 2))
        for column in columns:
            value = Text(cell(row.get(column.name), column.kind))
            table.add_row(Text(f" {column.title}"), value)
        Console().print(table)

    def explain(self, explanations: Iterable[Explanation]) -> None:
        """Write reasons for people, each with an example; programs have them in their rows."""
        if not self.for_people:
            return
        from rich.console import Console
        from rich.padding import Padding
        from rich.text import Text

        console = Console()
        for count, state, reason, example in explanations:
            line = f"{counted(count, 'asset')} {state}: {printable(reason)}"
            console.print(Padding(Text(line), (0, 0, 0, 1)))
            console.print(Padding(Text(f"such as {printable(example)}", style="dim"), (0, 0, 0, 3)))


def write_json(value: object) -> None:
    """Write a value to standard output as one line of JSON."""
    write_line(json.dumps(value, default=str))


def write_line(line: str) -> None:
    """Write a line to standard output.

    Raises:
        OutputClosedError: Nobody reads it any more.
    """
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()  # who reads it may act on it while the next is worked on
    except BrokenPipeError as error:
        raise OutputClosedError from error


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else printable(str(value))


# What became of assets: line by line for programs, counted and explained for people.


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
    from stac_client._results import Outcomes

    return Outcomes([outcome]).to_dicts()[0]


# Progress bars on standard error, where that is a terminal.


class Show(Protocol):
    """Shows how far something is."""

    def __call__(self, doing: str, done: float, total: float | None, said: str) -> None:
        """Show it.

        Args:
            doing: What is done; each thing has a bar of its own.
            done: How much of it.
            total: Of how much; None if that is not known.
            said: The same in words.
        """


@contextmanager
def progress() -> Iterator[Show]:
    """Give what shows progress, if anybody sees it."""
    if not sys.stderr.isatty() or verbosity():  # bars and logs do not go together
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(doing: str, done: float, total: float | None, said: str) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing, total=total, said=said)
            bars.update(tasks[doing], completed=done, total=total, said=said)

        yield show


def _nothing(doing: str, done: float, total: float | None, said: str) -> None:
    """Show nothing."""
