"""What a lake's processes do when the process that started them ends without a word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from stac_testbed import load

from .support import wait_for

GONE_S = 60.0

HELD = """
import os
import pathlib
import time

def test_it(stac_lake):
    forked = os.fork()  # holds open what the lake's processes may wait to see closed
    if forked:
        pathlib.Path("ready").write_text(f"{forked} {stac_lake.layout.folder}")
    time.sleep(600)
"""


def started(*arguments: Any, folder: Any) -> subprocess.Popen[bytes]:
    """Start this Python in a folder, which is for its temporary files too."""
    return subprocess.Popen(  # noqa: S603 - this very Python
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def running_in(folder: Path | str) -> list[psutil.Process]:
    """The processes that run in a folder, or with one of its files."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        words = [process.info["cwd"] or "", *(process.info["cmdline"] or ())]
        if process.info["status"] != psutil.STATUS_ZOMBIE and str(folder) in " ".join(words):
            found.append(process)
    return found


def killed(parent: subprocess.Popen[bytes], folder: Path) -> tuple[set[Any], Any]:
    """Kill a process; return what it had started, and what is left of it after a while."""
    begun = {*psutil.Process(parent.pid).children(recursive=True), *running_in(folder)}
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(process.is_running() for process in begun), GONE_S)
    return begun, [process for process in begun if process.is_running()] + running_in(folder)


@pytest.mark.parametrize("service", ["storage-a", "rucio-server"])
def test_a_demo_that_is_killed_while_it_starts(service: str, tmp_path: Path) -> None:
    """Nothing of a demo outlives it, in whatever step of its start it is killed."""
    demo = started("-m", "stac_testbed", "demo", folder=tmp_path)

    def far_enough() -> bool:
        files = tmp_path.glob("stac-rucio-demo-*/processes.json")
        return any(service in file.read_text() for file in files)

    assert wait_for(far_enough, 60)
    begun, left = killed(demo, tmp_path)
    assert len(begun) > 5
    assert left == []


def test_a_lake_of_tests_that_are_killed(tmp_path: Path) -> None:
    """A lake that pytest holds ends with pytest, though a fork of it lives on."""
    (tmp_path / "test_held.py").write_text(HELD)
    tests = started(
        *("-m", "pytest", "-p", "stac_testbed.pytest_plugin", "-p", "no:cacheprovider"),
        *("--basetemp", tmp_path / "base", "test_held.py"),
        folder=tmp_path,
    )
    ready = tmp_path / "ready"
    assert wait_for(lambda: ready.exists() and ready.read_text(), 120)
    forked, _, folder = ready.read_text().partition(" ")
    assert load(Path(folder)).is_running
    tests.kill()
    tests.wait()
    gone = wait_for(lambda: running_in(folder) == [], GONE_S)
    psutil.Process(int(forked)).kill()
    assert gone, running_in(folder)


def test_a_finished_up_outlives_its_parent(tmp_path: Path) -> None:
    """A lake that was started on the command line runs on, with no process but its own."""
    up = started("-m", "stac_testbed", "up", "--folder", tmp_path / "lake", folder=tmp_path)
    try:
        assert up.wait(timeout=120) == 0
        time.sleep(2)
        lake = load(tmp_path / "lake")
        assert lake.is_running
        pids = [process["pid"] for process in json.loads(lake.layout.processes_file.read_text())]
        family = {*pids, *(c.pid for pid in pids for c in psutil.Process(pid).children())}
        assert {process.pid for process in running_in(tmp_path)} == family
    finally:
        load(tmp_path / "lake").stop()
    assert running_in(tmp_path) == []
