"""Time and memory of a registration, as it grows.

Rounds can not be interleaved here: the time is that of the processors, of client, server
and database together, in which a busy machine tells less.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from stac_client import StacClient

from .harness import Goal, Row, counted, seconds
from .items import make_items
from .setting import SOURCE_RSE, peak_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .setting import Setting

_SERVERS = ("rucio-server", "postgresql")
_WAYS = {"sync": 50, "create_replicas": 50}


def run(setting: Setting) -> Iterator[Row]:
    """Register more and more, each in a process of its own."""
    client = setting.lake.client()
    assets, counts = setting.size.assets, setting.size.growth
    if setting.database == "SQLite":
        counts = counts[:2]  # what takes long there is SQLite
    warm = str(setting.folder / "warm.journal")
    setting.run_module("growth", "sync", setting.new_collection(client), "100", str(assets), warm)
    for way, most_mb in _WAYS.items():
        times_us: list[float] = []
        waited_us: list[float] = []
        peaks_mb: list[float] = []
        for count in counts:
            journal = setting.folder / f"{way}-{count}.journal"
            collection = setting.new_collection(client)
            arguments = (way, collection, str(count // assets), str(assets), str(journal))
            before_s = _busy_s(setting)
            content = json.loads(setting.run_module("growth", *arguments))
            busy_s = _busy_s(setting) - before_s + content["busy_s"]
            times_us.append(busy_s / count * 1e6)
            waited_us.append(content["seconds"] / count * 1e6)
            peaks_mb.append(content["peak_mb"])
        what = f"{way}: {counts[0]:,} to {counts[-1]:,} assets"
        told = ", ".join(f"{time_us:,.0f}" for time_us in times_us)
        waited = ", ".join(f"{time_us:,.0f}" for time_us in waited_us)
        yield counted(
            f"{what}, processor time per asset",
            max(times_us) / min(times_us),
            "times",
            Goal(most=1.2),
            f"{told} µs; waited {waited} µs",
        )
        told = ", ".join(f"{peak:,.0f}" for peak in peaks_mb)
        yield counted(
            f"{what}, memory", peaks_mb[-1] - peaks_mb[0], "MB more", Goal(most=most_mb),
            f"peaks {told} MB",
        )  # fmt: skip


def _busy_s(setting: Setting) -> float:
    """The processor time so far of the lake's Rucio server and database, in seconds."""
    return sum(
        sum(process.cpu_times()[:2])
        for service in setting.lake.processes
        if service.name in _SERVERS and (first := service.find())
        for process in (first, *first.children(recursive=True))
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
