"""What goes to standard output (tables, lines, JSON), and progress on standard error."""

from __future__ import annotations

import json
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import click

from stac_rucio.errors import Failure, verbosity

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from rich.table import Table

    from stac_client import Outcome
    from stac_client._items import ItemDict
    from stac_client._results import Progress
    from stac_client._tables import Shown

    Row = Mapping[str, Any]
    Show = Callable[[str, float, float | None, str], None]
    """Takes what is done, how much of it, of how much if that is known, and the same in words."""


# Of fields whose title is not their name.
_TITLES = {
    "files_ok": "files OK",
    "id": "rule",
    "key": "asset",
    "locks_stuck": "stuck",
    "rse_expression": "at",
    "url": "URL",
}


class Output:
    """Writes rows in the way that standard output wants them.

    Args:
        as_json: JSON, one object a line, wherever it goes to.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.for_people = not as_json and sys.stdout.isatty()

    def rows(self, names: Sequence[str], rows: Iterable[Row], *, kind: str = "") -> None:
        """Write rows: on a terminal as a table, else line by line as they come.

        Args:
            names: Of the fields that are shown.
            rows: The rows.
            kind: First word of each line for programs, where several kinds of lines come.
        """
        if self.for_people:
            from stac_client._tables import table

            titled = [{_TITLES.get(name, name): row.get(name) for name in names} for row in rows]
            if titled:
                show(table(titled))
            return
        for row in rows:
            self.row(names, row, kind=kind)

    def row(self, names: Sequence[str], row: Row, *, kind: str = "") -> None:
        """Write one row for programs: tab-separated, or as JSON with all that is in it."""
        if self.as_json:
            write_json(row)
            return
        fields = (_plain(row.get(name)) for name in names)
        write_line("\t".join([kind, *fields] if kind else fields))

    def facts(self, titles: Mapping[str, str], row: Row) -> None:
        """Write a row with a line for each of its fields, which have titles of their own."""
        from stac_client._tables import SIZE, cell

        if self.as_json:
            write_json(row)
            return
        for name, title in titles.items():
            if self.for_people:
                value = cell(row.get(name), SIZE if name.endswith("_bytes") else "")
                click.echo(f"{title}: {value}")
            else:
                self.row([name], row, kind=name)


def show(thing: Shown | Table) -> None:
    """Write for people what shows itself, as wide as the terminal."""
    from rich.console import Console

    Console().print(thing)


def say(text: str, *, err: bool = False, **style: Any) -> None:
    """Write a line for people, with escapes in place of what would control a terminal."""
    from stac_policy.urls import printable

    click.secho(printable(text), err=err, reset=bool(style), **style)


def write_json(value: object) -> None:
    """Write a value to standard output as one line of JSON."""
    write_line(json.dumps(value, default=str))


def write_line(line: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()  # who reads it may act on it while the next is worked on


def _plain(value: object) -> str:
    from stac_policy.urls import printable

    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else printable(value)


# What became of assets: line by line for programs, counted and explained for people.


REGISTERED = ("collection", "item", "key", "state", "did", "reason")
"""Fields of what was registered or unregistered."""

DOWNLOADED = ("collection", "item", "key", "state", "path", "reason")
"""Fields of what was downloaded."""


def report(output: Output, outcomes: Iterable[Outcome], names: Sequence[str]) -> None:
    """Write outcomes as they come, and sum them up; what is kept does not grow with their number.

    Raises:
        Failure: Assets have failed.
    """
    from stac_client._results import Outcomes, State, Summary
    from stac_client._tables import counted

    summary, first_failure = Summary(), ""
    try:
        for outcome in outcomes:
            summary.add(outcome)
            if outcome.state is State.FAILED:
                first_failure = first_failure or str(outcome)
            if not output.for_people:
                output.row(names, Outcomes([outcome]).to_dicts()[0])
    finally:  # whatever ends it too early: what was done by then
        if output.for_people:
            show(summary)
    if not output.for_people and sys.stderr.isatty():
        click.echo(str(summary), err=True)
    if failed := summary.counts.get(State.FAILED):
        of_all = f"{failed:,} of {counted(sum(summary.counts.values()), 'asset')} failed"
        raise Failure(of_all if output.for_people else f"{of_all}; the first: {first_failure}")


# Progress bars on standard error, where that is a terminal.


@contextmanager
def progress() -> Iterator[Show]:
    """Provide what shows progress, if anybody sees it; each thing that is done has its own bar."""
    if not sys.stderr.isatty() or verbosity():  # bars and logs do not go together
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        # What does not fit is cut here, so that bar and time stay whole.
        TextColumn(
            "{task.fields[said]}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, expand=True) as bars:
        tasks: dict[str, Any] = {}

        def show(doing: str, done: float, total: float | None, said: str) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing, total=total, said=said)
            bars.update(tasks[doing], completed=done, total=total, said=said)

        yield show


class Counted(Protocol):
    """Items of which it may be known how many there are."""

    total: int | None

    def __iter__(self) -> Iterator[ItemDict]: ...


@dataclass
class Reading:
    """Items whose reading is shown by a bar, with words for the files dealt with."""

    doing: str
    """What is done, for the bar."""
    items: Counted
    show: Show
    _count: int = 0
    _files: str = ""

    def __iter__(self) -> Iterator[ItemDict]:
        for item in self.items:
            yield item
            self._count += 1
            self._update()

    def on_progress(self, now: Progress) -> None:
        """Show how many files are dealt with."""
        self._files = f", {now}"
        self._update()

    def _update(self) -> None:
        total = self.items.total
        of_all = f" of {total:,}" if total else ""
        noun = "item" if (total or self._count) == 1 else "items"
        said = f"{self._count:,}{of_all} {noun} read{self._files}"
        self.show(self.doing, self._count, total, said)


@contextmanager
def reading(doing: str, items: Counted) -> Iterator[Reading]:
    """Provide items whose reading is shown."""
    with progress() as show:
        yield Reading(doing, items, show)


def follow(
    doing: str, items: Counted, work: Callable[[Reading], Iterator[Outcome]], output: Output
) -> None:
    """Report what becomes of the assets of items while it happens.

    Raises:
        Failure: Assets have failed.
    """

    def outcomes() -> Generator[Outcome, None, None]:
        with reading(doing, items) as found:
            yield from work(found)

    # Closed even when interrupted: then what was done is in the journal.
    with closing(outcomes()) as found:
        report(output, found, REGISTERED)
