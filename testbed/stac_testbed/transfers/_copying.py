"""One copy from URL to URL, as FTS makes it: look, make room, move, verify, clean up.

The destination fetches the source itself. Where the storage is configured as one that cannot, the
bytes are carried from end to end, or the source sends them, as it does where its URL says so. What
FTS does not look at is not looked at here, above all the size in the catalogue, and what is wrong
is said in its words.
"""

from __future__ import annotations

import logging
import posixpath
import re
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit, urlunsplit

from stac_policy import signing
from stac_testbed._http import (
    ABSENT,
    ALGORITHMS,
    READ_SECONDS,
    TransferError,
    chunks,
    content_length,
    from_header,
    http_url,
    readable,
    refusal,
    same_digest,
    send,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import requests

logger = logging.getLogger(__name__)

_SETTLE_SECONDS = 0.3
# A storage may have to read the whole file before it knows its digest.
_DIGEST_SECONDS = 10 * READ_SECONDS
_TAIL_BYTES = 2000
_VERDICT_CHARACTERS = 300
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED)
_REGION = "us-east-1"
_MD5 = re.compile('"([0-9a-f]{32})"')
_EPERM, _ENOENT, _EIO, _EEXIST, _EISDIR, _EINVAL, _ENOSYS = 1, 2, 5, 17, 21, 22, 38
# Rucio looks for these words to tell this error from all others.
_EXISTS = "Destination file exists and overwrite is not enabled"


@dataclass(frozen=True)
class Copy:
    """What to copy and how to verify it.

    Attributes:
        source: URL to read.
        destination: URL to write.
        size_bytes: Size in the catalogue, or None; it bounds the time, nothing else.
        checksum: ``ADLER32:hex`` or ``MD5:hex`` in the catalogue, or None.
        verify: Whose checksum to verify: ``both``, ``target``, ``source`` or ``none``.
        strict: Do not look at what arrived (``strict_copy``).
    """

    source: str
    destination: str
    size_bytes: int | None
    checksum: str | None
    verify: str
    strict: bool


@dataclass(frozen=True)
class Endpoint:
    """What FTS's configuration says of a storage that files are copied to.

    Attributes:
        streamed: The storage cannot fetch: bytes are carried to it (`tpc_support=NONE`).
        credential: What it is told of the credential for the source; by default what gfal2
            tells: `gridsite` for sources with TLS, which not all storages take.
        pushed: The source sends the bytes (`DEFAULT_COPY_MODE=3rd push`).
        keys: Access key and secret key of S3, if it is one.
    """

    streamed: bool = False
    credential: str | None = None
    pushed: bool = False
    keys: tuple[str, str] | None = field(default=None, repr=False)

    def at(self, method: str, url: str) -> str:
        """Return the URL of a request to it, signed where it wants that."""
        if self.keys is None:
            return url
        keys = (*self.keys, None)
        return signing.s3(method, url, keys, _REGION, pays=False, in_query=True).url


def make_copy(
    copy: Copy,
    endpoint: Endpoint,
    *,
    overwrite: bool,
    check: Callable[[], None],
    began: Callable[[], None],
) -> None:
    """Copy one file and verify it; after a failure nothing is left at the destination.

    Only where the destination cannot compute the checksum, what arrived stays there.

    Args:
        copy: What to copy.
        endpoint: What is known of the destination.
        overwrite: Whether a file at the destination may be replaced.
        check: Called again and again; raises to end the copy.
        began: Called when whatever is at the destination from now on is this copy's own.

    Raises:
        TransferError: If the copy failed.
    """
    source, destination = http_url(copy.source), http_url(copy.destination)
    if source == destination:
        raise _failed("TRANSFER", _EINVAL, f"{readable(source)} is source and destination")
    algorithm, separator, value = (copy.checksum or "ADLER32:").partition(":")
    if not separator or algorithm.lower() not in ALGORITHMS:
        raise _failed("TRANSFER", _EINVAL, f"checksum {copy.checksum!r} is not known")
    # The source comes first: a missing one must not cost the file it would have replaced.
    size_bytes = _size(_stat(source, "SOURCE"))
    told = value
    if not copy.strict and (copy.verify == "both" or (value and copy.verify == "source")):
        told = _digest(source, algorithm, "SOURCE")
        _compare("SOURCE", f"User-defined and source {algorithm}", value, told)
    _make_room(destination, endpoint, overwrite=overwrite)
    began()
    try:
        if endpoint.pushed or parse_qs(urlsplit(source).query).get("copy_mode") == ["push"]:
            _push(source, endpoint.at("PUT", destination), check)
        elif endpoint.streamed:
            _carry(source, endpoint.at("PUT", destination), size_bytes, check)
        else:
            _pull(source, destination, endpoint.credential, check)
        if not copy.strict:
            verify = copy.verify == "both" or (value and copy.verify == "target")
            expected = (algorithm, value, told) if verify else None
            _verify(destination, endpoint, size_bytes, expected)
    except _CannotVerifyError:
        raise
    except Exception:
        remove(destination, endpoint)
        raise


