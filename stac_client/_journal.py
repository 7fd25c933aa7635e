"""A journal of the items that have been dealt with, on disk: what makes `sync` resumable."""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from stac_client._items import id_text
from stac_client.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from typing_extensions import Self


_FORMAT = 1
_TABLES = """
PRAGMA journal_mode=WAL;
CREATE TABLE IF NOT EXISTS purpose (format INTEGER, text TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS items (item BLOB PRIMARY KEY, version BLOB NOT NULL) WITHOUT ROWID;
"""
_DIGEST_BYTES = 16


class Entry(NamedTuple):
    """A version of an item; small, however large the item is."""

    collection: str
    item: str
    identity: bytes
    version: bytes


def registration_purpose(rse: str, host: str) -> str:
    """The purpose of the journal of a registration at an RSE of the Rucio server at a host."""
    return f"registration at {rse} of {host}"


def entry_of(item: Mapping[str, Any]) -> Entry:
    """The entry of an item as it is now."""
    collection, item_id = item.get("collection"), item.get("id")
    properties = item.get("properties")
    updated = properties.get("updated") if isinstance(properties, dict) else None
    return Entry(
        id_text(collection),
        id_text(item_id),
        identity=_digest([collection, item_id]),
        # Not only `updated`, which many catalogues lack.
        version=_digest([updated, item.get("assets")]),
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

        Raises:
            ConfigurationError: The file is no journal, or one for another purpose.
        """
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.executescript(_TABLES)
            known = self._database.execute("SELECT format, text FROM purpose").fetchall()
            if not known:
                self._database.execute("INSERT INTO purpose VALUES (?, ?)", (_FORMAT, purpose))
        except sqlite3.Error as error:
            raise ConfigurationError(f"{path} cannot be used as a journal: {error}") from error
        if known and known != [(_FORMAT, purpose)]:
            self.close()
            raise ConfigurationError(
                f"{path} is the journal of {known[0][1]}; give {purpose} one of its own"
            )

    def has(self, entry: Entry) -> bool:
        """Return whether this very version of an item has been dealt with."""
        found = self._database.execute("SELECT version FROM items WHERE item = ?", entry[2:3])
        return bool(found.fetchone() == (entry.version,))

    def add(self, entries: Iterable[Entry]) -> None:
        """Write down that items have been dealt with: all of them, or none if it fails."""
        rows = [(entry.identity, entry.version) for entry in entries]
        self._database.execute("BEGIN IMMEDIATE")
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO items VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close it."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _digest(value: object) -> bytes:
    try:
        text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=True)
    except RecursionError:  # nested too deeply to be compared: it is looked at each time
        return secrets.token_bytes(_DIGEST_BYTES)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
