"""Names, given and read back."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from stac_policy.naming import asset_name, split_name, unescape

from .harness import Goal, Row, seconds
from .items import make_items

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .setting import Setting


def run(setting: Setting) -> Iterator[Row]:
    """Name many assets, and read their names."""
    count = max(setting.size.calls // 12, 2)
    assets = [
        (item["collection"], item["id"], key, asset["href"], item["assets"])
        for item in make_items("sentinel-2-l2a", count, 12)
        for key, asset in item["assets"].items()
    ]
    names = [asset_name(*asset) for asset in assets]
    rounds = range(max(setting.size.rounds, 3))

    def encode() -> None:
        for asset in assets:
            asset_name(*asset)

    def decode() -> None:
        for name in names:
            for part in split_name(name):
                unescape(part)

    yield _rate("asset names encoded a second", encode, len(assets), rounds)
    yield _rate("names decoded a second", decode, len(names), rounds)


def _rate(what: str, function: Callable[[], None], count: int, rounds: range) -> Row:
    rates = [count / seconds(function, time.process_time) for _ in rounds]
    goal = Goal(least=300_000)
    return Row(what, "", median(rates), min(rates), max(rates), "a second", goal)
