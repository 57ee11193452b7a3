"""Traces as pictures: one as a waterfall, and the newest one live under a control panel."""

import asyncio
import time
from heapq import nlargest
from typing import Any

from course_lib.lab.plots import Picture, Step, waterfall
from course_lib.stand_ins import OtlpCollector
from course_lib.stand_ins.otlp_spans import Span, Trace
from course_lib.stand_ins.otlp_store import Query
from course_lib.telemetry.traces import Reporter

MOST_STEPS = 200
"""Drawn of one trace, the longest of them: it takes two seconds, and nobody reads more."""
PICTURE_SECONDS = 1.0
"""Drawing takes a fifth of a second of the processor that the services need too."""


def draw(trace: Trace, *, title: str, guess: Any = None, steady: bool = True) -> Picture:
    """A trace as a waterfall, a colour for each service, in milliseconds since its root began."""
    if (more := len(trace.spans) - MOST_STEPS) > 0:
        title += f" (and {more:,} shorter spans)"
    return waterfall(_steps(trace), title=title, guess=guess, steady=steady)


def own_seconds(trace: Trace) -> dict[str, float]:
    """By step, the time in which none of its children ran; in seconds, the longest first.

    Spans of one name are added: "orders: cache get (3)".
    """
    own: dict[str, list[float]] = {}
    for span in trace.spans:
        children = [s for s in trace.spans if s.parent_id == span.span_id]
        own.setdefault(_name(span), []).append(_uncovered(span, children))
    sums = {
        f"{name} ({len(each)})" if len(each) > 1 else name: sum(each) for name, each in own.items()
    }
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


class NewestTrace:
    """The newest whole trace in the collector, and what the reporter has to say."""

    def __init__(self, collector: OtlpCollector, reporter: Reporter, service: str) -> None:
        self._collector, self._reporter, self._service = collector, reporter, service
        self._newest: Trace | None = None
        self._picture: Picture | None = None
        self._drawn_at = 0.0

    async def frame(self) -> None:
        """Look for a newer one."""
        for trace in self._collector.find(Query(self._service), limit=5):
            if trace.whole:
                self._newest = trace
                return

    def draw(self) -> Picture:
        """The waterfall, drawn anew each second; the counts of the reporter stand in its title."""
        now = time.monotonic()
        if self._picture is None or now - self._drawn_at >= PICTURE_SECONDS:
            self._picture, self._drawn_at = self._drawn(), now
        return self._picture

    def _drawn(self) -> Picture:
        told = self._reporter
        title = f"Newest trace. Spans sent {told.sent:,}, failed {told.failed:,}, "
        title += f"dropped {told.dropped:,}"
        if self._newest is None:
            return waterfall([Step("no trace has come yet", 0, 1)], title=title)
        return draw(self._newest, title=title)

    async def stop(self) -> None:
        """Send what waits, and end the reporter's thread."""
        await asyncio.to_thread(self._reporter.close)  # it may wait for a collector that hangs


def _name(span: Span) -> str:
    return f"{span.service}: {span.name}"


def _steps(trace: Trace) -> list[Step]:
    walked = trace.walk()
    began = walked[0][1].start  # a slow clock puts children before it
    services = list(dict.fromkeys(span.service for _, span in walked))
    longest = nlargest(MOST_STEPS, range(len(walked)), key=lambda row: walked[row][1].seconds)
    return [
        Step(
            _name(span) + ", failed" * span.failed,
            (span.start - began) / 1e6,
            (span.end - began) / 1e6,
            depth,
            services.index(span.service),
        )
        for depth, span in (walked[row] for row in sorted(longest))
    ]


def _uncovered(span: Span, children: list[Span]) -> float:
    """The seconds of a span that none of its children covers, also where they overlap."""
    covered, reached = 0, span.start
    for child in sorted(children, key=lambda child: child.start):
        start, end = max(child.start, reached), min(child.end, span.end)
        if end > start:
            covered += end - start
            reached = end
    return (span.end - span.start - covered) / 1e9