def _verify(
    destination: str, endpoint: Endpoint, size_bytes: int, expected: tuple[str, str, str] | None
) -> None:
    """Compare what arrived with the size of the source and, if any, with a checksum."""
    url, is_s3 = endpoint.at("HEAD", destination), endpoint.keys is not None
    if _size(_stat(url, "DESTINATION")) != size_bytes:
        raise _failed("DESTINATION", _EINVAL, "Source and destination file size mismatch")
    if expected:
        algorithm, value, told = expected
        which = f"{'User-defined' if value else 'Source'} and destination {algorithm}"
        found = _digest(url, algorithm, "DESTINATION", is_s3=is_s3)
        _compare("DESTINATION", which, value or told, found)


class _CannotVerifyError(TransferError):
    """A server does not tell the checksum that is asked for."""


def _failed(where: str, code: int, text: str) -> TransferError:
    return TransferError(f"{where} [{code}] {text}")


def _stat(url: str, where: str, headers: Mapping[str, str] | None = None) -> requests.Response:
    """Ask what a URL holds, as FTS does: a server is believed whatever its certificate."""
    seconds = _DIGEST_SECONDS if headers else READ_SECONDS
    try:
        with send("HEAD", url, headers=headers, read_seconds=seconds, verify=False) as response:
            status = response.status_code
    except TransferError as error:
        raise _failed(where, _EIO, f"{error}  after 1 attempts") from error
    if response.ok:
        return response
    if status in ABSENT:
        raise _failed(where, _ENOENT, f"Result HTTP {status} : File not found  after 1 attempts")
    if status in _REFUSED:
        why = "Method Not Allowed, " if status == HTTPStatus.METHOD_NOT_ALLOWED else ""
        raise _failed(where, _EPERM, f"HTTP {status} : {why}Permission refused ")
    text = f"Result HTTP {status} : Unexpected server error: {status}  after 1 attempts"
    raise _failed(where, _EIO, text)


def _size(response: requests.Response) -> int:
    """Return the size that is told; FTS takes one that is not for 0."""
    return content_length(response) or 0


def _digest(url: str, algorithm: str, where: str, *, is_s3: bool = False) -> str:
    """Return the hex digest that a server tells; of S3 the ETag is the md5 of one PUT."""
    response = _stat(url, where, {"Want-Digest": algorithm.lower()})
    found = from_header(response.headers.get("digest", ""), algorithm.lower())
    if is_s3 and algorithm == "MD5" and (md5 := _MD5.fullmatch(response.headers.get("ETag", ""))):
        return md5[1]
    if found is None:
        text = f"checksum calculation for {algorithm} not supported"
        raise _CannotVerifyError(f"{where} [{_ENOSYS}] {text}")
    return found


def _compare(where: str, which: str, expected: str, found: str) -> None:
    if expected and not same_digest(expected, found):
        text = f"{which} checksum do not match ({expected.lower()} != {found})"
        raise _failed(where, _EIO, text)


def remove(url: str, endpoint: Endpoint) -> None:
    """Delete a file if it is there; failing that is logged, not raised."""
    url = endpoint.at("DELETE", http_url(url))
    try:
        if not _delete(url):
            # The storage may be about to write what it got of an interrupted request.
            time.sleep(_SETTLE_SECONDS)
            _delete(url)
    except TransferError as error:
        logger.warning("could not clean up: %s", error)


def _delete(url: str) -> bool:
    """Delete a file and return whether there was one."""
    with send("DELETE", url) as response:
        if not response.ok and response.status_code not in ABSENT:
            raise refusal(response)
        return response.ok


