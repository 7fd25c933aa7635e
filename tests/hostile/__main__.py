"""Long campaigns: `python -m tests.hostile --times 20 --seed 7 downloads`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.policy.support import configured

from . import targets_of_client, targets_of_policy  # noqa: F401 - fill TARGETS
from .campaign import SEED, TARGETS, run


def main() -> None:
    """Try more cases than the tests do, of all targets or of some."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED + 1)
    parser.add_argument("--times", type=int, default=10, help="as many cases as the tests try")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    with configured(scopes="user.alice"):
        for tried in TARGETS:
            if not options.targets or tried.name in options.targets:
                started_s = time.monotonic()
                cases = run(tried, options.seed, tried.cases * options.times)
                taken_s = time.monotonic() - started_s
                sys.stdout.write(f"{tried.name}: {cases:,} cases in {taken_s:.0f} s\n")
                sys.stdout.flush()


main()
