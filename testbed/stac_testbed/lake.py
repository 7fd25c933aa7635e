"""A whole Rucio data lake on one machine, in one folder."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING

from stac_policy.naming import collection_scope

from . import TestbedError, configuration, postgresql, processes, services, xrootd
from ._tls import make_certificates
from .layout import (
    ACCOUNTS,
    FOLDER,
    ORIGINS,
    STORAGE_PREFIX,
    STORAGES,
    USER,
    WITH_TLS,
    Layout,
)
from .scenes import Origin, make_catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from rucio.client import Client
    from typing_extensions import Self

    from .processes import RunningProcess, Service

_READY_TIMEOUT_S = 120.0


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
        """Return a Rucio client for one of the lake's accounts; it needs no rucio.cfg.

        Args:
            account: `root`, `alice` (an ordinary user) or `registrar`, who may
                register STAC assets.

        Raises:
            TestbedError: Rucio takes it for another account.
        """
        from rucio.client import Client as RucioClient

        layout = self.layout

        class LakeClient(RucioClient):  # type: ignore[misc] # rucio has no types
            """Keeps its token in the lake, whatever lake or account a rucio.cfg is for."""

            def _get_auth_tokens(self) -> tuple[str, str, str, str]:
                token = layout.token_file(self.account)
                return str(token), f"{token}-until", str(token), str(token.parent)

        client = LakeClient(
            rucio_host=self.rucio_url,
            auth_host=self.rucio_url,
            account=account,
            auth_type="userpass",
            creds={"username": account, "password": self.layout.passwords[account]},
        )
        if (known := client.whoami()["account"]) != account:
            raise TestbedError(f"Rucio takes a client of account {account} for one of {known}")
        return client

    def environment(self, account: str = "root") -> dict[str, str]:
        """Return environment variables with which Rucio's commands, and the test bed's, find it."""
        return {
            "RUCIO_CONFIG": str(self.layout.client_cfg(account)),
            "STAC_API": self.stac_url,
            FOLDER: str(self.layout.folder.absolute()),
            **self.layout.trust,
        }

    def run(self, *daemons: str) -> None:
        """Run some of Rucio's daemons that a lake does not run by itself, once, in this order.

        The others look at once whether what they change gives them work.

        Args:
            daemons: Names of `stac_testbed.services.LIFECYCLE`, such as `reaper`.

        Raises:
            TestbedError: One failed.
        """
        processes.run(services.lifecycle(self.layout, daemons), self.layout.logs)

    def keep(self) -> None:
        """Let a lake that was started here outlive this process."""
        processes.keep(self.processes)

    def stop(self) -> None:
        """Stop everything that was started; the files and the database stay."""
        databases = [process for process in self.processes if process.name == postgresql.NAME]
        processes.stop(process for process in self.processes if process not in databases)
        processes.stop(databases)
        self.layout.processes_file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove a lake that was stopped: its folder, and what it has made outside of it.

        Raises:
            TestbedError: The database does not let it.
        """
        self.remove_outside()
        shutil.rmtree(self.layout.folder)

    def remove_outside(self) -> None:
        """Remove what a lake that was stopped has made outside its folder, and leave its logs.

        That is its schema in a PostgreSQL database, and the files of servers of its own
        that must not run as root.

        Raises:
            TestbedError: The database does not let it.
        """
        for server in (self.layout.cluster, self.layout.xrootd):
            if server is not None:
                server.remove()
        if self.layout.schema is not None and self.layout.cluster is None:
            self.layout.schema.drop()


def bypass_proxies() -> None:
    """Have this process reach lakes past any proxy: they are on the loopback interface."""
    for variable in ("NO_PROXY", "no_proxy"):
        os.environ[variable] = ",".join(filter(None, [os.environ.get(variable), "127.0.0.1"]))


