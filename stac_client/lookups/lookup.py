"""What an origin says of a file's size and checksums: by HEAD, or by a download."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from stac_client.catalogue.checksums import Digester
from stac_client.progress import Tally
from stac_policy.urls import redact

from .digests import WANT_DIGESTS, digests_of

if TYPE_CHECKING:
    from stac_client.catalogue.assets import Asset
    from stac_client.progress import FileTally

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = (10, 60)  # to connect, and between two reads
_PATIENCE_S = 60.0  # between two attempts, whatever Retry-After asks for
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})


class LearnFrom(str, Enum):
    """How far to go for sizes and checksums that Rucio needs."""

    ITEM = "item"
    """Only what the items say."""
    HEAD = "head"
    """And what the origins say of a file without sending it."""
    DOWNLOAD = "download"
    """And what one download of the file tells, where both before left something open."""


class LookupFailedError(Exception):
    """An origin gave no usable answer; the message says which and why."""


class _Retry(Retry):
    """Does not wait for days because an origin says so."""

    def get_retry_after(self, response: urllib3.response.HTTPResponse) -> float | None:
        seconds: float | None = super().get_retry_after(response)
        return None if seconds is None else min(seconds, _PATIENCE_S)


class _Session(requests.Session):
    """Uses no credentials of the user's machine (netrc): they are not for a catalogue's hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = lambda request: request

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Keep requests from looking for credentials of the host that a redirect leads to."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Follow no redirect whose target is no text."""
        try:
            return super().get_redirect_target(resp)
        except UnicodeDecodeError:
            return None


def make_session(connections: int) -> requests.Session:
    """Make an HTTP session that retries what may pass and honours Retry-After, up to a minute.

    Args:
        connections: How many it has open to each host at the most; more wait.
    """
    retry = _Retry(
        total=4,
        backoff_factor=0.5,
        status_forcelist=(408, 429, 500, 502, 503, 504),
        allowed_methods=("GET", "HEAD"),
        raise_on_status=False,
    )
    session = _Session()
    # A compressed body has another length and other checksums than the file.
    session.headers["Accept-Encoding"] = "identity"
    for scheme in ("http://", "https://"):
        session.mount(
            scheme, HTTPAdapter(max_retries=retry, pool_maxsize=connections, pool_block=True)
        )
    return session


def complete(
    asset: Asset, learn_from: LearnFrom, session: requests.Session, tally: FileTally | None = None
) -> Asset:
    """Find out an asset's size and a checksum, going no further than needed.

    Args:
        asset: The asset.
        learn_from: How far to go.
        session: As `make_session` gives it.
        tally: Counts the bytes of a download.

    Returns:
        The asset with what was found; size or checksums may still be missing.

    Raises:
        LookupFailedError: The origin failed, or contradicts the item.
    """
    if _is_complete(asset) or learn_from is LearnFrom.ITEM:
        return asset
    try:
        asset = _head(asset, session)
        if _is_complete(asset) or learn_from is LearnFrom.HEAD:
            return asset
        return _download(asset, session, tally or Tally().expect())
    # requests lets some of urllib3's errors pass, and ValueErrors of odd hosts and redirects.
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise LookupFailedError(f"{redact(asset.url)}: {_describe(error)}") from error


def _is_complete(asset: Asset) -> bool:
    return asset.size_bytes is not None and bool(asset.checksums)


def _head(asset: Asset, session: requests.Session) -> Asset:
    with session.head(
        asset.url,
        headers=WANT_DIGESTS,
        timeout=_TIMEOUT_S,
        allow_redirects=True,
    ) as response:
        # Not every origin answers HEAD, or speaks of what it sends; a download tells more.
        if response.status_code != HTTPStatus.OK or _is_encoded(response):
            return asset
        _refuse_page(asset, response)
        # 0 is also what some origins say that do not know.
        size_bytes = _content_length(response) or None
        if asset.size_bytes is not None and size_bytes not in {None, asset.size_bytes}:
            raise LookupFailedError(
                f"the item says {asset.size_bytes} bytes, {redact(asset.url)} says {size_bytes}"
            )
        said = digests_of(response.headers)
        return replace(
            asset,
            size_bytes=asset.size_bytes if asset.size_bytes is not None else size_bytes,
            checksums=replace(
                asset.checksums,
                adler32=asset.checksums.adler32 or said.adler32,
                md5=asset.checksums.md5 or said.md5,
            ),
        )


def _download(asset: Asset, session: requests.Session, tally: FileTally) -> Asset:
    digester = Digester(asset.checksums)
    with session.get(asset.url, timeout=_TIMEOUT_S, stream=True) as response:
        if response.status_code != HTTPStatus.OK:  # 202 and others are no files either
            raise LookupFailedError(f"{redact(asset.url)}: HTTP {response.status_code}")
        _refuse_page(asset, response)
        announced = _content_length(response)
        tally.announce(announced or asset.size_bytes or 0)
        try:
            # As sent: what Rucio knows the size and checksum of is what an origin stores
            # and transfers copy, which may be compressed.
            for chunk in response.raw.stream(_CHUNK_BYTES, decode_content=False):
                digester.update(chunk)
                tally.reached(digester.size_bytes)
        except urllib3.exceptions.HTTPError as error:
            raise LookupFailedError(
                f"{redact(asset.url)} broke off after {digester.size_bytes} bytes"
            ) from error
    if announced not in {None, digester.size_bytes}:
        raise LookupFailedError(
            f"{redact(asset.url)} ended after {digester.size_bytes} of {announced} bytes"
        )
    if asset.size_bytes not in {None, digester.size_bytes}:
        raise LookupFailedError(
            f"{redact(asset.url)} has {digester.size_bytes} bytes, "
            f"but its item or a HEAD request says {asset.size_bytes}"
        )
    if wrong := digester.contradiction():
        raise LookupFailedError(
            f"{redact(asset.url)} has another {wrong} than its item or a HEAD request says"
        )
    return replace(asset, size_bytes=digester.size_bytes, checksums=digester.checksums())


def _refuse_page(asset: Asset, response: requests.Response) -> None:
    """Refuse the page that some origins send, with status 200, to who is not logged in."""
    sent = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if sent in _PAGE_TYPES and asset.media_type.partition(";")[0].strip().lower() != sent:
        raise LookupFailedError(
            f"{redact(asset.url)} answers with a web page ({sent}) instead of the file; "
            "it probably wants a login"
        )


def _is_encoded(response: requests.Response) -> bool:
    """Tell whether what is sent, or stored (Google), is compressed although that was not asked."""
    headers = ("Content-Encoding", "x-goog-stored-content-encoding")
    return any(response.headers.get(header, "identity") != "identity" for header in headers)


def _content_length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _describe(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "no TLS connection; is its certificate valid, and trusted here?"
    if isinstance(error, requests.ConnectionError):
        return "no answer"
    return f"no usable answer ({type(error).__name__})"
