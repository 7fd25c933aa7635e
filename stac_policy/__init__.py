"""Rucio policy package for STAC catalogues.

Install it beside Rucio and name it in rucio.cfg:

    [policy]
    package = stac_policy

It is safe on a server that also holds DIDs that have nothing to do with STAC:
for those every algorithm gives exactly what Rucio's own default gives.

Rucio imports this module, and calls `get_algorithms`, for every path that it
builds; both must therefore stay cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SUPPORTED_VERSION", "__version__", "get_algorithms"]

__version__ = "0.1.0"
SUPPORTED_VERSION = [">=38", "<42"]


def get_algorithms() -> dict[str, dict[str, Callable[..., Any]]]:
    """Return the algorithms of this package for RSEs and configurations that ask by name.

    Rucio finds the defaults by file and function name (`non_deterministic_pfn`,
    `scope`) without this. See `rucio.common.plugins`, and docs/algorithms.md.
    """
    from stac_policy.algorithms import named

    return named()
