"""Hooks look at the metadata of a call, in Go-kit's order, on every transport alike.

before -> decode -> endpoint -> after -> encode; an error at any step goes to the one error
encoder; the finalizers run last and always, also when decoding fails or the caller is gone.
On a client, `before` writes the headers that leave and `after` reads those that came back.
"""

import base64
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from course_lib.errors import CallError

Headers = MutableMapping[str, str]

Before = Callable[[Headers], None]
"""Reads the incoming headers (lower-case names) and may set context variables or refuse."""

After = Callable[[Headers, Any], None]
"""Sees the response and adds headers to it; not called when the call failed."""


@dataclass(slots=True)
class Outcome:
    """How a call ended: what the finalizers get. `code` is the transport's own word for it."""

    method: str
    route: str
    code: str
    size_bytes: int
    seconds: float
    error: CallError | None


Finalizer = Callable[[Outcome], None]
"""Runs once a call has ended, whichever way; an error keeps its origin as `__cause__`."""


def bearer(token: str) -> Before:
    """Send a bearer token with every call of a client (RFC 6750)."""
    return _credentials(f"Bearer {token}")


def basic(user: str, password: str) -> Before:
    """Send user and password with every call of a client (RFC 7617)."""
    return _credentials("Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())


def _credentials(value: str) -> Before:
    def before(headers: Headers) -> None:
        headers["authorization"] = value

    return before
