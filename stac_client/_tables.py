"""Records in a sequence that shows itself as a table."""

from __future__ import annotations

import copy
import html
import importlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, overload

from stac_policy.naming import DID

if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = Mapping[str, object]
    """Cells by the title of their column; None is an empty cell."""
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self


# Libraries that are needed only for some purposes.


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


# Tables as text and as HTML, from what nobody vouches for; pure.
#
# The HTML takes its colours from the page around it, so that it can be read on
# light and on dark ones.


MOST_ROWS = 30
"""More than a screen is read by nobody; programs have the records."""
_WIDEST = 80  # characters of a cell of text
_SHORT = 24  # characters that HTML keeps in one line
_KILO = 1000
# The class is named twice to come before what notebooks say of every table.
_STYLE = """<style>
.stac-rucio.stac-rucio table {border-collapse: collapse; margin: .4em 0}
.stac-rucio.stac-rucio :is(th, td) {
  padding: .25em .8em .25em .3em; text-align: left; vertical-align: top; white-space: nowrap;
  border: 0; border-bottom: 1px solid rgba(128, 128, 128, .35)}
.stac-rucio.stac-rucio th {font-weight: 600}
.stac-rucio.stac-rucio td.number {text-align: right; font-variant-numeric: tabular-nums}
.stac-rucio.stac-rucio td.long {
  white-space: normal; overflow-wrap: anywhere; min-width: 12em; max-width: 36em}
.stac-rucio.stac-rucio p {margin: .2em 0}
.stac-rucio .note {opacity: .75}
.stac-rucio progress {width: 12em; height: 1em; vertical-align: middle; accent-color: #009E73}
</style>"""


def printable(text: object) -> str:
    """Give text in one line, with escapes in place of what would control a screen."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(text)
    )


def text_table(rows: Sequence[Row]) -> str:
    """Give rows as lines of text under the titles of their columns."""
    shown = [{title: _cell(value) for title, value in row.items()} for row in rows[:MOST_ROWS]]
    columns = []
    for title in _titles(rows):
        cells = [row.get(title, "") for row in shown]
        width = max(map(len, [title, *cells]))
        aligned = [each.rjust(width) if _is_number(each) else each.ljust(width) for each in cells]
        columns.append([title.ljust(width), *aligned])
    lines = ["  ".join(line).rstrip() for line in zip(*columns)]
    return "\n".join([*lines, *_more(rows)])


def html_block(*parts: str) -> str:
    """Give what a notebook shows, of parts that the functions below give."""
    return f'<div class="stac-rucio">{_STYLE}{"".join(parts)}</div>'


def html_headline(text: str) -> str:
    """Give a line that sums up what comes below it."""
    return f"<p><b>{_escape(text)}</b></p>"


def html_note(text: str) -> str:
    """Give a line that says more."""
    return f'<p class="note">{_escape(text)}</p>'


def html_bar(done: int, total: int, said: str) -> str:
    """Give a bar for how far something is, and the same in words."""
    bar = f'<progress max="{max(total, 1):d}" value="{done:d}"></progress>'
    return f"<p>{bar} {_escape(said)}</p>"


def html_table(rows: Sequence[Row]) -> str:
    """Give a table of rows, or nothing if there are none."""
    if not rows:
        return ""
    titles = _titles(rows)
    head = "".join(f"<th>{_escape(title)}</th>" for title in titles)
    body = "".join(_html_row(titles, row) for row in rows[:MOST_ROWS])
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return table + "".join(map(html_note, _more(rows)))


def size(size_bytes: int) -> str:
    """Give a number of bytes as people read it, in powers of 1,000 as Rucio does."""
    amount, units = float(size_bytes), ["PB", "TB", "GB", "MB", "kB", "B"]
    while round(amount) >= _KILO and len(units) > 1:
        amount, _ = amount / _KILO, units.pop()
    return f"{amount:,.0f} {units[-1]}" if units[-1] == "B" else f"{amount:,.1f} {units[-1]}"


def _html_row(titles: Sequence[str], row: Row) -> str:
    cells = []
    for title in titles:
        value = row.get(title)
        said = _said(value)
        kind = "number" if isinstance(value, int) else "long" if len(said) > _SHORT else ""
        tag = f'<td class="{kind}">' if kind else "<td>"
        cells.append(f"{tag}{_escape(said)}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _titles(rows: Sequence[Row]) -> list[str]:
    """The columns that have a cell that is not empty."""
    titles = dict.fromkeys(title for row in rows for title in row)
    return [title for title in titles if any(_said(row.get(title)) for row in rows)]


def _more(rows: Sequence[Row]) -> list[str]:
    left_out = len(rows) - MOST_ROWS
    return [f"… and {left_out:,} more"] if left_out > 0 else []


def _said(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else printable(value)


def _cell(value: object) -> str:
    text = _said(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _is_number(text: str) -> bool:
    return text.replace(",", "").isdecimal()


def _escape(text: str) -> str:
    return html.escape(printable(text))


RowT = TypeVar("RowT")


class Table(Sequence[RowT]):
    """Records of one kind, in their order.

    A sequence that does not change, and is equal to any list of the same
    records. Notebooks show it as a table, and so does `print`.
    """

    def __init__(self, records: Iterable[RowT]) -> None:
        """Make one.

        Args:
            records: The records, dataclasses; taken at once.
        """
        self._records = tuple(records)

    @overload
    def __getitem__(self, index: int) -> RowT: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> RowT | Self:
        """Give one record, or several as a table of the same kind."""
        if isinstance(index, slice):
            return self._with(self._records[index])
        return self._records[index]

    def __iter__(self) -> Iterator[RowT]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __add__(self, others: Iterable[RowT]) -> Self:
        """Give these records and others, as a table of this kind."""
        return self._with((*self._records, *others))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (Table, list, tuple)):
            return self._records == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._records)

    def __str__(self) -> str:
        return text_table(self._shown()) or self._summary()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._summary()}>"

    def _repr_html_(self) -> str:
        """For notebooks: what sums it up, then its rows, then what else is to be said."""
        notes = map(html_note, self._notes())
        return html_block(html_headline(self._summary()), html_table(self._shown()), *notes)

    def to_dicts(self) -> list[dict[str, Any]]:
        """The records as plain dicts, for JSON or a table."""
        return [_fields(record) for record in self]

    def to_dataframe(self) -> Any:
        """The records as a pandas DataFrame, which needs pandas.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        return import_extra("pandas").DataFrame(self.to_dicts()).convert_dtypes()

    def _summary(self) -> str:
        """All records in a line."""
        return f"{len(self):,} records"

    def _shown(self) -> list[dict[str, object]]:
        """The rows that people see: cells by the titles of their columns."""
        return [dict(row) for row in self.to_dicts()]

    def _notes(self) -> Sequence[str]:
        """What else is to be said, in sentences."""
        return ()

    def _with(self, records: tuple[RowT, ...]) -> Self:
        other = copy.copy(self)
        other._records = records  # noqa: SLF001 - of this class
        return other


def _fields(record: object) -> dict[str, Any]:
    # What is made here is always one of our dataclasses.
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}  # type: ignore[arg-type]


def _plain(value: object) -> object:
    """What JSON can hold of a value; DIDs and paths as people write them."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, DID):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return _fields(value) if is_dataclass(value) else str(value)
