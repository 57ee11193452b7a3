"""Head sampling: whether a trace is recorded, decided before anything has happened in it."""

import random
from collections.abc import Callable

from course_lib.context import TraceContext

Sampler = Callable[[TraceContext | None, str], bool]
"""Decides from the parent (None at the root) and the trace id whether to record a span."""


def always_on() -> Sampler:
    """Record every new trace, and what the parent recorded (OpenTelemetry: ParentBased)."""
    return lambda parent, trace_id: parent is None or parent.sampled


def always_off() -> Sampler:
    """Begin no recorded trace; record what the parent recorded."""
    return lambda parent, trace_id: parent is not None and parent.sampled


def ratio(share: float) -> Sampler:
    """Record this share of the new traces, chosen by trace id, and what the parent recorded.

    The rule is OpenTelemetry's TraceIdRatioBased, so every service chooses the same traces.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"ratio: expected a share from 0 to 1, got {share}")
    if share == 1:
        return always_on()
    bound = f"{round(share * 2**64):016x}"  # digits of equal number are in the order of numbers

    def sampler(parent: TraceContext | None, trace_id: str) -> bool:
        return trace_id[16:] < bound if parent is None else parent.sampled

    return sampler


def by_chance(share: float, rng: random.Random) -> Sampler:
    """Record this share of the spans, whatever the parent did: a mistake, kept to show it."""
    return lambda parent, trace_id: rng.random() < share
