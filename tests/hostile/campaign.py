"""Runs many cases: each ends in time, with a documented error at most, and tells no secret."""

from __future__ import annotations

import logging
import signal
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .material import SECRET, Material

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CASE_S = 30.0
"""How long a case may take: none needs a hundredth of it, however busy the machine is."""
SEED = 20250611

TARGETS: list[Target] = []


@dataclass(frozen=True)
class Target:
    """Something that is given hostile values."""

    name: str
    cases: int
    act: Callable[[Material], object]
    """Makes a case and tries it; gives everything that people would see of the outcome."""
    documented: tuple[type[Exception], ...] = ()
    """What it may raise."""


def target(
    cases: int, *documented: type[Exception]
) -> Callable[[Callable[[Material], object]], Callable[[Material], object]]:
    """Add a target, with the number of its cases and the errors that it documents."""

    def add(act: Callable[[Material], object]) -> Callable[[Material], object]:
        TARGETS.append(Target(act.__name__, cases, act, documented))
        return act

    return add


class HangError(BaseException):
    """A case takes too long."""


def run(tried: Target, seed: int = SEED, cases: int | None = None) -> int:
    """Try all cases of a target.

    Returns:
        How many there were.

    Raises:
        AssertionError: A case failed; the message has its number, which `repeat` takes.
    """
    with _logged() as records, _no_hang():
        for number in range(cases or tried.cases):
            try:
                repeat(tried, number, seed, records)
            except BaseException as error:
                error.add_note(f"hostile case {number} of {tried.name}") if hasattr(
                    error, "add_note"
                ) else None
                raise
    return cases or tried.cases


def repeat(tried: Target, number: int, seed: int = SEED, records: list[str] | None = None) -> None:
    """Try one case of a target."""
    records = [] if records is None else records
    signal.setitimer(signal.ITIMER_REAL, CASE_S)
    try:
        shown = _shown(tried.act(Material(f"{seed} {tried.name} {number}")))
    except tried.documented as error:
        shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        # A log has the text of an error; what could not be decoded is only in its repr.
        shown += "" if isinstance(error, UnicodeError) else repr(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert SECRET not in shown, f"{tried.name} {number} shows a secret: {shown}"
    for record in records:
        assert SECRET not in record, f"{tried.name} {number} logs a secret: {record}"
    records.clear()


def _shown(outcome: object) -> str:
    """What people might see of it, as text and as a repr."""
    if isinstance(outcome, (list, tuple)) and type(outcome) in (list, tuple):
        return "\n".join(map(_shown, outcome))
    return f"{outcome}\n{outcome!r}"


@contextmanager
def _logged() -> Iterator[list[str]]:
    """Everything that is logged meanwhile, as handlers would write it."""
    records: list[str] = []
    handler = logging.Handler()
    formatter = logging.Formatter()
    handler.emit = lambda record: records.append(formatter.format(record))  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@contextmanager
def _no_hang() -> Iterator[None]:
    """Let a case that takes too long end with an error."""

    def ring(*_: Any) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def total(targets: Iterable[Target]) -> int:
    """How many cases there are."""
    return sum(each.cases for each in targets)
