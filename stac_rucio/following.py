"""Work through items with a progress bar."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from .outcomes import OutcomeReport
from .progress import progress
from .text import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from stac_client import Outcome
    from stac_client.progress import Progress

    from .output import Column, Output
    from .progress import Show
    from .source import ItemSource
    from .streams import Item

    Work = Callable[[Iterator[Item], Callable[[Progress], None]], Iterator[Outcome]]
    """Takes items and what to call with the progress; gives the outcomes of their assets."""


def follow(
    doing: str, items: ItemSource, work: Work, output: Output, columns: Sequence[Column]
) -> None:
    """Report what becomes of the assets of items while it happens.

    Args:
        doing: What is done, for the bar.
        items: The items.
        work: Does it.
        output: Where to.
        columns: The columns of a line for programs.

    Raises:
        Failure: Assets have failed.
    """
    outcomes = OutcomeReport(output, columns)
    with progress() as show:
        bar = _Bar(doing, show)
        # Closed even when interrupted: then what was done is in the journal.
        with closing(_generator(work(items.items(bar.on_read), bar.on_progress))) as done:
            for outcome in done:
                outcomes.add(outcome)
    outcomes.finish()


class _Bar:
    """A bar for the items read, and words for the files dealt with."""

    def __init__(self, doing: str, show: Show) -> None:
        self._doing = doing
        self._show = show
        self._items = 0
        self._total: int | None = None
        self._files = ""

    def on_read(self, count: int, total: int | None) -> None:
        self._items, self._total = count, total
        self._update()

    def on_progress(self, now: Progress) -> None:
        self._files = f", {now.files_done:,} of {now.files_total:,} files"
        if now.bytes_total:
            sizes = f"{human_bytes(now.bytes_done)} of {human_bytes(now.bytes_total)}"
            self._files += f", {sizes} downloaded"
        self._update()

    def _update(self) -> None:
        of_all = f" of {self._total:,}" if self._total else ""
        said = f"{self._items:,}{of_all} items read{self._files}"
        self._show(self._doing, self._items, self._total, said)


def _generator(outcomes: Iterator[Outcome]) -> Generator[Outcome, None, None]:
    yield from outcomes
