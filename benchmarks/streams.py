"""Reading large item collections, beside orjson, which is told where each of their items ends."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from backports import zstd

from stac_client._items import read_items

from .harness import Goal, Row, counted, seconds, side_by_side
from .items import write_ndjson
from .setting import peak_mb

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .setting import Setting

_PART = 20
"""The ratio is measured on so many times fewer items, in several rounds."""
_BEGIN, _BETWEEN, _END = b'{"type": "FeatureCollection", "features": [', b", ", b"]}"
_PIECE_BYTES = 1 << 20


def run(setting: Setting) -> Iterator[Row]:
    """Read item collections in one line, in several lines, and compressed."""
    planned = setting.size.planned
    small, large = setting.folder / "small.json", setting.folder / "large.json"
    _write(small, planned // _PART)
    _write(large, planned)
    rounds = side_by_side(
        partial(_round, _read, small),
        partial(_round, _bare, small),
        setting.size.rounds,
        time.process_time,
    )
    what = f"read an item collection of {small.stat().st_size / 1e6:.0f} MB"
    against = "orjson, given one feature after the other"
    yield rounds.slower(what, against, Goal(most=1.5))
    for name, pack in (("gzip", gzip.open), ("zstd", zstd.open)):
        packed = small.with_suffix(f".{name}")
        _pack(small, packed, pack)
        rounds = side_by_side(
            partial(_round, _read, packed),
            partial(_round, partial(_bare, unpack=pack), packed),
            setting.size.rounds,
            time.process_time,
        )
        yield rounds.slower(f"the same, {name}", f"{name}, and {against}", Goal(most=1.5))
    found = {}
    for file in (small, large):
        found[file] = json.loads(setting.run_module("streams", str(file)))
    size_mb = large.stat().st_size / 1e6
    yield counted(
        f"memory for an item collection of {size_mb:,.0f} MB",
        found[large]["peak_mb"] - found[small]["peak_mb"],
        "MB more", Goal(most=10),
        f"{found[large]['seconds']:.1f} s, peak {found[large]['peak_mb']:.0f} MB",
    )  # fmt: skip
    large.unlink()


def _write(path: Path, items: int) -> None:
    lines = path.with_suffix(".ndjson")
    write_ndjson(lines, items)
    with lines.open("rb") as source, path.open("wb") as file:
        file.write(_BEGIN)
        file.writelines(
            (_BETWEEN if number else b"") + line.rstrip() for number, line in enumerate(source)
        )
        file.write(_END)
    lines.unlink()


def _pack(path: Path, packed: Path, pack: Callable[..., Any]) -> None:
    with path.open("rb") as source, pack(packed, "wb") as file:
        shutil.copyfileobj(source, file, _PIECE_BYTES)


def _round(function: Callable[[Path], None], path: Path, _: int) -> None:
    function(path)


def _read(path: Path) -> None:
    deque(read_items(path), maxlen=0)


def _bare(path: Path, unpack: Callable[..., Any] = open) -> None:
    """Parse each feature; what is between them is known beforehand."""
    seam = _BETWEEN + b'{"type": "Feature"'
    with unpack(path, "rb") as file:
        left = file.read(len(_BEGIN)) and b""
        while piece := file.read(_PIECE_BYTES):
            left += piece
            start = 0
            while (end := left.find(seam, start)) >= 0:
                orjson.loads(memoryview(left)[start:end])
                start = end + len(_BETWEEN)
            left = left[start:]
        orjson.loads(left[: -len(_END)])


def _main(path: Path) -> None:
    took_s = seconds(lambda: _read(path))
    print(json.dumps({"seconds": took_s, "peak_mb": peak_mb()}))  # noqa: T201 - the answer


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
