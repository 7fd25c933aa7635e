"""Where a benchmark runs: a lake, a folder, and counted requests."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from psutil import NoSuchProcess
from requests import Session

from stac_testbed import STORAGE_RSES
from tests.items import ADLER32

from .items import SIZE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from psutil import Process
    from requests import PreparedRequest, Response
    from rucio.client import Client

    from stac_policy.naming import DID
    from stac_testbed import Lake

    from .sizes import Size

SOURCE_RSE = "STAC"
COPY_RSES = tuple(STORAGE_RSES.values())

_numbers = count(1)


@dataclass(frozen=True)
class Setting:
    """What a benchmark may use."""

    size: Size
    folder: Path
    """For its files."""
    running: Lake | None = None

    @property
    def lake(self) -> Lake:
        """The lake of a benchmark that needs one."""
        assert self.running is not None, "this benchmark needs a lake"  # noqa: S101 - ours to give
        return self.running

    @property
    def database(self) -> str:
        """Where the lake's Rucio server keeps its data."""
        if self.running is None:
            return ""
        return "SQLite" if self.running.layout.schema is None else "PostgreSQL"

    @property
    def batch(self) -> int:
        """How many DIDs the bare sides put in one request: as many as the database takes."""
        return 500 if self.database == "SQLite" else 1000

    @property
    def servers_busy_s(self) -> float:
        """The processor time so far of the lake's Rucio server and database, in seconds."""
        return sum(busy_s(self.lake, service) for service in ("rucio-server", "postgresql"))

    def new_collection(self, client: Client) -> str:
        """The id of a new collection, with its scope."""
        name = f"bench-{os.getpid()}-{next(_numbers)}"
        client.add_scope("root", name)
        return name

    def add_copies(self, client: Client, dids: Iterable[DID]) -> None:
        """Declare copies of files at both storages."""
        add_copies(client, [*dids], COPY_RSES, self.batch)

    def run_module(self, name: str, *arguments: str, server: bool = False) -> str:
        """Run one of these modules as a process of its own, as a client of the lake.

        Args:
            name: Of the module.
            arguments: What it gets.
            server: Whether it shall be a part of the Rucio server.

        Returns:
            What it writes.
        """
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        environment = {**os.environ, **self.environment(server=server)}
        result = subprocess.run(
            command,
            cwd=Path(__file__).parent.parent,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return result.stdout

    def environment(self, *, server: bool = False) -> dict[str, str]:
        """What leads a process to the lake."""
        if server:
            return {"RUCIO_CONFIG": str(self.lake.layout.server_cfg)}
        return self.lake.environment() if self.running is not None else {}


def cut(values: list[Any], size: int) -> list[list[Any]]:
    """Cut a list into shorter ones."""
    return [values[start : start + size] for start in range(0, len(values), size)]


@contextmanager
def requests_of(client: Client) -> Iterator[list[str]]:
    """Write down the requests to the server of a Rucio client, whichever copy of it sends them."""
    sent: list[str] = []
    send = Session.send

    def write_down(session: Session, request: PreparedRequest, **options: Any) -> Response:
        if str(request.url).startswith(client.host):
            sent.append(f"{request.method} {request.path_url}")
        return send(session, request, **options)

    with patch.object(Session, "send", write_down):
        yield sent


def add_copies(client: Client, dids: Sequence[DID], rses: Sequence[str], batch: int) -> None:
    """Declare copies of files at RSEs; nothing is moved."""
    files = [{**did._asdict(), "bytes": SIZE_BYTES, "adler32": ADLER32} for did in dids]
    for rse in rses:
        for part in cut(files, batch):
            client.add_replicas(rse, part)


def busy_s(lake: Lake, service: str) -> float:
    """The processor time so far of a service of a lake, in seconds."""
    return sum(_times_s(process) for process in processes_of(lake, service))


def processes_of(lake: Lake, service: str) -> Iterator[Process]:
    """Yield the processes of a service of a lake."""
    for each in lake.processes:
        if each.name == service and (first := each.find()):
            yield from (first, *first.children(recursive=True))


def _times_s(process: Process) -> float:
    try:
        times = process.cpu_times()
    except NoSuchProcess:  # it has ended meanwhile; its parent now has its time
        return 0.0
    return sum((times.user, times.system, times.children_user, times.children_system))


def peak_mb(process: int | str = "self") -> float:
    """The most memory that a process, by default this one, has held so far, in MB."""
    for line in Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell VmHWM")
