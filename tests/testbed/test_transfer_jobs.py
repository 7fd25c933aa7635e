"""The transfer service's jobs: their order, their states, and the interface to them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from stac_testbed.transfers._jobs import job_state

from .support import CONTENT, entry, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import SimpleNamespace

    from tests.testbed.awkward import Origin
    from tests.testbed.support import Storage


PROMPTLY_S = 20  # on a busy machine; copies that are waited for go on until the test ends
NINE_KEYS = {
    *("file_state", "dest_surl", "finish_time", "start_time", "staging_start"),
    *("staging_finished", "reason", "source_surl", "file_metadata"),
}


# Jobs


def test_next_source_after_a_failure(transfers: Any, storage: Any, source: str, name: str) -> None:
    """Sources are tried in order until one succeeds; the rest is not used."""
    sources = [f"{source}.no", source.replace("plain", "cut"), source, f"{source}?spare"]
    job = transfers.run(
        entry(sources, f"{storage.url}/{name}"), job_metadata={"multi_sources": True}
    )
    assert (job.state, job.json["job_type"]) == ("FINISHED", "R")
    assert job.states == ["FAILED", "FAILED", "FINISHED", "NOT_USED"]
    assert [file["source_surl"] for file in job.json["files"]] == sources
    assert job.json["files"][3]["start_time"] is job.json["files"][3]["finish_time"] is None
    assert (storage.folder / name).read_bytes() == CONTENT


def test_no_source_left(transfers: Any, storage: Any, source: str, name: str) -> None:
    """When every source failed, the job has failed."""
    job = transfers.run(entry([f"{source}.1", f"{source}.2"], f"{storage.url}/{name}"))
    assert (job.state, job.states) == ("FAILED", ["FAILED", "FAILED"])


def test_hops_in_order(
    transfers: Any, plain: Storage, grid: Storage, source: str, name: str
) -> None:
    """Each hop of a multihop job starts from what the one before has brought."""
    middle, end = f"{plain.url}/{name}", f"{grid.url}/{name}"
    job = transfers.run(entry(source, middle), entry(middle, end), multihop=True)
    assert (job.state, job.json["job_type"]) == ("FINISHED", "H")
    assert job.states == ["FINISHED", "FINISHED"]
    assert (grid.folder / name).read_bytes() == CONTENT


def test_failed_hop(transfers: Any, plain: Storage, grid: Storage, source: str, name: str) -> None:
    """After a failed hop the others are not used."""
    middle, end = f"{plain.url}/{name}", f"{grid.url}/{name}"
    job = transfers.run(entry(f"{source}.no", middle), entry(middle, end), multihop=True)
    assert (job.state, job.states) == ("FAILED", ["FAILED", "NOT_USED"])


def test_hops_overwrite_only_in_between(
    transfers: Any, plain: Storage, grid: Storage, source: str, name: str
) -> None:
    """With overwrite_hop the files on the way are replaced, but not the last one."""
    for storage in (plain, grid):
        (storage.folder / name).write_bytes(b"old")
    middle, end = f"{plain.url}/{name}", f"{grid.url}/{name}"
    hops = entry(source, middle), entry(middle, end)
    job = transfers.run(*hops, multihop=True, overwrite=False, overwrite_hop=True)
    assert job.states == ["FINISHED", "FAILED"]
    assert (grid.folder / name).read_bytes() == b"old"


def test_some_files_fail(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """The files of a job succeed and fail each on its own."""
    good, bad = entry(source, f"{grid.url}/{name}"), entry(f"{source}.no", f"{grid.url}/x{name}")
    job = transfers.run(good, bad)
    assert (job.state, job.states) == ("FINISHEDDIRTY", ["FINISHED", "FAILED"])


@pytest.mark.parametrize(
    ("job_type", "files", "state"),
    [
        ("N", [(0, "SUBMITTED"), (1, "SUBMITTED")], "SUBMITTED"),
        ("N", [(0, "FINISHED"), (1, "SUBMITTED")], "ACTIVE"),
        ("N", [(0, "ACTIVE")], "ACTIVE"),
        ("N", [(0, "FINISHED"), (1, "FAILED")], "FINISHEDDIRTY"),
        ("N", [(0, "FINISHED"), (1, "CANCELED")], "CANCELED"),
        ("N", [(0, "FAILED")], "FAILED"),
        ("R", [(0, "SUBMITTED"), (0, "NOT_USED")], "SUBMITTED"),
        ("R", [(0, "FAILED"), (0, "SUBMITTED")], "ACTIVE"),
        ("R", [(0, "FAILED"), (0, "FINISHED"), (0, "NOT_USED")], "FINISHED"),
        ("R", [(0, "CANCELED"), (0, "NOT_USED")], "CANCELED"),
        ("H", [(0, "SUBMITTED"), (1, "NOT_USED")], "SUBMITTED"),
        ("H", [(0, "FINISHED"), (1, "FINISHED")], "FINISHED"),
        ("H", [(0, "FINISHED"), (1, "FAILED"), (2, "NOT_USED")], "FAILED"),
    ],
)
def test_job_states(job_type: str, files: list[tuple[int, str]], state: str) -> None:
    """The state of a job follows from the states of its files."""
    assert job_state(job_type, files) == state


# The interface


def test_answers_while_busy(
    busy: SimpleNamespace, transfers: Any, grid: Storage, source: str, name: str
) -> None:
    """Submissions and queries are answered at once however much there is to copy."""
    waiting = transfers.submit(entry(source, f"{grid.url}/{name}"))
    answer = transfers.get(waiting, *busy.ids)
    states = [job["job_state"] for job in answer.json()]
    assert states == ["SUBMITTED", "ACTIVE", "ACTIVE", "ACTIVE", "ACTIVE"]
    assert answer.elapsed.total_seconds() < PROMPTLY_S


def test_cancel(
    busy: SimpleNamespace, transfers: Any, plain: Storage, source: str, name: str
) -> None:
    """A canceled job ends at once, whether it waits or copies, and leaves no file."""
    waiting = transfers.submit(entry(source, f"{plain.url}/{name}"))
    for job_id in (waiting, busy.ids[0]):
        answer = transfers.cancel(job_id)
        assert answer.status_code == 200
        assert answer.json()["job_state"] == "CANCELED"
        assert answer.json()["http_status"] == "200 Ok"
    busy.release()
    assert transfers.ended(waiting).states == ["CANCELED"]
    assert transfers.ended(busy.ids[0]).states == ["CANCELED"]
    assert [transfers.ended(job_id).state for job_id in busy.ids[1:]] == ["FINISHED"] * 3
    assert not (plain.folder / name).exists()


def test_cancel_ends_the_copy(transfers: Any, storage: Any, origin: Origin, name: str) -> None:
    """A canceled copy ends in the middle, on all sides, and what was written is deleted."""
    origin.add(name, CONTENT)
    before = set(storage.folder.iterdir())
    file = entry(f"{origin.url}/endless/{name}", f"{storage.url}/{name}", filesize=None)
    job_id = transfers.submit(file)
    assert wait_for(lambda: set(storage.folder.iterdir()) > before)
    transfers.cancel(job_id)
    assert wait_for(lambda: f"HUNG UP /endless/{name}" in origin.seen)
    assert wait_for(lambda: set(storage.folder.iterdir()) == before)
    (file,) = transfers.get(job_id).json()["files"]
    assert (file["file_state"], file["reason"]) == ("CANCELED", "canceled on request")


def test_changes_come_too_late(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """Canceling or hurrying a job that has ended changes nothing and says so."""
    job_id = transfers.run(entry(source, f"{grid.url}/{name}")).json["job_id"]
    for answer in (transfers.cancel(job_id), transfers.prioritize(job_id, 5)):
        assert answer.status_code == 200
        assert answer.json()["http_status"] == "304 Not Modified"
        assert answer.json()["http_message"]
    assert (grid.folder / name).exists()


def test_priority(
    busy: SimpleNamespace, transfers: Any, grid: Storage, origin: Origin, name: str
) -> None:
    """Waiting jobs start in the order of their priorities, changed ones included."""
    # All have one destination, so only one of them is copied at a time.
    ids = {}
    for rank, priority in {"low": 1, "middle": 3, "high": 4, "changed": 1}.items():
        source = origin.add(f"{name}-{rank}", CONTENT)
        ids[rank] = transfers.submit(entry(source, f"{grid.url}/{name}"), priority=priority)
    answer = transfers.prioritize(ids["changed"], 5)
    assert answer.status_code == 200
    assert "http_message" in answer.json()
    busy.release()
    assert [transfers.ended(job_id).state for job_id in ids.values()] == ["FINISHED"] * 4
    asked = [line for line in origin.seen if line.startswith(f"GET /plain/{name}-")]
    assert asked == [f"GET /plain/{name}-{rank}" for rank in ("changed", "high", "middle", "low")]


def test_status(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """A job is shown with all the keys, states and times that Rucio reads."""
    file = entry(source, f"{grid.url}/{name}")
    query = "?files=" + ",".join(sorted(NINE_KEYS))
    job_id = transfers.run(file).json["job_id"]
    job = requests.get(f"{transfers.url}/jobs/{job_id}{query}", timeout=30).json()
    assert {key: job[key] for key in ("job_id", "http_status", "job_state", "job_type")} == {
        "job_id": job_id,
        "http_status": "200 Ok",
        "job_state": "FINISHED",
        "job_type": "N",
    }
    assert job["job_metadata"] == {"issuer": "rucio", "multi_sources": False}
    (shown,) = job["files"]
    assert shown.keys() >= NINE_KEYS
    assert shown["file_metadata"] == file["metadata"]
    assert shown["source_surl"] == source
    assert shown["dest_surl"] == f"{grid.url}/{name}"
    for key in ("start_time", "finish_time"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", shown[key])
    assert shown["staging_start"] is shown["staging_finished"] is None


def test_unknown_jobs(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """An unknown job is a JSON item: alone with status 404, among others with 207."""
    job_id = transfers.run(entry(source, f"{grid.url}/{name}")).json["job_id"]
    alone = transfers.get("nobody")
    assert alone.status_code == 404
    assert alone.json()["http_status"] == "404 Not Found"
    assert alone.json()["http_message"]
    several = transfers.get(job_id, "nobody")
    assert several.status_code == 207
    assert [item["http_status"] for item in several.json()] == ["200 Ok", "404 Not Found"]
    for answer in (transfers.cancel("nobody"), transfers.prioritize("nobody", 5)):
        assert answer.status_code == 404
        assert answer.json()["http_status"] == "404 Not Found"


@pytest.mark.usefixtures("busy")
def test_same_submission_twice(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """A submission that is repeated while its job is unfinished is answered with that job."""
    file = entry(source, f"{grid.url}/{name}")
    job_id = transfers.submit(file)
    assert transfers.submit(file) == job_id
    assert transfers.submit(entry(source, f"{grid.url}/{name}")) != job_id


def test_same_id_twice(transfers: Any, grid: Storage, source: str, name: str) -> None:
    """An id that its submitter chose is taken once."""
    file = entry(source, f"{grid.url}/{name}")
    params = {"id_generator": "deterministic", "sid": name, "overwrite": True}
    job_id = transfers.submit(file, **params)
    body = {"files": [file], "params": params}
    answer = requests.post(f"{transfers.url}/jobs", json=body, timeout=30)
    assert answer.status_code == 409
    assert transfers.ended(job_id).state == "FINISHED"


_FILE = {"sources": ["http://h/a"], "destinations": ["http://h/b"]}


def _body(*, files: Any = ({},), **params: Any) -> str:
    return json.dumps({"files": [{**_FILE, **file} for file in files], "params": params})


@pytest.mark.parametrize(
    ("more", "params", "status"),
    [
        ({"sources": ["https://h"]}, {}, 400),
        ({"sources": ["https://h/"]}, {}, 400),
        ({"sources": ["https://h/?q=1"]}, {}, 400),
        ({"sources": ["https://h/" + "x" * 1091]}, {}, 400),
        ({"metadata": "x" * 4095}, {}, 500),
        ({"archive_metadata": "x" * 1023}, {}, 400),
        ({}, {"overwrite": True, "overwrite_when_only_on_disk": True}, 400),
    ],
)
def test_refused_submissions(
    transfers: Any, more: dict[str, Any], params: dict[str, Any], status: int
) -> None:
    """One file that FTS cannot keep refuses the whole job, with the other files in it."""
    body = _body(files=({}, more), **params)
    answer = requests.post(f"{transfers.url}/jobs", data=body, timeout=30)
    assert answer.status_code == status
    assert answer.json()["http_message"]


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "[]",
        "{}",
        _body(files=()),
        _body(files=({"sources": []},)),
        _body(files=({"destinations": []},)),
        _body(files=({"sources": ["http://h/a", "http://h/b"]},), multihop=True),
        _body(verify_checksum="maybe"),
    ],
)
def test_malformed_submissions(transfers: Any, body: str) -> None:
    """What is no submission is refused in JSON."""
    answer = requests.post(f"{transfers.url}/jobs", data=body, timeout=30)
    assert answer.status_code == 400
    assert answer.json()["http_message"]


def test_restart(
    start_transfers: Callable[..., Any], tmp_path: Path, storage: Any, origin: Origin, name: str
) -> None:
    """A service stops promptly in the middle of a copy; its successor completes the job.

    The successor may start before the other has ended: until then it only answers.
    """
    origin.add(name, CONTENT)
    first = start_transfers(tmp_path)
    file = entry(f"{origin.url}/slow/{name}", f"{storage.url}/{name}")
    job_id = first.submit(file, overwrite=False)
    assert wait_for(lambda: origin.gets(f"/slow/{name}"))
    second = start_transfers(tmp_path)
    assert second.get(job_id).json()["job_state"] == "ACTIVE"
    assert origin.gets(f"/slow/{name}") == 1
    assert first.server.stop() < PROMPTLY_S
    assert wait_for(lambda: origin.gets(f"/slow/{name}") == 2)
    origin.gate.set()
    job = second.ended(job_id)
    assert job.state == "FINISHED", job.reasons
    assert (storage.folder / name).read_bytes() == CONTENT
    assert second.server.stop() < PROMPTLY_S
