"""Load: many searches with the modifier and many registrations of the same items, for minutes.

python -m chaos.load --seconds 600

Each answer is right or an error that says so; in the end nothing is twice, nothing is
lacking, and neither this process nor the Rucio server has grown.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pystac_client

from stac_client import StacClient, StacRucioError
from stac_testbed import running

from . import data
from .__main__ import say, serve_copies
from .check import Rucio, Wrong, check_outcomes, check_rucio, require_all
from .reading import SERVED, check_search, served_items, served_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from stac_client import Modifier
    from stac_testbed import Lake


SCOPE = "load"
_ITEMS = 120
_MOST_OF_ALL = 12
_PATIENT_S = 60.0
_GROWTH = 1.25
_SETTLED = 0.3  # of the time: until then what is made once is made


class Load:
    """What the threads share."""

    def __init__(self, lake: Any, seconds: Any) -> None:
        """Prepare it."""
        self.lake = lake
        self.check = Rucio(lake)
        self.originals = served_items(lake)
        self.replicas = self.check.replicas(SERVED, served_names(self.originals))
        folder = lake.layout.data("origin-a")
        self.items, self.truths = data.make_items(
            *(folder, lake.layout.url("origin-a"), SCOPE, random.Random(1)),  # noqa: S311
            verifiable=True,
            count=_ITEMS,
        )
        self.until = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._lock = threading.Lock()

    def repeat(self, work: Any) -> None:
        """Do something again and again, until the time is over or something is wrong."""
        while time.monotonic() < self.until and not self.wrong:
            try:
                work()
                self.count(work.__name__)
            except StacRucioError as error:
                self.count(f"{work.__name__}: error told", str(error))
            except Exception as error:  # noqa: BLE001 - this is what must not be
                self.wrong.append(f"{work.__name__}: {type(error).__name__}: {error}")

    def count(self, what: Any, error: str = "") -> None:
        """Count what was done."""
        with self._lock:
            self.counts[what] += 1
            if error:
                self.errors[error[:160]] += 1

    def searcher(self, modifier: Modifier) -> Callable[..., Any]:
        """Gives the work of one who searches."""

        def search() -> None:
            api = pystac_client.Client.open(self.lake.stac_url, modifier=modifier)
            found = api.search(collections=["alpine-optical"], limit=6).items()
            items = [item.to_dict() for item in found]
            check_search(items, self.originals, self.replicas, annotated=True)

        return search

    def registrant(self, seed: int) -> Callable[..., Any]:
        """Gives the work of one who registers some of the items that all register."""
        rng = random.Random(seed)  # noqa: S311 - no secret
        client = self.lake.client()
        client.timeout = _PATIENT_S
        stac = StacClient(client)

        def register() -> None:
            some = rng.sample(self.items, rng.randint(1, _MOST_OF_ALL))
            outcomes = stac.create_replicas(some, "STAC")
            told = [(o.collection, o.item, o.key, o.state.value, o.reason) for o in outcomes]
            names = {f"/{SCOPE}/{item['id']}/{key}.tif" for item in some for key in item["assets"]}
            truths = {name: self.truths[name] for name in names}
            entries = self.check.replicas(SCOPE, sorted(names))
            check_outcomes(told, truths, set(entries))
            for outcome in outcomes:
                if outcome.state.value == "failed":
                    self.count("register: asset failed, told", outcome.reason)

        return register


def main() -> None:
    """Run; the exit code is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m chaos.load")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--searches", type=int, default=64, help="at a time")
    parser.add_argument("--registrations", type=int, default=16, help="at a time")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory(prefix="stac-load-") as folder:
        with running(Path(folder, "lake")) as lake:
            wrong = _run(lake, options)
        lake.remove_outside()
    for each in wrong:
        say(f"WRONG: {each}")
    sys.exit(bool(wrong))


def _run(lake: Lake, options: argparse.Namespace) -> list[str]:
    lake.client().add_scope("root", SCOPE)
    serve_copies(lake)
    load = Load(lake, options.seconds)
    client = lake.client()
    client.timeout = _PATIENT_S
    shared = StacClient(client, scope=SERVED).modifier.with_options(
        strict=True, timeout_s=_PATIENT_S, cache_s=0
    )
    works = [load.searcher(shared) for _ in range(options.searches)]
    works += [load.registrant(number) for number in range(options.registrations)]
    threads = [threading.Thread(target=load.repeat, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    memory = _memory_while(load, options.seconds)
    for thread in threads:
        thread.join(2 * _PATIENT_S)
    if stuck := sum(thread.is_alive() for thread in threads):
        load.wrong.append(f"{stuck} threads do not come to their end")
    StacClient(lake.client()).create_replicas(load.items, "STAC").raise_for_failed()
    try:
        require_all(check_rucio(load.check, SCOPE, load.truths), load.truths)
    except Wrong as error:
        load.wrong.append(str(error))
    say(f"{options.searches} searches and {options.registrations} registrations at a time")
    for what, number in [*sorted(load.counts.items()), *load.errors.most_common(10)]:
        say(f"{number:7} {what}")
    for name, (settled, most) in memory.items():
        say(f"{name}: {settled >> 20} MiB when settled, {most >> 20} MiB at the most afterwards")
        if most > settled * _GROWTH:
            load.wrong.append(f"{name} grows: {settled} bytes, later {most}")
    return load.wrong


def _memory_while(load: Load, seconds: Any) -> dict[Any, Any]:
    """Follow the memory of this process and of the Rucio server: when settled, and at the most."""
    server = next(each for each in load.lake.processes if each.name == "rucio-server").find()
    settled: Counter[str] = Counter()
    most: Counter[str] = Counter()
    began = time.monotonic()
    while time.monotonic() < load.until and not load.wrong:
        time.sleep(min(5.0, seconds / 20))
        now = {
            "this process": psutil.Process().memory_info().rss,
            "rucio-server": sum(p.memory_info().rss for p in server.children(recursive=True)),
        }
        kept = settled if time.monotonic() - began < seconds * _SETTLED else most
        for name, used in now.items():
            kept[name] = max(kept[name], used)
    return {name: (settled[name], most[name]) for name in settled}


if __name__ == "__main__":
    main()
