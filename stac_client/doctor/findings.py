"""What the doctor finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    """Some things will not work, or not as they should."""
    ERROR = "error"
    """Registration or replication fails."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. It holds no secrets."""

    level: Level
    code: str
    """What kind of finding it is, as docs/doctor.md lists them: `distance-missing`."""
    what: str
    """What was found, naming the RSE, scope, account or URL."""
    why: str = ""
    """Why it matters."""
    mend: str = ""
    """What to paste: a command, or lines of rucio.cfg."""


def ok(code: str, what: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, code, what)


def warning(code: str, what: str, why: str, mend: str) -> Finding:
    """Something will not work as it should."""
    return Finding(Level.WARNING, code, what, why, mend)


def error(code: str, what: str, why: str, mend: str) -> Finding:
    """Registration or replication fails."""
    return Finding(Level.ERROR, code, what, why, mend)
