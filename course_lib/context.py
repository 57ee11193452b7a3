"""What travels with a call: its deadline, its trace context, and who is calling.

Every transport fills these on the way in and sends deadline and trace on the way out.
The clock and the source of ids live here too, so that virtual time can replace them.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple

from course_lib.errors import DeadlineExceeded


class TraceContext(NamedTuple):
    """Where a call stands in its trace (W3C Trace Context): ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    sampled: bool = True
    tracestate: str = ""

    @property
    def traceparent(self) -> str:
        """The header value, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def child(self) -> "TraceContext":
        """The same trace, one span further."""
        return self._replace(span_id=new_span_id())


deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
"""The instant, on the event loop's clock in seconds, after which nobody wants the answer."""

trace: ContextVar[TraceContext | None] = ContextVar("trace", default=None)
"""The trace this call belongs to."""

authorization: ContextVar[str | None] = ContextVar("authorization", default=None)
"""The credentials that came with the call. They are never forwarded by themselves."""

caller: ContextVar[str | None] = ContextVar("caller", default=None)
"""Who is calling, once authentication has found out."""

caller_address: ContextVar[str | None] = ContextVar("caller_address", default=None)
"""The network address the call came from."""

wall_clock: ContextVar[Callable[[], float]] = ContextVar("wall_clock", default=time.time)
"""Seconds since 1970. Virtual time puts its own clock here."""

_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)  # a child must not repeat its parent's ids

ids: ContextVar[random.Random] = ContextVar("ids", default=_random)
"""Where new ids come from. Virtual time puts a seeded source here."""


def remaining_seconds() -> float | None:
    """Seconds until the deadline, or None without one; raises DeadlineExceeded when it is past."""
    instant = deadline.get()
    if instant is None:
        return None
    remaining = instant - asyncio.get_running_loop().time()
    if remaining <= 0:
        raise DeadlineExceeded(f"the deadline passed {-remaining:.3f} s ago")
    return remaining


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.fromtimestamp(wall_clock.get()(), UTC)


def new_trace() -> TraceContext:
    """The beginning of a new trace."""
    return TraceContext(new_trace_id(), new_span_id())


def new_trace_id() -> str:
    """Thirty-two hexadecimal digits, never all zero."""
    return (ids.get().getrandbits(128) or 1).to_bytes(16).hex()


def new_span_id() -> str:
    """Sixteen hexadecimal digits, never all zero."""
    return (ids.get().getrandbits(64) or 1).to_bytes(8).hex()
