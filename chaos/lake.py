"""What all runs share: a lake, and what faults of transfers and of servers need besides."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import requests

import stac_client._registration
import stac_client._rucio
import stac_policy.http
from stac_testbed import Lake, configuration, processes, services

from .check import Rucio
from .proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START_S = 180.0
RSES = {"FAULTY-A": "storage-a", "FAULTY-B": "storage-b"}
"""RSEs behind proxies, with the storages that they are at; the first one fetches by itself."""
PREFIX = "/faulty/"
_ALL = {"read": 1, "write": 1, "delete": 1}


def be_quick() -> None:
    """Shorten the pauses and time limits of stac_client, and its batches: all else stays."""
    for module, name, value in (
        (stac_client._registration, "REQUEST_DIDS", 5),
        (stac_client._rucio, "RETRY_S", 0.5),
        (stac_policy.http, "TIMEOUT_S", (10, 10)),
        (stac_policy.http, "_FIRST_PAUSE_S", 0.1),
    ):
        getattr(module, name)  # what is not there any more must not be set
        setattr(module, name, value)


@dataclass
class Bed:
    """What all runs share."""

    lake: Lake
    folder: Path
    rucio: Rucio
    """For the independent check."""
    transfers: Proxy
    storages: dict[str, Proxy]
    """By RSE."""
    server: KillableServer

    def through(self, proxy_url: Any) -> Lake:
        """The lake as seen through a proxy in front of its Rucio server."""
        port = int(proxy_url.rpartition(":")[2])
        layout = replace(self.lake.layout, ports={**self.lake.layout.ports, "rucio-server": port})
        return Lake(layout, self.lake.processes)

    def client(self, url: Any, timeout_s: Any) -> Any:
        """A Rucio client that asks a URL."""
        client = self.through(url).client()
        client.timeout = timeout_s
        return client

    def storage(self, rse: Any) -> Path:
        """The folder that the storage of an RSE serves."""
        return self.lake.layout.data(RSES[rse])


@contextlib.contextmanager
def made_in(lake: Lake, folder: Path) -> Iterator[Bed]:
    """Set a lake up for faults."""
    transfers = Proxy(lake.layout.url("transfers"))
    storages = {rse: Proxy(lake.layout.url(service)) for rse, service in RSES.items()}
    client = lake.client()
    configuration.configure_transfers(
        lake.layout, {storages["FAULTY-B"].url: {"tpc_support": "NONE"}}
    )
    for rse, proxy in storages.items():
        _add_rse(client, rse, proxy, transfers)
    server = KillableServer(lake)
    try:
        yield Bed(lake, folder, Rucio(lake), transfers, storages, server)
    finally:
        server.close()
        for proxy in (transfers, *storages.values()):
            proxy.close()


def _add_rse(client: Any, rse: str, proxy: Proxy, transfers: Proxy) -> None:
    client.add_rse(rse)
    wan = {**_ALL, "third_party_copy_read": 1, "third_party_copy_write": 1}
    client.add_protocol(
        rse,
        {
            "scheme": "http",
            "hostname": "127.0.0.1",
            "port": proxy.server_port,
            "prefix": PREFIX,
            "impl": "rucio.rse.protocols.webdav.Default",
            "domains": {"lan": _ALL, "wan": wan},
        },
    )
    for key, value in {"fts": transfers.url, "lfn2pfn_algorithm": "stac"}.items():
        client.add_rse_attribute(rse, key, value)
    client.set_local_account_limit("root", rse, -1)
    client.add_distance("STAC", rse, {"distance": 1})


class KillableServer:
    """One more Rucio server of the lake, for one run at a time to kill."""

    def __init__(self, lake: Any) -> None:
        """Prepare it; it is started when it is wanted."""
        port = processes.free_ports(1)[0]
        layout = replace(lake.layout, ports={**lake.layout.ports, "rucio-server": port})
        self.url = layout.url("rucio-server")
        self._service = replace(services.rucio_server(layout), name="rucio-server-to-kill")
        self._logs = lake.layout.logs
        self._process: processes.RunningProcess | None = None
        self._restart: threading.Thread | None = None
        self.mine = threading.Lock()

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if self._restart is not None:
            self._restart.join()
            self._restart = None
        if self._process is None:
            self._process = processes.start(self._service, self._logs)
        processes.wait_until_ready(self._service, self._process, self._logs, _START_S)

    def kill(self, *, workers_only: Any, after_s: Any) -> None:
        """Kill it, or what answers its requests; it comes back by itself."""
        time.sleep(after_s)
        assert self._process is not None
        parent = self._process.find()
        assert parent is not None
        victims = parent.children(recursive=True)
        for victim in victims if workers_only else [parent, *victims]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
        if not workers_only:
            processes.stop([self._process])
            self._process = processes.start(self._service, self._logs)

    def wait(self) -> None:
        """Wait until it answers again."""
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.url}/ping", timeout=5).ok:
                    return
            assert time.monotonic() < deadline, "the killed server did not come back"
            time.sleep(0.2)

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            processes.stop([self._process])
