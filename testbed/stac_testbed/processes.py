"""Processes of the lake: started with a log each, awaited, and stopped by their own id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
import requests

from .errors import TestbedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_STOP_TIMEOUT_S = 10.0
_CREATED_TOLERANCE_S = 1.0


@dataclass(frozen=True)
class Service:
    """A part of the lake that runs in a process of its own."""

    name: str
    command: tuple[str, ...]
    url: str | None = None
    """Answers as soon as the service is ready."""
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    """Where it runs; by default in the lake's folder."""
    stop_signal: int = signal.SIGTERM
    """What tells it to stop."""


@dataclass(frozen=True)
class RunningProcess:
    """A started process; its creation time tells it from a later one with the same id."""

    name: str
    pid: int
    created_s: float
    stop_signal: int = signal.SIGTERM
    popen: subprocess.Popen[bytes] | None = field(default=None, compare=False, repr=False)
    """The handle, in the process that started it."""

    def find(self) -> psutil.Process | None:
        """Give the process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created_s) < _CREATED_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def start(service: Service, logs: Path) -> RunningProcess:
    """Start a service, its output going to `NAME.log` in the folder `logs`."""
    with (logs / f"{service.name}.log").open("ab") as log:
        process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **service.environment},
            cwd=service.folder or logs.parent,
            start_new_session=True,  # Ctrl-C is for the lake, which then stops its services
        )
    created_s = psutil.Process(process.pid).create_time()
    return RunningProcess(service.name, process.pid, created_s, service.stop_signal, process)


def wait_until_ready(
    service: Service, process: RunningProcess, logs: Path, timeout_s: float
) -> None:
    """Wait until a service answers at its URL.

    Raises:
        TestbedError: It ended, or did not answer within `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    while service.url is not None:
        if process.find() is None:
            raise TestbedError(f"{service.name} stopped by itself: {_last_line(logs, service)}")
        try:
            if requests.get(service.url, timeout=2).status_code < requests.codes.server_error:
                return
        except requests.RequestException:
            pass
        if time.monotonic() > deadline:
            raise TestbedError(
                f"{service.name} did not answer at {service.url} within {timeout_s:.0f} s: "
                f"{_last_line(logs, service)}"
            )
        time.sleep(0.1)


def stop(processes: Iterable[RunningProcess]) -> None:
    """Stop processes and their children, and wait until they have ended."""
    processes = list(processes)
    found = [(running, process) for running in processes if (process := running.find())]
    family = []
    for running, process in found:
        try:
            family += [process, *process.children(recursive=True)]
            process.send_signal(running.stop_signal)
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(family, timeout=_STOP_TIMEOUT_S)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=_STOP_TIMEOUT_S)
    for running in processes:
        if running.popen is not None:
            running.popen.wait()


def free_ports(count: int) -> list[int]:
    """Find ports of the loopback interface that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def _last_line(logs: Path, service: Service) -> str:
    log = logs / f"{service.name}.log"
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'no output'} (see {log})"
