"""The command line: `stac-rucio`.

It imports nothing but click until a verb is at work, so that help and
completion answer at once.
"""

from __future__ import annotations

from stac_policy import __version__

__all__ = ["__version__"]
