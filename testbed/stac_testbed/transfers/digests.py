"""Checksums as storages and Rucio know them: adler32 and md5, in headers and in streams."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import Protocol


class Digest(Protocol):
    """What ``hashlib`` objects and `Adler32` have in common."""

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""

    def hexdigest(self) -> str:
        """Return the checksum of everything taken in, in lower-case hex digits."""


class Adler32:
    """The checksum most grids use, in the form of a ``hashlib`` object."""

    def __init__(self) -> None:
        self._value = 1

    def update(self, data: bytes, /) -> None:
        """Take in more bytes."""
        self._value = zlib.adler32(data, self._value)

    def hexdigest(self) -> str:
        """Return the checksum of everything taken in, as eight hex digits."""
        return f"{self._value:08x}"


ALGORITHMS = ("adler32", "md5")


def new_digest(algorithm: str) -> Digest:
    """Return an empty checksum of one of `ALGORITHMS`."""
    return hashlib.md5(usedforsecurity=False) if algorithm == "md5" else Adler32()


def same_digest(one: str, other: str) -> bool:
    """Compare two hex digests the way FTS does: neither case nor leading zeros matter."""
    return one.lower().lstrip("0") == other.lower().lstrip("0")


def to_header(algorithm: str, hex_digest: str) -> str:
    """Return the value of a ``Digest`` header: adler32 in hex, md5 in base64 (RFC 3230)."""
    if algorithm == "md5":
        return f"md5={base64.b64encode(bytes.fromhex(hex_digest)).decode()}"
    return f"{algorithm}={hex_digest}"


def from_header(header: str, algorithm: str) -> str | None:
    """Return the hex digest of one algorithm in a ``Digest`` header, or None.

    Storages may answer with another algorithm than was asked for, and some write md5 in hex.
    """
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() != algorithm or not value:
            continue
        if algorithm != "md5" or len(value) == hashlib.md5(usedforsecurity=False).digest_size * 2:
            return value.lower()
        try:
            return base64.b64decode(value, validate=True).hex()
        except binascii.Error:
            return None
    return None
