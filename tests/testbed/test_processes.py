"""Processes and their supervisor."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from stac_testbed import TestbedError, processes
from stac_testbed.processes import Service

from .support import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def children(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[psutil.Process]]:
    """The children that a test has started; a lake of the session keeps its own supervisor."""
    monkeypatch.setattr(processes, "_supervisor", None)
    before = set(psutil.Process().children())
    return lambda: [child for child in psutil.Process().children() if child not in before]


def python(code: str, **options: Any) -> Service:
    """A service that runs Python code."""
    return Service("python", (sys.executable, "-c", code), **options)


def sleeper() -> Service:
    """A service that does nothing."""
    return python("import time; time.sleep(600)")


def test_no_such_program(tmp_path: Path, children: Callable[..., list[psutil.Process]]) -> None:
    """What cannot be started is named, and nothing is left."""
    with pytest.raises(TestbedError, match="no-such-program"):
        processes.start(Service("nothing", ("no-such-program",), folder=tmp_path), tmp_path)
    processes.stop([])
    assert children() == []


def test_run(tmp_path: Path) -> None:
    """What ends by itself is waited for; if it fails its last words and its log are named."""
    processes.run(python("open('done', 'w')", folder=tmp_path), tmp_path)
    assert (tmp_path / "done").exists()
    with pytest.raises(TestbedError, match=r"python failed: no luck \(see .*python\.log\)"):
        processes.run(python("raise SystemExit('no luck')", folder=tmp_path), tmp_path)
    processes.stop([])


def test_what_is_left_of_children(
    tmp_path: Path, children: Callable[..., list[psutil.Process]]
) -> None:
    """A child's child ends with the rest, though its own parent was killed before."""
    code = "import subprocess; subprocess.run(['sleep', '600'])"
    parent = processes.start(python(code, folder=tmp_path), tmp_path)
    child = wait_for(lambda: psutil.Process(parent.pid).children())[0]
    (supervisor,) = children()
    psutil.Process(parent.pid).kill()
    assert wait_for(lambda: child.parent() == supervisor)
    supervisor.send_signal(signal.SIGTERM)
    assert wait_for(lambda: not child.is_running())
    processes.stop([parent])


def test_a_supervisor_that_was_killed(
    tmp_path: Path, children: Callable[..., list[psutil.Process]]
) -> None:
    """Where the supervisor is no more, that is said once, and the next lake has a new one."""
    first = processes.start(sleeper(), tmp_path)
    (supervisor,) = children()
    supervisor.kill()
    wait_for(lambda: supervisor.status() == psutil.STATUS_ZOMBIE)
    with pytest.raises(TestbedError, match="the supervisor"):
        processes.start(sleeper(), tmp_path)
    processes.stop([first])
    second = processes.start(sleeper(), tmp_path)
    assert second.find()
    processes.stop([second])
    assert children() == []


def test_an_interrupted_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, children: Callable[..., list[psutil.Process]]
) -> None:
    """The answer to a request that Ctrl-C has cut off is not taken for that to the next one."""
    first = processes.start(sleeper(), tmp_path)

    def interrupt() -> None:
        raise KeyboardInterrupt

    supervisor = processes._supervisor
    assert supervisor is not None
    with monkeypatch.context() as patched:
        patched.setattr(supervisor._popen.stdout, "readline", interrupt)
        with pytest.raises(KeyboardInterrupt):
            processes.start(sleeper(), tmp_path)
    second = processes.start(sleeper(), tmp_path)
    (parent,) = children()
    lost, *others = sorted({c.pid for c in parent.children()} - {first.pid, second.pid})
    assert others == []
    psutil.Process(lost).kill()
    assert wait_for(lambda: not psutil.pid_exists(lost))
    processes.stop([first, second])
    assert children() == []
