"""Processes and their supervisor."""

from __future__ import annotations

import signal
import sys

import psutil
import pytest

from stac_testbed import TestbedError, processes
from stac_testbed.processes import Service

from .support import wait_for


@pytest.fixture(autouse=True)
def children(monkeypatch):
    """The children that a test has started; a lake of the session keeps its own supervisor."""
    monkeypatch.setattr(processes, "_supervisor", None)
    before = set(psutil.Process().children())
    return lambda: [child for child in psutil.Process().children() if child not in before]


def python(code, **options):
    """A service that runs Python code."""
    return Service("python", (sys.executable, "-c", code), **options)


def sleeper():
    """A service that does nothing."""
    return python("import time; time.sleep(600)")


def test_no_such_program(tmp_path, children):
    """What cannot be started is named, and nothing is left."""
    with pytest.raises(TestbedError, match="no-such-program"):
        processes.start(Service("nothing", ("no-such-program",), folder=tmp_path), tmp_path)
    processes.stop([])
    assert children() == []


def test_run(tmp_path):
    """What ends by itself is waited for; if it fails its last words and its log are named."""
    processes.run(python("open('done', 'w')", folder=tmp_path), tmp_path)
    assert (tmp_path / "done").exists()
    with pytest.raises(TestbedError, match=r"python failed: no luck \(see .*python\.log\)"):
        processes.run(python("raise SystemExit('no luck')", folder=tmp_path), tmp_path)
    processes.stop([])


def test_what_is_left_of_children(tmp_path, children):
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


def test_a_supervisor_that_was_killed(tmp_path, children):
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


def test_an_interrupted_request(tmp_path, monkeypatch, children):
    """The answer to a request that Ctrl-C has cut off is not taken for that to the next one."""
    first = processes.start(sleeper(), tmp_path)

    def interrupt():
        raise KeyboardInterrupt

    supervisor = processes._supervisor
    assert supervisor is not None
    with monkeypatch.context() as patched:
        patched.setattr(supervisor._popen.stdout, "readline", interrupt)
        with pytest.raises(KeyboardInterrupt):
            processes.start(sleeper(), tmp_path)
    second = processes.start(sleeper(), tmp_path)
    (supervisor,) = children()
    lost, *others = sorted({c.pid for c in supervisor.children()} - {first.pid, second.pid})
    assert others == []
    psutil.Process(lost).kill()
    assert wait_for(lambda: not psutil.pid_exists(lost))
    processes.stop([first, second])
    assert children() == []
