"""What became of each asset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stac_policy.naming import DID


class State(str, Enum):
    """What became of an asset."""

    REGISTERED = "registered"
    ALREADY_THERE = "already there"
    DEREGISTERED = "deregistered"
    DOWNLOADED = "downloaded"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
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

    def __str__(self) -> str:
        item = f"{self.collection}/{self.item} " if self.item else ""
        where = f"{item}asset {self.key}: {self.state.value}"
        return f"{where}: {self.reason}" if self.reason else where


OutcomeT = TypeVar("OutcomeT", bound=Outcome)


class Outcomes(Sequence[OutcomeT]):
    """The outcomes of an operation, one for each asset."""

    def __init__(self, outcomes: Iterable[OutcomeT]) -> None:
        self._outcomes = tuple(outcomes)

    @overload
    def __getitem__(self, index: int) -> OutcomeT: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[OutcomeT]: ...
    def __getitem__(self, index: int | slice) -> OutcomeT | Sequence[OutcomeT]:
        """Give one outcome, or several."""
        return self._outcomes[index]

    def __len__(self) -> int:
        return len(self._outcomes)

    def __str__(self) -> str:
        counts = [f"{count:,} {state.value}" for state, count in self.counts.items()]
        return ", ".join(counts) or "no assets"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

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

    def to_dataframe(self) -> Any:
        """The outcomes as a pandas DataFrame, which needs pandas."""
        import pandas as pd

        return pd.DataFrame(self.to_dicts())

    def to_dicts(self) -> list[dict[str, Any]]:
        """The outcomes as plain dicts, for JSON or a table."""
        return [
            {field.name: _plain(getattr(outcome, field.name)) for field in fields(outcome)}
            for outcome in self
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


def _plain(value: object) -> object:
    """What JSON can hold of a value; DIDs and paths as people write them."""
    if isinstance(value, Enum):
        return value.value
    return value if value is None or isinstance(value, (str, int)) else str(value)
