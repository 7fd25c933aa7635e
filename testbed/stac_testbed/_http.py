"""HTTP as a copy needs it: single requests, whole bodies, digests, errors of one line.

Digests are checksums as storages and Rucio know them, adler32 and md5, in headers and streams.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import http.client
import re
import zlib
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

import requests
import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

ABSENT = (404, 410)
ALGORITHMS = ("adler32", "md5")
CHUNK_BYTES = 1 << 18
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
_MAX_REDIRECTS = 5
_SECURE = dict.fromkeys(("davs", "https", "s3s"), "https")
_SCHEMES = _SECURE | dict.fromkeys(("dav", "http", "s3"), "http")


class TransferError(Exception):
    """Why a copy failed: one line that names the URL at fault and holds no secrets."""


def readable(text: str) -> str:
    """Return a URL, or a line with URLs in it, fit for a message: no credentials, no query."""
    line = " ".join(text.split())
    line = re.sub(r"//[^/\s]*@", "//", line)
    return re.sub(r"[?#][^\s?#]\S*", "?…", line)


def http_url(url: str) -> str:
    """Return the http(s) URL of a transfer URL: ``davs`` and ``s3s`` mean https.

    Raises:
        TransferError: If the scheme is another one.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise TransferError(f"{readable(url)}: only URLs of WebDAV, S3 and the web can be copied")
    return requests.utils.requote_uri(f"{_SCHEMES[scheme.lower()]}://{rest}")


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Callable[[], Iterable[bytes]] | None = None,
    read_seconds: float = READ_SECONDS,
    verify: bool = True,
) -> requests.Response:
    """Send one request and return the answer, whose body is not read yet.

    Redirects are followed with the same method; ``body`` makes the body anew for each.

    Raises:
        TransferError: If there is no answer, or no end of redirects.
    """
    target = url
    for _ in range(_MAX_REDIRECTS):
        try:
            response = requests.request(
                method,
                target,
                # A connection that is not kept cannot be closed by the server between two uses.
                headers={"Connection": "close", "Accept-Encoding": "identity", **(headers or {})},
                data=body() if body else None,
                stream=True,
                allow_redirects=False,
                verify=verify,
                timeout=(CONNECT_SECONDS, read_seconds),
            )
        except requests.RequestException as error:
            raise TransferError(f"{method} {readable(target)}: {_cause(error)}") from error
        if not response.is_redirect:
            return response
        target = urljoin(target, response.headers["location"])
        response.close()
    raise TransferError(f"{method} {readable(url)}: more than {_MAX_REDIRECTS} redirects")


def refusal(response: requests.Response) -> TransferError:
    """Return the error that an answer with an unwelcome status amounts to."""
    method = response.request.method
    status = f"HTTP {response.status_code} {response.reason or ''}"
    return TransferError(readable(f"{method} {readable(response.url)}: {status}"))


def content_length(response: requests.Response) -> int | None:
    """Return the size in bytes that an answer announces, or None."""
    value = response.headers.get("content-length", "")
    return int(value) if value.isdigit() else None


def chunks(response: requests.Response, check: Callable[[], None]) -> Iterator[bytes]:
    """Yield the body of an answer as it is on the wire, calling ``check`` before each chunk.

    Raises:
        TransferError: If the connection breaks, or ends before the announced size.
    """
    seen_bytes, expected_bytes = 0, content_length(response)
    name = readable(response.url)
    with response:
        try:
            for chunk in response.raw.stream(CHUNK_BYTES, decode_content=False):
                check()
                seen_bytes += len(chunk)
                yield chunk
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            raise TransferError(f"{name}: {_cause(error)} after {seen_bytes} bytes") from error
    # urllib3 takes an early end of the connection for the end of the body.
    if expected_bytes is not None and seen_bytes != expected_bytes:
        raise TransferError(f"{name}: closed after {seen_bytes} of {expected_bytes} bytes")


def _cause(error: BaseException) -> str:
    """Return what went wrong at the bottom: the texts above it repeat whole URLs."""
    inner: BaseException | None = error
    while inner is not None:
        # To urllib3 1 a refused connection is a kind of timeout: its cause says more.
        refused = isinstance(inner, urllib3.exceptions.NewConnectionError)
        if isinstance(inner, (urllib3.exceptions.TimeoutError, TimeoutError)) and not refused:
            return "no answer in time"
        if isinstance(inner, http.client.RemoteDisconnected):
            return "connection closed without an answer"
        if isinstance(inner, (http.client.IncompleteRead, urllib3.exceptions.IncompleteRead)):
            return "connection closed in the middle"
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        error, inner = inner, inner.__cause__ or inner.__context__
    return type(error).__name__


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
