"""Writers of one SQLite database wait for each other, whatever they have read before."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


_ENGINE = """
import sys
from sqlalchemy import create_engine, text
from stac_testbed.rucio_server import take_turns

take_turns()
engine = create_engine(f"sqlite:///{sys.argv[1]}")
"""
_OTHERS_WRITE_WHILE_ONE_READS = """
with engine.begin() as connection:
    connection.execute(text("PRAGMA journal_mode=WAL"))
    connection.execute(text("CREATE TABLE numbers (value INTEGER)"))
    connection.execute(text("INSERT INTO numbers VALUES (1), (2), (3)"))
with engine.connect() as reader, engine.connect() as writer:
    rows = reader.execute(text("SELECT value FROM numbers ORDER BY value"))
    first = rows.fetchone()
    writer.execute(text("INSERT INTO numbers VALUES (4)"))
    writer.commit()
    reader.execute(text("UPDATE numbers SET value = value + 10"))
    rest = [row.value for row in rows]
    reader.commit()
    total = writer.execute(text("SELECT sum(value) FROM numbers")).scalar()
print(first.value, rest, total)
"""


_HOW_IT_WAITS_FOR_THE_DISK = """
with engine.connect() as connection:
    print(connection.execute(text("PRAGMA synchronous")).scalar())
"""


def run(script: Any, tmp_path: Any) -> Any:
    """What a script on a new database prints."""
    program = [sys.executable, "-c", _ENGINE + script, tmp_path / "numbers.db"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)  # noqa: S603 - this Python
    assert done.stderr == ""
    return done.stdout


def test_a_select_in_progress_hinders_no_write(tmp_path: Path) -> None:
    """A transaction in the middle of a result writes, though another one has written meanwhile."""
    assert run(_OTHERS_WRITE_WHILE_ONE_READS, tmp_path) == "1 [2, 3] 50\n"


def test_no_transaction_waits_for_the_disk(tmp_path: Path) -> None:
    """The disk is waited for at checkpoints alone: SQLite's level NORMAL, which is 1."""
    assert run(_HOW_IT_WAITS_FOR_THE_DISK, tmp_path) == "1\n"
