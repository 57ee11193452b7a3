"""The page a scrape reads: written in the format that was asked for, and read back.

Text format or OpenMetrics, by the `accept` header; only OpenMetrics carries exemplars.
"""

import gzip
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_INFINITE = re.compile(r"[\s}+-]inf(inity)?(\s+\S+)?\s*$", re.IGNORECASE)


class Reading(NamedTuple):
    """One line of the page: a series and its value."""

    name: str
    labels: Mapping[str, str]
    value: float


def exposition(registry: CollectorRegistry, accept: str = "") -> bytes:
    """What a scrape of `/metrics` returns to a scraper that sent this `accept` header."""
    return _render(registry, wants_openmetrics(accept))


def wants_openmetrics(accept: str) -> bool:
    """Whether an `accept` header asks for OpenMetrics 1.0.0 at least as much as for the text."""
    wanted = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for kind, given in _listed(accept):
        if kind in wanted and (kind == "text/plain" or given.get("version", "1.0.0") == "1.0.0"):
            wanted[kind] = max(wanted[kind], _weight(given.get("q", "1")))
    return wanted["application/openmetrics-text"] >= max(wanted["text/plain"], 0.001)


def _accepts_gzip(accept_encoding: str) -> bool:
    return any(
        coding == "gzip" and _weight(given.get("q", "1")) > 0
        for coding, given in _listed(accept_encoding)
    )


def _listed(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """What a header lists, in lower case, each with its parameters."""
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        pairs = (piece.partition("=") for piece in parameters)
        yield name, {key: value.strip('"') for key, _, value in pairs}


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _render(registry: CollectorRegistry, as_openmetrics: bool) -> bytes:
    return openmetrics.generate_latest(registry) if as_openmetrics else generate_latest(registry)


def parse(page: str) -> Iterator[Reading]:
    """Read a page in the text format, line by line; raises ValueError where it is malformed.

    A name stays as it stands: a counter without `_total` is given none.
    """
    for line in page.split("\n"):  # the parser renames a counter if it sees its `# TYPE` as well
        try:
            for family in text_string_to_metric_families(line):
                for sample in family.samples:
                    yield Reading(sample.name, sample.labels, _in_range(sample.value, line))
        except ValueError:
            raise
        except Exception as error:  # the parser stumbles over some lines in other ways
            raise ValueError(f"not in the text format: {error!r}") from error


def _in_range(value: float, line: str) -> float:
    if math.isinf(value) and not _INFINITE.search(line):
        raise ValueError(f"a number out of range: {line[:80]}")
    return float(value)


def metrics_app(registry: CollectorRegistry) -> "MetricsApp":
    """The `/metrics` page: `app.add_route("/metrics", metrics_app(registry))`."""
    return MetricsApp(registry)


class MetricsApp:
    """An ASGI application that serves the registry in the format the scraper asks for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        given = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        as_openmetrics = wants_openmetrics(_all(given, b"accept"))
        body = _render(self._registry, as_openmetrics)
        kind = OPENMETRICS if as_openmetrics else TEXT
        headers = [(b"content-type", kind.encode()), (b"vary", b"accept, accept-encoding")]
        if _accepts_gzip(_all(given, b"accept-encoding")):
            body = gzip.compress(body, compresslevel=1)
            headers.append((b"content-encoding", b"gzip"))
        headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _all(headers: list[tuple[bytes, str]], name: bytes) -> str:
    return ",".join(value for given, value in headers if given == name)
