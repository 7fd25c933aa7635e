"""Rucio's own FTS client drives the transfer service."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .support import ADLER32, CONTENT, entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.testbed.support import Storage


@pytest.fixture(scope="module")
def rucio(transfers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Call Rucio's FTS client in a process of its own."""
    config = tmp_path_factory.mktemp("rucio") / "rucio.cfg"
    config.write_text(
        "[common]\n[database]\ndefault = sqlite://\n[conveyor]\ntransfertool = fts3\n"
    )
    command = [sys.executable, str(Path(__file__).with_name("rucio_fts.py"))]
    with subprocess.Popen(  # noqa: S603 - our own script
        command,
        env={"RUCIO_CONFIG": str(config)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        into, out_of = process.stdin, process.stdout

        def call(name: Any, **arguments: Any) -> Any:
            into.write(json.dumps({"call": name, "host": transfers.url, **arguments}) + "\n")
            into.flush()
            return json.loads(out_of.readline())

        yield call
        into.close()


@pytest.fixture
def transfer(source: str, grid: Storage, name: str) -> dict[Any, Any]:
    """What Rucio knows of a transfer from an HTTP origin to a storage."""
    return {
        "request_id": uuid.uuid4().hex,
        "source": source,
        "destination": f"{grid.url}/{name}",
        "src_attributes": {"supported_checksums": "none"},
        "dst_attributes": {},
        "size_bytes": len(CONTENT),
        "adler32": ADLER32.removeprefix("ADLER32:"),
    }


def poll(rucio: Callable[..., Any], job_id: Any, request_id: Any, **request: Any) -> Any:
    """Let Rucio read a job; returns what it would write into its database."""
    request = {"external_id": job_id, "state": "SUBMITTED", "attributes": {}, **request}
    return rucio("bulk_query", requests={job_id: {request_id: request}})[job_id]


def test_rucio_submits_and_polls(
    rucio: Callable[..., Any], transfer: dict[Any, Any], transfers: Any, grid: Storage, name: str
) -> None:
    """Rucio's client submits a transfer and reads of its success, times included."""
    job_id = rucio("submit", **transfer)
    assert transfers.ended(job_id).state == "FINISHED"
    assert (grid.folder / name).read_bytes() == CONTENT
    updates = poll(rucio, job_id, transfer["request_id"])[transfer["request_id"]]
    assert updates["state"] == "DONE"
    assert updates["external_id"] == job_id
    assert updates["source_rse_id"] == "src-id"
    assert re.fullmatch(r"[\d-]{10} [\d:]{8}", updates["started_at"])
    assert re.fullmatch(r"[\d-]{10} [\d:]{8}", updates["transferred_at"])
    assert rucio("query", job_id=job_id)[0]["job_state"] == "FINISHED"


def test_rucio_reads_of_failures(
    rucio: Callable[..., Any], transfer: dict[Any, Any], transfers: Any
) -> None:
    """Rucio's client reads why a transfer failed, and that one it never submitted is lost."""
    job_id = rucio("submit", **{**transfer, "adler32": "00000bad"})
    assert transfers.ended(job_id).state == "FAILED"
    updates = poll(rucio, job_id, transfer["request_id"])[transfer["request_id"]]
    assert updates["state"] == "FAILED"
    assert "checksum do not match (00000bad != " in updates["err_msg"]
    lost: dict[str, dict[str, str]] = {job_id: {}, str(uuid.uuid4()): {}}
    assert list(rucio("bulk_query", requests=lost).values()) == [{}, "LOST"]
    assert list(rucio("bulk_query", requests={"nobody": {}}).values()) == ["LOST"]


def test_rucio_polls_a_hundred_jobs(
    rucio: Callable[..., Any], transfers: Any, grid: Storage, source: str, name: str
) -> None:
    """As many jobs as Rucio asks for at once are answered in one go."""
    wanted = {}
    for number in range(100):
        file = entry(source, f"{grid.url}/{name}/{number}")
        job_id = transfers.submit(file)
        request = {"external_id": job_id, "state": "SUBMITTED"}
        wanted[job_id] = {file["metadata"]["request_id"]: request}
    for job_id in wanted:
        transfers.ended(job_id)
    answers = rucio("bulk_query", requests=wanted)
    assert answers.keys() == wanted.keys()
    states = [update["state"] for job in answers.values() for update in job.values()]
    assert states == ["DONE"] * 100


@pytest.mark.usefixtures("busy")
def test_rucio_hurries_and_cancels(
    rucio: Callable[..., Any], transfers: Any, grid: Storage, source: str, name: str
) -> None:
    """Rucio's client changes the priority of a waiting job and cancels it."""
    file = entry(source, f"{grid.url}/{name}")
    job_id = transfers.submit(file)
    assert rucio("update_priority", job_id=job_id)["http_message"] is None
    assert transfers.get(job_id).json()["priority"] == 5
    assert rucio("cancel", job_id=job_id)["job_state"] == "CANCELED"
    request_id = file["metadata"]["request_id"]
    assert poll(rucio, job_id, request_id)[request_id]["state"] == "FAILED"


def test_rucio_foretells_job_ids(
    rucio: Callable[..., Any], transfer: dict[Any, Any], transfers: Any
) -> None:
    """With deterministic ids the job gets the id that Rucio computes, once."""
    who = rucio("whoami")
    root = uuid.uuid5(uuid.UUID(who["base_id"]), who["vos"][0])
    expected = str(uuid.uuid5(root, transfer["request_id"]))
    assert rucio("submit", deterministic=True, **transfer) == expected
    assert transfers.ended(expected).state == "FINISHED"
