"""Text for terminals and logs: nothing that a catalogue or a server says controls either; pure."""

from __future__ import annotations

import re

# What follows the question mark of a URL may be a signature.
_QUERY = re.compile(r"(?<=[^\s?])\?[^\s'\"<>)\]]+")
_USER = re.compile(r"(?<=://)[^\s/@]+@")
_SECRET = re.compile(
    r"""((?:authorization|cookie|password|passwd|secret|signature|token|api[-_]?key)[\w-]*
        ['"]?\s*[:=]\s*['"]?(?:(?:basic|bearer)\s+)?)[^\s'",;&}]+""",
    re.IGNORECASE | re.VERBOSE,
)
_KILO = 1000
_TEN = 9.95


def printable(text: str) -> str:
    """Give text in one line, with escapes in place of what a terminal would obey."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def without_secrets(text: str) -> str:
    """Give text without queries and users of URLs, and without what is said to be a secret."""
    return _SECRET.sub(r"\1…", _USER.sub("", _QUERY.sub("?…", text)))


def human_bytes(size_bytes: int) -> str:
    """Give a number of bytes as people read it: `1.2 GB`, in powers of 1,000 as Rucio does."""
    size, units = float(size_bytes), ["PB", "TB", "GB", "MB", "kB"]
    if size_bytes < _KILO:
        return f"{size_bytes} B"
    while size >= _KILO - 0.5 and units:  # half less would be shown as 1000
        size, unit = size / _KILO, units.pop()
    return f"{size:.1f} {unit}" if size < _TEN else f"{size:,.0f} {unit}"


def counted(count: int, noun: str) -> str:
    """Give a number and its noun: `1 asset`, `1,200 assets`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
