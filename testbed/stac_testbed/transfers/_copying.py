"""One copy from URL to URL: look, make room, move the bytes, verify, clean up after a failure.

The destination fetches the source itself, or else the bytes are carried from end to end. What
arrived is verified by FTS's rules and the size in the catalogue.
"""

from __future__ import annotations

import logging
import posixpath
import re
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from stac_testbed._http import (
    ABSENT,
    ALGORITHMS,
    READ_SECONDS,
    TransferError,
    chunks,
    content_length,
    from_header,
    http_url,
    new_digest,
    readable,
    refusal,
    same_digest,
    send,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.3
# A storage may have to read the whole file before it knows its digest.
_DIGEST_SECONDS = 10 * READ_SECONDS
_TAIL_BYTES = 2000
_VERDICT_CHARACTERS = 300
# Rucio looks for these words to tell this error from all others.
_EXISTS = "Destination file exists and overwrite is not enabled"


@dataclass(frozen=True)
class Copy:
    """What to copy and how to verify it.

    Attributes:
        source: URL to read.
        destination: URL to write.
        size_bytes: Size in the catalogue, or None.
        checksum: ``ADLER32:hex`` or ``MD5:hex`` in the catalogue, or None.
        verify: Whose checksum to verify: ``both``, ``target``, ``source`` or ``none``.
        strict: Do not even look at what arrived (``strict_copy``).
    """

    source: str
    destination: str
    size_bytes: int | None
    checksum: str | None
    verify: str
    strict: bool


def make_copy(
    copy: Copy, *, overwrite: bool, check: Callable[[], None], began: Callable[[], None]
) -> None:
    """Copy one file and verify it; after a failure nothing is left at the destination.

    Args:
        copy: What to copy.
        overwrite: Whether a file at the destination may be replaced.
        check: Called again and again; raises to end the copy.
        began: Called when whatever is at the destination from now on is this copy's own.

    Raises:
        TransferError: If the copy failed.
    """
    source, destination = http_url(copy.source), http_url(copy.destination)
    if source == destination:
        raise TransferError(f"{readable(source)}: source and destination are the same")
    verification = _Verification(copy, source, destination)
    # The source comes first: a missing one must not cost the file it would have replaced.
    verification.look_at_source()
    _make_room(destination, overwrite=overwrite)
    began()
    try:
        moved = _move(source, destination, verification.algorithm, check)
        if not copy.strict:
            verification.verify(moved, check)
    except Exception:
        remove(destination)
        raise


def remove(url: str) -> None:
    """Delete a file if it is there; failing that is logged, not raised."""
    try:
        if not _delete(http_url(url)):
            # The storage may be about to write what it got of an interrupted request.
            time.sleep(_SETTLE_SECONDS)
            _delete(http_url(url))
    except TransferError as error:
        logger.warning("could not clean up: %s", error)


def _delete(url: str) -> bool:
    """Delete a file and return whether there was one."""
    with send("DELETE", url) as response:
        if not response.ok and response.status_code not in ABSENT:
            raise refusal(response)
        return response.ok


def _make_room(destination: str, *, overwrite: bool) -> None:
    with send("HEAD", destination) as response:
        absent = response.status_code in ABSENT
        if not response.ok and not absent:
            raise refusal(response)
    if absent:
        _make_folder(_parent(destination))
        return
    if not overwrite:
        raise TransferError(f"{readable(destination)}: {_EXISTS}")
    if _is_folder(destination):
        # DELETE would take everything below it, too.
        raise TransferError(f"{readable(destination)}: the destination is a folder")
    _delete(destination)


def _parent(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, posixpath.dirname(parts.path), "", ""))


