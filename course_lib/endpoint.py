"""An endpoint is one operation of a service, as a function that knows no transport.

A middleware takes an endpoint and returns one that does something more.
"""

from collections.abc import Awaitable, Callable
from typing import Any

Endpoint = Callable[[Any], Awaitable[Any]]
Middleware = Callable[[Endpoint], Endpoint]


def chain(*middlewares: Middleware) -> Middleware:
    """Make one middleware of many; the first is the outermost, as in Go-kit."""

    def wrap(inner: Endpoint) -> Endpoint:
        for middleware in reversed(middlewares):
            inner = middleware(inner)
        return inner

    return wrap
