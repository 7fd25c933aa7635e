"""What comes from servers that nobody vouches for: bodies of answers, JSON, and files.

A body is read within bounds of bytes and time (`pieces`, `read_body`), JSON within bounds of values
(`parse_json`); a file comes in pieces, and goes on where it broke off (`Incoming`). Requests are
made by `stac_policy.http`, and all fail with its `FetchError`.
"""

from __future__ import annotations

import json
import math
import time
import zlib
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import urllib3

from stac_policy.http import (
    SLOWEST_BYTES,
    Attempts,
    FetchError,
    PassingError,
    content_length,
    open_url,
    require_ok,
    require_plain,
    strong_etag,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import requests

    from stac_policy.http import Timeout

UNKNOWN_BYTES, UNKNOWN_S = 16 << 30, 3600.0
"""How much is taken, and how long, of a body whose size nobody has said."""

BYTES_A_VALUE = 16
"""So many bytes of a JSON text are granted to each of its values.

In memory a value takes some 100 bytes, and in the text of real items about 20: what is much
denser takes many times its size.
"""

_PIECE_BYTES = 1 << 18  # of a body; it is hashed while it is in the processor's cache
_MOST_NESTED = 200
_GZIP = 16 + zlib.MAX_WBITS
_OF_PARTS = frozenset({HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})


def pieces(response: requests.Response, piece_bytes: int = _PIECE_BYTES) -> Iterator[bytes]:
    """Yield the body of an answer as it is sent, piece by piece; what is compressed stays so.

    Not by `stream` of urllib3, which reads sizes of chunks and trailers without any limit.

    Args:
        response: The answer, of which nothing has been read.
        piece_bytes: Size of each piece but the last.

    Raises:
        FetchError: The body broke off, is none, or comes too slowly.
    """
    received = 0
    try:
        while piece := response.raw.read(piece_bytes, decode_content=False):
            received += len(piece)
            yield piece
    except urllib3.exceptions.ReadTimeoutError:
        slow = f"not {SLOWEST_BYTES:,} more bytes in time after {received:,} bytes"
        raise PassingError(f"it is too slow: {slow}") from None
    except urllib3.exceptions.HTTPError:
        raise PassingError(f"it broke off after {received:,} bytes") from None
    announced = content_length(response)
    if received < (announced or 0):
        raise PassingError(f"it ended after {received:,} of {announced:,} bytes")


def read_body(response: requests.Response, limit_bytes: int, until_s: float) -> bytes:
    """Read an answer's body, unpacked.

    It is unpacked here: a few bytes of gzip can hold gigabytes, which requests would unpack
    before it gives any of them.

    Args:
        response: The answer, of which nothing has been read.
        limit_bytes: The most that it may have, unpacked.
        until_s: When to give up, by `time.monotonic`.

    Raises:
        FetchError: It is too large, too slow, broke off, or is packed in another way than gzip.
    """
    decoder = zlib.decompressobj(_GZIP) if require_plain(response, "gzip") == "gzip" else None
    body = bytearray()
    try:
        for piece in pieces(response, SLOWEST_BYTES):
            body += decoder.decompress(piece, limit_bytes + 1 - len(body)) if decoder else piece
            if len(body) > limit_bytes:
                raise FetchError(f"more than {limit_bytes} bytes")
            if decoder and decoder.eof:  # behind its end there may come anything
                break
            if time.monotonic() > until_s:
                raise FetchError("it takes too long")
    except zlib.error:
        raise FetchError("it is said to be gzip, and is none") from None
    if decoder and not decoder.eof:
        raise PassingError("it broke off")
    return bytes(body)


def read_json(response: requests.Response, limit_bytes: int, until_s: float) -> Any:
    """Return the value of an answer in JSON; see `read_body` and `parse_json`.

    Raises:
        FetchError: Its status is not 200, or there is no such value.
    """
    require_ok(response)
    return parse_json(read_body(response, limit_bytes, until_s), limit_bytes)


def parse_json(text: bytes, limit_bytes: int) -> Any:
    """Return the value of a JSON text that neither fills the memory nor has no bottom.

    Args:
        text: The text.
        limit_bytes: The most that it might have; `BYTES_A_VALUE` of it are granted to each value.

    Raises:
        FetchError: It is no JSON, or has too many values.
    """
    most_values = limit_bytes // BYTES_A_VALUE
    if values_in(text) > most_values:
        raise FetchError(f"more than {most_values} values")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise FetchError("the answer is not JSON") from None
    level: list[Any] = [[value]]
    for _ in range(_MOST_NESTED):
        held = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for members in held for each in members if isinstance(each, (dict, list))]
        if not level:
            return value
    raise FetchError("the answer is not JSON that anybody can read: nested too deeply")


