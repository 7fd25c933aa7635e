"""The process that every process of a lake descends from, and that ends them with its parent.

Its parent asks for processes over a pipe, in lines of JSON. When the parent ends, however it
does, the pipe closes, and all that it has started and not told to keep is ended. The pipe may
be held open by a fork of the parent, so that the parent's id is looked at too.

    python -m stac_testbed._supervisor PARENT
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

_PR_SET_CHILD_SUBREAPER = 36
_LOOK_S = 1.0
_STOP_S = 4.0
_KILL_S = 3.0


def main() -> None:
    """Start, on demand, what ends with the parent."""
    supervisor = _Supervisor(int(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        supervisor.serve()
    finally:
        supervisor.end()


class _Supervisor:
    def __init__(self, parent: int) -> None:
        self._parent = parent
        self._started: dict[int, tuple[subprocess.Popen[bytes], int]] = {}  # with its stop signal
        self._kept: set[int] = set()
        # What loses its parent becomes a child of this process, not of init.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._ended, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Do what the parent asks for until it ends."""
        requests, asked = sys.stdin.fileno(), b""
        while os.getppid() == self._parent:
            ready, _, _ = select.select([requests, self._ended], [], [], _LOOK_S)
            if self._ended in ready:
                os.read(self._ended, select.PIPE_BUF)
            self._reap()
            if requests in ready:
                more = os.read(requests, select.PIPE_BUF)
                if not more:
                    return
                *lines, asked = (asked + more).split(b"\n")
                for request in map(json.loads, lines):
                    answer = {**self._answer(request), "number": request["number"]}
                    print(json.dumps(answer), flush=True)  # noqa: T201 - a pipe

    def _answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if "command" in request:
            return self._start(request)
        if "code_of" in request:
            return {"code": self._started[request["code_of"]][0].returncode}
        self._kept.update(request.get("keep", ()))
        return {"left": sum(popen.returncode is None for popen, _ in self._started.values())}

    def _start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with open(request["log"], "ab") as log:  # noqa: PTH123 - a name is what came
                popen = subprocess.Popen(
                    request["command"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=request["environment"],
                    cwd=request["folder"],
                    start_new_session=True,  # Ctrl-C is for the lake, which then stops its services
                )
        except OSError as error:
            return {"error": str(error)}
        self._started[popen.pid] = popen, request["stop_signal"]
        return {"pid": popen.pid, "created_s": psutil.Process(popen.pid).create_time()}

    def _reap(self) -> None:
        """Take note of all children that have ended, those of children that have ended too."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid in self._started:
                    self._started[pid][0].returncode = os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """End all that has not been told to keep."""
        for process in self._family():
            _, stop_signal = self._started.get(process.pid, (None, signal.SIGTERM))
            _send(process, stop_signal)
        kill_at = time.monotonic() + _STOP_S
        while (family := self._family()) and time.monotonic() < kill_at + _KILL_S:
            if time.monotonic() > kill_at:
                for process in family:
                    _send(process, signal.SIGKILL)
            time.sleep(0.1)

    def _family(self) -> list[psutil.Process]:
        self._reap()
        family = set(psutil.Process().children(recursive=True))
        for pid in self._kept:
            with suppress(psutil.NoSuchProcess):
                kept = psutil.Process(pid)
                family -= {kept, *kept.children(recursive=True)}
        return list(family)


def _send(process: psutil.Process, signum: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signum)


if __name__ == "__main__":
    main()
