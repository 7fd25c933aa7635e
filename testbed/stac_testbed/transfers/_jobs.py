"""Jobs and their files: what Rucio submits, and an SQLite database that outlives the process."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from stac_testbed._http import readable

from ._copying import Copy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

BASE_ID = uuid.uuid5(uuid.NAMESPACE_DNS, "transfers.stac-testbed.invalid")
VO = "testbed"
_URL_LENGTH, _METADATA_LENGTH, _ARCHIVE_LENGTH = 1100, 4096, 1024  # characters
ENDED = ("FINISHED", "FINISHEDDIRTY", "FAILED", "CANCELED")
_DEFAULT_PRIORITY = 3
_UNFINISHED = ("SUBMITTED", "ACTIVE")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, type TEXT, fingerprint TEXT, metadata TEXT, submitted TEXT
);
CREATE INDEX IF NOT EXISTS same_job ON jobs (fingerprint);
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, job_id TEXT REFERENCES jobs, file_index INTEGER, state TEXT,
    priority INTEGER, destination TEXT, copy TEXT, overwrite INTEGER, metadata TEXT,
    reason TEXT, started TEXT, finished TEXT
);
CREATE INDEX IF NOT EXISTS files_of_job ON files (job_id);
CREATE INDEX IF NOT EXISTS queue ON files (state, priority DESC, id);
"""


@dataclass(frozen=True)
class File:
    """One source to try, or one hop to make.

    Attributes:
        index: Sources of the same file share it.
        state: SUBMITTED, or NOT_USED when its turn comes after others of its job.
        copy: What to copy.
        overwrite: Whether a file at the destination may be replaced.
        metadata: JSON text, given back as it is.
    """

    index: int
    state: str
    copy: Copy
    overwrite: bool
    metadata: str


@dataclass(frozen=True)
class Submission:
    """A job to be.

    Attributes:
        job_id: Given by the submitter's own rule, or None.
        fingerprint: Equal for submissions of equal content.
        job_type: N, R (several sources for a file) or H (several hops).
        priority: The higher, the sooner.
        metadata: JSON text, given back as it is.
        files: In the order they are tried.
    """

    job_id: str | None
    fingerprint: str
    job_type: str
    priority: int
    metadata: str
    files: tuple[File, ...]


