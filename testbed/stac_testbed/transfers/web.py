"""HTTP as a copy needs it: single requests, whole bodies, errors of one line without secrets."""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING, Callable
from urllib.parse import urljoin

import requests
import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ABSENT = (404, 410)
CHUNK_BYTES = 1 << 18
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
_MAX_REDIRECTS = 5
_SCHEMES = {"davs": "https", "dav": "http", "https": "https", "http": "http"}


class TransferError(Exception):
    """Why a copy failed: one line that names the URL at fault and holds no secrets."""


def readable(text: str) -> str:
    """Return a URL, or a line with URLs in it, fit for a message: no credentials, no query."""
    line = " ".join(text.split())
    line = re.sub(r"//[^/\s]*@", "//", line)
    return re.sub(r"[?#][^\s?#]\S*", "?…", line)


def http_url(url: str) -> str:
    """Return the http(s) URL of a transfer URL: ``davs`` means https, ``dav`` http.

    Raises:
        TransferError: If the scheme is another one.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise TransferError(f"{readable(url)}: only davs, dav, https and http URLs can be copied")
    return requests.utils.requote_uri(f"{_SCHEMES[scheme.lower()]}://{rest}")


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Callable[[], Iterable[bytes]] | None = None,
    read_seconds: float = READ_SECONDS,
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
    """Say what went wrong at the bottom: the texts above it repeat whole URLs."""
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
