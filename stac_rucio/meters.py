"""What the servers of this package count for Prometheus, and where it asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from prometheus_client.registry import Collector
    from starlette.requests import Request

METHODS = frozenset(["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
"""Those that are counted by their names; clients may send any word."""


def metrics_route(meters: Collector) -> Route:
    """Return the route by which Prometheus gets what a process has counted."""
    registry = CollectorRegistry()
    registry.register(meters)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Route("/metrics", metrics)
