"""How much a run measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    rounds: int
    items: int
    """To register; each has `assets` assets."""
    assets: int
    singles: int
    """Assets that are done one by one."""
    page: int
    """Items of a page."""
    rule_items: int
    planned: int
    """Items to plan."""
    growth: tuple[int, ...]
    """Numbers of assets."""
    file_mb: int
    calls: int
    """Of a quick function in a round."""


SIZES = {
    "tiny": Size(1, 4, 3, 2, 3, 3, 20, (6,), 1, 20),
    "small": Size(3, 200, 12, 60, 100, 100, 5_000, (1_000, 5_000), 64, 2_000),
    "full": Size(5, 1_000, 12, 300, 100, 1_000, 100_000, (1_000, 10_000, 100_000), 512, 20_000),
}
