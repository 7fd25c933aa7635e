"""Time and memory of a registration, as it grows.

Rounds cannot be interleaved here: the time is that of the processors, of client, server
and database together, in units of what the same work takes meanwhile. A busy machine
tells less in it.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from stac_client import StacClient

from .harness import Goal, Row, counted, seconds
from .items import make_items
from .setting import SOURCE_RSE, peak_mb
from .yardstick import Yardstick

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .setting import Setting

_MOST_MB = 50
_WARM = 4800  # assets: some for each thread and process of the server


@dataclass(frozen=True)
class _Run:
    """What it took to register some assets; times in µs for each."""

    busy_us: float
    waited_us: float
    peak_mb: float
    work_s: float
    """What a yardstick took meanwhile, in seconds of a processor."""


def run(setting: Setting) -> Iterator[Row]:
    """Register more and more, each in a process of its own."""
    counts = setting.size.growth
    if setting.database == "SQLite":
        counts = counts[:2]  # what takes long there is SQLite
    _measure(setting, "sync", min(_WARM, counts[-1]))
    for way in ("sync", "create_replicas"):
        runs = [
            [_measure(setting, way, count) for _ in range(times)]
            for count, times in zip(counts, _times(counts), strict=True)
        ]
        what = f"{way}: {counts[0]:,} to {counts[-1]:,} assets"
        yield _time(f"{what}, processor time per asset", runs)
        peaks_mb = [max(each.peak_mb for each in same) for same in runs]
        yield counted(
            f"{what}, memory", peaks_mb[-1] - peaks_mb[0], "MB more", Goal(most=_MOST_MB),
            f"peaks {_told(peaks_mb)} MB",
        )  # fmt: skip


def _times(counts: Sequence[int]) -> list[int]:
    """How often to measure each: what takes but seconds more than once."""
    return [min(max(counts[-1] // count // 10, 1), 5) for count in counts]


def _time(measured: str, runs: list[list[_Run]]) -> Row:
    first_s = median(each.work_s for each in runs[0])
    slow = [median(each.work_s for each in same) / first_s for same in runs]
    relative = [median(each.busy_us / each.work_s for each in same) for same in runs]
    busy_us = [median(each.busy_us for each in same) for same in runs]
    waited_us = [median(each.waited_us for each in same) for same in runs]
    note = (
        f"{_told(busy_us)} µs, while the same work took {', '.join(f'{x:.2f}' for x in slow)} "
        f"times as long; waited {_told(waited_us)} µs"
    )
    return counted(measured, max(relative) / min(relative), "times", Goal(most=1.2), note)


def _told(values: list[float]) -> str:
    return ", ".join(f"{value:,.0f}" for value in values)


def _measure(setting: Setting, way: str, count: int) -> _Run:
    assets = setting.size.assets
    collection = setting.new_collection(setting.lake.client())
    journal = setting.folder / f"{collection}.journal"
    arguments = (way, collection, str(count // assets), str(assets), str(journal))
    before_s = setting.servers_busy_s
    with Yardstick() as yardstick:
        content = json.loads(setting.run_module("growth", *arguments))
    busy_s = setting.servers_busy_s - before_s + content["busy_s"]
    return _Run(
        busy_us=busy_s / count * 1e6,
        waited_us=content["seconds"] / count * 1e6,
        peak_mb=content["peak_mb"],
        work_s=yardstick.work_s,
    )


def _main(way: str, collection: str, items: int, assets: int, journal: str) -> None:
    stac, made = StacClient(), make_items(collection, items, assets)

    def register() -> None:
        if way == "sync":
            deque(stac.sync(made, SOURCE_RSE, Path(journal)), maxlen=0)
        else:
            stac.create_replicas(made, SOURCE_RSE).raise_for_failed()

    begun_s = time.process_time()
    took_s = seconds(register)
    busy_s = time.process_time() - begun_s
    answer = {"seconds": took_s, "busy_s": busy_s, "peak_mb": peak_mb()}
    print(json.dumps(answer))  # noqa: T201 - the answer


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
