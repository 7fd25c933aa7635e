"""Planning a registration of a large file of items, beside `json.loads` of its lines."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stac_client import StacClient

from .harness import Goal, Row, counted, seconds, side_by_side
from .items import write_ndjson
from .quick import InstantRucio
from .setting import SOURCE_RSE, peak_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .setting import Setting

_PART = 20
"""The ratio is measured on so many times fewer items, in several rounds."""


def run(setting: Setting) -> Iterator[Row]:
    """Plan by the lake's Rucio, and by one that answers at once."""
    planned = setting.size.planned
    large, small = setting.folder / "large.ndjson", setting.folder / "small.ndjson"
    write_ndjson(large, planned)
    write_ndjson(small, planned // _PART)
    instant = StacClient(InstantRucio())
    rounds = side_by_side(
        lambda _: instant.plan(small, SOURCE_RSE),
        lambda _: _loads(small),
        setting.size.rounds,
        time.process_time,
    )
    against = "json.loads of every line"
    what = f"plan {planned // _PART:,} items from NDJSON"
    yield rounds.slower(f"{what}, Rucio's answers not counted", against, Goal(most=3))
    stac = StacClient(setting.lake.client())
    rounds = side_by_side(
        lambda _: stac.plan(small, SOURCE_RSE), lambda _: _loads(small), min(setting.size.rounds, 2)
    )
    yield rounds.slower(f"{what}, Rucio asked for each asset", against, Goal(most=3))
    peaks = {}
    for file in (small, large):
        content = json.loads(setting.run_module("planning", str(file)))
        peaks[file] = content["peak_mb"]
    yield counted(
        f"memory for {planned:,} items beside {planned // _PART:,}",
        peaks[large] - peaks[small], "MB more", Goal(most=10),
        f"{content['seconds']:.1f} s for {planned:,}, peak {peaks[large]:.0f} MB",
    )  # fmt: skip
    large.unlink()
    small.unlink()


def _loads(path: Path) -> None:
    with path.open(encoding="utf-8") as file:
        for line in file:
            json.loads(line)


def _main(path: Path) -> None:
    stac = StacClient(InstantRucio())
    took_s = seconds(lambda: stac.plan(path, SOURCE_RSE))
    print(json.dumps({"seconds": took_s, "peak_mb": peak_mb()}))  # noqa: T201 - the answer


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
