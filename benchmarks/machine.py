"""What figures depend on: the machine and the versions of what runs."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from importlib.metadata import version
from pathlib import Path

from stac_testbed import TestbedError, postgresql

_PACKAGES = ("stac-rucio", "rucio", "SQLAlchemy", "requests", "pystac", "gunicorn", "Flask")


def describe() -> dict[str, str]:
    """Say what this is measured on."""
    return {
        "processor": _first_value(Path("/proc/cpuinfo"), "model name"),
        "cores": str(os.cpu_count()),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": _postgresql(),
        **{package: version(package) for package in _PACKAGES},
    }


def has_postgresql() -> bool:
    """Whether a lake can start a PostgreSQL server here."""
    return bool(_postgresql())


def _postgresql() -> str:
    try:
        program = postgresql.find_programs() / "postgres"
    except TestbedError:
        return ""
    result = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return result.stdout.strip().rpartition(") ")[2] or result.stdout.split()[-1]


def _first_value(path: Path, key: str) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
