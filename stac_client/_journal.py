"""A journal of the items that have been dealt with, on disk: what makes `sync` resumable."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from stac_client._items import updated_of
from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from typing_extensions import Self

    from stac_client._partition import Partition

_FORMAT = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS purpose (format INTEGER, text TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS items (
    item BLOB PRIMARY KEY, version BLOB NOT NULL, files INTEGER NOT NULL
) WITHOUT ROWID;
"""
_DIGEST_BYTES = 16
_LOCKED_S = 20.0


class Entry(NamedTuple):
    """A version of an item, and what was to be done with it; small, however large the item is."""

    collection: str
    item: str
    identity: bytes
    version: bytes


def registration_purpose(rse: str, host: str, part: Partition) -> str:
    """Return the purpose of the journal of a registration at an RSE of the Rucio at a host."""
    return f"registration at {rse} of {host}" + (f", partition {part}" if part else "")


def entry_of(item: Mapping[str, Any], ids: tuple[str, str] = ("", ""), *wanted: object) -> Entry:
    """Return the entry of an item as it is now.

    Args:
        item: The item.
        ids: Its collection and its own id, as outcomes have them.
        wanted: What is to be done with it, by its `repr`. Another wish is another version.
    """
    return Entry(
        *ids,
        identity=_digest([item.get("collection"), item.get("id"), ids]),
        # Not only `updated`, which many catalogues lack.
        version=_digest([updated_of(item), item.get("assets"), wanted]),
    )


class Journal:
    """Remembers which version of which item has been registered at which RSE.

    It is an SQLite database. An entry is written when all assets of an item have
    come to an end other than failure, so a process that is killed in between
    loses nothing: what is not in the journal is looked at again, and Rucio knows
    what it has.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        """Open a journal, or begin one; another purpose needs another file.

        What an older format holds is forgotten: it is looked at once more.

        Raises:
            ConfigurationError: The file cannot be used as a journal, is of another purpose, or
                was written by a newer release.
        """
        self._path = path
        with self._errors():
            self._database = sqlite3.connect(path, isolation_level=None, timeout=_LOCKED_S)
        try:
            self._open(purpose)
        except BaseException:
            self.close()
            raise

    def _open(self, purpose: str) -> None:
        with self._errors():
            tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}
            if tables and "purpose" not in tables:
                raise sqlite3.DatabaseError("it is a database of something else")
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("BEGIN IMMEDIATE")  # others may open it at the same time
            known = [
                *(self._database.execute("SELECT format, text FROM purpose") if tables else ())
            ]
            if known and known[0][1] != purpose:
                raise ConfigurationError(
                    f"{self._path} is the journal of {known[0][1]}; give {purpose} one of its own"
                )
            if known and not isinstance(known[0][0], int):
                raise sqlite3.DatabaseError("it names no format")
            if known and known[0][0] > _FORMAT:
                raise ConfigurationError(
                    f"{self._path} was written by a newer release of stac-rucio (format "
                    f"{known[0][0]}, here {_FORMAT}); use that one, or another journal"
                )
            if known and known[0][0] < _FORMAT:
                self._database.execute("DROP TABLE IF EXISTS items")
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
            self._database.execute(
                "INSERT OR REPLACE INTO purpose VALUES (?, ?)", (_FORMAT, purpose)
            )
            self._database.execute("COMMIT")

    def files_of(self, entry: Entry) -> int | None:
        """Return how many files this very version of an item has in Rucio; None of another."""
        with self._errors():
            found = self._database.execute(
                "SELECT version, files FROM items WHERE item = ?", (entry.identity,)
            ).fetchone()
        return found[1] if found and found[0] == entry.version else None

    def add(self, entries: Iterable[tuple[Entry, int]]) -> None:
        """Write down items that have been dealt with and their files: all, or none if it fails."""
        rows = [(entry.identity, entry.version, files) for entry, files in entries]
        with self._errors(), self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", rows)

    def close(self) -> None:
        """Close it."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"{self._path} cannot be used as a journal: {error}",
                hint="another process may be writing it; try again later"
                if "locked" in str(error)
                else "give another file: without its journal a sync recognises what Rucio has",
            ) from error


def _digest(value: object) -> bytes:
    try:
        text = json.dumps(value, sort_keys=True, default=repr, ensure_ascii=True)
    except RecursionError:  # nested too deeply to be compared: it is looked at each time
        return secrets.token_bytes(_DIGEST_BYTES)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