def _make_folder(url: str) -> None:
    """Make a folder and those above it, from the lowest up: most of them exist."""
    if not urlsplit(url).path.strip("/"):
        return
    status = _mkcol(url)
    if status in (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
        _make_folder(_parent(url))
        status = _mkcol(url)
    done = status in (HTTPStatus.CREATED, HTTPStatus.METHOD_NOT_ALLOWED)
    # Another copy may be making the same folder at this moment: WsgiDAV then answers 500.
    if not done and not _is_folder(url):
        raise TransferError(f"MKCOL {readable(url)}: HTTP {status}")


def _mkcol(url: str) -> int:
    with send("MKCOL", url) as response:
        return response.status_code


def _is_folder(url: str) -> bool:
    with send("PROPFIND", url, headers={"Depth": "0"}) as response:
        answer = b"".join(chunks(response, lambda: None))
        multistatus = response.status_code == HTTPStatus.MULTI_STATUS
        return multistatus and bool(re.search(rb"<(\w+:)?collection\b", answer))


@dataclass(frozen=True)
class _Facts:
    """What is known of a file's bytes: their number and hex digest, each None if unknown."""

    size_bytes: int | None = None
    digest: str | None = None


def _move(source: str, destination: str, algorithm: str, check: Callable[[], None]) -> _Facts:
    """Let the destination fetch the source; where that fails, read the one and write the other.

    Returns:
        What was seen of the bytes, which is nothing when the destination fetched them.

    Raises:
        TransferError: If neither way succeeded.
    """
    before = ""
    try:
        if _pull(source, destination, check):
            return _Facts()
    except TransferError as error:
        check()
        before = f" (and before that {error})"
    try:
        return _carry(source, destination, algorithm, check)
    except TransferError as error:
        raise TransferError(f"{error}{before}") from error


def _pull(source: str, destination: str, check: Callable[[], None]) -> bool:
    """Ask the destination to fetch the source; return False if it does not know how to."""
    headers = {
        "Source": source,
        "Credential": "none",
        "X-Number-Of-Streams": "1",
        "RequireChecksumVerification": "false",
        "Overwrite": "T",
    }
    with send("COPY", destination, headers=headers) as response:
        if not response.ok:
            return False
        # The status only means that the copy has begun: the last line tells how it ended.
        tail = b""
        for chunk in chunks(response, check):
            tail = (tail + chunk)[-_TAIL_BYTES:]
    lines = [line for line in tail.decode(errors="replace").splitlines() if line.strip()]
    verdict = readable(lines[-1]) if lines else ""
    if verdict.lower().startswith("success"):
        return True
    if not verdict.lower().startswith(("failure", "failed", "aborted")):
        verdict = "ended without a verdict"
    raise TransferError(f"COPY {readable(destination)}: {verdict[:_VERDICT_CHARACTERS]}")


def _carry(source: str, destination: str, algorithm: str, check: Callable[[], None]) -> _Facts:
    """Read the source and write the destination, a chunk at a time."""
    with ExitStack() as open_bodies:
        bodies: list[_Body] = []

        def body() -> _Body:
            bodies.append(open_bodies.enter_context(closing(_Body(source, algorithm, check))))
            return bodies[-1]

        with send("PUT", destination, body=body) as response:
            if not response.ok:
                raise refusal(response)
        return bodies[-1].facts()


class _Body:
    """A request body that comes from a URL, counted and summed while it passes."""

    def __init__(self, source: str, algorithm: str, check: Callable[[], None]) -> None:
        self._response = send("GET", source)
        if self._response.status_code != HTTPStatus.OK:
            self._response.close()
            raise refusal(self._response)
        size_bytes = content_length(self._response)
        if size_bytes is not None:
            self.len = size_bytes  # makes requests send Content-Length instead of chunks
        self._check = check
        self._digest = new_digest(algorithm)
        self._seen_bytes = 0

    def close(self) -> None:
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in chunks(self._response, self._check):
            self._seen_bytes += len(chunk)
            self._digest.update(chunk)
            yield chunk

    def facts(self) -> _Facts:
        """Return size and digest of what has passed."""
        return _Facts(self._seen_bytes, self._digest.hexdigest())


class _Verification:
    """The verification of one copy between two http(s) URLs."""

    def __init__(self, copy: Copy, source: str, destination: str) -> None:
        name, separator, value = (copy.checksum or "ADLER32:").partition(":")
        self.algorithm = name.lower()
        if not separator or self.algorithm not in ALGORITHMS:
            raise TransferError(f"{readable(source)}: cannot verify a checksum {copy.checksum!r}")
        self._source, self._destination = source, destination
        self._expected = _Facts(copy.size_bytes, value or None)
        # Without an expected value only the two ends can be compared, with one another.
        self._check_source = copy.verify == "both" or bool(value and copy.verify == "source")
        self._check_target = copy.verify == "both" or bool(value and copy.verify == "target")
        self._there = _Facts()

    def look_at_source(self) -> None:
        """See that the source exists and compare what it tells of itself."""
        response, self._there = self._head(self._source, digest=self._check_source)
        if response.status_code in ABSENT:
            raise refusal(response)
        # Any other refusal may mean HEAD alone (a URL signed for GET): reading it will tell.
        self._compare(self._source, self._there, self._expected)

    def verify(self, moved: _Facts, check: Callable[[], None]) -> None:
        """Compare what is at the destination with all that is known; read it if need be."""
        source = self._there
        if self._check_source and not source.digest:
            logger.warning("%s tells no digest; FTS would fail", readable(self._source))
            source = _Facts(source.size_bytes, moved.digest or self._read(self._source, check))
            self._compare(self._source, source, self._expected)
        self._compare(self._source, _Facts(moved.size_bytes), self._expected)
        response, here = self._head(self._destination, digest=self._check_target)
        if not response.ok:
            raise refusal(response)
        if here.size_bytes is None:
            raise TransferError(f"{readable(self._destination)}: the storage tells no size")
        if self._check_target and not here.digest:
            here = _Facts(here.size_bytes, self._read(self._destination, check))
        for facts in (self._expected, source, _Facts(moved.size_bytes)):
            self._compare(self._destination, here, facts)

    def _read(self, url: str, check: Callable[[], None]) -> str | None:
        """Return the hex digest of a URL by reading all of it."""
        with closing(_Body(url, self.algorithm, check)) as body:
            for _ in body:
                pass
            return body.facts().digest

    def _head(self, url: str, *, digest: bool) -> tuple[requests.Response, _Facts]:
        headers = {"Want-Digest": self.algorithm} if digest else {}
        seconds = _DIGEST_SECONDS if digest else READ_SECONDS
        with send("HEAD", url, headers=headers, read_seconds=seconds) as response:
            # The length of an error page or of compressed bytes is not the file's.
            if not response.ok or "content-encoding" in response.headers:
                return response, _Facts()
            answer = response.headers.get("digest", "") if digest else ""
            return response, _Facts(content_length(response), from_header(answer, self.algorithm))

    def _compare(self, url: str, found: _Facts, expected: _Facts) -> None:
        sizes = (found.size_bytes, expected.size_bytes)
        if None not in sizes and sizes[0] != sizes[1]:
            raise TransferError(f"{readable(url)}: {sizes[0]} bytes instead of {sizes[1]}")
        if found.digest and expected.digest and not same_digest(found.digest, expected.digest):
            text = f"{self.algorithm} {found.digest} instead of {expected.digest}"
            raise TransferError(f"{readable(url)}: {text}")
