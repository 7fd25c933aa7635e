"""The table of docs/access.md: `python -m tests.access.table` prints it."""

from __future__ import annotations

import sys

from . import rows_of_administration, rows_of_data, rows_of_rules
from .rows import ROWS, Row
from .world import ACCOUNTS

_ORDER = (
    rows_of_data.REGISTER,
    rows_of_data.DELETE,
    rows_of_data.STORAGE,
    rows_of_data.DATASETS,
    rows_of_rules.RULES,
    rows_of_administration.ADMINISTRATION,
    rows_of_administration.READ,
)


def rows() -> list[Row]:
    """All rows."""
    return [row for part in _ORDER for row in ROWS[part]]


def markdown() -> str:
    """The table as text, a part below the other."""
    kinds = list(ACCOUNTS.values())
    lines = []
    for part in _ORDER:
        lines += [
            f"| {part} | {' | '.join(kinds)} |",
            f"|---|{'---|' * len(kinds)}",
            *(
                f"| {row.what} | "
                + " | ".join("yes" if kind in row.may_since_41 else "no" for kind in kinds)
                + " |"
                for row in ROWS[part]
            ),
            "",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
