"""Runs with faults, side by side on one lake, and what came of them."""

from __future__ import annotations

import argparse
import faulthandler
import json
import logging
import os
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stac_testbed import load, running

from .lake import be_quick, made_in
from .plans import COMBINATIONS, seeds_in_order
from .reading import SERVED
from .runs import Run

if TYPE_CHECKING:
    from concurrent.futures import Future

    from stac_testbed import Lake

    from .runs import Result

_HANGS_S = 900.0
_OFTEN_S = 60.0


def main() -> None:
    """Run; the exit code is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--runs", type=int, help="how many; by default, each fault once")
    parser.add_argument("--seconds", type=float, help="begin no run after so many seconds")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, action="append", help="only this run")
    parser.add_argument("--workers", type=int, default=6, help="runs side by side")
    parser.add_argument("--lake", type=Path, help="folder of a running lake to use")
    options = parser.parse_args()
    be_quick()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    runs = options.runs or (None if options.seconds else len(COMBINATIONS))
    seeds = iter(options.seed or seeds_in_order(options.first, runs))
    with tempfile.TemporaryDirectory(prefix="stac-faults-") as folder:
        if options.lake is not None:
            sys.exit(_all(load(options.lake), Path(folder), seeds, options))
        with running(Path(folder, "lake")) as lake:
            code = _all(lake, Path(folder), seeds, options)
        lake.remove_outside()
    sys.exit(code)


def _all(lake: Lake, folder: Path, seeds: Any, options: argparse.Namespace) -> int:
    began = time.monotonic()
    results, told = [], began
    with made_in(lake, folder / "runs") as bed:
        serve_copies(lake)
        with ThreadPoolExecutor(options.workers) as executor:
            under_way: dict[Future[Result], tuple[Run, float]] = {}
            while True:
                over = options.seconds and time.monotonic() - began > options.seconds
                for seed in islice(seeds, 0 if over else options.workers - len(under_way)):
                    run = Run(bed, seed)
                    under_way[executor.submit(run.go)] = (run, time.monotonic())
                if not under_way:
                    break
                done = wait(under_way, timeout=10, return_when=FIRST_COMPLETED).done
                for future in done:
                    under_way.pop(future)
                    results.append(future.result())
                    _tell(results[-1])
                now = time.monotonic()
                for run, since in under_way.values():
                    if now - since > _HANGS_S:
                        _tell_hanging(run)
                if now - told > _OFTEN_S:
                    told = now
                    wrong = sum(bool(result.wrong) for result in results)
                    say(f"{now - began:5.0f} s: {len(results)} runs, {wrong} wrong")
    return _summary(results, time.monotonic() - began)


def serve_copies(lake: Lake) -> None:
    """Register the lake's optical scenes in a scope of their own, with a copy of each."""
    client = lake.client()
    client.add_scope("root", SERVED)
    items = json.loads(lake.layout.items_file.read_text())["features"]
    for key in ("red", "nir"):  # of an origin each: a request takes URLs of one scheme
        files = [
            {
                "scope": SERVED,
                "name": f"/{item['collection']}/{item['id']}/{key}.tif",
                "bytes": item["assets"][key]["file:size"],
                "md5": item["assets"][key]["file:checksum"][6:],
                "pfn": item["assets"][key]["href"],
            }
            for item in items
            if item["collection"] == "alpine-optical"
        ]
        client.add_replicas("STAC", files)
        client.add_replicas("DISK-B", [{k: v for k, v in f.items() if k != "pfn"} for f in files])


def say(text: str) -> None:
    """Say something, at once."""
    print(text, flush=True)  # noqa: T201 - a program of its own


def _tell(result: Result) -> None:
    plan = result.plan
    if not result.wrong:
        return
    say(f"\nWRONG, seed {plan.seed}: {plan} ({result.struck} requests struck)")
    say(f"  {result.wrong}")
    if result.raised:
        say(f"  under the fault: {result.raised}")
    error = getattr(result, "error", None)
    if error is not None:
        say("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    say(_again(plan))


def _again(*plans: Any) -> str:
    seeds = " ".join(f"--seed {plan.seed}" for plan in plans)
    return f"  again: python -m chaos {seeds}"


def _tell_hanging(run: Run) -> None:
    say(f"\nHANGS, seed {run.plan.seed}: {run.plan}")
    say(_again(run.plan))
    faulthandler.dump_traceback()
    os._exit(1)


def _summary(results: list[Result], seconds: float) -> int:
    wrong = [result for result in results if result.wrong]
    scenarios = Counter((result.plan.scenario, result.plan.target) for result in results)
    struck = Counter((r.plan.scenario, r.plan.target) for r in results if r.struck)
    raised = Counter((r.plan.scenario, r.plan.target) for r in results if r.raised)
    say(f"\n{'scenario':16} {'fault in':10} {'runs':>5} {'struck':>6} {'raised':>6}")
    for (scenario, target), number in sorted(scenarios.items()):
        key = scenario, target
        say(f"{scenario:16} {target:10} {number:5} {struck[key]:6} {raised[key]:6}")
    kinds = {(r.plan.scenario, r.plan.target, r.plan.kind) for r in results}
    hit = sum(r.struck for r in results)
    say(
        f"{len(results)} runs in {seconds:.0f} s: {len(kinds)} of {len(set(COMBINATIONS))} "
        f"combinations of scenario and fault, {hit} requests struck, {len(wrong)} runs wrong"
    )
    slow = sorted(results, key=lambda r: -r.seconds)[:3]
    say("slowest: " + "; ".join(f"seed {r.plan.seed} {r.seconds:.0f} s ({r.plan})" for r in slow))
    if wrong:
        say(_again(*(result.plan for result in wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
