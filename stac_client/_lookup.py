"""What an origin says of a file's size and checksums: by HEAD, or by a download."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from urllib3.util.retry import Retry

from stac_client._checksums import WANT_DIGESTS, Digester, digests_of
from stac_client._results import State, Tally
from stac_policy.http import SLOWEST_BYTES, HostNotAllowedError, dismiss, open_url, pieces
from stac_policy.http import make_session as make_guarded_session
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stac_client._assets import Asset
    from stac_client._results import FileTally, Outcome
    from stac_policy.naming import DID


_PIECE_BYTES = 1 << 18  # of a body; it is hashed while it is in the processor's cache
_MOST_BYTES = 2**63 - 1  # what Rucio's databases hold
_TIMEOUT_S = (10, 60)  # to connect; for the headers, and for each SLOWEST_BYTES of a body
_PATIENCE_S = 60.0  # between two attempts, whatever Retry-After asks for
_ADVICE = "try again later, or put its size and a checksum into its item"
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

    def increment(self, *args: Any, **options: Any) -> Retry:
        """Read not all that an origin sends because it is busy, as urllib3 would."""
        if options.get("response") is not None:
            dismiss(options["response"])
        return super().increment(*args, **options)


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
    session = make_guarded_session(max_retries=retry, pool_maxsize=connections, pool_block=True)
    # A compressed body has another length and other checksums than the file.
    session.headers["Accept-Encoding"] = "identity"
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
    if asset.is_complete or learn_from is LearnFrom.ITEM:
        return asset
    try:
        asset = _head(asset, session)
        if asset.is_complete or learn_from is LearnFrom.HEAD:
            return asset
        return _download(asset, session, tally or Tally().expect())
    # requests lets some of urllib3's errors pass, and ValueErrors of odd hosts and redirects.
    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
        raise LookupFailedError(f"{redact(asset.url)}: {_describe(error)}") from error


def _head(asset: Asset, session: requests.Session) -> Asset:
    with open_url(
        session, asset.url, (), _TIMEOUT_S, method="HEAD", headers=WANT_DIGESTS
    ) as response:
        # Not every origin answers HEAD, or speaks of what it sends; a download tells more.
        if response.status_code != HTTPStatus.OK or _is_encoded(response):
            return asset
        _refuse_page(asset, response)
        # 0 is also what some origins say that do not know.
        size_bytes = _content_length(asset, response) or None
        if size_bytes is not None:
            _require_size(asset, size_bytes)
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
    digester = Digester(asset.checksums, md5=False)
    with open_url(session, asset.url, (), _TIMEOUT_S) as response:
        if response.status_code != HTTPStatus.OK:  # 202 and others are no files either
            raise LookupFailedError(f"{redact(asset.url)}: HTTP {response.status_code}")
        _refuse_page(asset, response)
        announced = _content_length(asset, response)
        if announced is not None:
            _require_size(asset, announced)
        tally.announce(announced or asset.size_bytes or 0)
        for piece in _pieces(asset, response, tally):
            digester.update(piece)
    if announced not in {None, digester.size_bytes}:
        raise LookupFailedError(
            f"{redact(asset.url)} ended after {digester.size_bytes} of {announced} bytes"
        )
    _require_size(asset, digester.size_bytes)
    if wrong := digester.contradiction():
        raise LookupFailedError(
            f"{redact(asset.url)} has another {wrong} than its item or a HEAD request says"
        )
    return replace(asset, size_bytes=digester.size_bytes, checksums=digester.checksums())


def _pieces(asset: Asset, response: requests.Response, tally: FileTally) -> Iterator[bytes]:
    """What is sent, if it is not more than it shall be, nor too slow, and has an end."""
    received = 0
    try:
        for piece in pieces(response, _PIECE_BYTES):
            received += len(piece)
            if asset.size_bytes is not None and received > asset.size_bytes:
                raise LookupFailedError(
                    f"{redact(asset.url)} sends more than the {asset.size_bytes} bytes that its "
                    "item or a HEAD request says"
                )
            yield piece
            tally.reached(received)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise LookupFailedError(
            f"{redact(asset.url)} is too slow: not {SLOWEST_BYTES:,} bytes in {_TIMEOUT_S[1]} s "
            f"after the first {received:,}; {_ADVICE}"
        ) from error
    except urllib3.exceptions.HTTPError as error:
        raise LookupFailedError(f"{redact(asset.url)} broke off after {received} bytes") from error


def _require_size(asset: Asset, size_bytes: int) -> None:
    """Refuse another size than what is known already."""
    if asset.size_bytes not in {None, size_bytes}:
        raise LookupFailedError(
            f"{redact(asset.url)} has {size_bytes} bytes, "
            f"but its item or a HEAD request says {asset.size_bytes}"
        )


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


def _content_length(asset: Asset, response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        return None
    # Python makes no number of thousands of digits.
    if len(length) > len(str(_MOST_BYTES)) or int(length) > _MOST_BYTES:
        raise LookupFailedError(f"{redact(asset.url)} has more bytes, it says, than Rucio counts")
    return int(length)


def _describe(error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "no TLS connection; is its certificate valid, and trusted here?"
    if isinstance(error, requests.ConnectionError):
        return f"no answer, or none within {_TIMEOUT_S[1]} s; {_ADVICE}"
    if isinstance(error, (HostNotAllowedError, requests.TooManyRedirects)):
        return (
            "no usable answer: it redirects in circles, or leads to no web address, "
            "or to one that nothing is fetched from"
        )
    return f"no usable answer ({type(error).__name__})"


# Look-ups of many assets side by side, so many at a time in all and for each host.


_AT_A_TIME = 16
_OF_HOST = 4


class Lookups:
    """Finds out sizes and checksums; for several threads, which share what may be at a time."""

    def __init__(
        self, learn_from: LearnFrom, session: requests.Session, executor: ThreadPoolExecutor
    ) -> None:
        self._learn_from = learn_from
        self._session = session
        self._executor = executor

    def complete(
        self, assets: Iterable[Asset], tallies: Mapping[DID, FileTally]
    ) -> Iterator[Asset | Outcome]:
        """Give each asset with what was found, or why it can not be registered, in their order.

        Args:
            assets: The assets.
            tallies: The share of each in the progress.
        """
        return self._executor.map(lambda asset: self._complete(asset, tallies[asset.did]), assets)

    def _complete(self, asset: Asset, tally: FileTally) -> Asset | Outcome:
        try:
            found = complete(asset, self._learn_from, self._session, tally)
        except LookupFailedError as error:
            tally.done(there=False)
            return asset.outcome(State.FAILED, str(error))
        tally.done(there=True)
        if found.size_bytes is None:
            reason = f"learn_from={self._learn_from.value!r} did not tell"
            return asset.outcome(State.SKIPPED, f"its size is not known; {reason}")
        return found


@contextmanager
def lookups(learn_from: LearnFrom) -> Iterator[Lookups]:
    """Begin look-ups; those that nobody waits for any more are given up in the end.

    Args:
        learn_from: How far to go.
    """
    with make_session(_OF_HOST) as session, threads(_AT_A_TIME) as executor:
        yield Lookups(learn_from, session, executor)


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing new once the block is left, whatever waits."""
    executor = ThreadPoolExecutor(count)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)
