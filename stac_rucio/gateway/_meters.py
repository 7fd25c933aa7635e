"""What is counted of origins for Prometheus.

Each process counts for itself, on its event loop alone, so that nothing has to be locked.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from stac_rucio.gateway._origins import Origin


class Meters:
    """What a gateway's origins are asked for, and answer."""

    def __init__(self, origins: Sequence[Origin]) -> None:
        self._origins = origins
        self.answers: Counter[tuple[str, str, int]] = Counter()
        """By origin, or nothing where there is none, method and status."""
        self.waiting: Counter[str] = Counter()
        """By origin."""

    def collect(self) -> Iterator[Metric]:
        """Yield what there is, as Prometheus's client wants it."""
        name = "stac_gateway"
        answers = CounterMetricFamily(
            f"{name}_requests",
            "Requests that were answered.",
            labels=["origin", "method", "status"],
        )
        for (origin, method, status), count in self.answers.items():
            answers.add_metric([origin, method, str(status)], count)
        yield answers
        given = CounterMetricFamily(
            f"{name}_bytes", "Bytes that origins gave, as far as it is known.", labels=["origin"]
        )
        waiting = GaugeMetricFamily(
            f"{name}_waiting", "Requests that wait for a turn.", labels=["origin"]
        )
        left = GaugeMetricFamily(
            f"{name}_left_bytes", "Bytes that are left of the day's.", labels=["origin"]
        )
        renewals = CounterMetricFamily(
            f"{name}_renewals", "Tokens that were asked for.", labels=["origin", "outcome"]
        )
        for each in self._origins:
            labels = [each.prefix]
            given.add_metric(labels, each.quota.given_bytes)
            waiting.add_metric(labels, self.waiting[each.prefix])
            if each.quota.bytes_a_day is not None:
                rest_bytes = each.quota.bytes_a_day - each.quota.today_bytes()
                left.add_metric(labels, max(0, rest_bytes))
            for outcome, count in each.renewals().items():
                renewals.add_metric([*labels, outcome], count)
        yield from (given, waiting, left, renewals)
