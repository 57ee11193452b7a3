"""Tail sampling: wait until a trace is over, look at it, then keep it or let it go.

As in OpenTelemetry's tail sampling processor: the decision falls a fixed time after the first
span of a trace came; what comes later follows the decision. Bounded: under pressure the oldest
trace is decided early.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from course_lib.stand_ins.otlp_spans import Span, Trace

REMEMBERED_DECISIONS = 100_000


@dataclass(frozen=True)
class TailSampling:
    """Keep a trace when `keep(trace)` says so, `wait_seconds` after its first span came.

    A trace about which `keep` raises is let go, and counted as one of the `keep_errors`.
    """

    keep: Callable[[Trace], bool]
    wait_seconds: float = 10.0
    max_waiting_spans: int = 50_000


class Undecided:
    """Traces whose time has not come, in the order in which they began to arrive.

    `.keep_errors` counts how often the rule itself went wrong.
    """

    def __init__(self, rule: TailSampling) -> None:
        self.rule = rule
        self.waiting_spans = 0
        self.keep_errors = 0
        self._waiting: OrderedDict[str, tuple[float, list[Span]]] = OrderedDict()
        self._decided: OrderedDict[str, bool] = OrderedDict()

    def add(self, spans: Iterable[Span], now: float) -> list[Span]:
        """Take spans at an instant in seconds; returns those that are kept from now on."""
        kept: list[Span] = []
        for span in spans:
            decision = self._decided.get(span.trace_id)
            if decision is None:
                self._waiting.setdefault(span.trace_id, (now, []))[1].append(span)
                self.waiting_spans += 1
            elif decision:
                kept.append(span)
        return kept + self.due(now)

    def due(self, now: float) -> list[Span]:
        """The spans of the traces that are decided and kept by this instant."""
        kept: list[Span] = []
        while self._waiting:
            trace_id, (since, spans) = next(iter(self._waiting.items()))
            early = self.waiting_spans > self.rule.max_waiting_spans
            if now - since < self.rule.wait_seconds and not early:
                break
            del self._waiting[trace_id]
            self.waiting_spans -= len(spans)
            if self._decide(trace_id, spans):
                kept += spans
        return kept

    def _decide(self, trace_id: str, spans: list[Span]) -> bool:
        try:
            keep = bool(self.rule.keep(Trace(trace_id, sorted(spans, key=lambda span: span.start))))
        except Exception:
            self.keep_errors += 1
            keep = False
        self._decided[trace_id] = keep
        if len(self._decided) > REMEMBERED_DECISIONS:
            self._decided.popitem(last=False)
        return keep
