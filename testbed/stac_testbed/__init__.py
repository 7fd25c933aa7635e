"""A whole Rucio data lake on one machine, out of pip packages: no container, no account.

A real Rucio server and its stock daemons, a real STAC API, HTTP origins with
small real scenes, WebDAV storages, and a transfer service in FTS's place that
moves the bytes. For the demo, for tests and benchmarks, and for trying Rucio;
not for production.

    stac-rucio testbed up
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .lake import Lake, load, running, start
    from .layout import SOURCE_RSE, STORAGE_EXPRESSION, STORAGE_RSES, Layout

__all__ = [
    "SOURCE_RSE",
    "STORAGE_EXPRESSION",
    "STORAGE_RSES",
    "Lake",
    "Layout",
    "TestbedError",
    "load",
    "running",
    "start",
]

# That of a lake which has been removed since, say: Rucio's modules could not be imported.
if not Path(os.environ.get("RUCIO_CONFIG", __file__)).is_file():
    del os.environ["RUCIO_CONFIG"]

_OF_LAKE = ("Lake", "load", "running", "start")


class TestbedError(Exception):
    """A part of the lake did not start, stop or do what it should; the message says which."""

    __test__ = False  # pytest takes it for a test case by its name


def __getattr__(name: str) -> Any:
    """Import what is asked for: each server of a lake imports this package, and needs little."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(".lake" if name in _OF_LAKE else ".layout", __name__)
    return getattr(module, name)
