"""What an operator hears of: log lines, few of each kind, and Rucio's own metrics.

A line says what is wrong, with which DID or URL, and what to do. However many
files it concerns, there is one of each kind a minute, with the number of those
that were left out; the counters count them all. docs/observability.md lists both.
"""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from rucio.common.config import is_client

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable


PERIOD_S = 60.0


class Reporter:
    """Writes warnings into a log, one of each kind in a period; for any number of threads.

    Args:
        logger: Where the lines go.
        clock: Returns the time in seconds.
    """

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, int]] = {}
        """Until when a kind is left out, and how many have been."""

    def warn(self, kind: str, message: str, *args: object) -> None:
        """Write a warning, unless there was one of its kind within the period.

        Args:
            kind: One of a few kinds, which a program fixes.
            message: What is wrong and what to do, with `%s` for each argument.
            *args: DIDs and redacted URLs.
        """
        with self._lock:
            now = self._clock()
            until, left_out = self._kinds.get(kind, (now, 0))
            if now < until:
                self._kinds[kind] = until, left_out + 1
                return
            self._kinds[kind] = now + PERIOD_S, 0
        if left_out:
            message, args = f"{message} (%d more like this were left out)", (*args, left_out)
        self._logger.warning(message, *args)


def count(name: str, **labels: str) -> None:
    """Count something in the metrics of a Rucio server or daemon; elsewhere do nothing.

    Args:
        name: Name of the counter, `stac_policy_NAME_total` for Prometheus.
        **labels: Its labels.
    """
    if (metrics := _metrics()) is not None:
        # As Rucio wants it for statsd and Prometheus alike: `name.{label}`.
        template = ".".join([name, *(f"{{{label}}}" for label in labels)])
        metrics.counter(template).labels(**labels).inc()


def observe_s(name: str, seconds: float) -> None:
    """Note how long something took, in seconds, for the histogram `stac_policy_NAME`."""
    if (metrics := _metrics()) is not None:
        metrics.timer(name).observe(seconds)


@cache
def _metrics() -> Any | None:
    """Return Rucio's own metrics, or None in a client, which has none."""
    if is_client():
        return None
    from rucio.core.monitor import MetricManager

    return MetricManager(prefix="stac_policy")
