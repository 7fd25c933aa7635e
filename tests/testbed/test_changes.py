"""The changes of a database that its processes announce to each other."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from stac_testbed.rucio_server import _BUSY_S, CHANGES, Changes
from tests.clock import own_time

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


_WHAT_IS_ANNOUNCED = """
import os
import sys
from pathlib import Path
from sqlalchemy import create_engine, text
from stac_testbed.rucio_server import CHANGES, Changes, announce_changes

changes = Path(sys.argv[1], "changes")
os.environ[CHANGES] = str(changes)
announce_changes()
engine = create_engine(f"sqlite:///{sys.argv[1]}/numbers.db")

def announced(*statements):
    before = changes.stat().st_size
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
            assert changes.stat().st_size == before, "before the end of the transaction"
    return changes.stat().st_size - before

announced("CREATE TABLE numbers (value INTEGER)", "CREATE TABLE heartbeats (value INTEGER)")
print(
    announced("INSERT INTO numbers VALUES (1)", "INSERT INTO numbers VALUES (2)"),
    announced("UPDATE numbers SET value = 3 WHERE value = 2", "SELECT * FROM numbers"),
    announced("UPDATE numbers SET value = 3 WHERE value = 2"),
    announced("INSERT INTO heartbeats VALUES (1)"),
    announced("SELECT * FROM numbers"),
    announced("DELETE FROM numbers", "SELECT * FROM numbers"),
    announced("DELETE FROM numbers"),
)
"""


def test_what_is_announced(tmp_path: Path) -> None:
    """A transaction that has changed rows is announced when it has ended, and no other is."""
    program = [sys.executable, "-c", _WHAT_IS_ANNOUNCED, str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)  # noqa: S603 - this Python
    assert (done.stdout, done.stderr) == ("1 1 0 0 0 1 0\n", "")


def test_recent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes are recent for a while; where nobody announces any, they may be at any time."""
    assert Changes().recent()
    now_s = [1000.0]
    own_time(monkeypatch, "stac_testbed.rucio_server", monotonic=lambda: now_s[0])
    monkeypatch.setenv(CHANGES, str(tmp_path / "changes"))
    changes = Changes()
    seen = [changes.recent()]
    for wait_s, change in [(_BUSY_S - 1, False), (1, False), (50, True), (1, False), (99, False)]:
        now_s[0] += wait_s
        if change:
            (tmp_path / "changes").write_text(".")
        seen.append(changes.recent())
    assert seen == [True, True, False, True, True, False]
