"""Render tables of untrusted values as text, as HTML and on terminals."""

from __future__ import annotations

import html
import importlib
import io
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from rich.filesize import decimal

from stac_policy.naming import DID
from stac_policy.urls import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import RenderableType
    from rich.table import Table as RichTable
    from typing_extensions import Self

Row = Mapping[str, object]
"""Cells by the title of their column; None is an empty cell."""
MOST_ROWS = 30
"""Shown of a table, as nobody reads more than a screen; programs have the records."""
_WIDEST, _LONGEST = 80, 1000  # characters of a line in a cell, and of all its lines
_LONG_WORD = 16
SIZE = "size"
"""Title of columns of bytes."""
_UNBROKEN = frozenset({"files OK", "rule", "RSE", "state"})
"""Titles of columns that are never broken into lines."""


class Bar(NamedTuple):
    """How far something is; a bar in HTML, words in text."""

    done: int
    total: int
    words: str

    def __str__(self) -> str:
        return self.words


Part = str | Bar | Sequence[Row]
"""A line, a bar or a table of what is shown."""


def import_extra(module: str) -> Any:
    """Import a library of the extra `[notebook]`.

    Raises:
        ModuleNotFoundError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"this needs {error.name}; install it with: pip install 'stac-rucio[notebook]'",
            name=error.name,
        ) from error


def cell(value: object, title: str = "") -> str:
    """Return the text of a cell, which neither controls nor fills a screen."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return decimal(value) if title == SIZE else f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    text = printable(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun: `1 asset`, `1,200 assets`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {plural or f'{noun}s'}"


class _Column(NamedTuple):
    """A column of a table, as text."""

    title: str
    cells: Sequence[str]
    is_number: bool
    is_whole: bool
    """Whether its cells are never broken into lines."""


def _columns(rows: Sequence[Row]) -> Iterator[_Column]:
    """Yield the columns that have a cell that is not empty."""
    for title in dict.fromkeys(title for row in rows for title in row):
        values = [row.get(title) for row in rows]
        cells = [cell(value, title) for value in values]
        if any(cells):
            is_number = all(value is None or type(value) is int for value in values)
            yield _Column(printable(title), cells, is_number, is_number or title in _UNBROKEN)


def table(rows: Sequence[Row]) -> RichTable:
    """Return a table for `rich`, of the columns that have a cell that is not empty."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    columns = [*_columns(rows)]
    for column in columns:
        made.add_column(
            Text(column.title),
            justify="right" if column.is_number else "left",
            no_wrap=column.is_whole,
            max_width=None if column.is_whole else _WIDEST,
            overflow="fold",
        )
    for line in zip(*(column.cells for column in columns), strict=True):
        made.add_row(*map(Text, line))
    return made


def _style(column: _Column) -> str:
    """What a column looks like; where words are long they are broken, and they alone."""
    is_long = any(len(word) > _LONG_WORD for text in column.cells for word in text.split())
    breaks = "overflow-wrap: anywhere" if is_long else "white-space: normal"
    return (
        f"text-align: {'right' if column.is_number else 'left'}; "
        f"{'white-space: nowrap' if column.is_whole else breaks}"
    )


def _html_table(rows: Sequence[Row]) -> str:
    """A table of HTML, which breaks texts into lines rather than leaving a narrow screen."""
    columns = [*_columns(rows[:MOST_ROWS])]
    styles = [*map(_style, columns)]

    def line(tag: str, texts: Iterable[str]) -> str:
        cells = (
            f'<{tag} style="{style}">{html.escape(text)}</{tag}>'
            for style, text in zip(styles, texts, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    head = line("th", (column.title for column in columns))
    texts = zip(*(column.cells for column in columns), strict=True)
    body = "".join(line("td", each) for each in texts)
    rest = _rest(rows, MOST_ROWS)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>" + (
        f"<p>{rest}</p>" if rest else ""
    )


def _rest(rows: Sequence[Row], most_rows: int | None) -> str:
    """What stands for the rows that are not shown, if there are any."""
    more = len(rows) - len(rows[:most_rows])
    return f"… and {more:,} more" if more else ""


def _renderables(parts: Sequence[Part], most_rows: int | None = None) -> Iterator[RenderableType]:
    """Yield lines and tables for `rich`."""
    from rich.text import Text

    for part in parts:
        if isinstance(part, (str, Bar)):
            yield Text(printable(part))
        elif part:
            yield table(part[:most_rows])
            if rest := _rest(part, most_rows):
                yield Text(rest)


def to_text(*parts: Part) -> str:
    """Return lines and tables as text, in their full width and plain wherever it is printed."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=10_000, color_system=None, force_jupyter=False)
    with console.capture() as shown:
        console.print(*_renderables(parts, MOST_ROWS), sep="\n")
    return "\n".join(filter(None, map(str.rstrip, shown.get().splitlines())))


