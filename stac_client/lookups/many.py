"""Look-ups of many assets side by side, so many at a time in all and for each host."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stac_client.results import State

from .lookup import LookupFailedError, complete, make_session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import requests

    from stac_client.catalogue.assets import Asset
    from stac_client.progress import FileTally
    from stac_client.results import Outcome
    from stac_policy.naming import DID

    from .lookup import LearnFrom

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
