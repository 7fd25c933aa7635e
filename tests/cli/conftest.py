"""Fixtures of the tests of the command line."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from stac_rucio.cli import cli
from stac_rucio.inputs import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result
    from rucio.client import Client

    from stac_testbed import Lake

PROGRAM = [sys.executable, "-m", "stac_rucio"]
_numbers = itertools.count(1)


@pytest.fixture
def rucio(stac_lake: Lake) -> Client:
    """A Rucio client of the account root."""
    return stac_lake.client()


@pytest.fixture
def collection(rucio: Client) -> str:
    """The id of a collection that no other test uses, with its scope in Rucio."""
    name = f"cli-{next(_numbers)}"
    rucio.add_scope("root", name)
    return name


@pytest.fixture
def run(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    """Run a command line in this process, on the lake; `account` is root by default.

    The lake is started by the first command that asks Rucio.
    """

    def connect(connection: Connection) -> Client:
        lake: Lake = request.getfixturevalue("stac_lake")
        return lake.client(connection.account or "root")

    monkeypatch.setattr(Connection, "connect", connect)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def invoke(*args: object, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(cli, [str(arg) for arg in args], input=stdin)

    return invoke


@pytest.fixture
def environment(stac_lake: Lake, tmp_path: Path) -> dict[str, str]:
    """Environment variables for processes on the lake."""
    return {
        **os.environ,
        **stac_lake.environment(),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "NO_COLOR": "1",
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the real program; none is left over."""
    with ExitStack() as started:
        yield _starter(environment, started)


def _starter(
    environment: dict[str, Any], started: ExitStack[bool | None]
) -> Callable[..., subprocess.Popen[bytes]]:
    def popen(*args: object, **options: Any) -> subprocess.Popen[bytes]:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [*PROGRAM, *map(str, args)]
        process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own program
            command, env=environment, **{**pipes, **options}
        )
        started.callback(_end, process)
        return process

    return popen


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def items_file(tmp_path: Path) -> Callable[[list[Any]], str]:
    """Write items into a file of NDJSON."""

    def write(items: list[Any]) -> str:
        path = tmp_path / "items.ndjson"
        path.write_text("".join(f"{json.dumps(item)}\n" for item in items))
        return str(path)

    return write


def rows(result: Result) -> list[list[str]]:
    """The lines of a result, divided at tabs."""
    return [line.split("\t") for line in result.stdout.splitlines()]
