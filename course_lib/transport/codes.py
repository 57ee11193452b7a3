"""The only table of error class, HTTP status and gRPC status, read in both directions.

The class name travels beside the status (header or trailing metadata `x-error`), so that an
error arrives as what it was; from a foreign server, which sends no name, the status decides.
"""

import asyncio
import math
import re
from collections.abc import Mapping

from course_lib import errors
from course_lib.errors import CallError

ERROR_HEADER = "x-error"
RETRY_AFTER_HEADER = "retry-after"  # whole seconds, for everybody (RFC 9110)
RETRY_AFTER_EXACTLY_HEADER = "x-retry-after-seconds"
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

# gRPC carries errors in metadata of at most 8 KB, where a byte of a message may take three.
_LONGEST_MESSAGE_BYTES = 2000

_TABLE: dict[type[CallError], tuple[int, str]] = {
    errors.InvalidRequest: (400, "INVALID_ARGUMENT"),
    errors.PayloadTooLarge: (413, "INVALID_ARGUMENT"),
    errors.NotFound: (404, "NOT_FOUND"),
    errors.Conflict: (409, "ALREADY_EXISTS"),
    errors.Unauthenticated: (401, "UNAUTHENTICATED"),
    errors.PermissionDenied: (403, "PERMISSION_DENIED"),
    errors.Unimplemented: (501, "UNIMPLEMENTED"),
    errors.Answer: (422, "FAILED_PRECONDITION"),
    errors.RateLimited: (429, "RESOURCE_EXHAUSTED"),
    errors.Unavailable: (503, "UNAVAILABLE"),
    errors.Overloaded: (503, "UNAVAILABLE"),
    errors.CircuitOpen: (503, "UNAVAILABLE"),
    errors.NoInstances: (503, "UNAVAILABLE"),
    errors.ComeBackLater: (503, "UNAVAILABLE"),
    errors.DeadlineExceeded: (504, "DEADLINE_EXCEEDED"),
    errors.Internal: (500, "INTERNAL"),
    errors.Failure: (500, "INTERNAL"),
    CallError: (500, "INTERNAL"),
}

_BY_NAME = {error.__name__: error for error in _TABLE}

# The first class with a status speaks for it; below, what only foreign servers send.
_BY_STATUS: dict[int | str, type[CallError]] = {
    405: errors.Unimplemented,
    408: errors.DeadlineExceeded,
    422: errors.InvalidRequest,
    502: errors.Unavailable,
    "ABORTED": errors.Conflict,
    "OUT_OF_RANGE": errors.InvalidRequest,
    "CANCELLED": errors.Unavailable,
    "UNKNOWN": errors.Internal,
    "DATA_LOSS": errors.Internal,
}
for _error, _statuses in _TABLE.items():
    for _status in _statuses:
        _BY_STATUS.setdefault(_status, _error)


def http_status(error: CallError) -> int:
    """The HTTP status of an error, or of the nearest ancestor that has one."""
    return _TABLE[_listed(error)][0]


def grpc_status(error: CallError) -> str:
    """The name of the gRPC status of an error, such as "NOT_FOUND"."""
    return _TABLE[_listed(error)][1]


def wire_headers(error: CallError) -> dict[str, str]:
    """What travels beside an error: the name of its class, and when to come back, in seconds."""
    headers = {ERROR_HEADER: _listed(error).__name__}
    seconds = getattr(error, "retry_after_seconds", None)
    if seconds is not None and 0 <= seconds < math.inf:
        headers[RETRY_AFTER_HEADER] = str(math.ceil(seconds))
        headers[RETRY_AFTER_EXACTLY_HEADER] = f"{seconds:.9g}"
    return headers


def wire_message(error: CallError) -> str:
    """The message of an error as text that every wire can carry, cut where it is too long."""
    text = str(error.message).encode("utf-8", "replace")
    return text[:_LONGEST_MESSAGE_BYTES].decode("utf-8", "ignore")


def error_from(
    name: str | None,
    message: str,
    *,
    http_status: int | None = None,
    grpc_status: str | None = None,
    retry_after_seconds: float | None = None,
) -> CallError:
    """The error that came over the wire: by the name of its class, otherwise by its status."""
    error_class = _BY_NAME.get(name or "") or _by_status(http_status, grpc_status)
    error = error_class(message)
    if isinstance(error, errors.ComeBackLater):
        error.retry_after_seconds = retry_after_seconds
    error.remote = True
    return error


def come_back_after(headers: Mapping[str, str]) -> float | None:
    """When to come back, in seconds: exactly where the server is one of ours."""
    whole = headers.get(RETRY_AFTER_HEADER)
    return retry_after_seconds(headers.get(RETRY_AFTER_EXACTLY_HEADER, whole))


def remote_error(headers: Mapping[str, str], message: str, http_status: int) -> CallError:
    """The error that an HTTP answer stands for."""
    name, seconds = headers.get(ERROR_HEADER), come_back_after(headers)
    return error_from(name, message, http_status=http_status, retry_after_seconds=seconds)


def retry_after_seconds(header: str | None) -> float | None:
    """Read a `retry-after` header in seconds; a date, or anything else, counts as not given."""
    seconds = decimal(header or "")
    return seconds if 0 <= seconds < math.inf else None


def decimal(text: str) -> float:
    """A number as JSON writes one; NaN for all else that Python would take, such as `1_000`."""
    return float(text) if _DECIMAL.fullmatch(text) else math.nan


def outcome_error(error: BaseException) -> CallError:
    """The error as the caller may see it: a bug becomes `Internal` and keeps its details here.

    Raised again is what ends this task and not only the call, such as being cancelled.
    """
    if isinstance(error, CallError):
        return error
    if _ends_the_task(error):
        raise error
    hidden = errors.Internal("internal error")
    hidden.__cause__ = error
    return hidden


def _ends_the_task(error: BaseException) -> bool:
    """A service that lets a `CancelledError` out although nobody cancelled it has a bug."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0
    return not isinstance(error, (Exception, SystemExit))


def _listed(error: CallError) -> type[CallError]:
    return next(ancestor for ancestor in type(error).__mro__ if ancestor in _TABLE)


def _by_status(http: int | None, grpc: str | None) -> type[CallError]:
    status: int | str = http if http is not None else grpc or "UNKNOWN"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    answered = isinstance(status, int) and 400 <= status < 500
    return errors.InvalidRequest if answered else errors.Internal
