"""Every benchmark runs, at its smallest, and gives figures that can be shown and written."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from benchmarks.__main__ import WITH_LAKE, WITHOUT_LAKE, benchmark
from benchmarks.compare import CONFIGURATION, compare
from benchmarks.harness import Goal, Rounds, side_by_side
from benchmarks.quick import QUICK, measure
from benchmarks.report import as_json, table
from benchmarks.setting import Setting
from benchmarks.sizes import SIZES

if TYPE_CHECKING:
    from pathlib import Path

    from stac_testbed.lake import Lake


def check(figures: list[Any]) -> None:
    """They are figures, with what they say."""
    assert figures
    for row in figures:
        assert row.measured
        assert row.unit
        assert math.isfinite(row.value)
        assert row.low <= row.value <= row.high
        assert row.verdict in {"ok", "short", ""}
    named = [("SQLite", row) for row in figures]
    assert len(json.loads(json.dumps(as_json(named)))) == len(figures)
    with Console(quiet=True) as console:
        console.print(table(named))


@pytest.mark.parametrize("name", WITHOUT_LAKE)
def test_benchmark_without_a_lake_gives_figures(name: Any, tmp_path: Path) -> None:
    """A benchmark that needs no lake gives well-formed figures."""
    check(list(benchmark(name, Setting(SIZES["tiny"], tmp_path))))


@pytest.mark.parametrize("name", [name for name in WITH_LAKE if name != "database"])
def test_benchmark_in_a_lake_gives_figures(name: Any, tmp_path: Path, stac_lake: Lake) -> None:
    """A benchmark in a lake gives well-formed figures."""
    check(list(benchmark(name, Setting(SIZES["tiny"], tmp_path, stac_lake))))


@pytest.mark.parametrize("name", QUICK)
def test_quick_benchmark_gives_a_time(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quick benchmark does its work, and gives the time of a unit."""
    (tmp_path / "rucio.cfg").write_text(CONFIGURATION, encoding="utf-8")
    monkeypatch.setenv("RUCIO_CONFIG", str(tmp_path / "rucio.cfg"))
    monkeypatch.chdir(tmp_path)
    assert measure(QUICK[name]()) > 0


def test_working_tree_is_compared_with_itself() -> None:
    """Each benchmark has as many ratios as rounds, and a row for people to read."""
    (times,) = compare((".", "."), ["names_encoded"], 2)
    assert len(times.ratios) == 2
    assert times.row()[0] == "names encoded"


def test_figure_is_the_ratio_of_the_medians() -> None:
    """The figure is the ratio of the medians, between the smallest and largest of the rounds."""
    row = Rounds([2.0, 3.0, 100.0], [1.0, 2.0, 4.0]).slower("a", "b", Goal(most=1.5))
    assert (row.value, row.low, row.high) == (1.5, 1.5, 25.0)
    assert row.verdict == "ok"


def test_goal_that_is_missed_is_short() -> None:
    """A figure beyond its goal is short, at either end."""
    rounds = Rounds([2.0], [1.0])
    assert rounds.slower("a", "b", Goal(most=1.9)).verdict == "short"
    assert rounds.slower("a", "b", Goal(least=2.1)).verdict == "short"
    assert rounds.slower("a", "b").verdict == ""


def test_both_sides_are_called_in_every_round_and_take_turns() -> None:
    """Who comes first changes with each round."""
    called = []
    side_by_side(lambda n: called.append(("ours", n)), lambda n: called.append(("bare", n)), 2)
    assert called == [("bare", 0), ("ours", 0), ("ours", 1), ("bare", 1)]
