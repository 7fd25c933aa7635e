"""Two clients, each with a part of the items, beside one, of a Rucio that only waits."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from stac_client import StacClient, State

from .harness import Goal, Row, seconds
from .items import make_items
from .quick import InstantRucio
from .setting import SOURCE_RSE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .setting import Setting

_ADD_S, _ATTACH_S, _LIST_S = 1.6e-3, 0.8e-3, 0.08e-3
"""What a quiet server takes for an asset: docs/scaling.md."""
_TIMES = 10
"""So many times the items of a registration, that each client has many requests to send."""


class WaitingRucio(InstantRucio):
    """Answers after the time that a server takes, whatever else it is asked."""

    def add_replicas(self, rse: str, files: Any, **options: Any) -> bool:
        """Add replicas."""
        time.sleep(_ADD_S * len(files))
        return super().add_replicas(rse, files, **options)

    def list_replicas(self, dids: Any, **options: Any) -> Iterator[Any]:
        """List the replicas of files."""
        time.sleep(_LIST_S * len(dids))
        return super().list_replicas(dids, **options)

    def attach_dids_to_dids(self, attachments: Any, **_: Any) -> bool:
        """Attach files to datasets."""
        time.sleep(_ATTACH_S * sum(len(each["dids"]) for each in attachments))
        return True


def run(setting: Setting) -> Iterator[Row]:
    """Register items by one client, and by two at a time."""
    items, assets = setting.size.items * _TIMES, setting.size.assets
    path = setting.folder / "clients.ndjson"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(item) + "\n" for item in make_items("bench", items, assets))
    taken_s: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(setting.size.rounds):
        for count, found_s in taken_s.items():
            parts = [f"{number}/{count}" for number in range(1, count + 1)]
            with ThreadPoolExecutor(count) as executor:
                client = partial(setting.run_module, "clients", str(path))
                answers = [json.loads(each) for each in executor.map(client, parts)]
            if sum(each["registered"] for each in answers) != items * assets:
                raise RuntimeError("not each asset was registered once")
            found_s.append(max(each["seconds"] for each in answers))
    ratios = [one_s / two_s for one_s, two_s in zip(taken_s[1], taken_s[2], strict=True)]
    yield Row(
        f"register {items * assets:,} assets by two clients, a part each",
        "by one, of a Rucio that only waits",
        median(ratios), min(ratios), max(ratios), "times faster", Goal(least=1.5),
        median(taken_s[2]), median(taken_s[1]),
    )  # fmt: skip


def _main(path: Path, part: str) -> None:
    stac = StacClient(WaitingRucio())
    found: list[Any] = []
    took_s = seconds(lambda: found.extend(stac.create_replicas(path, SOURCE_RSE, partition=part)))
    registered = sum(outcome.state is State.REGISTERED for outcome in found)
    print(json.dumps({"seconds": took_s, "registered": registered}))  # noqa: T201 - the answer


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
