"""Two commits side by side on one machine, by the quick benchmarks, in processor time."""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from . import machine
from .quick import QUICK
from .report import number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROOT = Path(__file__).parent.parent
_OURS = ("stac_policy", "stac_client", "stac_rucio")
_BENCHMARKS = ("benchmarks", "tests/__init__.py", "tests/items.py", "tests/fake_rucio.py")
CONFIGURATION = """
[client]
rucio_host = http://127.0.0.1:1
auth_host = http://127.0.0.1:1
auth_type = userpass
account = root
"""
"""An rucio.cfg, without which Rucio's modules cannot be imported; no server is there."""


@click.command()
@click.argument("commits", nargs=2)
@click.option("--only", "names", multiple=True, type=click.Choice([*QUICK]), default=[*QUICK])
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
def main(commits: tuple[str, str], names: Sequence[str], rounds: int) -> None:
    """Compare two commits; `.` is the working tree. It takes about a minute."""
    console = Console()
    shown = Table("benchmark", *(f"µs in {commit}" for commit in commits), "ratio", "spread")
    with console.status("0 measured") as status:
        for times in compare(commits, names, rounds):
            shown.add_row(*times.row())
            status.update(f"{shown.row_count} of {len(names)} measured")
    console.print(shown)
    console.print(machine.describe())


def compare(commits: Sequence[str], names: Sequence[str], rounds: int) -> Iterator[Times]:
    """Measure some benchmarks of two commits in turn.

    Both run with the installed dependencies and with the benchmarks of this working tree.

    Args:
        commits: The two commits; `.` for the working tree.
        names: The quick benchmarks.
        rounds: How often each is measured in each commit; who comes first changes.
    """
    with TemporaryDirectory(prefix="stac-rucio-compare-") as folder, ExitStack() as stack:
        processes = [
            stack.enter_context(_process(_check_out(commit, Path(folder) / str(number))))
            for number, commit in enumerate(commits)
        ]
        for name in names:
            times: list[list[float]] = [[] for _ in processes]
            for turn in range(rounds):
                pairs = [*zip(processes, times, strict=True)]
                for process, of_commit in pairs if turn % 2 else reversed(pairs):
                    of_commit.append(_ask(process, name))
            yield Times(name, *times)


class Times:
    """The microseconds that a unit of a benchmark takes in two commits, round by round."""

    def __init__(self, name: str, first_us: Sequence[float], second_us: Sequence[float]) -> None:
        self.name = name
        self.medians_us = median(first_us), median(second_us)
        self.ratios = sorted(b / a for a, b in zip(first_us, second_us, strict=True))
        """How many times as long the second takes."""

    def row(self) -> Sequence[str]:
        """Return its name, both times, the ratio and its spread, for people to read."""
        *times, ratio, low, high = (
            "-" if math.isnan(value) else number(value)
            for value in (*self.medians_us, median(self.ratios), self.ratios[0], self.ratios[-1])
        )
        return (self.name.replace("_", " "), *times, ratio, f"{low} … {high}")


def _check_out(commit: str, folder: Path) -> Path:
    """Put the packages of a commit into a folder, and beside them today's benchmarks."""
    folder.mkdir()
    if commit == ".":
        for package in _OURS:
            shutil.copytree(_ROOT / package, folder / package)
    else:
        command = ("git", "archive", commit, *_OURS)
        packed = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
    for path in _BENCHMARKS:
        target = folder / path
        target.parent.mkdir(exist_ok=True)
        if (_ROOT / path).is_dir():
            shutil.copytree(_ROOT / path, target)
        else:
            shutil.copy(_ROOT / path, target)
    (folder / "rucio.cfg").write_text(CONFIGURATION, encoding="utf-8")
    return folder


def _process(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.quick"],
        cwd=folder,
        env={**os.environ, "RUCIO_CONFIG": str(folder / "rucio.cfg")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _ask(process: subprocess.Popen[str], name: str) -> float:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise click.ClickException(f"{name} failed")
    return float(answer)