class SubmissionError(ValueError):
    """Why a job is refused; nothing of it is kept."""

    def __init__(self, reason: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.status = status


def parse(body: Any) -> Submission:
    """Turn the body of ``POST /jobs`` into a submission.

    Raises:
        SubmissionError: If it is none; says why.
    """
    try:
        files, params = body["files"], body["params"]
        several_sources = any(len(file["sources"]) > 1 for file in files)
        job_type = "H" if params.get("multihop") else "R" if several_sources else "N"
        return Submission(
            job_id=_deterministic_id(params),
            fingerprint=hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest(),
            job_type=job_type,
            priority=int(params.get("priority") or _DEFAULT_PRIORITY),
            metadata=json.dumps(params.get("job_metadata")),
            files=tuple(_files(files, params, job_type)),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise SubmissionError(f"not a submission: {type(error).__name__} {error}") from error


def job_state(job_type: str, files: Sequence[tuple[int, str]]) -> str:
    """Return the state of a job from the index and state of each of its files."""
    states = {state for _, state in files}
    if states.intersection(_UNFINISHED):
        return "SUBMITTED" if states <= {"SUBMITTED", "NOT_USED"} else "ACTIVE"
    if "CANCELED" in states:
        return "CANCELED"
    finished = {index for index, state in files if state == "FINISHED"}
    if finished == {index for index, _ in files}:
        return "FINISHED"
    return "FINISHEDDIRTY" if finished and job_type != "H" else "FAILED"


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
        """Store a job and return its id, or that of an unfinished one of equal content.

        Raises:
            SubmissionError: There is a job with the id that its submitter chose.
        """
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM jobs WHERE id=?", (submission.job_id,)).fetchone():
                text = f"there is a job {submission.job_id} already"
                raise SubmissionError(text, HTTPStatus.CONFLICT)
            known = db.execute(
                "SELECT j.id FROM jobs j JOIN files f ON f.job_id=j.id"
                " WHERE j.fingerprint=? AND f.state IN ('SUBMITTED', 'ACTIVE')",
                (submission.fingerprint,),
            ).fetchone()
            if known:
                return str(known["id"])
            job_id = submission.job_id or str(uuid.uuid4())
            job = (job_id, submission.job_type, submission.fingerprint, submission.metadata, _now())
            db.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", job)
            db.executemany(
                "INSERT INTO files (job_id, file_index, state, priority, destination, copy,"
                " overwrite, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(job_id, file.index, file.state, submission.priority),
                        *(file.copy.destination, json.dumps(asdict(file.copy))),
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
        return Task(file["id"], Copy(**json.loads(file["copy"])), bool(file["overwrite"]))

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
        "source_surl": json.loads(file["copy"])["source"],
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


def _deterministic_id(params: Mapping[str, Any]) -> str | None:
    if params.get("id_generator") != "deterministic":
        return None
    return str(uuid.uuid5(uuid.uuid5(BASE_ID, VO), params["sid"]))


def _files(files: Sequence[Any], params: Mapping[str, Any], job_type: str) -> list[File]:
    if not files:
        raise SubmissionError("no files")
    if params.get("overwrite") and params.get("overwrite_when_only_on_disk"):
        raise SubmissionError("overwrite and overwrite_when_only_on_disk exclude each other")
    result: list[File] = []
    for index, file in enumerate(files):
        if not file["sources"] or len(file["destinations"]) != 1:
            raise SubmissionError("a file needs sources and exactly one destination")
        if job_type == "H" and len(file["sources"]) > 1:
            raise SubmissionError("a hop has exactly one source")
        _check_lengths(file)
        strict = bool(params.get("strict_copy"))
        last = index == len(files) - 1
        overwrite = params.get("overwrite") or (not last and params.get("overwrite_hop"))
        for number, source in enumerate(file["sources"]):
            copy = Copy(
                source=str(source).removesuffix("?"),
                destination=str(file["destinations"][0]),
                size_bytes=None if strict else file.get("filesize"),
                checksum=None if strict else file.get("checksum"),
                verify="none" if strict else _verify(params, file.get("checksum")),
                strict=strict,
            )
            waits = number > 0 or (job_type == "H" and index > 0)
            state = "NOT_USED" if waits else "SUBMITTED"
            metadata = json.dumps(file.get("metadata"))
            result.append(File(index, state, copy, bool(overwrite), metadata))
    return result


def _check_lengths(file: Mapping[str, Any]) -> None:
    """Refuse the whole job for one file that FTS cannot keep."""
    for url in map(str, (*file["sources"], *file["destinations"])):
        if not urlsplit(url).path.strip("/"):
            raise SubmissionError(f"Missing path: {readable(url)}")
        if len(url) > _URL_LENGTH:
            raise SubmissionError(f"a URL of {len(url)} characters; {_URL_LENGTH} are the most")
    if len(json.dumps(file.get("metadata"))) > _METADATA_LENGTH:
        text = f"metadata of more than {_METADATA_LENGTH} characters"
        raise SubmissionError(text, HTTPStatus.INTERNAL_SERVER_ERROR)
    if len(json.dumps(file.get("archive_metadata"))) > _ARCHIVE_LENGTH:
        raise SubmissionError(f"archive metadata of more than {_ARCHIVE_LENGTH} characters")


def _verify(params: Mapping[str, Any], checksum: str | None) -> str:
    value = params.get("verify_checksum")
    if not isinstance(value, str):
        return "both" if value else "target" if checksum else "none"
    if value not in ("both", "target", "source", "none"):
        raise SubmissionError(f"verify_checksum {value!r} is not known")
    return value
