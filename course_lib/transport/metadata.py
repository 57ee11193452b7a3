"""What travels beside a request, under the same names on every transport.

Deadline and trace context are forwarded by themselves; credentials never are. On HTTP and in
memory the deadline travels as the seconds that are left, on gRPC as gRPC's own deadline.
"""

import asyncio
from collections.abc import Mapping
from contextvars import Token
from typing import Any

from course_lib import context
from course_lib.errors import DeadlineExceeded, InvalidRequest
from course_lib.telemetry import trace_context
from course_lib.transport import codes

TIMEOUT_HEADER = "x-timeout-seconds"
LONGEST_TIMEOUT_SECONDS = 86_400.0

Tokens = tuple[Token[Any], ...]


def outgoing_trace() -> dict[str, str]:
    """The headers of the trace this call belongs to, if any."""
    trace = context.trace.get()
    return {} if trace is None else trace_context.inject(trace)


def outgoing() -> dict[str, str]:
    """All headers that leave with a call; raises DeadlineExceeded when it is too late to call."""
    headers = outgoing_trace()
    remaining = outgoing_seconds()
    if remaining is not None:
        headers[TIMEOUT_HEADER] = f"{remaining:.9f}"
    return headers


def outgoing_seconds() -> float | None:
    """The seconds that are left for a call which leaves now; raises DeadlineExceeded."""
    remaining = context.remaining_seconds()
    return None if remaining is None else min(remaining, LONGEST_TIMEOUT_SECONDS)


def arrive(
    traceparent: str | None,
    tracestate: str | None,
    authorization: str | None,
    address: str | None,
) -> Tokens:
    """Begin a call on the server's side: everything the caller did not send is empty.

    A header that was sent several times comes joined by commas (RFC 9110, 5.3).
    """
    trace = None
    if traceparent:
        trace = trace_context.parse((traceparent,), (tracestate,) if tracestate else ())
    return (
        context.deadline.set(None),
        context.trace.set(trace),
        context.authorization.set(authorization),
        context.caller_address.set(address),
        context.caller.set(None),
    )


def arrive_with(headers: Mapping[str, str], address: str | None) -> Tokens:
    """The same from headers in a mapping with lower-case names."""
    get = headers.get
    return arrive(get("traceparent"), get("tracestate"), get("authorization"), address)


def leave(tokens: Tokens) -> None:
    """End a call: the context is again what it was before `arrive`."""
    for token in tokens:
        token.var.reset(token)


def arrive_deadline(seconds: str | float | None) -> None:
    """Set the deadline to so many seconds from now; 0 is too late, nonsense is InvalidRequest."""
    if seconds is None:
        return
    left = codes.decimal(seconds) if isinstance(seconds, str) else seconds
    if not 0 <= left <= LONGEST_TIMEOUT_SECONDS:
        limit = f"between 0 and {LONGEST_TIMEOUT_SECONDS:.0f}"
        raise InvalidRequest(
            f"{TIMEOUT_HEADER}: must be a number of seconds {limit}, got {str(seconds)[:40]!r}"
        )
    if left == 0:
        raise DeadlineExceeded("the deadline had passed when the request arrived")
    context.deadline.set(asyncio.get_running_loop().time() + left)
