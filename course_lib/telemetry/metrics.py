"""Metrics in the RED manner: rate, errors and duration of every operation (prometheus-client).

Each service has a registry of its own, so a cell that is run again makes a new one and nothing
clashes. Labels are bounded: operations and outcomes are names in the code, never user input.
"""

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, make_asgi_app

__all__ = ["BUCKETS_SECONDS", "CollectorRegistry", "MetricsApp", "Red", "exposition", "metrics_app"]

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Red:
    """`requests_total` by operation and outcome, `request_duration_seconds` by operation."""

    def __init__(
        self,
        registry: CollectorRegistry,
        service: str,
        *,
        buckets: Sequence[float] = BUCKETS_SECONDS,
    ) -> None:
        self.registry = registry
        self._service = service
        self._requests = Counter(
            "requests",
            "Calls that ended, by outcome",
            ["service", "operation", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "request_duration_seconds",
            "How long a call took, in seconds",
            ["service", "operation"],
            registry=registry,
            buckets=buckets,
        )
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def observe(self, operation: str, outcome: str, seconds: float) -> None:
        """Record one call that ended; fits `middleware.instrumenting`."""
        children = self._children.get((operation, outcome))
        if children is None:
            children = self._children[operation, outcome] = (
                self._requests.labels(self._service, operation, outcome),
                self._seconds.labels(self._service, operation),
            )
        children[0].inc()
        children[1].observe(seconds)


def exposition(registry: CollectorRegistry) -> bytes:
    """What a scrape of `/metrics` returns, in the Prometheus text format."""
    return generate_latest(registry)


def metrics_app(registry: CollectorRegistry) -> "MetricsApp":
    """The `/metrics` page: `app.add_route("/metrics", metrics_app(registry))`."""
    return MetricsApp(registry)


class MetricsApp:
    """An ASGI application that serves the registry in the format the scraper asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._app = make_asgi_app(registry)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)
