"""What happens in a run: which scenario, which fault, whom it strikes, when; all by its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from .proxy import ALWAYS

if TYPE_CHECKING:
    from collections.abc import Iterable

_CUT = ("half", "half-chunked")
_HTTP = ("500", "502", "503", "429", "reset-before", "reset-after", *_CUT, "endless", "slow")
_RUCIO = (*_HTTP, "504", "never", "locked", "expired", "half-closed")
_ORIGIN = (*_HTTP, "never", "gone", "changed", "shorter")
_KILLED = ("act-before", "act-after")
_QUICK_RUCIO = ("500", "503", "429", "reset-before", "reset-after", "half", "locked", "expired")
_HANGING = ("never", "endless", "half-chunked")

_FAULTS = {
    ("register", "rucio"): _RUCIO,
    ("register", "origin"): _ORIGIN,
    ("register", "server"): ("act-meanwhile",) * 3,
    ("sync", "rucio"): _RUCIO,
    ("sync", "api"): (*_HTTP, "never", "half-closed"),
    ("sync", "server"): ("act-meanwhile",) * 3,
    ("replicate", "rucio"): _RUCIO,
    ("replicate", "server"): ("act-meanwhile",) * 2,
    ("replicate", "transfers"): (
        *("500", "503", "refused", "reset-before", "reset-after", "lost", "half", "never"),
    ),
    ("replicate", "origin"): ("500", "503", "reset-before", "half", "slow", *_ORIGIN[-3:]),
    ("replicate", "storage"): (
        *("full", "500", "reset-before", "reset-after", "half", "spoiled-request", "wrong-digest"),
    ),
    ("download", "rucio"): _RUCIO,
    ("download", "origin"): _ORIGIN,
    ("download", "storage"): _ORIGIN,
    ("modifier", "rucio"): _RUCIO,
    ("modifier", "api"): (*_HTTP, "half-closed"),
    ("modifier", "server"): ("act-meanwhile",),
    ("serve", "rucio"): _RUCIO,
    ("serve", "api"): (*_HTTP, "never", "half-closed"),
    ("browse", "rucio"): (*_QUICK_RUCIO, "never", "half-closed"),
    ("browse", "api"): (
        *("500", "503", "429", "reset-before", "reset-after", "half", "half-chunked"),
        *("half-closed", "never", "slow"),
    ),
    ("browse", "server"): ("act-meanwhile",) * 2,
    ("shell register", "rucio"): (*_KILLED * 2, *_QUICK_RUCIO, *_HANGING),
    ("shell register", "origin"): _KILLED,
    ("shell sync", "rucio"): (*_KILLED * 3, *_QUICK_RUCIO, *_HANGING),
    ("shell sync", "api"): (*_KILLED * 2, "500", "503", "reset-before", "half"),
    ("shell replicate", "rucio"): (*_KILLED * 2, "never"),
    ("shell download", "rucio"): (*_KILLED, "never"),
    ("shell download", "origin"): (*_KILLED * 3, "half"),
    ("shell download", "disk"): ("full disk",) * 5,
}

# Requests that are sent to each at the least, so that most strikes hit.
_STEPS = {
    ("register", "rucio"): 12,
    ("sync", "rucio"): 40,
    ("replicate", "rucio"): 6,
    ("download", "rucio"): 3,
    ("modifier", "rucio"): 2,
    ("serve", "rucio"): 2,
    ("browse", "rucio"): 4,
    ("browse", "api"): 5,
    ("browse", "server"): 5,
    ("shell register", "rucio"): 8,
    ("shell sync", "rucio"): 8,
    ("shell download", "rucio"): 3,
    ("shell replicate", "rucio"): 3,
    ("replicate", "transfers"): 1,
    ("shell sync", "api"): 5,
    ("register", "server"): 6,
    ("sync", "server"): 20,
    ("replicate", "server"): 6,
}
_FEW_STEPS = 3
# Rucio gives a transfer up that has failed four times, and comes back to it after ten minutes.
_OF_TRANSFERS = ("transfers", "origin", "storage")

COMBINATIONS = [
    (scenario, target, kind) for (scenario, target), kinds in _FAULTS.items() for kind in kinds
]


@dataclass(frozen=True)
class Plan:
    """What happens in a run."""

    seed: int
    scenario: str
    target: str
    """Whom the fault strikes: `rucio`, `server` (it is killed), `api`, `origin`, …"""
    kind: str
    nth: int
    times: int
    tag: str
    """Its collection or scope, which no other run uses."""

    @property
    def rng(self) -> random.Random:
        """Random numbers for all the rest, the same each time."""
        return random.Random(self.seed)  # noqa: S311 - no secret

    @property
    def is_endless(self) -> bool:
        """Whether an answer does not come, or not to its end."""
        return self.kind in ("never", "endless")

    def __str__(self) -> str:
        often = "for ever" if self.times == ALWAYS else f"{self.times} times"
        return f"{self.scenario}: {self.kind} by {self.target} from request {self.nth} on, {often}"


def make_plan(seed: Any) -> Plan:
    """Make the plan of a seed; seeds in a row take each combination of scenario and fault."""
    order = [*range(len(COMBINATIONS))]
    # Else some minutes would be all of one kind.
    random.Random(0).shuffle(order)  # noqa: S311 - no secret
    scenario, target, kind = COMBINATIONS[order[seed % len(order)]]
    rng = random.Random(-seed - 1)  # noqa: S311 - no secret
    nth = rng.randint(1, _STEPS.get((scenario, target), _FEW_STEPS))
    times = rng.choice((1, 2, 4, ALWAYS))
    if kind.startswith("act-") or kind == "full disk":
        times = 1
    elif scenario == "replicate" and target in _OF_TRANSFERS:
        times = min(times, 2)
    return Plan(
        seed=seed,
        scenario=scenario,
        target=target,
        kind=kind,
        nth=nth,
        times=times,
        tag=f"faults-{seed}",
    )


def seeds_in_order(first: int, runs: int | None) -> Iterable[int]:
    """Return so many seeds in a row, those first whose runs take long; None: seeds without end."""
    if runs is None:
        return count(first)
    return sorted(range(first, first + runs), key=lambda seed: not make_plan(seed).is_endless)
