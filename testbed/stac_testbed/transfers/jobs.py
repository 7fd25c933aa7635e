"""Jobs and their files in an SQLite database, which outlives the process."""

from __future__ import annotations

import json
import sqlite3
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .copying import Copy
from .submission import job_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .submission import Submission

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, type TEXT, fingerprint TEXT, metadata TEXT, submitted TEXT
);
CREATE INDEX IF NOT EXISTS same_job ON jobs (fingerprint);
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, job_id TEXT REFERENCES jobs, file_index INTEGER, state TEXT,
    priority INTEGER, source TEXT, destination TEXT, size_bytes INTEGER, checksum TEXT,
    verify TEXT, strict INTEGER, overwrite INTEGER, metadata TEXT, reason TEXT,
    started TEXT, finished TEXT
);
CREATE INDEX IF NOT EXISTS files_of_job ON files (job_id);
CREATE INDEX IF NOT EXISTS queue ON files (state, priority DESC, id);
"""


@dataclass(frozen=True)
class Task:
    """A file whose turn has come: its id, what to copy, and whether it may overwrite."""

    file_id: int
    copy: Copy
    overwrite: bool


class Jobs:
    """The state machine of FTS jobs: every method is one transaction.

    Files go from SUBMITTED over ACTIVE to FINISHED, FAILED or CANCELED; NOT_USED ones become
    SUBMITTED when another source failed or the hop before finished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # readers never wait for a writer
            connection.executescript(_SCHEMA)

    def submit(self, submission: Submission) -> str:
        """Store a job and return its id, or that of the same job submitted before."""
        with self._transaction() as db:
            known = db.execute(
                "SELECT id FROM jobs WHERE id=? UNION ALL SELECT j.id FROM jobs j"
                " JOIN files f ON f.job_id=j.id"
                " WHERE j.fingerprint=? AND f.state IN ('SUBMITTED', 'ACTIVE')",
                (submission.job_id, submission.fingerprint),
            ).fetchone()
            if known:
                return str(known["id"])
            job_id = submission.job_id or str(uuid.uuid4())
            job = (job_id, submission.job_type, submission.fingerprint, submission.metadata, _now())
            db.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", job)
            db.executemany(
                "INSERT INTO files (job_id, file_index, state, priority, source, destination,"
                " size_bytes, checksum, verify, strict, overwrite, metadata)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(job_id, file.index, file.state, submission.priority),
                        *(file.copy.source, file.copy.destination, file.copy.size_bytes),
                        *(file.copy.checksum, file.copy.verify, file.copy.strict),
                        *(file.overwrite, file.metadata),
                    )
                    for file in submission.files
                ],
            )
        return job_id

    def describe(self, job_id: str) -> dict[str, Any] | None:
        """Return a job and its files as FTS shows them, or None if there is none."""
        with closing(self._connect()) as db:
            job = db.execute("SELECT * FROM jobs WHERE id=?", (job_id,)).fetchone()
            query = "SELECT * FROM files WHERE job_id=? ORDER BY id"
            files = db.execute(query, (job_id,)).fetchall()
        if job is None:
            return None
        return {
            "job_id": job_id,
            "http_status": "200 Ok",
            "http_message": None,
            "job_state": job_state(job["type"], [(f["file_index"], f["state"]) for f in files]),
            "job_type": job["type"],
            "job_metadata": json.loads(job["metadata"]),
            "priority": files[0]["priority"],
            "submit_time": job["submitted"],
            "files": [_describe_file(file) for file in files],
        }

    def cancel(self, job_id: str) -> list[int]:
        """Cancel what has not ended; return the ids of files that are being copied."""
        mine = "WHERE job_id=? AND state IN ('SUBMITTED', 'ACTIVE')"
        with self._transaction() as db:
            query = "SELECT id FROM files WHERE job_id=? AND state='ACTIVE'"
            active = [row["id"] for row in db.execute(query, (job_id,))]
            statement = f"UPDATE files SET state='CANCELED', reason=?, finished=? {mine}"  # noqa: S608 - both parts are constants
            db.execute(statement, ("canceled on request", _now(), job_id))
        return active

    def set_priority(self, job_id: str, priority: int) -> None:
        """Set the priority of a job: the higher, the sooner."""
        with self._transaction() as db:
            db.execute("UPDATE files SET priority=? WHERE job_id=?", (priority, job_id))

    def claim(self) -> Task | None:
        """Make the next file ACTIVE and return it, or None if no file can start now.

        Never two at a time write to the same destination.
        """
        with self._transaction() as db:
            file = db.execute(
                "SELECT * FROM files WHERE state='SUBMITTED' AND destination NOT IN"
                " (SELECT destination FROM files WHERE state='ACTIVE')"
                " ORDER BY priority DESC, id LIMIT 1"
            ).fetchone()
            if file is None:
                return None
            statement = "UPDATE files SET state='ACTIVE', started=? WHERE id=?"
            db.execute(statement, (_now(), file["id"]))
        names = ("source", "destination", "size_bytes", "checksum", "verify", "strict")
        copy = Copy(**{name: file[name] for name in names})
        return Task(file["id"], copy, bool(file["overwrite"]))

    def began(self, file_id: int) -> None:
        """Note that the destination is the copy's own: after a restart it may be replaced."""
        with self._transaction() as db:
            db.execute("UPDATE files SET overwrite=1 WHERE id=?", (file_id,))

    def finish(self, file_id: int, reason: str | None) -> bool:
        """Record how a copy ended (None: well) and let the next one of its job follow.

        Returns:
            False if the file was canceled meanwhile.
        """
        state = "FAILED" if reason else "FINISHED"
        with self._transaction() as db:
            ended = db.execute(
                "UPDATE files SET state=?, reason=?, finished=? WHERE id=? AND state='ACTIVE'",
                (state, reason, _now(), file_id),
            )
            if not ended.rowcount:
                return False
            # The next source of the file after a failure, the next hop after a success.
            db.execute(
                "UPDATE files SET state='SUBMITTED' WHERE id=(SELECT min(n.id) FROM files n"
                " JOIN files f ON f.job_id=n.job_id JOIN jobs j ON j.id=f.job_id"
                " WHERE f.id=? AND n.state='NOT_USED' AND (j.type='H' AND f.state='FINISHED'"
                " OR j.type='R' AND f.state='FAILED' AND n.file_index=f.file_index))",
                (file_id,),
            )
        return True

    def resume(self) -> None:
        """Make files that were being copied when the process ended wait for another turn."""
        with self._transaction() as db:
            db.execute("UPDATE files SET state='SUBMITTED', started=NULL WHERE state='ACTIVE'")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=NORMAL")  # enough to survive the end of a process
        return connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            # Closing without a commit takes everything back.
            yield connection
            connection.execute("COMMIT")


def _describe_file(file: sqlite3.Row) -> dict[str, Any]:
    return {
        "file_id": file["id"],
        "file_index": file["file_index"],
        "file_state": file["state"],
        "source_surl": file["source"],
        "dest_surl": file["destination"],
        "start_time": file["started"],
        "finish_time": file["finished"],
        "staging_start": None,
        "staging_finished": None,
        "reason": file["reason"],
        "file_metadata": json.loads(file["metadata"]),
    }


def _now() -> str:
    """UTC in the one format that Rucio parses."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
