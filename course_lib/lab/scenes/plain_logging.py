"""Logging as one does it first: sentences, lines kept by chance, a handler that waits.

What the lesson on logs measures its own ways against.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import httpx

from course_lib import context


class Sentences:
    """Prints events into `lines`; `traces` holds, unseen, whose line each of them is."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.traces: list[str] = []

    def log_of(self, service: str) -> Callable[..., None]:
        """A logger that writes what `print` would."""

        def log(event: str, level: str = "info", **fields: Any) -> None:
            trace = context.trace.get()
            self.lines.append(f"{service}: {event} {fields.get('outcome', '')}".rstrip())
            self.traces.append(trace.trace_id if trace else "")

        return log


class ByChance:
    """A logger that keeps a line with the chance `share`, and lets it stand for the others."""

    def __init__(self, log: Callable[..., None], share: float, rng: Random) -> None:
        self._log, self._share, self._rng = log, share, rng

    def __call__(self, event: str, **fields: Any) -> None:
        if self._rng.random() < self._share:
            self._log(event, **fields, stands_for=round(1 / self._share))

    def flush(self) -> None:
        """Nothing: it remembers nothing of what it left out."""


def by_chance(
    log: Callable[..., None], *, share: float = 0.01, rng: Random | None = None
) -> ByChance:
    """Thin the log out by lot; one line in a hundred unless told otherwise."""
    return ByChance(log, share, rng or Random(1))


class WaitingHandler:
    """A stream that sends each line to the log store and holds up its caller until it is there.

    It gives a line up after `timeout_seconds`.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        one_by_one = httpx.Limits(max_keepalive_connections=0)  # nothing is left to close
        self._client = httpx.Client(timeout=timeout_seconds, limits=one_by_one, trust_env=False)
        self._url = f"{url}/loki/api/v1/push"

    def write(self, line: bytes) -> None:
        """Send one line."""
        values = [["1735689600000000000", line.decode()]]
        body = {"streams": [{"stream": {"service": "shop"}, "values": values}]}
        with suppress(httpx.HTTPError):
            self._client.post(self._url, json=body)
