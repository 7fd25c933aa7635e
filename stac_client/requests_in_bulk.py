"""Bulk requests to Rucio: as large as the server takes, and one bad entry spoils no other."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from rucio.common.exception import DatabaseException

from .errors import RequestError, StacRucioError
from .patience import may_pass, patiently, took_too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

T = TypeVar("T")
K = TypeVar("K", bound="Hashable")

REQUEST_DIDS = 1000
"""The most DIDs in one request (`rucio.common.schema.generic`, `maxItems`)."""

_LEAST = 50


def batched(values: Iterable[T], size: int = REQUEST_DIDS) -> Iterator[list[T]]:
    """Cut values into lists of `size`, the last one maybe shorter, without holding more."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Put values into lists by their key, in the order in which they come."""
    groups: dict[K, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups


class Sender:
    """Sends values in bulk requests, in halves where the server refuses one.

    It remembers the size that the server's database took (SQLite refuses
    statements well below 1,000 DIDs), and what a proxy in front of the server
    leaves the time for. Several threads may use it at a time.
    """

    def __init__(self) -> None:
        self._largest = REQUEST_DIDS

    def send(
        self, values: list[T], request: Callable[[list[T]], object]
    ) -> list[tuple[T, StacRucioError]]:
        """Send all values.

        Args:
            values: What to send.
            request: Sends some of them; raises a StacRucioError if that fails. It is
                sent again while the server's database is busy.

        Returns:
            The values that were refused, each with the reason. A refusal that
            does not lie in a single value (no permission, say) concerns all that
            were in the request. If the server needs too long even for few values,
            the others are refused as well, without being sent.
        """
        refused: list[tuple[T, StacRucioError]] = []
        pending = list(batched(values, self._largest))
        while pending:
            part = pending.pop()
            try:
                patiently(partial(request, part))
            except RequestError as error:
                slow = took_too_long(error)
                if slow and len(part) <= _LEAST:
                    # The server is in trouble: smaller requests would only be more of them.
                    reason = _too_slow(error, len(part))
                    refused += [(value, reason) for left in (part, *pending) for value in left]
                    break
                if len(part) == 1 or may_pass(error):
                    refused += [(value, error) for value in part]
                    continue
                half = max((len(part) + 1) // 2, _LEAST if slow else 1)
                if slow or isinstance(error.__cause__, DatabaseException):
                    self._largest = min(self._largest, max(half, _LEAST))
                pending += [part[:half], part[half:]]
            except StacRucioError as error:
                refused += [(value, error) for value in part]
        return refused


def _too_slow(error: RequestError, count: int) -> RequestError:
    """Say of an error what a proxy's time limit was too short for, and what to do."""
    told = RequestError(
        f"{error}: a proxy in front of Rucio does not wait as long as Rucio needs even for "
        f"{count} at a time; raise its time limit, or ask again when Rucio is less busy"
    )
    told.__cause__ = error.__cause__
    return told
