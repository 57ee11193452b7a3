"""An endpoint is one operation of a service, as a function that knows no transport.

A middleware takes an endpoint and returns one that does something more. An endpoint that answers
with a stream returns an async iterator, and its call lasts until the end of that.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
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


async def begun(stream: AsyncGenerator[Any, None]) -> AsyncIterator[Any]:
    """The stream, run to a first `yield` that stands before its first item.

    Python runs no `finally` of a generator that is closed, or let go, before it has begun.
    """
    await anext(stream)
    return stream


async def until_over(
    items: AsyncIterator[Any], over: Callable[[BaseException | None], None]
) -> AsyncIterator[Any]:
    """The stream `items`; `over(error)` hears of its end, with None or with what broke it off."""

    async def stream() -> AsyncGenerator[Any, None]:
        try:
            try:
                yield None  # begun
                async for item in items:
                    yield item
            finally:
                await close_stream(items)
        except BaseException as error:
            over(error)
            raise
        over(None)

    return await begun(stream())


async def within(
    variable: ContextVar[Any], value: object, items: AsyncIterator[Any]
) -> AsyncIterator[Any]:
    """The stream `items`, each step of it taken with `variable` at `value`."""

    async def stream() -> AsyncGenerator[Any, None]:
        try:
            yield None  # begun
            while True:
                restore = variable.set(value)
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                finally:
                    variable.reset(restore)
                yield item
        finally:
            restore = variable.set(value)
            try:
                await close_stream(items)
            finally:
                variable.reset(restore)

    return await begun(stream())


async def close_stream(items: AsyncIterator[Any]) -> None:
    """Let the stream clean up here and now; else Python does it some time, in any context."""
    if hasattr(items, "aclose"):
        await items.aclose()
