"""The lake on the command line, as a person uses it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pystac_client
import pytest

from stac_client import StacClient
from stac_testbed import TestbedError, load, running
from stac_testbed.rucio_server import _BUSY_S, _IDLE_PAUSE_S
from tests.items import many_items

from .support import wait_for

PROJECT = Path(__file__).parents[2]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stac_testbed import Lake
    from stac_testbed.processes import Service


def stac_testbed(
    *arguments: Any, environment: Any = None, timeout: int = 120
) -> subprocess.CompletedProcess[str]:
    """Run `python -m stac_testbed`."""
    return subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-m", "stac_testbed", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "120", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a lake that was started on the command line."""
    folder = tmp_path_factory.mktemp("cli") / "lake"
    result = stac_testbed("up", "--folder", folder)
    assert result.returncode == 0, result.stderr
    assert "rucio-server" in result.stdout
    yield folder
    load(folder).stop()


def test_status(folder: Path) -> None:
    """Status shows every service as running, which are those that the tutorial shows."""
    result = stac_testbed("status", "--folder", folder)
    assert result.returncode == 0
    running = [process.name for process in load(folder).processes]
    assert result.stdout.count("running") == len(running)
    tutorial = (PROJECT / "docs" / "tutorial.md").read_text()
    assert re.findall(r"^│ (\S+) +│", tutorial, re.MULTILINE) == running


