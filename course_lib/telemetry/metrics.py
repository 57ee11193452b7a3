"""Metrics in the RED manner: rate, errors and duration of every operation (prometheus-client).

Each service has a registry of its own, so a cell that is run again makes a new one and nothing
clashes. Labels are bounded: operations and outcomes are names in the code, never user input, and
what is over the limit is counted as `other`. A duration carries the trace id of a sampled call.
"""

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Summary,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from course_lib import context
from course_lib.telemetry.metrics_page import MetricsApp, exposition, metrics_app, parse
from course_lib.telemetry.series import histogram_quantile, increase, rate

__all__ = [
    "BUCKETS_SECONDS",
    "CollectorRegistry",
    "Counter",
    "CounterMetricFamily",
    "Gauge",
    "GaugeMetricFamily",
    "Histogram",
    "MetricsApp",
    "Red",
    "Summary",
    "exposition",
    "histogram_quantile",
    "increase",
    "metrics_app",
    "parse",
    "rate",
]

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

disable_created_metrics()  # one more series for every counter, which Prometheus has no use for


class Red:
    """`requests_total` by operation and outcome, `request_duration_seconds` by operation.

    From `most_label_sets` pairs of operation and outcome on, new ones count as `other`.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        service: str,
        *,
        buckets: Sequence[float] = BUCKETS_SECONDS,
        most_label_sets: int = 500,
    ) -> None:
        self.registry = registry
        self._service = service
        self._most = most_label_sets
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
        children = self._children.get((operation, outcome)) or self._child(operation, outcome)
        children[0].inc()
        trace = context.trace.get()
        if trace is not None and trace.sampled:
            children[1].observe(seconds, {"trace_id": trace.trace_id})
        else:
            children[1].observe(seconds)

    def _child(self, operation: str, outcome: str) -> tuple[Counter, Histogram]:
        if len(self._children) >= self._most and (operation, outcome) != ("other", "other"):
            return self._children.get(("other", "other")) or self._child("other", "other")
        labels = [
            text.encode(errors="backslashreplace").decode()  # half a surrogate pair has no UTF-8
            for text in (self._service, operation, outcome)
        ]
        child = self._requests.labels(*labels), self._seconds.labels(*labels[:2])
        self._children[operation, outcome] = child
        return child
