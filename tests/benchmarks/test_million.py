"""What the benchmark of a million assets says of its figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from benchmarks.million_report import write_report

if TYPE_CHECKING:
    from pathlib import Path


def run(seconds: float, **others: Any) -> dict[str, Any]:
    """A run of a client that was as busy as each server, half of the time."""
    busy = dict.fromkeys(("client_s", "server_s", "postgresql_s"), seconds / 2)
    memory = {"client_mb": 90.0, "server_mb": 300.0}
    return {
        **busy, **memory, "seconds": seconds, "requests": {"POST /dids": 4}, "load": 1.0,
        "yardstick_s": 0.005, **others,
    }  # fmt: skip


def step(*runs: dict[str, Any]) -> dict[str, Any]:
    """A step that is done."""
    return {"runs": [*runs], "tables": {"dids": [2_000, 900, 10]}}


def test_a_step_is_the_sum_of_its_runs(tmp_path: Path) -> None:
    """However often a step was stopped or killed, it costs what its runs took together."""
    steps = [step(run(2)), step(run(1), {"ended": "without figures"}, run(3)), {"runs": []}]
    asked = {"1": {"page": run(2, times=4), "counts": {"files": 1000}}}
    write_report({"step": 1000, "registered": 1000, "steps": steps, "questions": asked}, tmp_path)
    lines = (tmp_path / "million.md").read_text(encoding="utf-8").splitlines()
    first, second = ([cell.strip() for cell in line.strip("| ").split("|")] for line in lines[2:4])
    assert first[:7] == ["1,000", "1,800,000", "1,000", "1,000", "1,000", "3,000", "1.00 (1.00)"]
    assert second[:7] == ["2,000", "900,000", "2,000", "2,000", "2,000", "6,000", "2.00 (2.00)"]
    assert [first[7], second[7]] == ["4.0", "8.0"]
    assert lines[-1].startswith("| 1,000 | page | 0.50 s | 0.25 s | 0.25 s | 0.25 s | 1 |")
    assert "prefers-color-scheme: dark" in (tmp_path / "million.svg").read_text()
    assert "#ffffff" not in (tmp_path / "million.svg").read_text()
    assert ET.parse(tmp_path / "million.svg").getroot().tag.endswith("svg")  # noqa: S314 - ours


def test_nothing_is_said_of_nothing(tmp_path: Path) -> None:
    """Without a step that is done there is no report, and none is replaced."""
    write_report(
        json.loads('{"step": 1000, "registered": 1000, "steps": [{"runs": []}], "questions": {}}'),
        tmp_path,
    )
    assert not [*tmp_path.iterdir()]
