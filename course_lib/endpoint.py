"""An endpoint is one operation of a service, as a function that knows no transport.

A middleware takes an endpoint and returns one that does something more. An endpoint that answers
with a stream returns an async iterator, and its call lasts until the end of that.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
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


async def until_over(
    items: AsyncIterator[Any], over: Callable[[BaseException | None], None]
) -> AsyncIterator[Any]:
    """The stream `items`; `over(error)` hears of its end, with None or with what broke it off."""
    try:
        async for item in items:
            yield item
    except BaseException as error:
        over(error)
        raise
    over(None)
