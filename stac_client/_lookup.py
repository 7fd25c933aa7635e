"""What an origin says of a file's size and checksums: by HEAD, or by a download."""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING

from stac_client._checksums import WANT_DIGESTS, Digester, digests_of
from stac_client._results import State
from stac_policy import bodies, http
from stac_policy.http import Attempts, FetchError
from stac_policy.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from concurrent.futures import Future

    import requests

    from stac_client._assets import Asset
    from stac_client._results import FileTally, Outcome
    from stac_policy.credentials import Credentials
    from stac_policy.naming import DID

    Pending = dict[Future[Asset | Outcome], Asset]

NO_HEAD = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
# What servers say of files that they know no type of, and items of files that have none.
_ANY_TYPE = frozenset({"", "application/octet-stream", "text/plain"})
_AT_A_TIME, _OF_HOST = 16, 4  # look-ups in all, and for each host
_HEAD_S = 10.0
_PART_S, _POLL_S = 5.0, 0.1  # between two parts of what was found, between two looks for it
_ADVICE = "try again later, or put its size and a checksum into its item"


_LOGGER = logging.getLogger(__name__)


class Probe(str, Enum):
    """How far to go for sizes and checksums that Rucio needs."""

    ITEM = "item"
    """Only what the items say."""
    HEAD = "head"
    """And what the origins say of a file without sending it."""
    DOWNLOAD = "download"
    """And what one download of the file tells, where both before left something open."""


def asked_by_head(url: str) -> tuple[int, str]:
    """Ask for a file by HEAD, as FTS does.

    Returns:
        The status, 0 without an answer, and why FTS would not copy it; nothing if it would.
    """
    try:
        with (
            http.make_session() as session,
            http.open_url(session, url, (), _HEAD_S, method="HEAD") as response,
        ):
            status = int(response.status_code)
            length = http.content_length(response)
    except FetchError as error:
        return 0, str(error)
    if status == HTTPStatus.OK:
        return status, "" if length else "no length in its answer to HEAD"
    return status, f"HTTP {status} to HEAD"


def sized(asset: Asset, probe: Probe) -> Asset | Outcome:
    """An asset whose size is known, once a look-up went as far as it may."""
    if asset.size_bytes is None:
        reason = f"its size is not known; probe={probe.value!r} did not tell"
        return asset.outcome(State.SKIPPED, reason)
    return asset


@dataclass(frozen=True)
class Lookups:
    """Finds out sizes and checksums; for several threads, which share what may be at a time."""

    probe: Probe
    session: requests.Session
    executor: ThreadPoolExecutor
    stop: Event | None = None
    """Set when nobody wants to know any more."""
    wants_md5: Callable[[], bool] = bool
    """Asked when a file is read: whether its md5 is wanted, too."""

    @property
    def is_over(self) -> bool:
        """Whether nobody wants to know any more."""
        return self.stop is not None and self.stop.is_set()

    def end(self) -> None:
        """Abandon what has not been found yet."""
        if self.stop is not None:
            self.stop.set()

    def no_further(self, probe: Probe) -> Lookups:
        """Return look-ups that go no further than these, nor than a probe."""
        order = [*Probe]
        return replace(self, probe=min(self.probe, probe, key=order.index))

    def begin(self, assets: Iterable[Asset], tallies: Mapping[DID, FileTally]) -> Pending:
        """Begin to look up assets, whose shares in the progress are in `tallies`."""
        return {
            self.executor.submit(self._outcome, asset, tallies[asset.did]): asset
            for asset in assets
        }

    def found(self, pending: Pending) -> Iterator[list[Asset | Outcome]]:
        """Yield each asset with what was found, or why it cannot be registered.

        They come as they are found, in lists, so that what ends the others loses none of them.
        """
        while pending:
            until_s = time.monotonic() + _PART_S
            while time.monotonic() < until_s and not self.is_over:
                if not wait(pending, _POLL_S).not_done:
                    break
            done = [future for future in pending if self.is_over or future.done()]
            if done:
                yield [_result(future, pending.pop(future)) for future in done]

    def _outcome(self, asset: Asset, tally: FileTally) -> Asset | Outcome:
        try:
            found = self.look_up(asset, tally)
        except FetchError as error:
            tally.done(there=False)
            reason = f"{error}; {_ADVICE}" if error.may_pass else str(error)
            return asset.outcome(State.FAILED, f"{redact(asset.url)}: {reason}")
        tally.done(there=True)
        return sized(found, self.probe)

    def look_up(self, asset: Asset, tally: FileTally) -> Asset:
        """Return an asset with what was found; size or checksums may still be missing.

        It goes no further for them than needed.

        Raises:
            FetchError: The origin failed, or contradicts the item.
        """
        if self.probe is not Probe.ITEM and not asset.is_complete:
            asset = self._head(asset)
        if self.probe is Probe.DOWNLOAD and not asset.is_complete:
            asset = self._download(asset, tally)
        return asset

    def _head(self, asset: Asset) -> Asset:
        _LOGGER.info("asking for the size and checksums of %s", redact(asset.url))

        def ask() -> requests.Response:
            url, headers = asset.url, WANT_DIGESTS
            with http.open_url(self.session, url, method="HEAD", headers=headers) as response:
                http.require_ok(response)
                http.require_plain(response)
                return response

        try:
            response = http.persistently(ask, Attempts(stop=self.stop))
        except FetchError as error:
            # Not every origin answers HEAD, or speaks of what it sends; a download tells more.
            is_last = self.probe is Probe.HEAD
            if error.status is None or (is_last and error.status not in NO_HEAD):
                raise
            return replace(asset, no_length=f"{error} to HEAD")
        if response.headers.get("x-goog-stored-content-encoding", "identity") != "identity":
            return asset  # it speaks of what is stored, which is not what is sent
        _require_type(asset, response)
        # 0 is also what some origins say that do not know.
        length = http.content_length(response)
        size_bytes = length or asset.size_bytes
        if asset.size_bytes not in {None, size_bytes}:
            raise FetchError(f"it has {size_bytes} bytes there instead of {asset.size_bytes}")
        checksums = asset.checksums | digests_of(response.headers)
        no_length = "" if length else "no length in its answer to HEAD"
        return replace(asset, size_bytes=size_bytes, checksums=checksums, no_length=no_length)

    def _download(self, asset: Asset, tally: FileTally) -> Asset:
        md5 = self.wants_md5()
        _LOGGER.info("reading %s for its size and checksums", redact(asset.url))
        digester = Digester(asset.checksums, md5=md5)

        def begin(response: requests.Response) -> None:
            nonlocal digester
            _require_type(asset, response)
            digester = Digester(asset.checksums, md5=md5)
            tally.announce(http.content_length(response) or asset.size_bytes or 0)

        attempts = Attempts(stop=self.stop)
        for piece in bodies.Incoming(
            self.session, asset.url, begin, asset.size_bytes, attempts=attempts
        ):
            digester.update(piece)
            tally.reached(digester.size_bytes)
        if wrong := digester.contradiction():
            raise FetchError(f"it has another {wrong} than its item or a HEAD request says")
        return replace(asset, size_bytes=digester.size_bytes, checksums=digester.checksums())


