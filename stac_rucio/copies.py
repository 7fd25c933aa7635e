"""The copies that a command line wants of assets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CopyOptions:
    """Which copies count, and which are wanted most."""

    prefer: tuple[str, ...] = ()
    """RSEs whose copy shall be the `href`, the most wanted first."""
    only: tuple[str, ...] = ()
    """The only RSEs whose copies count; all, if there are none."""
    exclude: tuple[str, ...] = ()
    """RSEs whose copies do not count."""
