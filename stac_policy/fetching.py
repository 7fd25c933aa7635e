"""Fetching of files over HTTP, by the RSE protocol: bounded, allow-listed, resumed."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests

from .urls import is_allowed, redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ATTEMPTS = 4
_CHUNK_BYTES = 1 << 20
_REDIRECTS = 5
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_PARTIAL = 206
_RANGE_NOT_SATISFIABLE = 416


class HostNotAllowedError(requests.RequestException):
    """A URL, or a redirect from it, leads to a host that is not in the allow list."""


@contextmanager
def open_url(
    session: requests.Session,
    url: str,
    allowed_hosts: Iterable[str],
    timeout_s: float,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> Iterator[requests.Response]:
    """Request a URL and follow its redirects, each only to an allowed host.

    Raises:
        HostNotAllowedError: The URL or a redirect leads to another host.
        requests.RequestException: The request failed.
    """
    for _ in range(_REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not is_allowed(
            parts.hostname or "", parts.port, allowed_hosts
        ):
            raise HostNotAllowedError(f"{redact(url)} is not on an allowed host")
        response = session.request(
            method, url, headers=headers, timeout=timeout_s, stream=True, allow_redirects=False
        )
        if not response.is_redirect:
            with response:
                yield response
            return
        url = urljoin(url, response.headers["Location"])
        response.close()
    raise requests.TooManyRedirects(f"{redact(url)} redirects more than {_REDIRECTS} times")


def download(
    session: requests.Session,
    url: str,
    target: Path,
    allowed_hosts: Iterable[str],
    timeout_s: float,
) -> None:
    """Download a URL into a file, whose folders are made where they are missing.

    An interrupted download goes on where it stopped if the origin can, and
    starts again otherwise. What fails for good leaves no file behind.

    Args:
        session: The HTTP session to use.
        url: The URL.
        target: The file to write.
        allowed_hosts: See `stac_policy.urls.refusal`.
        timeout_s: Longest silence of the origin, in seconds.

    Raises:
        requests.RequestException: All attempts failed, or the origin refused.
        OSError: The file can not be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    version: str | None = None
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                headers = _continuation(target, version)
                with open_url(session, url, allowed_hosts, timeout_s, headers=headers) as response:
                    response.raise_for_status()
                    version = _strong_etag(response)
                    _write(response, target, resumed=response.status_code == _PARTIAL)
            except requests.RequestException as error:
                if attempt == _ATTEMPTS or not _may_pass(error):
                    raise
                if _status(error) == _RANGE_NOT_SATISFIABLE:
                    target.unlink(missing_ok=True)
                time.sleep(2 ** (attempt - 2))
            else:
                return
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _continuation(target: Path, version: str | None) -> dict[str, str]:
    # Identity: a compressed body could not be continued, nor compared with its length.
    headers = {"Accept-Encoding": "identity"}
    if version and target.exists() and target.stat().st_size:
        headers |= {"Range": f"bytes={target.stat().st_size}-", "If-Range": version}
    return headers


def _strong_etag(response: requests.Response) -> str | None:
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else None


def _write(response: requests.Response, target: Path, *, resumed: bool) -> None:
    received = 0
    with target.open("ab" if resumed else "wb") as file:
        for chunk in response.iter_content(_CHUNK_BYTES):
            file.write(chunk)
            received += len(chunk)
    announced = response.headers.get("Content-Length")
    if announced is not None and int(announced) != received:
        raise requests.ConnectionError(
            f"{redact(response.url)} ended after {received} of {announced} bytes"
        )


def _may_pass(error: requests.RequestException) -> bool:
    """Tell whether the same request may succeed later."""
    if isinstance(error, (HostNotAllowedError, requests.TooManyRedirects)):
        return False
    status = _status(error)
    return status is None or status in _RETRIED or status == _RANGE_NOT_SATISFIABLE


def _status(error: requests.RequestException) -> int | None:
    return None if error.response is None else error.response.status_code
