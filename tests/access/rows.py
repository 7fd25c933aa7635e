"""The rows of the table: what may be tried, by whom it may be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rucio.version import current_version

from .world import ACCOUNTS

if TYPE_CHECKING:
    from .world import Attempt, Cell

Prepare = Callable[["Cell"], "Attempt"]

ADMINS = ("administrator", "root")
REGISTRARS = ("registrar", *ADMINS)
ALL = tuple(ACCOUNTS.values())

ROWS: dict[str, list[Row]] = {}
"""By the titles of the table's parts."""


@dataclass(frozen=True)
class Row:
    """Something that may be tried."""

    what: str
    may: tuple[str, ...]
    """Who may at the Rucio that the tests run with."""
    prepare: Prepare
    blocked: tuple[str, ...]
    """Those whom something other than a permission keeps from it."""
    may_since_41: tuple[str, ...]
    """Who may at Rucio 41, as docs/access.md says."""


def row(
    part: str,
    what: str,
    may: tuple[str, ...],
    *,
    before_41: tuple[str, ...] | None = None,
    blocked: tuple[str, ...] = (),
) -> Callable[[Prepare], Prepare]:
    """Add a row to the table.

    Args:
        part: Title of the part of the table that it belongs to.
        what: What is tried, for people.
        may: Who may.
        before_41: Who may before Rucio 41, if that is different.
        blocked: Whom something other than a permission keeps from it.
    """
    now = may if before_41 is None or int(current_version()) >= 41 else before_41

    def add(prepare: Prepare) -> Prepare:
        ROWS.setdefault(part, []).append(Row(what, now, prepare, blocked, may))
        return prepare

    return add
