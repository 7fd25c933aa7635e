"""What is counted of a served API for Prometheus.

Each process counts for itself, on its event loop alone, so that nothing has to be locked.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric


class Meters:
    """What a served API is asked for, and what of it fails."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, ...]] = Counter()
        """By method and status."""
        self.seconds = 0.0
        """How long they took in all, until they were sent."""
        self.redirects: Counter[tuple[str, ...]] = Counter()
        """By where assets were: `copy` or `original`."""
        self.failures: Counter[tuple[str, ...]] = Counter()
        """By who failed: `api`, the upstream one, or `rucio`."""

    def collect(self) -> Iterator[Metric]:
        """Yield what there is, as Prometheus's client wants it."""
        counters = {
            "requests": ("Requests that were answered.", ["method", "status"], self.answers),
            "redirects": ("Requests for assets that were redirected.", ["to"], self.redirects),
            "failures": ("Answers without the API, or without Rucio.", ["of"], self.failures),
        }
        for name, (text, labels, counts) in counters.items():
            counter = CounterMetricFamily(f"stac_serve_{name}", text, labels=labels)
            for values, count in counts.items():
                counter.add_metric([*values], count)
            yield counter
        yield CounterMetricFamily(
            "stac_serve_seconds", "How long requests took in all.", self.seconds
        )
