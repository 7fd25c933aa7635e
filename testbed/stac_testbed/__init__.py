"""A whole Rucio data lake on one machine, out of pip packages: no container, no account.

A real Rucio server and its stock daemons, a real STAC API, HTTP origins with
small real scenes, WebDAV storages, and a transfer service in FTS's place that
moves the bytes. For the demo, for tests and benchmarks, and for trying Rucio;
not for production.

    python -m stac_testbed up
"""

from __future__ import annotations

from .errors import TestbedError
from .lake import Lake, load, running, start
from .layout import Layout
from .provision import SOURCE_RSE, STORAGE_EXPRESSION, STORAGE_RSES

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
