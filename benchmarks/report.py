"""Figures as a table for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .harness import Row

_DIGITS_FROM = 100


def table(figures: Iterable[tuple[str, Row]]) -> Table:
    """Show figures.

    Args:
        figures: The database and the figure.
    """
    shown = Table("measured", "against", "database", "figure", "spread", "goal", "", "ours", "")
    for database, row in figures:
        shown.add_row(
            row.measured,
            row.against,
            database,
            f"{number(row.value)} {row.unit}",
            "" if row.low == row.high else f"{number(row.low)} … {number(row.high)}",
            str(row.goal),
            {"ok": "[green]ok", "short": "[red]short"}.get(row.verdict, ""),
            "" if row.ours_s is None else _seconds(row.ours_s),
            row.note,
        )
    return shown


def as_json(figures: Iterable[tuple[str, Row]]) -> list[dict[str, Any]]:
    """Give figures as what JSON can hold."""
    return [
        {"database": database, **asdict(row), "verdict": row.verdict} for database, row in figures
    ]


def number(value: float) -> str:
    """A figure with as many digits as are worth telling."""
    return f"{value:,.0f}" if abs(value) >= _DIGITS_FROM else f"{value:.3g}"


def _seconds(value_s: float) -> str:
    if value_s >= 1:
        return f"{value_s:.1f} s"
    return f"{value_s * 1e3:.1f} ms" if value_s >= 1e-3 else f"{value_s * 1e6:.1f} µs"  # noqa: PLR2004 - a millisecond
