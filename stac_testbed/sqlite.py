"""SQLite as the database of a server that several processes write to."""

from __future__ import annotations

import sqlite3

from sqlalchemy import event
from sqlalchemy.engine import Engine


def take_turns() -> None:
    """Let transactions that write wait for each other instead of failing.

    SQLite has one writer at a time. A transaction that has read before it asks
    to write is refused at once ("database is locked") if another one has
    written meanwhile, however long it would wait. Here it asks with its first
    statement that writes anything, be it to a temporary table as Rucio's do.
    """
    event.listen(Engine, "checkout", _begin_immediate)


def _begin_immediate(connection: object, *_: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.isolation_level = "IMMEDIATE"
