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

__all__ = ["SUPPORTED_VERSION", "__version__", "get_algorithms", "installed_rucios", "users_extra"]

__version__ = "0.1.0"
SUPPORTED_VERSION = [">=38", "<42"]


def installed_rucios() -> dict[str, str]:
    """Return which of `rucio` and `rucio-clients` are installed, each with its version.

    They ship the same files: installing one over the other replaces these, and uninstalling
    either then leaves nothing that works.
    """
    from importlib import metadata  # not for each path that Rucio builds

    found = {}
    for name in ("rucio", "rucio-clients"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def users_extra() -> str:
    """Return the extra of this package that brings the rest of what users need.

    Returns:
        `client`, which brings `rucio-clients`; `tools` where a Rucio is installed, over which
        a second one must never come.
    """
    return "tools" if installed_rucios() else "client"


def get_algorithms() -> dict[str, dict[str, Callable[..., Any]]]:
    """Return the algorithms of this package for RSEs and configurations that ask by name.

    Rucio finds the defaults by file and function name (`non_deterministic_pfn`,
    `scope`) without this. See `rucio.common.plugins`, and docs/algorithms.md.
    """
    from stac_policy.algorithms import named

    return named()