def start(
    folder: Path,
    *,
    database: str | None = None,
    storage: str | None = None,
    gateway: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Lake:
    """Make a lake in a folder and start it, or start the one that lies there.

    It is stopped when this process ends, however that happens, unless it is kept.

    Args:
        folder: Holds all state and logs; new, empty, or that of a stopped lake.
        database: Where the Rucio server of a new lake keeps its data: the URL of a
            PostgreSQL database, in which the lake makes a schema of its own, or
            `postgresql` for a server that the lake starts itself. By default it is an
            SQLite file.
        storage: `xrootd` for XRootD as the first of a new lake's storages.
        gateway: Let a new lake have a private bucket, and a credential gateway with its keys.
        report: Called with a sentence whenever something has been achieved.

    Raises:
        TestbedError: The folder holds something else or a lake that runs, or a
            part did not start. All that had been started is stopped again.
    """
    if Layout.is_in(folder):
        if gateway or database is not None or storage is not None:
            raise TestbedError(
                f"the lake in {folder} has its database, storages and gateway or none; "
                "start it again without naming any"
            )
        layout = _stopped(folder)
    else:
        if storage not in (None, xrootd.NAME):
            raise TestbedError(f"{storage} is no storage of a lake; give {xrootd.NAME}, or none")
        if database not in (None, postgresql.NAME):
            postgresql.check_database(database)
        layout = Layout.create(folder, database=database, storage=storage)
        if gateway:
            configuration.write_gateway(layout)
    new = not layout.complete_file.exists()
    with _Starting(layout) as starting:
        with ThreadPoolExecutor() as executor:
            database_ready = executor.submit(_start_database, layout, starting, new=new)
            if new:
                make_certificates(layout.tls, layout.logs, *WITH_TLS, USER)
            if new and layout.xrootd is not None:
                layout.xrootd.make(STORAGE_PREFIX, layout.tls, STORAGES[0])
            starting.start(*services.files(layout))
            if new:
                origins = [Origin(layout.data(name), layout.url(name)) for name in ORIGINS]
                catalogue = make_catalogue(layout.catalogue, origins)
                report(f"catalogue of {len(catalogue.items)} items made")
            database_ready.result()
        starting.start(services.rucio_server(layout), *services.stac(layout))
        starting.start(*services.gateway(layout))
        starting.wait()
        report("Rucio server, STAC API, origins, storages and transfer service answer")
        lake = starting.lake
        if new:
            scopes = map(collection_scope, lake.collections)
            configuration.provision(lake.client(), layout, scopes)
            report("accounts, scopes and RSEs set up")
        starting.start(services.rucio_daemons(layout))
        layout.complete_file.touch()
    return starting.lake


def _stopped(folder: Path) -> Layout:
    lake = load(folder)
    if any(process.find() for process in lake.processes):
        raise TestbedError(f"the lake in {folder} runs already")
    if not lake.layout.complete_file.exists():
        raise TestbedError(f"the lake in {folder} was never completed; remove the folder")
    return lake.layout


@contextmanager
def running(
    folder: Path,
    *,
    database: str | None = None,
    storage: str | None = None,
    gateway: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Lake]:
    """Start a lake as `start` does, and stop it in the end."""
    lake = start(folder, database=database, storage=storage, gateway=gateway, report=report)
    try:
        yield lake
    finally:
        lake.stop()


def load(folder: Path) -> Lake:
    """Return the lake that lies in a folder.

    Raises:
        TestbedError: There is none.
    """
    layout = Layout.load(folder)
    file = layout.processes_file
    content = json.loads(file.read_text()) if file.exists() else []
    return Lake(layout, tuple(processes.RunningProcess(**process) for process in content))


class _Starting:
    """Services as they are started, each written down at once so that none is ever lost.

    If anything goes wrong meanwhile, all of them are stopped.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._started: list[tuple[Service, RunningProcess]] = []
        self._lock = Lock()  # the database is made in a thread of its own

    @property
    def lake(self) -> Lake:
        """The lake as far as it has been started."""
        return Lake(self._layout, tuple(process for _, process in self._started))

    def start(self, *services: Service) -> None:
        for service in services:
            with self._lock:
                self._started.append((service, processes.start(service, self._layout.logs)))
                content = json.dumps([asdict(process) for process in self.lake.processes])
                self._layout.processes_file.write_text(content)

    def wait(self) -> None:
        for service, process in self._started:
            processes.wait_until_ready(service, process, self._layout.logs, _READY_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.lake.stop()


def _start_database(layout: Layout, starting: _Starting, *, new: bool) -> None:
    if layout.cluster is not None:
        if new:
            layout.cluster.make(layout.logs)
        starting.start(layout.cluster.service)
    if layout.schema is not None:
        layout.schema.wait(_READY_TIMEOUT_S)
    if not new:
        return
    if layout.schema is not None:
        layout.schema.create()
    configuration.write_server(layout)
    for account in ACCOUNTS:
        configuration.write_client(layout, account)
    processes.run(services.database(layout), layout.logs)
