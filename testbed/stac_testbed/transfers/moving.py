"""The bytes on their way: fetched by the destination itself, or carried from end to end."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Callable

from .digests import new_digest
from .web import TransferError, chunks, content_length, readable, refusal, send

if TYPE_CHECKING:
    from collections.abc import Iterator

_TAIL_BYTES = 2000
_VERDICT_CHARACTERS = 300


@dataclass(frozen=True)
class Facts:
    """What is known of a file's bytes: their number and hex digest, each None if unknown."""

    size_bytes: int | None = None
    digest: str | None = None


def move(source: str, destination: str, algorithm: str, check: Callable[[], None]) -> Facts:
    """Let the destination fetch the source; where that fails, read the one and write the other.

    Returns:
        What was seen of the bytes, which is nothing when the destination fetched them.

    Raises:
        TransferError: If neither way succeeded.
    """
    try:
        if _pull(source, destination, check):
            return Facts()
        before = ""
    except TransferError as error:
        check()
        before = f" (and before that {error})"
    try:
        return _carry(source, destination, algorithm, check)
    except TransferError as error:
        raise TransferError(f"{error}{before}") from error


def read_digest(url: str, algorithm: str, check: Callable[[], None]) -> str | None:
    """Return the hex digest of a URL by reading all of it.

    Raises:
        TransferError: If it cannot be read.
    """
    with closing(_Body(url, algorithm, check)) as body:
        for _ in body:
            pass
        return body.facts().digest


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


def _carry(source: str, destination: str, algorithm: str, check: Callable[[], None]) -> Facts:
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
        """Give up what has not been read."""
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        for chunk in chunks(self._response, self._check):
            self._seen_bytes += len(chunk)
            self._digest.update(chunk)
            yield chunk

    def facts(self) -> Facts:
        """Return size and digest of what has passed."""
        return Facts(self._seen_bytes, self._digest.hexdigest())