def _result(future: Future[Asset | Outcome], asset: Asset) -> Asset | Outcome:
    try:
        if future.done():
            return future.result()
    except CancelledError:
        pass
    return asset.outcome(State.FAILED, "interrupted before it was looked up")


def _require_type(asset: Asset, response: requests.Response) -> None:
    """Refuse what some origins send with status 200 in place of a file: a login, an error.

    Raises:
        FetchError: It is a page, JSON or XML, and the item says something else. A page is
            taken only where the item says so and gives a size or checksum to compare with.
    """
    sent, said = (
        text.partition(";")[0].strip().lower()
        for text in (response.headers.get("Content-Type", ""), asset.media_type)
    )
    kind = _kind(sent)
    if kind == "html":
        checksums = asset.checksums
        if _kind(said) != kind or not (asset.size_bytes or checksums or checksums.multihash):
            raise FetchError(
                f"it answers with a web page ({sent}) instead of the file; it probably wants a "
                "login. Where the file is a page, its item has to say its type and size"
            )
    elif kind and said not in _ANY_TYPE and _kind(said) != kind:
        raise FetchError(f"it answers with {sent} instead of {said}; it is probably an error")


def _kind(media_type: str) -> str:
    """What a media type is one of: html, json, xml, or nothing of these."""
    if media_type in {"text/html", "application/xhtml+xml"}:
        return "html"
    name = media_type.rpartition("/")[2].rpartition("+")[2]
    return name if name in {"json", "xml"} else ""


@contextmanager
def lookups(
    probe: Probe,
    wants_md5: Callable[[], bool] = bool,
    credentials: Credentials | None = None,
) -> Iterator[Lookups]:
    """Begin look-ups; those that nobody waits for any more are given up in the end.

    Args:
        probe: How far to go.
        wants_md5: Asked when a file is read: whether its md5 is wanted, too.
        credentials: Those of the user; by default none.
    """
    session = http.make_session(signer=credentials, pool_maxsize=_OF_HOST, pool_block=True)
    is_over = False
    try:
        with threads(_AT_A_TIME) as (executor, stop):
            try:
                yield Lookups(probe, session, executor, stop, wants_md5)
            finally:
                is_over = stop.is_set()
    finally:
        if not is_over:  # else some may still wait for their origins, and need it
            session.close()


@contextmanager
def threads(count: int) -> Iterator[tuple[ThreadPoolExecutor, Event]]:
    """Threads that begin nothing new once the block is left, and an event that is set then.

    What they do is waited for, unless the event is set before that.
    """
    executor, stop = ThreadPoolExecutor(count), Event()
    try:
        yield executor, stop
    finally:
        is_over = stop.is_set()
        stop.set()
        executor.shutdown(wait=not is_over, cancel_futures=True)
