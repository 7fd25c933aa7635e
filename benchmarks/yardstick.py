"""How slow the processors are, told by the same work done again and again.

What takes one second of an idle machine's processors takes more of a busy one's: its
processes share caches, and often the processors' parts.
"""

from __future__ import annotations

import json
import time
from statistics import median
from threading import Event, Thread
from typing import TYPE_CHECKING

from .harness import seconds
from .items import make_items

if TYPE_CHECKING:
    from typing_extensions import Self

_PAUSE_S = 0.2
_ITEMS = [*make_items("yardstick", 40, 12)]


class Yardstick:
    """Measures, while its block runs, the processor time of work that is always the same."""

    def __init__(self) -> None:
        self._over = Event()
        self._times_s: list[float] = []
        self._thread = Thread(target=self._measure)

    @property
    def work_s(self) -> float:
        """The median of all times so far, in seconds."""
        return median(self._times_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _measure(self) -> None:
        _work()  # what is done once is no part of it
        while True:
            self._times_s.append(seconds(_work, time.thread_time))
            if self._over.wait(_PAUSE_S):
                return


def _work() -> None:
    json.loads(json.dumps(_ITEMS))
