"""Planning a registration of a large file of items, beside `json.loads` of its lines."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from stac_client import StacClient

from .harness import Goal, Row, counted, seconds, side_by_side
from .items import make_items
from .quick import InstantRucio
from .setting import SOURCE_RSE, peak_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .setting import Setting

_ASSETS = 20
_BAND = {
    "name": "B04",
    "common_name": "red",
    "description": "Band 4 - Red",
    "center_wavelength": 0.665,
    "full_width_half_max": 0.038,
}
_PART = 20
"""The ratio is measured on so many times fewer items, in several rounds."""


def run(setting: Setting) -> Iterator[Row]:
    """Plan by the lake's Rucio, and by one that answers at once."""
    planned = setting.size.planned
    large, small = setting.folder / "large.ndjson", setting.folder / "small.ndjson"
    _write(large, planned)
    _write(small, planned // _PART)
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


def _write(path: Path, items: int) -> None:
    """Write items as public catalogues have them: 13 kB, no sizes, two assets of five no data."""
    with path.open("w", encoding="utf-8") as file:
        for item in make_items("bench", items, _ASSETS):
            for number, asset in enumerate(item["assets"].values()):
                del asset["file:size"], asset["rucio:adler32"]
                asset |= {
                    "roles": ["data", "reflectance"],
                    "gsd": 10.0,
                    "proj:bbox": [600000.0, 5090220.0, 709800.0, 5200020.0],
                    "eo:bands": [_BAND],
                }
                if number % 5 in {1, 3}:
                    about = asset["href"].replace(".tif", ".xml")
                    asset |= {"href": about, "roles": ["metadata"], "type": "application/xml"}
            file.write(json.dumps(item) + "\n")


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
