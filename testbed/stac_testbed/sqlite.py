"""SQLite as the database of a server that several processes write to."""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

_WAIT_S = 60.0


def take_turns() -> None:
    """Let transactions that write wait for each other instead of failing.

    SQLite has one writer at a time. A transaction that has read before it asks
    to write is refused at once ("database is locked") if another one has
    written meanwhile, however long it would wait. Here it asks with its first
    statement that writes anything, be it to a temporary table as Rucio's do,
    and no select that is not read to its end holds on to what was there before.
    """
    event.listen(Engine, "do_connect", _read_at_once)
    event.listen(Engine, "checkout", _begin_immediate)


def _read_at_once(dialect: Any, _record: object, _args: object, parameters: Any) -> None:
    if dialect.name == "sqlite":
        parameters.update(factory=_Connection, timeout=_WAIT_S)


def _begin_immediate(connection: object, *_: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = "IMMEDIATE"


class _Cursor(sqlite3.Cursor):
    """A cursor that has read all rows when `execute` returns."""

    _rows: Iterator[Any] = iter(())

    def execute(self, *args: Any) -> _Cursor:
        super().execute(*args)
        self._rows = iter(super().fetchall())
        return self

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        return list(islice(self._rows, self.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __next__(self) -> Any:
        return next(self._rows)


class _Connection(sqlite3.Connection):
    def cursor(self, factory: Any = _Cursor) -> Any:
        return super().cursor(factory)
