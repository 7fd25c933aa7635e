"""Journals: what they remember, and what is said of files that are none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from stac_client import ConfigurationError
from stac_client import _journal as journal_module
from stac_client._assets import select_assets
from stac_client._journal import Journal, entry_of
from tests.items import make_item

if TYPE_CHECKING:
    from pathlib import Path

    from stac_client._journal import Entry
    from stac_client._selection import AssetSelection


def entry(
    selection: AssetSelection = None, scope: str | None = None, how: object = "item"
) -> Entry:
    """The entry of one item, for what is meant of it."""
    item = make_item()
    return entry_of(item, ("c", "i"), how, *select_assets(item, selection, scope))


def test_a_journal_knows_what_an_item_was_dealt_with_for(tmp_path: Path) -> None:
    """Other assets, another scope or another way of looking up is another matter."""
    with Journal(tmp_path / "journal", "test") as journal:
        journal.add([(entry(), 1)])
        assert journal.files_of(entry()) == 1
        assert journal.files_of(entry(["a"])) == 1  # the same assets, said in another way
        for other in (entry(["b"]), entry(scope="user.alice"), entry(how="head")):
            assert journal.files_of(other) is None
    with Journal(tmp_path / "journal", "test") as journal:
        assert journal.files_of(entry()) == 1


def test_what_an_older_release_wrote_is_looked_at_once_more(tmp_path: Path) -> None:
    """It cannot tell what its entries were for, and is a journal all the same."""
    path = tmp_path / "journal"
    with closing(sqlite3.connect(path)) as older, older:
        older.execute("CREATE TABLE purpose (format INTEGER, text TEXT PRIMARY KEY)")
        older.execute("CREATE TABLE items (item BLOB PRIMARY KEY, version BLOB NOT NULL)")
        older.execute("INSERT INTO purpose VALUES (1, 'test')")
        older.execute("INSERT INTO items VALUES (?, ?)", (entry().identity, entry().version))
    with Journal(path, "test") as journal:
        assert journal.files_of(entry()) is None
        journal.add([(entry(), 1)])
        assert journal.files_of(entry()) == 1


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            ["CREATE TABLE purpose (format, text)", "INSERT INTO purpose VALUES (9, 'test')"],
            "was written by a newer release of stac-rucio (format 9, here 2)",
        ),
        (
            ["CREATE TABLE purpose (format, text)", "INSERT INTO purpose VALUES (2, 'tax')"],
            "is the journal of tax; give test one of its own",
        ),
        (
            ["CREATE TABLE purpose (format, text)", "INSERT INTO purpose VALUES ('x', 'test')"],
            "cannot be used as a journal: it names no format",
        ),
        (["CREATE TABLE purpose (x)"], "cannot be used as a journal: no such column"),
        (["CREATE TABLE tax (x)"], "cannot be used as a journal: it is a database of something"),
    ],
)
def test_other_databases_are_refused(tmp_path: Path, statements: list[str], said: str) -> None:
    """They are said to be what they are, and stay as they were."""
    path = tmp_path / "other"
    with closing(sqlite3.connect(path)) as other, other:
        for statement in statements:
            other.execute(statement)
        before = [*other.iterdump()]
    with pytest.raises(ConfigurationError) as caught:
        Journal(path, "test")
    assert f"{path} {said}" in str(caught.value)
    with closing(sqlite3.connect(path)) as other:
        assert [*other.iterdump()] == before


def test_a_locked_journal_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes it for long is waited for, for a while."""
    monkeypatch.setattr(journal_module, "_LOCKED_S", 0.1)
    path = tmp_path / "journal"
    with Journal(path, "test") as journal, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigurationError, match="locked; another process may be writing it"):
            journal.add([(entry(), 1)])
        with pytest.raises(ConfigurationError, match="locked; another process may be writing it"):
            Journal(path, "test")
        other.rollback()
        journal.add([(entry(), 1)])


def test_a_damaged_journal_says_so(tmp_path: Path) -> None:
    """What breaks in the middle of a run is an error with the file's name, too."""
    path = tmp_path / "journal"
    with Journal(path, "test") as journal:
        journal.add([(entry(how=number), 1) for number in range(1)])
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    said = r"journal cannot be used .* give another file"
    with pytest.raises(ConfigurationError, match=said), Journal(path, "test") as journal:
        journal.files_of(entry(how=0))


def test_a_journal_in_no_folder_says_so(tmp_path: Path) -> None:
    """A path that leads nowhere is named."""
    for path in (tmp_path, tmp_path / "none" / "journal"):
        with pytest.raises(ConfigurationError, match=f"{path} cannot be used as a journal"):
            Journal(path, "test")
