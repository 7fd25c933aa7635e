"""What goes to standard output: tables for people, lines for programs, JSON on request."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .exits import OutputClosedError
from .text import counted, human_bytes, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]
    Explanation = tuple[int, str, str, str]  # how many assets, their state, the reason, one of them


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
            self._table(columns, list(rows))
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

        table = Table.grid(padding=(0, 2))
        for column in columns:
            value = Text(_shown(row.get(column.name), column.kind))
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

    @staticmethod
    def _table(columns: Sequence[Column], rows: Sequence[Row]) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        shown = [
            (column, [_shown(row.get(column.name), column.kind) for row in rows])
            for column in columns
        ]
        shown = [(column, cells) for column, cells in shown if any(cells)]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
        for column, _ in shown:
            table.add_column(
                Text(column.title),
                justify="right" if column.kind in {"number", "bytes"} else "left",
                no_wrap=column.kind != "text",
                overflow="fold",
            )
        for cells in zip(*(cells for _, cells in shown)):
            table.add_row(*map(Text, cells))
        if table.row_count:
            Console().print(table)


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


def _shown(value: object, kind: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return human_bytes(value) if kind == "bytes" else f"{value:,}"
    return printable(str(value))