def test_rucios_own_command_line_finds_the_lake(folder: Path) -> None:
    """With the lines of `env`, the stock rucio command talks to the lake's server."""
    result = stac_testbed("env", "--folder", folder, "--account", "alice")
    exports = dict(shlex.split(line)[1].split("=", 1) for line in result.stdout.splitlines())
    whoami = subprocess.run(  # noqa: S603 - installed beside this Python
        [f"{os.path.dirname(sys.executable)}/rucio", "whoami"],  # noqa: PTH120 - a link
        env={**os.environ, **exports},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "alice" in whoami.stdout, whoami.stderr


_WHOAMI = """
import sys
from pathlib import Path
from stac_testbed import load
lake = load(Path(sys.argv[1]))
print(*(lake.client(account).whoami()["account"] for account in ("alice", "registrar", "root")))
"""


@pytest.mark.parametrize("config", ["env", "gone"])
def test_clients_in_a_shell_of_another_account(folder: Path, config: str) -> None:
    """With the lines of `env`, or of a lake that is gone, each client is that of its account."""
    path = load(folder).layout.client_cfg("root") if config == "env" else folder / "gone.cfg"
    result = subprocess.run(  # noqa: S603 - this very Python
        [sys.executable, "-c", _WHOAMI, str(folder)],
        env={**os.environ, "RUCIO_CONFIG": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stdout == "alice registrar root\n", result.stderr


def test_logs(folder: Path) -> None:
    """The logs of a service can be asked for by its name."""
    result = stac_testbed("logs", "rucio-daemons", "--folder", folder)
    assert "rucio-daemons.log" in result.stdout
    assert "rucio-server" not in result.stdout


def cpu_s(lake: Lake) -> dict[psutil.Process, float]:
    """The processor time that each process of a lake has taken."""
    roots = [found for process in lake.processes if (found := process.find())]
    assert len(roots) == len(lake.processes)
    family = {*roots, *(child for root in roots for child in root.children(recursive=True))}
    return {process: sum(process.cpu_times()[:2]) for process in family}


def test_an_idle_lake_costs_next_to_nothing_and_awakes_at_once(folder: Path) -> None:
    """Without work a lake takes 2 % of a core at most, be there a stuck rule.

    A rule is then seen at once all the same.
    """
    lake = load(folder)
    rucio = lake.client()
    client = StacClient(rucio)
    items = list(pystac_client.Client.open(lake.stac_url).search(max_items=1).items())
    registration = client.create_replicas(items, "STAC", assets=["red", "vv"])
    rucio.add_scope("root", "nowhere")
    lost = client.create_replicas(many_items("nowhere", 1, 1), "STAC")
    (rule,) = client.wait(client.create_replication_rules(lost, "DISK-A"), timeout_s=120, poll_s=1)
    assert rule.state == "STUCK"
    time.sleep(_BUSY_S + 2)
    before, began_s = cpu_s(lake), time.monotonic()
    time.sleep(20)
    passed_s = time.monotonic() - began_s
    after = cpu_s(lake)
    assert sum(after[process] - before.get(process, 0) for process in after) < 0.02 * passed_s
    log = lake.layout.access_log("transfers")
    jobs = log.read_text().count("POST /jobs ")
    rules = client.create_replication_rules(registration, "DISK-A")
    more = wait_for(lambda: log.read_text().count("POST /jobs ") > jobs, seconds=_IDLE_PAUSE_S / 2)
    assert more
    client.delete_replication_rules(client.wait(rules, timeout_s=60, poll_s=1), at_once=True)


def test_up_again_while_running(folder: Path) -> None:
    """A running lake is not started twice."""
    result = stac_testbed("up", "--folder", folder)
    assert result.returncode == 1
    assert result.stderr.strip() == f"Error: the lake in {folder} runs already"


def test_down_and_up_again(folder: Path) -> None:
    """Stopping leaves no process; starting again keeps what the lake held."""
    load(folder).client().add_scope("root", "kept")
    pids = [process.pid for process in load(folder).processes]
    family = [child for pid in pids for child in psutil.Process(pid).children(recursive=True)]
    assert stac_testbed("down", "--folder", folder).returncode == 0
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not any(child.is_running() for child in family)
    assert stac_testbed("status", "--folder", folder).returncode == 1
    assert stac_testbed("up", "--folder", folder).returncode == 0
    assert "kept" in load(folder).client().list_scopes()


def test_no_lake_here(tmp_path: Path) -> None:
    """Commands for a lake that does not exist say how to make one."""
    for command in ("status", "env", "logs", "down"):
        result = stac_testbed(command, "--folder", tmp_path)
        assert result.returncode == 1
        assert "stac-rucio testbed up" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_folder_with_something_else_in_it(tmp_path: Path) -> None:
    """A lake is not made among other files."""
    (tmp_path / "thesis.txt").write_text("precious")
    result = stac_testbed("up", "--folder", tmp_path)
    assert result.returncode == 1
    assert "not empty" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_service_that_does_not_start_stops_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If one part fails, everything that had been started is stopped, and its log is named."""
    monkeypatch.setattr("stac_testbed.lake.services.stac", broken_service)
    children = set(psutil.Process().children())
    with pytest.raises(TestbedError, match="stac-api stopped by itself: no such option"):  # noqa: SIM117
        with running(tmp_path / "lake"):
            pytest.fail("the lake started")
    assert set(psutil.Process().children()) <= children


def broken_service(layout: Any) -> list[Service]:
    """A STAC API that ends at once."""
    from stac_testbed.processes import Service

    command = (sys.executable, "-c", "print('no such option')")
    return [Service("stac-api", command, url=layout.url("stac-api"))]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--collection", "no-such-collection"], "found no item of no-such-collection"),
        (["--api", "http://127.0.0.1:9/"], "STAC"),
    ],
)
def test_a_failing_demo_says_why_in_one_line(options: list[str], said: str, tmp_path: Path) -> None:
    """The demo ends with exit code 1, one line, and nothing left running."""
    result = stac_testbed("demo", *options, environment={"TMPDIR": str(tmp_path)})
    assert result.returncode == 1
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert said in line
    (lake,) = tmp_path.glob("stac-rucio-demo-*")
    assert not any(process.find() for process in load(lake).processes)


def test_the_demo_on_another_stac_api(folder: Path, tmp_path: Path) -> None:
    """The journey can be made with any STAC API, collection and choice of assets."""
    options = ("--collection", "alpine-radar", "--assets", "thumbnail", "--max-items", "2")
    result = stac_testbed(
        *("demo", "--api", load(folder).stac_url, *options), environment={"TMPDIR": str(tmp_path)}
    )
    assert result.returncode == 0, result.stderr
    assert "2 items with 2 wanted assets" in result.stdout
    shown = (PROJECT / "README.md").read_text().partition("```text\n")[2].partition("\n```")[0]
    lines = {_numbers(line) for line in result.stdout.splitlines()}
    assert [line for line in shown.splitlines() if _numbers(line) not in lines] == []
    assert list(tmp_path.iterdir()) == []


def _numbers(line: str) -> str:
    """Return a line without what differs from demo to demo, as whether there are two hosts."""
    line = re.sub(r"\b[0-9a-f]{8}(?:[0-9a-f]{24})?\b", "ID", line)
    return re.sub(r"\d[\d,]*", "N", re.sub(r" and 127\.0\.0\.1:\d+", "", line))
