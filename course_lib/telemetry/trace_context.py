"""The W3C Trace Context headers, read strictly and written plainly, whatever carries them.

Level 1 (the Recommendation): flags other than `sampled` are not passed on. A key of
`tracestate` may also begin with a digit, as level 2 allows. Leaves out: changing `tracestate`,
but for members too long to be passed on.
"""

import re
from collections.abc import Sequence

from course_lib.context import TraceContext

LONGEST_LIST = 32
"""Members that a `tracestate` may have."""
LONG_MEMBER = 128
"""Characters that a member may have and be sure to be passed on."""
LONGEST_SENT = LONGEST_LIST * (LONG_MEMBER + 1)
"""Characters of a `tracestate` that is passed on: gRPC fails a call with 16 kB of headers."""

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[^,]*)?"
)
_KEY = r"[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_MEMBER = re.compile(rf"({_KEY})=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")
_OPTIONAL_SPACE = " \t"


def parse(traceparents: Sequence[str], tracestates: Sequence[str] = ()) -> TraceContext | None:
    """The trace a call belongs to, from every header of the two names; None: begin a new one.

    An invalid `tracestate` is dropped and the trace goes on; without a valid `traceparent`,
    nothing is read.
    """
    if len(traceparents) != 1:
        return None
    match = _TRACEPARENT.fullmatch(traceparents[0].strip(_OPTIONAL_SPACE))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if more is not None and version == "00":
        return None
    state = parse_tracestate(tracestates) if tracestates else ""
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1), state)


def parse_tracestate(headers: Sequence[str]) -> str:
    """All members of all headers in one list, or an empty string when any of them is invalid."""
    members: list[str] = []
    keys: set[str] = set()
    for text in ",".join(headers).split(","):
        member = text.strip(_OPTIONAL_SPACE)
        if not member:
            continue
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in keys or len(members) == LONGEST_LIST:
            return ""
        keys.add(match[1])
        members.append(member)
    return ",".join(members)


def inject(trace: TraceContext) -> dict[str, str]:
    """The headers that carry a trace to the next service."""
    if not trace.tracestate:
        return {"traceparent": trace.traceparent}
    return {"traceparent": trace.traceparent, "tracestate": _bounded(trace.tracestate)}


def _bounded(state: str) -> str:
    """Without as many of its long members, the last first, as are too much (W3C, 3.3.1.5)."""
    if len(state) <= LONGEST_SENT:
        return state
    members = state.split(",")
    for member in members[::-1]:
        if len(member) > LONG_MEMBER and len(",".join(members)) > LONGEST_SENT:
            members.remove(member)
    return ",".join(members)
