"""The page a scrape reads: written in the format that was asked for, and read back.

Text format or OpenMetrics, by the `accept` header; only OpenMetrics carries exemplars.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest, make_asgi_app
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Reading(NamedTuple):
    """One line of the page: a series and its value."""

    name: str
    labels: Mapping[str, str]
    value: float


def exposition(registry: CollectorRegistry, accept: str = TEXT) -> bytes:
    """What a scrape of `/metrics` returns: OpenMetrics if `accept` names it, otherwise text."""
    if accept.startswith("application/openmetrics-text"):
        return openmetrics.generate_latest(registry)
    return generate_latest(registry)


def parse(page: str) -> Iterator[Reading]:
    """Read a page in the text format, line by line; raises ValueError where it is malformed."""
    try:
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                yield Reading(sample.name, sample.labels, sample.value)
    except ValueError:
        raise
    except Exception as error:  # the parser stumbles over some lines in other ways
        raise ValueError(f"not in the text format: {error!r}") from error


def metrics_app(registry: CollectorRegistry) -> "MetricsApp":
    """The `/metrics` page: `app.add_route("/metrics", metrics_app(registry))`."""
    return MetricsApp(registry)


class MetricsApp:
    """An ASGI application that serves the registry in the format the scraper asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._app = make_asgi_app(registry)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)
