"""Outcomes of assets, and the progress of work on them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from enum import Enum
from operator import add
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from rich.filesize import decimal

from stac_client._tables import Bar, Shown, Table, to_html
from stac_client.errors import RequestError
from stac_policy.urls import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from stac_client._tables import Part, Row
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
_WORST = (*reversed(State),)
_MOST_REASONS = 20  # of which there are examples


class Summary(Shown):
    """Outcomes counted by state, and by reason with an example; it grows with neither."""

    def __init__(self, outcomes: Iterable[Outcome] = ()) -> None:
        self._counts, self._sizes_bytes = Counter[State](), Counter[State]()
        self._reasons = Counter[tuple[State, str]]()
        self._examples: dict[tuple[State, str], str] = {}
        for outcome in outcomes:
            self.add(outcome)

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        state, reason = outcome.state, outcome.reason
        self._counts[state] += 1
        self._sizes_bytes[state] += outcome.size_bytes or 0
        if reason:
            if (state, reason) not in self._examples and len(self._examples) >= _MOST_REASONS:
                reason = "other reasons"
            self._reasons[state, reason] += 1
            self._examples.setdefault((state, reason), outcome.place)

    @property
    def counts(self) -> dict[State, int]:
        """How many assets came to each state; states without any are left out."""
        return {state: self._counts[state] for state in State if self._counts[state]}

    def __str__(self) -> str:
        counts = [f"{count:,} {state.value}" for state, count in self.counts.items()]
        return ", ".join(counts) or "no assets"

    def _parts(self) -> Sequence[Part]:
        """How many assets, and how much; then each reason, the worst first."""
        sizes = [
            f"{decimal(self._sizes_bytes[state])} {state.value}"
            for state in self.counts
            if self._sizes_bytes[state]
        ]
        reasons = sorted(self._reasons.most_common(), key=lambda each: _WORST.index(each[0][0]))
        rows: list[Row] = [
            {
                "assets": count,
                "state": state.value,
                "because": reason,
                "such as": self._examples[state, reason],
            }
            for (state, reason), count in reasons
        ]
        return (str(self), *([", ".join(sizes)] if sizes else ()), rows)


class Outcomes(Table[OutcomeT]):
    """The outcomes of an operation, one for each asset."""

    def _summary(self) -> str:
        return str(Summary(self))

    __str__ = _summary

    @property
    def counts(self) -> dict[State, int]:
        """How many assets came to each state; states without any are left out."""
        return Summary(self).counts

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

    def _parts(self) -> Sequence[Part]:
        return Summary(self)._parts()  # noqa: SLF001 - of the same kind


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


# Of downloads: outcomes with their files.


@dataclass(frozen=True, slots=True)
class DownloadOutcome(Outcome):
    """What became of one asset, and why."""

    path: Path | None = None
    """Where its bytes are, verified; absolute."""
    checksum: str | None = None
    """Multihash (hex digits) of the file that is there, for `file:checksum`, if one was known."""
    rse: str | None = None
    """The RSE that it was downloaded from."""
    url: str | None = None
    """The PFN that it was downloaded from."""


class Downloads(Outcomes[DownloadOutcome]):
    """The outcomes of a download, one for each asset of each item."""

    def __init__(
        self,
        outcomes: Iterable[DownloadOutcome],
        catalogue: Path,
        catalogue_problems: Sequence[str] = (),
    ) -> None:
        super().__init__(outcomes)
        self.catalogue = catalogue
        """The catalogue of all items in the folder: `pystac.Catalog.from_file` opens it."""
        self.catalogue_problems = tuple(catalogue_problems)
        """What could not be written of the catalogue, and why; usually nothing."""

    @property
    def paths(self) -> list[Path]:
        """The files that are there now."""
        return [outcome.path for outcome in self if outcome.path is not None]

    def _parts(self) -> Sequence[Part]:
        return (*super()._parts(), *self.catalogue_problems)

    def raise_for_failed(self) -> None:
        """Raise if any asset failed, or if the catalogue could not be written.

        Raises:
            RequestError: As after a registration.
        """
        super().raise_for_failed()
        if self.catalogue_problems:
            raise RequestError(f"all files are there, but {self.catalogue_problems[0]}")


# The progress of work on files, counted by several threads and reported by one.


_REPORT_S = 0.2  # between two reports


class Progress(NamedTuple):
    """How far a download, or the look-ups of a registration, are.

    The totals grow while items are read. What fails is done, but its bytes
    count no more.
    """

    files_done: int
    files_total: int
    bytes_done: int
    """Downloaded bytes; fewer again when a file has to start anew."""
    bytes_total: int
    """Bytes to download, as far as their sizes are known."""

    def __str__(self) -> str:
        files = f"{self.files_done:,} of {self.files_total:,} files"
        if not self.bytes_total:
            return files
        return f"{files}, {decimal(self.bytes_done)} of {decimal(self.bytes_total)} downloaded"

    def _repr_html_(self) -> str:
        """For notebooks: a bar."""
        return to_html(Bar(self.files_done, self.files_total, str(self)))


class Tally:
    """Counts files and bytes for several threads, and reports to the one that began it."""

    def __init__(self, on_progress: Callable[[Progress], None] = lambda _: None) -> None:
        self._on_progress = on_progress
        self._lock = Lock()
        self.progress = Progress(0, 0, 0, 0)
        self._reported: Progress | None = None

    def expect(self, size_bytes: int = 0) -> FileTally:
        """Count one more file that is to come; of no bytes, while nobody knows its size."""
        self.add(0, 1, 0, size_bytes)
        return FileTally(self, size_bytes)

    def add(self, *counts: int) -> None:
        """Add to the counts, in the order of `Progress`."""
        with self._lock:
            self.progress = Progress(*map(add, self.progress, counts))

    def report(self) -> None:
        """Report the counts, unless they are those of the last report."""
        progress = self.progress
        if progress != self._reported:
            self._on_progress(progress)
            self._reported = progress

    def wait(self, futures: Collection[Future[Any]], return_when: str = ALL_COMPLETED) -> None:
        """Wait for futures as `concurrent.futures.wait` does, and report meanwhile."""
        done, pending = set[Future[Any]](), {*futures}
        while pending and not (done and return_when == FIRST_COMPLETED):
            self.report()
            done, pending = wait(pending, _REPORT_S, return_when)  # each costs a lock, or two
        self.report()


class FileTally:
    """The share of one file; for one thread at a time."""

    def __init__(self, tally: Tally, size_bytes: int) -> None:
        self._tally = tally
        self._size_bytes = size_bytes
        self._bytes = 0
        self._is_done = False

    def announce(self, size_bytes: int) -> None:
        """Set the size of the file, where that was not known before."""
        self._tally.add(0, 0, 0, size_bytes - self._size_bytes)
        self._size_bytes = size_bytes

    def reached(self, size_bytes: int) -> None:
        """Set how much of the file is there."""
        if size_bytes > self._size_bytes:
            self.announce(size_bytes)
        self._tally.add(0, 0, size_bytes - self._bytes, 0)
        self._bytes = size_bytes

    def done(self, *, there: bool) -> None:
        """Finish the file, which is there or not; only the first time counts."""
        if self._is_done:
            return
        self._is_done = True
        self.reached(self._size_bytes if there else 0)
        self._tally.add(1, 0, 0, 0 if there else -self._size_bytes)
