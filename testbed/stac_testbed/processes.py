"""Processes of the lake: started with a log each, awaited, and stopped by their own id.

They are children of a supervisor, which ends them when this process ends, even by SIGKILL,
unless it was told to keep them.
"""

from __future__ import annotations

import atexit
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import psutil
import requests

from . import TestbedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_STOP_TIMEOUT_S = 10.0
_CREATED_TOLERANCE_S = 1.0
_LOOK_S = 0.1
# Below those that Linux gives to outgoing connections.
_PORTS = range(10_000, 32_768)


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

    def find(self) -> psutil.Process | None:
        """Return the process, or None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created_s) < _CREATED_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


class _Supervisor:
    """The parent of all processes that this one starts: `stac_testbed._supervisor`."""

    def __init__(self) -> None:
        self.of = os.getpid()
        self._asked = 0
        self._popen = subprocess.Popen(
            (sys.executable, "-m", "stac_testbed._supervisor", str(self.of)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            text=True,
            start_new_session=True,
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return its answer.

        Raises:
            TestbedError: It cannot do what it is asked, or has ended.
        """
        assert self._popen.stdin is not None  # noqa: S101 - for mypy
        assert self._popen.stdout is not None  # noqa: S101 - for mypy
        self._asked += 1
        answer: dict[str, Any] = {}
        try:
            self._popen.stdin.write(f"{json.dumps({**request, 'number': self._asked})}\n")
            self._popen.stdin.flush()
            while answer.get("number") != self._asked:  # that of a request that was interrupted
                answer = json.loads(self._popen.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            raise TestbedError("the supervisor of the lake's processes has ended") from None
        if "error" in answer:
            raise TestbedError(answer["error"])
        return answer

    def close(self) -> None:
        """Let it end, with all that it has started and was not told to keep."""
        with suppress(BrokenPipeError), self._popen:
            pass


_lock = Lock()
_supervisor: _Supervisor | None = None


def _ask(**request: Any) -> dict[str, Any]:
    """Ask the supervisor of this process, which is started by the first request."""
    global _supervisor  # noqa: PLW0603 - one for each process
    with _lock:
        if _supervisor is None or _supervisor.of != os.getpid():  # not the one before a fork
            _supervisor = _Supervisor()
        return _supervisor.ask(**request)


@atexit.register
def _close(*, if_idle: bool = False) -> None:
    """End the supervisor of this process; if it shall be idle, only if nothing of its own runs."""
    global _supervisor  # noqa: PLW0603 - one for each process
    with _lock:
        if _supervisor is None or _supervisor.of != os.getpid():
            return
        with suppress(TestbedError):  # it has ended already
            if if_idle and _supervisor.ask()["left"]:
                return
        _supervisor.close()
        _supervisor = None


def start(service: Service, logs: Path) -> RunningProcess:
    """Start a service, its output going to `NAME.log` in the folder `logs`.

    It ends with this process, unless it is kept.

    Raises:
        TestbedError: There is no such program.
    """
    started = _ask(
        command=service.command,
        log=str(logs / f"{service.name}.log"),
        environment={**os.environ, **service.environment},
        folder=str(service.folder or logs.parent),
        stop_signal=service.stop_signal,
    )
    return RunningProcess(service.name, started["pid"], started["created_s"], service.stop_signal)


def run(service: Service, logs: Path) -> None:
    """Start what ends by itself, and wait until it has.

    Raises:
        TestbedError: It failed.
    """
    process = start(service, logs)
    while (code := _ask(code_of=process.pid)["code"]) is None:
        time.sleep(_LOOK_S)
    if code:
        raise TestbedError(f"{service.name} failed: {_last_line(logs, service)}")


def keep(processes: Iterable[RunningProcess]) -> None:
    """Let processes that were started here outlive this process."""
    _ask(keep=[process.pid for process in processes])


def wait_until_ready(
    service: Service, process: RunningProcess, logs: Path, timeout_s: float
) -> None:
    """Wait until a service answers at its URL.

    Raises:
        TestbedError: It ended, or did not answer within `timeout_s` seconds.
    """
    deadline = time.monotonic() + timeout_s
    trusted = service.environment.get("REQUESTS_CA_BUNDLE", True)
    while service.url is not None:
        if process.find() is None:
            raise TestbedError(f"{service.name} stopped by itself: {_last_line(logs, service)}")
        try:
            answer = requests.get(service.url, timeout=2, verify=trusted)
            if answer.status_code < requests.codes.server_error:
                return
        except requests.RequestException:
            pass
        if time.monotonic() > deadline:
            raise TestbedError(
                f"{service.name} did not answer at {service.url} within {timeout_s:.0f} s: "
                f"{_last_line(logs, service)}"
            )
        time.sleep(_LOOK_S)


def stop(processes: Iterable[RunningProcess]) -> None:
    """Stop processes and their children, and wait until they have ended."""
    family = []
    for running, process in [(running, running.find()) for running in processes]:
        if process is None:
            continue
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
    _close(if_idle=True)


def free_ports(count: int) -> list[int]:
    """Find ports of the loopback interface that nothing listens on, nor connects from.

    Raises:
        TestbedError: There are too few.
    """
    found: list[int] = []
    for port in secrets.SystemRandom().sample(_PORTS, len(_PORTS)):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
            if len(found) == count:
                return found
    raise TestbedError(f"there are no {count} free ports from {_PORTS.start} to {_PORTS.stop - 1}")


@dataclass(frozen=True)
class OwnServer:
    """A server of a lake's own, out of a package of the machine, that refuses to run as root."""

    folder: str
    """Holds its files and nothing else; it is removed with the lake."""
    port: int
    """TCP port of the loopback interface."""

    def remove(self) -> None:
        """Remove its files; it must have been stopped."""
        shutil.rmtree(self.folder, ignore_errors=True)


def user_for(server: str, user: str) -> str | None:
    """Return the user that a server which refuses to run as root runs as.

    Args:
        server: Its name, for people.
        user: The user that its package makes for it.

    Returns:
        None for the user we are, unless that is root.

    Raises:
        TestbedError: We are root, and there is no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(user).pw_name
    except KeyError:
        raise TestbedError(
            f"{server} refuses to run as root, and this machine has no user {user}; "
            "start the lake as an ordinary user"
        ) from None


def folder_for(user: str | None, folder: Path) -> Path:
    """Return the folder for a server's files; nothing is made yet.

    Args:
        user: Whom it runs as, None for us.
        folder: Where they go if it runs as we do. Another user's go to a new folder in
            this user's home: the folders of root, pytest's temporary ones included, are
            often closed to others.
    """
    if user is None:
        return folder
    return Path(pwd.getpwnam(user).pw_dir) / f"stac-lake-{secrets.token_hex(4)}"


def as_user(user: str | None) -> tuple[str, ...]:
    """Return the words before a command that run it as a user; none for None.

    Popen's option `user` forks the whole interpreter instead, which must not happen in one
    thread while another one computes with numpy: OpenBLAS then waits for itself for ever.
    """
    if user is None:
        return ()
    return ("setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--")


def _last_line(logs: Path, service: Service) -> str:
    log = logs / f"{service.name}.log"
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'no output'} (see {log})"
