"""HTTP answers that have to get on: what drips, or has no end, holds nobody for ever.

The time limit of a socket begins anew with each byte, and http.client reads headers, sizes of
chunks and trailers for as long as they come.
"""

from __future__ import annotations

import io
import time
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

SLOWEST_BYTES = 1 << 16
"""What has to come in the time of a timeout, where there is as much to come."""

_FRAMING_BYTES = 1 << 18  # of headers, or of all that a piece of a body is framed with
_FRAMING_SHARE = 8  # a chunk of a byte has five more around it


class PacedResponse(HTTPResponse):
    """Takes its headers within the timeout of its socket, and each 64 KiB of a body.

    What is too slow is a `TimeoutError`, as of sockets; what is too much an `HTTPException`.
    """

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        """Make one; the arguments are those of http.client."""
        super().__init__(sock, *args, **options)
        self._source = _Source(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._source)

    def begin(self) -> None:
        """Read the headers."""
        self._source.expect(_FRAMING_BYTES)
        super().begin()

    def read(self, amt: int | None = None) -> bytes:
        """Read a piece of the body; without a size all of it, if it is small."""
        size_bytes = _FRAMING_BYTES if amt is None else amt
        self._source.expect(_FRAMING_BYTES + _FRAMING_SHARE * size_bytes)
        try:
            data = super().read(size_bytes)
        except ValueError as error:  # a chunk of less than no bytes
            raise HTTPException("a chunk without a size") from error
        if amt is None and not self.isclosed():
            raise HTTPException("more than anybody reads at once")
        return data


class _Source(io.RawIOBase):
    """The bytes from a socket, while they are neither too many nor too slow."""

    def __init__(self, raw: io.RawIOBase, timeout_s: float | None) -> None:
        self._raw = raw
        self._timeout_s = float("inf") if timeout_s is None else timeout_s
        self.expect(0)

    def expect(self, most_bytes: int) -> None:
        """Begin to read headers or a piece, of so many bytes at the most."""
        self._left_bytes = most_bytes
        self._begin_lap()

    def _begin_lap(self) -> None:
        self._until_s = time.monotonic() + self._timeout_s
        self._due_bytes = SLOWEST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._until_s:
            raise TimeoutError("too slow")
        if self._left_bytes <= 0:
            raise HTTPException("more than there should be")
        count = self._raw.readinto(buffer) or 0
        self._left_bytes -= count
        self._due_bytes -= count
        if self._due_bytes <= 0:
            self._begin_lap()
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()
