"""What a benchmark gives, and how two ways of doing the same are measured side by side."""

from __future__ import annotations

import resource
import time
import timeit
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Goal:
    """What a figure shall be."""

    most: float | None = None
    least: float | None = None

    def met(self, value: float) -> bool:
        """Tell whether a figure is as it shall be."""
        return (self.most is None or value <= self.most) and (
            self.least is None or value >= self.least
        )

    def __str__(self) -> str:
        if self.most is not None:
            return f"≤ {self.most:g}"
        return f"≥ {self.least:,g}" if self.least is not None else ""


NONE = Goal()
"""For a figure that is only told."""


@dataclass(frozen=True)
class Row:
    """One figure."""

    measured: str
    against: str
    value: float
    low: float
    """The smallest of the rounds."""
    high: float
    unit: str
    """`times`, `times faster`, `requests`, `µs`, `MB`, or what else the figure counts."""
    goal: Goal = NONE
    ours_s: float | None = None
    """Median in seconds."""
    against_s: float | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`ok`, `short`, or nothing where there is no goal."""
        if self.goal == NONE:
            return ""
        return "ok" if self.goal.met(self.value) else "short"


@dataclass(frozen=True)
class Rounds:
    """Seconds that two ways of doing the same took, round by round."""

    ours_s: list[float]
    against_s: list[float]

    def slower(self, measured: str, against: str, goal: Goal = NONE, note: str = "") -> Row:
        """How many times as long ours takes."""
        ratios = [ours / other for ours, other in zip(self.ours_s, self.against_s, strict=True)]
        ours_s, against_s = median(self.ours_s), median(self.against_s)
        return Row(
            measured, against, ours_s / against_s, min(ratios), max(ratios), "times",
            goal, ours_s, against_s, note,
        )  # fmt: skip

    def extra_us(self, measured: str, against: str, goal: Goal = NONE, note: str = "") -> Row:
        """How many microseconds longer ours takes."""
        extras = [
            (ours - other) * 1e6 for ours, other in zip(self.ours_s, self.against_s, strict=True)
        ]
        ours_s, against_s = median(self.ours_s), median(self.against_s)
        return Row(
            measured, against, (ours_s - against_s) * 1e6, min(extras), max(extras), "µs more",
            goal, ours_s, against_s, note,
        )  # fmt: skip


def side_by_side(
    ours: Callable[[int], object],
    against: Callable[[int], object],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Rounds:
    """Measure two functions in turn, so that what else the machine does meets both.

    Args:
        ours: Called with the number of the round.
        against: Likewise. Who comes first changes with each round.
        rounds: How many.
        clock: Gives the seconds: `time.process_time` for what this process does alone,
            so that a busy machine tells in it less.
    """
    ours_s: list[float] = []
    against_s: list[float] = []
    for number in range(rounds):
        pair = [(ours, ours_s), (against, against_s)]
        for function, taken_s in pair if number % 2 else reversed(pair):
            taken_s.append(seconds(partial(function, number), clock))
    return Rounds(ours_s, against_s)


def per_call(
    ours: Callable[[], object],
    against: Callable[[], object],
    rounds: int,
    calls: int,
    clock: Callable[[], float] = time.process_time,
) -> Rounds:
    """Measure two quick functions in turn, each called many times a round.

    Args:
        ours: A function.
        against: Another one.
        rounds: How many.
        calls: How often a round calls each.
        clock: Gives the seconds.
    """

    def one(function: Callable[[], object]) -> float:
        return timeit.timeit(function, timer=clock, number=calls) / calls

    ours()  # what is read once, such as settings, is no part of a call
    against()
    pairs = [(one(ours), one(against)) for _ in range(rounds)]
    return Rounds([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def seconds(
    function: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    """How long a function takes."""
    start_s = clock()
    function()
    return clock() - start_s


def processor_s() -> float:
    """The processor time of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def one_by_one(
    measured: str, against: str, goal: Goal, *, whole_s: float, single_s: float, scale: float
) -> Row:
    """How many times faster ours is than asset by asset, measured on a part and scaled.

    Args:
        measured: What ours does.
        against: What it is compared with.
        goal: The goal.
        whole_s: What ours takes for all.
        single_s: What the part takes, asset by asset.
        scale: How many times as large the whole is.
    """
    factor = single_s * scale / whole_s
    note = f"scaled by {scale:g}"
    return Row(
        measured, against, factor, factor, factor, "times faster",
        goal, whole_s, single_s * scale, note,
    )  # fmt: skip


def counted(measured: str, value: float, unit: str, goal: Goal = NONE, note: str = "") -> Row:
    """A figure that is counted, or measured once."""
    return Row(measured, "", value, value, value, unit, goal, note=note)
