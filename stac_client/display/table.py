"""Records in a sequence that shows itself as a table."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, overload

from stac_policy.naming import DID

from .extras import import_extra
from .markup import html_block, html_headline, html_note, html_table, text_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

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