def _make_room(destination: str, endpoint: Endpoint, *, overwrite: bool) -> None:
    has_folders = endpoint.keys is None
    try:
        _stat(endpoint.at("HEAD", destination), "DESTINATION")
    except TransferError as error:
        if f"[{_ENOENT}]" not in str(error):
            raise
        if has_folders:
            _make_folder(_parent(destination))
        return
    if not overwrite:
        raise _failed("DESTINATION", _EEXIST, _EXISTS)
    if has_folders and _is_folder(destination):
        # DELETE would take everything below it, too.
        raise _failed("DESTINATION", _EISDIR, f"{readable(destination)} is a folder")
    _delete(endpoint.at("DELETE", destination))


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
        raise _failed("DESTINATION", _EIO, f"MKCOL {readable(url)}: HTTP {status}")


def _mkcol(url: str) -> int:
    with send("MKCOL", url) as response:
        return response.status_code


def _is_folder(url: str) -> bool:
    with send("PROPFIND", url, headers={"Depth": "0"}) as response:
        answer = b"".join(chunks(response, lambda: None))
        multistatus = response.status_code == HTTPStatus.MULTI_STATUS
        return multistatus and bool(re.search(rb"<(\w+:)?collection\b", answer))


def _pull(source: str, destination: str, credential: str | None, check: Callable[[], None]) -> None:
    """Let the destination fetch the source."""
    by_default = "gridsite" if source.startswith("https:") else "none"
    headers = {"Source": source, "Credential": credential or by_default, "Overwrite": "T"}
    _third_party_copy("3rd pull", destination, headers, check)


def _push(source: str, destination: str, check: Callable[[], None]) -> None:
    """Let the source send the file."""
    headers = {"Destination": destination, "Credential": "none", "X-No-Delegate": "true"}
    _third_party_copy("3rd push", source, headers, check)


def _third_party_copy(
    mode: str, at: str, headers: Mapping[str, str], check: Callable[[], None]
) -> None:
    usual = {"X-Number-Of-Streams": "1", "RequireChecksumVerification": "false"}
    try:
        with send("COPY", at, headers={**usual, **headers}) as response:
            if not response.ok:
                raise refusal(response)
            # The status only means that the copy has begun: the last line tells how it ended.
            tail = b""
            for chunk in chunks(response, check):
                tail = (tail + chunk)[-_TAIL_BYTES:]
    except TransferError as error:
        raise _copy_failed(mode, str(error)) from error
    lines = [line for line in tail.decode(errors="replace").splitlines() if line.strip()]
    verdict = readable(lines[-1]) if lines else ""
    word, _, why = verdict.partition(":")
    if verdict.lower().startswith("success"):
        return
    if not word.lower().startswith(("failure", "failed", "aborted")):
        why = f"COPY {readable(at)}: ended without a verdict"
    raise _copy_failed(mode, why.strip()[:_VERDICT_CHARACTERS])


def _copy_failed(mode: str, why: str) -> TransferError:
    text = f"TRANSFER ERROR: Copy failed ({mode}). Last attempt: Transfer failure: {why}"
    return _failed("TRANSFER", _EIO, text)


def _carry(source: str, destination: str, size_bytes: int, check: Callable[[], None]) -> None:
    """Read the source and write the destination, a chunk at a time."""
    bodies: list[_Body] = []

    def body() -> _Body:
        bodies.append(_Body(source, check))
        return bodies[-1]

    try:
        # Of a source whose size is not told no byte is read.
        with send("PUT", destination, body=body if size_bytes else tuple) as response:
            if not response.ok:
                raise refusal(response)
    except TransferError as error:
        raise _copy_failed("streamed", str(error)) from error
    finally:
        for opened in bodies:
            opened.close()


class _Body:
    """A request body that comes from a URL."""

    def __init__(self, source: str, check: Callable[[], None]) -> None:
        self._response = send("GET", source)
        if self._response.status_code != HTTPStatus.OK:
            self._response.close()
            raise refusal(self._response)
        size_bytes = content_length(self._response)
        if size_bytes is not None:
            self.len = size_bytes  # makes requests send Content-Length instead of chunks
        self._check = check

    def close(self) -> None:
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        return chunks(self._response, self._check)
