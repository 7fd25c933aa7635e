"""Bulk requests to Rucio: as large as the server takes, and one bad entry spoils no other."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from rucio.common.exception import DatabaseException

from .errors import RequestError, StacRucioError
from .patience import may_pass, patiently

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

    It remembers the size that the server's database took: SQLite refuses
    statements well below 1,000 DIDs. Several threads may use it at a time.
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
            were in the request.
        """
        refused: list[tuple[T, StacRucioError]] = []
        pending = list(batched(values, self._largest))
        while pending:
            part = pending.pop()
            try:
                patiently(partial(request, part))
            except RequestError as error:
                if len(part) == 1 or may_pass(error):
                    refused += [(value, error) for value in part]
                    continue
                half = (len(part) + 1) // 2
                if isinstance(error.__cause__, DatabaseException):
                    self._largest = min(self._largest, max(half, _LEAST))
                pending += [part[:half], part[half:]]
            except StacRucioError as error:
                refused += [(value, error) for value in part]
        return refused
