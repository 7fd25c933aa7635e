"""Progress bars on standard error, where that is a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .exits import verbosity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID


class Show(Protocol):
    """Shows how far something is."""

    def __call__(self, doing: str, done: float, total: float | None, said: str) -> None:
        """Show it.

        Args:
            doing: What is done; each thing has a bar of its own.
            done: How much of it.
            total: Of how much; None if that is not known.
            said: The same in words.
        """


@contextmanager
def progress() -> Iterator[Show]:
    """Give what shows progress, if anybody sees it."""
    if not sys.stderr.isatty() or verbosity():  # bars and logs do not go together
        yield _nothing
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(doing: str, done: float, total: float | None, said: str) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing, total=total, said=said)
            bars.update(tasks[doing], completed=done, total=total, said=said)

        yield show


def _nothing(doing: str, done: float, total: float | None, said: str) -> None:
    """Show nothing."""
