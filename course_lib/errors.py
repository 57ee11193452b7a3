"""Every way a call can fail, as one tree.

CallError
├── Answer                the service did its work, and the answer is no
│   ├── InvalidRequest        the request does not make sense; it names the field
│   │   └── PayloadTooLarge   the request is larger than the service reads
│   ├── NotFound              there is no such thing
│   ├── Conflict              it clashes with what is already there
│   ├── Unauthenticated       nobody knows who is calling
│   ├── PermissionDenied      we know who is calling, and they may not
│   └── Unimplemented         there is no such operation
└── Failure               the service could not do its work
    ├── ComeBackLater         a refusal that may say when to come back
    │   ├── RateLimited           the caller asks too often
    │   ├── Overloaded            the service has too much to do
    │   └── CircuitOpen           the breaker keeps us from calling
    ├── DeadlineExceeded      the answer would come too late
    ├── Unavailable           nobody answered
    ├── NoInstances           discovery knows of nobody to ask
    └── Internal              a bug, or a failure nobody has named

An answer never opens a breaker and is never retried; a failure may do both.
"""


class CallError(Exception):
    """A call that did not return a value; `remote` is True when it came over the wire."""

    remote = False

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class Answer(CallError):
    """The service did its work, and the answer is no."""


class InvalidRequest(Answer):
    """The request does not make sense; the message names the field."""


class PayloadTooLarge(InvalidRequest):
    """The request is larger than the service is willing to read."""


class NotFound(Answer):
    """There is no such thing."""


class Conflict(Answer):
    """The request clashes with what is already there."""


class Unauthenticated(Answer):
    """Nobody knows who is calling; `challenge` names the scheme to answer with (RFC 9110)."""

    challenge = "Bearer"


class PermissionDenied(Answer):
    """We know who is calling, and they may not."""


class Unimplemented(Answer):
    """There is no such operation."""


class Failure(CallError):
    """The service could not do its work."""


class ComeBackLater(Failure):
    """A refusal that may say when to come back, in `retry_after_seconds`."""

    def __init__(self, message: str = "", *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(ComeBackLater):
    """The caller asks too often."""


class Overloaded(ComeBackLater):
    """The service has too much to do already."""


class CircuitOpen(ComeBackLater):
    """The breaker keeps us from calling somebody who keeps failing."""


class DeadlineExceeded(Failure):
    """The answer would come, or did come, too late."""


class Unavailable(Failure):
    """Nobody answered: connection refused, broken, or the service is shutting down."""


class NoInstances(Failure):
    """Discovery knows of nobody to ask."""


class Internal(Failure):
    """A bug in the service, or a failure that nobody has named."""


def outcome(error: BaseException | None) -> str:
    """How a call ended, in one word for logs and metrics: "ok", an error's class, "Cancelled"."""
    if error is None:
        return "ok"
    if isinstance(error, CallError):
        return type(error).__name__
    return "Internal" if isinstance(error, Exception) else "Cancelled"


def words(error: BaseException) -> str:
    """What the error says; the name of its class, when it cannot say it."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__
