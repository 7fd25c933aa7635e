"""How many requests are on their way to a server at a time: as many as it answers well."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

A = TypeVar("A")
T = TypeVar("T")

MOST = 4
"""By default."""

_FEW, _MANY = 1, 2  # requests that wait for others, as far as answers tell
_QUICK_S = 1.0  # within which no answer is slow, whatever another one took
_FORGETS = 1.01  # what was the quickest answer once need not be so for ever


class InFlight:
    """Lets requests begin, up to a most at a time, and fewer while the server has too many.

    Twice as few after an answer that says so. And as TCP Vegas does it: where requests of a kind
    take longer than the quickest of them did, that share of those on their way waits for others,
    here or of other clients. With more than two of these waiting there is one fewer at a time, with
    less than one there is slowly one more.
    """

    def __init__(
        self, most: int = MOST, is_busy: Callable[[Exception], bool] = lambda _: False
    ) -> None:
        """Let so many begin at a time.

        Args:
            most: How many.
            is_busy: Whether an error says that the server has too many.
        """
        self.most, self._is_busy = most, is_busy
        self.limit = float(most)
        """How many there may be just now."""
        self._now = 0
        self._changed_s = 0.0
        self._quickest_s: dict[Hashable, float] = {}
        self._condition = threading.Condition()

    def wrapped(self, request: Callable[[A], T], kind: Hashable | None) -> Callable[[A], T]:
        """Return a function that sends requests of a kind when they may begin."""

        def sent(argument: A) -> T:
            with self.request(kind):
                return request(argument)

        return sent

    @contextmanager
    def request(self, kind: Hashable | None) -> Iterator[None]:
        """Wait until a request may begin, and learn from how it ends.

        Args:
            kind: Of the request; those of one take equally long if nothing else is done. None
                of one whose time says nothing.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._now < int(self.limit))
            self._now += 1
        begin_s = time.monotonic()
        try:
            yield
        except Exception as error:
            if self._is_busy(error):
                self._change(self.limit / 2, begin_s)
            raise
        else:
            if kind is not None:
                self._learn(kind, begin_s)
            elif not self._quickest_s:  # where all only read, nothing else tells
                self._more()
        finally:
            with self._condition:
                self._now -= 1
                self._condition.notify_all()

    def _learn(self, kind: Hashable, begin_s: float) -> None:
        took_s = time.monotonic() - begin_s
        with self._condition:
            quickest_s = min(self._quickest_s.get(kind, took_s) * _FORGETS, took_s)
            self._quickest_s[kind] = quickest_s
        waiting = self.limit * (1 - quickest_s / took_s) if took_s > _QUICK_S else 0.0
        if waiting > _MANY:
            self._change(self.limit - 1, begin_s)
        elif waiting < _FEW:
            self._more()

    def _more(self) -> None:
        with self._condition:
            self.limit = min(self.limit + 1 / self.limit, self.most)

    def _change(self, limit: float, begin_s: float) -> None:
        """Have fewer, unless the request began when there were more than now."""
        with self._condition:
            if begin_s >= self._changed_s:
                self.limit, self._changed_s = max(limit, 1.0), time.monotonic()
