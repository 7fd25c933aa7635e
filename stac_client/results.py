"""What became of each asset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from .display.markup import printable
from .display.table import Table
from .errors import RequestError

if TYPE_CHECKING:
    from stac_policy.naming import DID


class State(str, Enum):
    """What became of an asset."""

    REGISTERED = "registered"
    ALREADY_THERE = "already there"
    DEREGISTERED = "deregistered"
    DOWNLOADED = "downloaded"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one asset, and why."""

    collection: str
    item: str
    """Its id, or nothing where no item has such an asset."""
    key: str
    """Key of the asset in its item."""
    state: State
    reason: str = ""
    """Why it was skipped or failed, or what its registration lacks."""
    did: DID | None = None
    """Its file in Rucio, if it has one."""
    dataset: DID | None = None
    """Its item's dataset in Rucio, if it has one."""
    size_bytes: int | None = None
    """Its size, if it is in Rucio."""
    adler32: str | None = None
    md5: str | None = None

    @property
    def place(self) -> str:
        """The asset and its item."""
        item = f"{self.collection}/{self.item} " if self.item else ""
        return f"{item}asset {self.key}"

    def __str__(self) -> str:
        where = f"{self.place}: {self.state.value}"
        return printable(f"{where}: {self.reason}" if self.reason else where)


OutcomeT = TypeVar("OutcomeT", bound=Outcome)


class Outcomes(Table[OutcomeT]):
    """The outcomes of an operation, one for each asset."""

    def __str__(self) -> str:
        counts = [f"{count:,} {state.value}" for state, count in self.counts.items()]
        return ", ".join(counts) or "no assets"

    @property
    def counts(self) -> dict[State, int]:
        """How many assets came to each state; states without any are left out."""
        found = Counter(outcome.state for outcome in self)
        return {state: found[state] for state in State if found[state]}

    def by_state(self, state: State) -> list[OutcomeT]:
        """The outcomes of one state."""
        return [outcome for outcome in self if outcome.state is state]

    def raise_for_failed(self) -> None:
        """Raise if any asset failed.

        Raises:
            RequestError: With the number of failures, the first of them, and how
                many different reasons there are.
        """
        failed = self.by_state(State.FAILED)
        if failed:
            reasons = len({outcome.reason for outcome in failed})
            more = f" ({reasons} different reasons in all)" if reasons > 1 else ""
            raise RequestError(f"{len(failed):,} of {len(self):,} assets: {failed[0]}{more}")

    def _summary(self) -> str:
        return str(self)

    def _shown(self) -> list[dict[str, object]]:
        """How many assets have which reason, and one of them; what failed comes first."""
        found: dict[tuple[State, str], list[OutcomeT]] = {}
        for outcome in self:
            if outcome.reason:
                found.setdefault((outcome.state, outcome.reason), []).append(outcome)
        last_first = list(reversed(State))
        ordered = sorted(
            found.items(), key=lambda each: (last_first.index(each[0][0]), -len(each[1]))
        )
        return [
            {
                "assets": len(outcomes),
                "state": state.value,
                "because": reason,
                "such as": outcomes[0].place,
            }
            for (state, reason), outcomes in ordered
        ]


class Registration(Outcomes[Outcome]):
    """The outcomes of `create_replicas`, one for each asset of each item."""

    @property
    def dids(self) -> list[DID]:
        """The files that Rucio now has."""
        return [did for did, _ in self.dids_with_datasets]

    @property
    def dids_with_datasets(self) -> list[tuple[DID, DID]]:
        """The files that Rucio now has, each with its item's dataset."""
        there = (State.REGISTERED, State.ALREADY_THERE)
        return [
            (outcome.did, outcome.dataset)
            for outcome in self
            if outcome.did and outcome.dataset and outcome.state in there
        ]