def values_in(text: bytes | bytearray) -> int:
    """Count the values of a JSON text; rather too many, as strings may look like some."""
    return sum(map(text.count, (b",", b"[", b"{")))


# Files, which go on where they broke off.


@dataclass
class Incoming:
    """A file that comes from a URL, piece by piece, and across interruptions.

    What was interrupted goes on where it stopped, if the server can, and begins anew otherwise.
    Iterating it raises a FetchError where the server gave not all of it, or something else.
    """

    session: requests.Session
    url: str
    begin: Callable[[requests.Response], object]
    """Called with each answer that begins with the first byte, before the first of its pieces;
    those that came before then count no more."""
    size_bytes: int | None = None
    """Size of the file, if that is known. No byte more is given."""
    received_bytes: int = 0
    """How much there is already."""
    etag: str | None = None
    """The strong ETag of what there is; without one the rest cannot be asked for."""
    allowed_hosts: Iterable[str] = ()
    timeout_s: Timeout | None = None
    attempts: Attempts = field(default_factory=Attempts)
    """At getting any further; one that gives 64 KiB more is followed by another at once."""
    is_stream: bool = False
    """Whether it may take any time without a known size, as whoever takes its pieces does."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces."""
        furthest_bytes = self.received_bytes
        until_s = math.inf if self.is_stream else time.monotonic() + UNKNOWN_S
        while True:
            self.attempts.go_on()
            try:
                yield from self._attempt(until_s)
            except FetchError as error:
                gained_bytes = self.received_bytes - furthest_bytes
                if error.may_pass and self.etag and gained_bytes >= SLOWEST_BYTES:
                    furthest_bytes = self.received_bytes
                    self.attempts.renew()
                elif not self.attempts.again(error):
                    raise
            else:
                return

    def _attempt(self, until_s: float) -> Iterator[bytes]:
        """What one more answer gives."""
        headers = {}
        if self.etag and self.received_bytes:
            if self.received_bytes == self.size_bytes:
                return  # interrupted behind the last byte
            headers = {"Range": f"bytes={self.received_bytes}-", "If-Range": self.etag}
        with open_url(
            self.session, self.url, self.allowed_hosts, self.timeout_s, headers=headers
        ) as response:
            whole_bytes = self._whole_bytes(response, is_rest=bool(headers))
            for piece in pieces(response):
                most_bytes = UNKNOWN_BYTES if whole_bytes is None else whole_bytes
                if self.received_bytes + len(piece) > most_bytes:
                    self.etag = None
                    raise FetchError(f"it has more bytes there than {most_bytes}")
                if whole_bytes is None and time.monotonic() > until_s:
                    raise FetchError(f"it has no end within {UNKNOWN_S:g} s, and no size")
                self.received_bytes += len(piece)
                yield piece
                self.attempts.go_on()
        if self.received_bytes < (whole_bytes or 0):
            raise PassingError(f"it ended after {self.received_bytes} of {whole_bytes} bytes")

    def _whole_bytes(self, response: requests.Response, *, is_rest: bool) -> int | None:
        """Require that an answer is the file or its rest, and return the size of the whole."""
        is_rest = (
            is_rest
            and response.status_code == HTTPStatus.PARTIAL_CONTENT
            and response.headers.get("Content-Range", "").startswith(
                f"bytes {self.received_bytes}-"
            )
            and strong_etag(response) == self.etag
        )
        if not is_rest and response.status_code in _OF_PARTS:
            self.etag = None
            raise PassingError(f"HTTP {response.status_code}")
        if not is_rest:
            require_ok(response)
            self.received_bytes, self.etag = 0, strong_etag(response)
        require_plain(response)
        announced = content_length(response)
        whole_bytes = None if announced is None else self.received_bytes + announced
        if self.size_bytes is not None and whole_bytes not in {None, self.size_bytes}:
            raise FetchError(f"it has {whole_bytes} bytes there instead of {self.size_bytes}")
        if not is_rest:
            self.begin(response)
        return whole_bytes if self.size_bytes is None else self.size_bytes


def download(
    session: requests.Session,
    url: str,
    target: Path,
    allowed_hosts: Iterable[str],
    timeout_s: float | None = None,
) -> None:
    """Download a URL into a file, whose folders are made where they are missing.

    What fails for good leaves no file behind. The other arguments are those of `open_url`.

    Raises:
        FetchError: All attempts failed, or the origin refused.
        OSError: The file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # which may be another name of a file to keep
    try:
        with target.open("xb") as file:

            def begin(_: requests.Response) -> None:
                file.seek(0)
                file.truncate()

            file.writelines(
                Incoming(session, url, begin, allowed_hosts=allowed_hosts, timeout_s=timeout_s)
            )
    except BaseException:
        target.unlink(missing_ok=True)
        raise
