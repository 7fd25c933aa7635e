"""A whole Rucio data lake on one machine, in one folder."""

from __future__ import annotations

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stac_policy.naming import collection_scope

from . import configuration, processes, services
from .errors import TestbedError
from .layout import ACCOUNTS, ORIGINS, Layout
from .provision import provision
from .scenes import Origin, make_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rucio.client import Client
    from typing_extensions import Self

    from .processes import RunningProcess, Service

_READY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Lake:
    """A running lake: a Rucio server and daemons, a STAC API, origins, storages, transfers."""

    layout: Layout
    processes: tuple[RunningProcess, ...]
    """The processes that were started for it, running or not."""

    @property
    def stac_url(self) -> str:
        """URL of the STAC API."""
        return self.layout.url("stac-api")

    @property
    def rucio_url(self) -> str:
        """URL of the Rucio server, which is its authentication server too."""
        return self.layout.url("rucio-server")

    @property
    def collections(self) -> list[str]:
        """The collections of its catalogue."""
        return [path.stem for path in self.layout.collection_files]

    @property
    def is_running(self) -> bool:
        """Whether all its processes run."""
        return bool(self.processes) and all(process.find() for process in self.processes)

    def client(self, account: str = "root") -> Client:
        """Make a Rucio client for one of the lake's accounts; it needs no rucio.cfg.

        Args:
            account: `root`, `alice` (an ordinary user) or `registrar`, who may
                register STAC assets.
        """
        from rucio.client import Client as RucioClient

        tokens = f"{self.layout.tokens}/"

        class LakeClient(RucioClient):  # type: ignore[misc] # rucio has no types
            """Keeps its tokens in the lake, where no other server's overwrite them."""

            TOKEN_PATH_PREFIX = tokens

        return LakeClient(
            rucio_host=self.rucio_url,
            auth_host=self.rucio_url,
            account=account,
            auth_type="userpass",
            creds={"username": account, "password": self.layout.passwords[account]},
        )

    def environment(self, account: str = "root") -> dict[str, str]:
        """Environment variables with which Rucio's commands find the lake."""
        return {
            "RUCIO_CONFIG": str(self.layout.client_cfg(account)),
            "STAC_API": self.stac_url,
        }

    def stop(self) -> None:
        """Stop everything that was started; the files stay."""
        processes.stop(self.processes)
        self.layout.processes_file.unlink(missing_ok=True)


def start(folder: Path, *, report: Callable[[str], None] = lambda _: None) -> Lake:
    """Make a lake in a folder and start it, or start the one that lies there.

    Args:
        folder: Holds all state and logs; new, empty, or that of a stopped lake.
        report: Called with a sentence whenever something has been achieved.

    Raises:
        TestbedError: The folder holds something else or a lake that runs, or a
            part did not start. All that had been started is stopped again.
    """
    if Layout.is_in(folder):
        return _resume(folder)
    layout = Layout.create(folder)
    with _Starting(layout) as starting:
        with ThreadPoolExecutor() as executor:
            database = executor.submit(_make_database, layout)
            starting.start(*services.files(layout))
            origins = [Origin(layout.data(name), layout.url(name)) for name in ORIGINS]
            catalogue = make_catalogue(layout.catalogue, origins)
            report(f"catalogue of {len(catalogue.items)} items made")
            database.result()
        starting.start(services.rucio_server(layout), services.stac(layout))
        starting.wait()
        report("Rucio server, STAC API, origins, storages and transfer service answer")
        lake = starting.lake
        provision(lake.client(), layout, map(collection_scope, lake.collections))
        starting.start(services.rucio_daemons(layout))
        report("accounts, scopes and RSEs set up, daemons started")
        layout.complete_file.touch()
    return starting.lake


def _resume(folder: Path) -> Lake:
    lake = load(folder)
    if any(process.find() for process in lake.processes):
        raise TestbedError(f"the lake in {folder} runs already")
    layout = lake.layout
    if not layout.complete_file.exists():
        raise TestbedError(f"the lake in {folder} was never completed; remove the folder")
    with _Starting(layout) as starting:
        starting.start(
            *services.files(layout),
            services.rucio_server(layout),
            services.stac(layout),
            services.rucio_daemons(layout),
        )
        starting.wait()
    return starting.lake


@contextmanager
def running(folder: Path, *, report: Callable[[str], None] = lambda _: None) -> Iterator[Lake]:
    """Start a lake as `start` does, and stop it in the end."""
    lake = start(folder, report=report)
    try:
        yield lake
    finally:
        lake.stop()


def load(folder: Path) -> Lake:
    """Find the lake that lies in a folder.

    Raises:
        TestbedError: There is none.
    """
    layout = Layout.load(folder)
    return Lake(layout, _read_processes(layout))


class _Starting:
    """Services as they are started, each written down at once so that none is ever lost.

    If anything goes wrong meanwhile, all of them are stopped.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._started: list[tuple[Service, RunningProcess]] = []

    @property
    def lake(self) -> Lake:
        """The lake as far as it has been started."""
        return Lake(self._layout, tuple(process for _, process in self._started))

    def start(self, *services: Service) -> None:
        for service in services:
            self._started.append((service, processes.start(service, self._layout.logs)))
            content = [
                {"name": process.name, "pid": process.pid, "created_s": process.created_s}
                for process in self.lake.processes
            ]
            self._layout.processes_file.write_text(json.dumps(content))

    def wait(self) -> None:
        for service, process in self._started:
            processes.wait_until_ready(service, process, self._layout.logs, _READY_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.lake.stop()


def _read_processes(layout: Layout) -> tuple[RunningProcess, ...]:
    if not layout.processes_file.exists():
        return ()
    content = json.loads(layout.processes_file.read_text())
    return tuple(processes.RunningProcess(**process) for process in content)


def _make_database(layout: Layout) -> None:
    configuration.write_server(layout)
    for account in ACCOUNTS:
        configuration.write_client(layout, account)
    result = subprocess.run(
        services.database_command(),
        env={**os.environ, "RUCIO_CONFIG": str(layout.server_cfg)},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no output"]
        raise TestbedError(f"the database of the Rucio server could not be made: {lines[-1]}")
