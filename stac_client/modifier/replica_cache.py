"""What Rucio has said of replicas, for as long as it is worth repeating."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keeps the latest answers, up to a number of them; for any number of threads.

    Who asks says how old an answer may be.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an empty one.

        Args:
            size: How many answers it keeps.
            clock: Gives the time in seconds.
        """
        self._size = size
        self._clock = clock
        self._lock = threading.Lock()
        # The oldest first: an answer that comes anew goes to the end.
        self._answers: dict[K, tuple[float, V]] = {}

    def get(self, keys: Iterable[K], max_age_s: float) -> dict[K, V]:
        """Give the answers that are younger than an age in seconds."""
        since = self._clock() - max_age_s
        with self._lock:
            found = ((key, self._answers.get(key)) for key in keys)
            return {key: answer[1] for key, answer in found if answer and answer[0] > since}

    def put(self, answers: Mapping[K, V]) -> None:
        """Keep answers that have just come."""
        now = self._clock()
        with self._lock:
            for key, answer in answers.items():
                self._answers.pop(key, None)
                self._answers[key] = (now, answer)
            while len(self._answers) > self._size:
                del self._answers[next(iter(self._answers))]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._answers.clear()