def to_html(*parts: Part) -> str:
    """Return lines, bars and tables as HTML, in the colours of the page around it."""
    shown = []
    for part in parts:
        if isinstance(part, Bar):
            shown.append(
                f'<progress max="{max(part.total, 1):d}" value="{part.done:d}"></progress>'
            )
        if not isinstance(part, (str, Bar)):
            shown.append(_html_table(part) if part else "")
        elif text := to_text(part):
            shown.append(f"<p>{html.escape(text)}</p>")
    return f"<div>{''.join(shown)}</div>"


class Shown(ABC):
    """What shows itself in the same way to `print`, in notebooks, and by `rich` on terminals."""

    @abstractmethod
    def _parts(self) -> Sequence[Part]:
        """What is shown."""

    def __str__(self) -> str:
        return to_text(*self._parts())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._parts()[0]}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        return to_html(*self._parts())

    def __rich_console__(self, *_: object) -> Iterator[RenderableType]:
        return _renderables(self._parts())


@contextmanager
def watching(given: Callable[[Any], None] | None) -> Iterator[Callable[[Any], None]]:
    """Provide what is called with how far something is; by default it shows it.

    That is in a notebook, in its place, or on a terminal, in a line that goes in the end, unless
    something of `rich` is shown there meanwhile, as bars of the caller's own.

    Args:
        given: What is called instead, if anything.
    """
    notebook = "IPython" in sys.modules and importlib.import_module("IPython").get_ipython()
    if given is not None:
        yield given
    elif notebook and hasattr(notebook, "kernel"):
        display = importlib.import_module("IPython.display").display
        yield display({}, raw=True, display_id=True).update
    elif sys.stderr.isatty() and not hasattr(sys.stderr, "rich_proxied_file"):
        width = shutil.get_terminal_size().columns - 1
        write = partial(print, end="\x1b[K", file=sys.stderr, flush=True)
        try:
            yield lambda now: write(f"\r{str(now)[:width]}")
        finally:
            write("\r")
    else:
        yield lambda _: None


RowT = TypeVar("RowT")


class Table(Shown, Sequence[RowT]):
    """Records of one kind, in their order.

    A sequence that does not change, and is equal to any list of the same
    records. Notebooks show it as a table, and so does `print`.
    """

    def __init__(self, records: Iterable[RowT]) -> None:
        """Take records, which are dataclasses, at once."""
        self._records = tuple(records)

    @overload
    def __getitem__(self, index: int) -> RowT: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> RowT | Self:
        """Return one record, or several as a table of the same kind."""
        if isinstance(index, slice):
            return self._with(self._records[index])
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __add__(self, others: Iterable[RowT]) -> Self:
        """Return these records and others, as a table of this kind."""
        return self._with((*self._records, *others))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (Table, list, tuple)):
            return self._records == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._records)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._summary()}>"

    def to_dicts(self) -> list[dict[str, Any]]:
        """The records as plain dicts, for JSON or a table."""
        return [asdict(record, dict_factory=_plain) for record in self]  # type: ignore[call-overload]

    def to_dataframe(self) -> Any:
        """The records as a pandas DataFrame, which needs pandas.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        return import_extra("pandas").DataFrame(self.to_dicts()).convert_dtypes()

    def _summary(self) -> str:
        """All records in a line."""
        return f"{len(self):,} records"

    def _shown(self) -> Sequence[Row]:
        """The rows that people see."""
        return self.to_dicts()

    def _parts(self) -> Sequence[Part]:
        return (self._summary(), self._shown())

    def _with(self, records: tuple[RowT, ...]) -> Self:
        other = copy(self)
        other._records = records  # noqa: SLF001 - of this class
        return other


def _plain(fields: Iterable[tuple[str, object]]) -> dict[str, object]:
    """What JSON can hold of a record."""
    return {name: _plain_value(value) for name, value in fields}


def _plain_value(value: object) -> object:
    """DIDs, paths and times as people write them."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (DID, Path, datetime)):
        return str(value)
    return [*map(_plain_value, value)] if isinstance(value, tuple) else value
