"""One replica over HTTP; what was interrupted goes on where the server can."""

from __future__ import annotations

from concurrent.futures import CancelledError
from http import HTTPStatus
from typing import TYPE_CHECKING

import requests
import urllib3

from stac_policy.fetching import HostNotAllowedError, open_url, pieces
from stac_policy.pace import SLOWEST_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from .files import Part

_SCHEMES = {"https": "https", "http": "http", "davs": "https", "dav": "http"}
_PIECE_BYTES = 1 << 16  # as often it looks whether to stop
_TIMEOUT_S = (10, 60)  # to connect; for the headers, and for each SLOWEST_BYTES of a file
_PATIENCE_S = 60.0  # whatever Retry-After asks for
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchError(Exception):
    """A replica did not give the file; the message says why, without its URL."""

    def __init__(self, reason: str, *, may_pass: bool = False, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.may_pass = may_pass
        """Whether the same request may succeed later."""
        self.retry_after_s = retry_after_s
        """How long the server wants to be left alone, in seconds."""


def http_url(pfn: str) -> str | None:
    """The URL that HTTP knows a PFN by (`davs` is `https`), or None for other protocols."""
    scheme, separator, rest = pfn.partition("://")
    known = _SCHEMES.get(scheme.lower())
    return f"{known}://{rest}" if known and separator else None


def fetch(
    session: requests.Session,
    url: str,
    part: Part,
    size_bytes: int,
    *,
    on_bytes: Callable[[int], None],
    stop: Event,
) -> None:
    """Download a URL into a part file; goes on with it if it is of the same version of the URL.

    Args:
        session: The HTTP session to use.
        url: The URL.
        part: The part file.
        size_bytes: Size of the file. No byte more is taken.
        on_bytes: Called with the size of the part as it grows.
        stop: Set when nobody wants the file any more.

    Raises:
        FetchError: The server gave not all of it. What can be continued stays.
        OSError: The part can not be written.
    """
    if stop.is_set():
        raise CancelledError
    source = part.source()
    etag = source[1] if source is not None and source[0] == url else None
    start = part.size_bytes if etag is not None else 0
    if start and start == size_bytes:
        return  # interrupted between the last byte and its verification
    # Identity: a compressed body could not be continued, nor compared with the file's size.
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": str(etag)}
    try:
        with open_url(session, url, (), _TIMEOUT_S, headers=headers) as response:
            if start and not _goes_on(response, start, str(etag)):
                start = 0
                if response.status_code in (
                    HTTPStatus.PARTIAL_CONTENT,
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                ):
                    part.remove()
                    raise FetchError("it can not be continued", may_pass=True)
            _require_file(response, start, size_bytes)
            if not start:
                part.restart(url, _strong_etag(response))
            _write(response, part, start, size_bytes, on_bytes=on_bytes, stop=stop)
    # requests lets some of urllib3's errors pass.
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _describe(error) from error


def _goes_on(response: requests.Response, start: int, etag: str) -> bool:
    """Tell whether a response is the rest of what begins in the part."""
    return (
        response.status_code == HTTPStatus.PARTIAL_CONTENT
        and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        and _strong_etag(response) == etag
    )


def _require_file(response: requests.Response, start: int, size_bytes: int) -> None:
    """Make sure that a response is the file, or its rest, before anything of it is read."""
    status = response.status_code
    if status != (HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK):
        raise FetchError(
            f"HTTP {status}",
            may_pass=status in _MAY_PASS,
            retry_after_s=_retry_after_s(response),
        )
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and start + int(announced) != size_bytes:
        raise FetchError(f"it has {start + int(announced)} bytes there instead of {size_bytes}")


def _write(
    response: requests.Response,
    part: Part,
    received: int,
    size_bytes: int,
    *,
    on_bytes: Callable[[int], None],
    stop: Event,
) -> None:
    on_bytes(received)
    with part.path.open("ab") as file:
        try:
            # As sent: what Rucio knows the size and checksum of is what the storage holds.
            for piece in pieces(response, _PIECE_BYTES):
                if stop.is_set():
                    raise CancelledError
                received += len(piece)
                if received > size_bytes:
                    break
                file.write(piece)
                on_bytes(received)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise FetchError(
                f"it is too slow: not {SLOWEST_BYTES:,} bytes in {_TIMEOUT_S[1]} s after the first "
                f"{received:,} of {size_bytes:,}",
                may_pass=True,
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise FetchError(
                f"it broke off after {received} of {size_bytes} bytes", may_pass=True
            ) from error
    if received > size_bytes:
        part.remove()
        raise FetchError(f"it has more bytes there than {size_bytes}")
    if received < size_bytes:
        raise FetchError(f"it ended after {received} of {size_bytes} bytes", may_pass=True)


def _strong_etag(response: requests.Response) -> str | None:
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else None


def _retry_after_s(response: requests.Response) -> float:
    wanted = response.headers.get("Retry-After")
    try:
        seconds = urllib3.Retry().parse_retry_after(wanted) if wanted else 0.0
    except urllib3.exceptions.InvalidHeader:
        seconds = 0.0
    return min(seconds, _PATIENCE_S)


def _describe(error: Exception) -> FetchError:
    # What requests says may repeat the signed URL of a redirect.
    if isinstance(error, (HostNotAllowedError, requests.TooManyRedirects)):
        return FetchError("it redirects in circles, or to no HTTP server")
    if isinstance(error, requests.exceptions.SSLError):
        return FetchError("no TLS connection; is its certificate valid, and trusted here?")
    return FetchError("no answer", may_pass=True)
