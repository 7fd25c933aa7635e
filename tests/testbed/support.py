"""Real servers for the tests of storages and of the transfer service, and a client for it."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import uuid
import zlib
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CONTENT = bytes(range(256)) * 4096
ADLER32 = f"ADLER32:{zlib.adler32(CONTENT):08x}"
_ENDED = ("FINISHED", "FINISHEDDIRTY", "FAILED", "CANCELED")


def wait_for(condition: Any, seconds: float = 60.0) -> Any:
    """Return the first true value of a condition, or its last value when time is up."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value


@contextmanager
def listening(command: Sequence[str], port: int, log_path: Path) -> Iterator[str]:
    """Run a server that listens on a port, and give its URL."""

    def is_there() -> bool:
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return process.poll() is not None

    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own server
    try:
        assert wait_for(is_there), log_path.read_text()
        assert process.poll() is None, log_path.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


class Server:
    """A gunicorn process of the application under test."""

    def __init__(self, application: Any, folder: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._error_log, self._access_log = folder / "error.log", folder / "access.log"
        self._error_log.write_text("")
        command = [
            *(sys.executable, "-m", "gunicorn", "--no-control-socket"),
            *("--bind", "127.0.0.1:0", "--workers", "1", "--threads", "8"),
            *("--error-logfile", str(self._error_log), "--capture-output"),
            *("--access-logfile", str(self._access_log)),
            *("--access-logformat", "%(m)s %(s)s %(U)s", application),
        ]
        self.process = subprocess.Popen(command)  # noqa: S603 - our own server
        listening = re.compile(r"Listening at: (http://127\.0\.0\.1:\d+)")
        found = wait_for(lambda: listening.search(self._error_log.read_text()))
        assert found, self._error_log.read_text()
        self.url = found[1]
        requests.get(self.url, timeout=60)  # answered once the application is loaded

    def stop(self) -> float:
        """Stop the server as a process manager does; return how many seconds it took."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=40)
        return time.monotonic() - start

    def log(self) -> Any:
        """Return what the server and its application have logged."""
        return self._error_log.read_text()

    def answered(self, path: str) -> list[Any]:
        """Return ``METHOD STATUS`` of every request for a path so far."""
        lines = [line.split(" ", 2) for line in self._access_log.read_text().splitlines()]
        return [f"{method} {status}" for method, status, asked in lines if asked == path]

    def has_answered(self, path: str, *lines: Any) -> bool:
        """Tell whether it answered a path so; it logs that after the answer, by any thread."""
        deadline = time.monotonic() + 60
        while not (found := {*lines} <= {*self.answered(path)}) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


@dataclass
class Storage:
    """A running storage and the folder it serves."""

    server: Server
    folder: Path

    @property
    def url(self) -> Any:
        """Where it answers."""
        return self.server.url

    def ways(self, path: str) -> list[Any]:
        """Return how bytes were sent to a path: the COPY and PUT requests and their status."""
        return [line for line in self.server.answered(path) if line[:4] in ("COPY", "PUT ")]


def start_storage(base: Path, *, third_party_copy: bool, digests: bool = True) -> Storage:
    """Start a storage in a folder."""
    folder = base / "served"
    options = f"{third_party_copy=}, {digests=}"
    application = f"stac_testbed.files:create_storage({str(folder)!r}, {options})"
    return Storage(Server(application, base), folder)


class Transfers:
    """A running transfer service and what a client does with it."""

    def __init__(self, folder: Any, log_folder: Any) -> None:
        application = f"stac_testbed.transfers:create_app({str(folder)!r})"
        self.server = Server(application, log_folder)
        self.url = self.server.url

    def configure(self, url: str, **said: str) -> None:
        """Configure a storage, as an administrator of FTS does."""
        body = {url: {"se_info": said}}
        requests.post(f"{self.url}/config/se", json=body, timeout=30).raise_for_status()

    def submit(self, *files: Any, **params: Any) -> Any:
        """Submit files; return the id of the job."""
        metadata = {"issuer": "rucio", "multi_sources": False}
        defaults = {"verify_checksum": "target", "overwrite": True, "job_metadata": metadata}
        body = {"files": files, "params": {**defaults, **params}}
        answer = requests.post(f"{self.url}/jobs", json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()["job_id"]

    def get(self, *job_ids: Any) -> requests.Response:
        """Ask for jobs; return the answer."""
        return requests.get(f"{self.url}/jobs/{','.join(job_ids)}", timeout=30)

    def cancel(self, job_id: Any) -> requests.Response:
        """Cancel a job; return the answer."""
        return requests.delete(f"{self.url}/jobs/{job_id}", timeout=30)

    def prioritize(self, job_id: Any, priority: Any) -> requests.Response:
        """Set the priority of a job; return the answer."""
        body = {"params": {"priority": priority}}
        return requests.post(f"{self.url}/jobs/{job_id}", json=body, timeout=30)

    def ended(self, job_id: Any) -> SimpleNamespace:
        """Wait for a job to end; return it with the states and reasons of its files."""

        def look() -> Any:
            job = self.get(job_id).json()
            return job if job["job_state"] in _ENDED else None

        job = wait_for(look)
        assert job, f"job {job_id} does not end"
        states = [file["file_state"] for file in job["files"]]
        reasons = [file["reason"] for file in job["files"]]
        return SimpleNamespace(state=job["job_state"], states=states, reasons=reasons, json=job)

    def run(self, *files: Any, **params: Any) -> SimpleNamespace:
        """Submit files and wait for the job to end."""
        return self.ended(self.submit(*files, **params))


def entry(sources: Any, destination: Any, **more: Any) -> dict[Any, Any]:
    """Return a file to submit, with the right size and checksum unless told otherwise."""
    sources = [sources] if isinstance(sources, str) else sources
    file = {"sources": sources, "destinations": [destination], "filesize": len(CONTENT)}
    metadata = {"request_id": uuid.uuid4().hex, "scope": "eo", "name": "/c/ä"}
    return {**file, "checksum": ADLER32, "metadata": metadata, **more}
