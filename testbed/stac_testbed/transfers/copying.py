"""One copy from URL to URL: look, make room, move the bytes, verify, clean up after a failure."""

from __future__ import annotations

import logging
import posixpath
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Callable
from urllib.parse import urlsplit, urlunsplit

from .moving import move
from .verifying import Verification
from .web import ABSENT, TransferError, chunks, http_url, readable, refusal, send

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.3
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
    verification = Verification(
        source, destination, copy.checksum, size_bytes=copy.size_bytes, verify=copy.verify
    )
    # The source comes first: a missing one must not cost the file it would have replaced.
    verification.look_at_source()
    _make_room(destination, overwrite=overwrite)
    began()
    try:
        moved = move(source, destination, verification.algorithm, check)
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
