"""A transport without a wire, for virtual time: nothing but the metadata crosses it.

The server's side runs in a context of its own, so that what did not travel is not there, and
errors arrive as copies. Leaves out: encoding; requests and responses pass as they are.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextvars import Context
from typing import Any

from course_lib import context
from course_lib.endpoint import Endpoint, begun, close_stream
from course_lib.errors import CallError, DeadlineExceeded
from course_lib.transport import codes, metadata
from course_lib.transport.hooks import After, Before, Finalizer, Headers, Outcome

Server = Callable[[Any, Headers, Headers], Coroutine[Any, Any, Any]]
"""Takes a request, its headers, and an empty mapping for the headers of the answer."""

ADDRESS = "memory"


def memory_server(
    endpoint: Endpoint,
    *,
    name: str = "",
    before: tuple[Before, ...] = (),
    after: tuple[After, ...] = (),
    finalizers: tuple[Finalizer, ...] = (),
) -> Server:
    """The server's side of an endpoint; its code in an `Outcome` is "ok" or an error's name."""

    async def serve(request: Any, headers: Headers, answered: Headers) -> Any:
        clock = asyncio.get_running_loop().time
        started, code, error = clock(), "cancelled", None
        metadata.arrive_with(headers, ADDRESS)
        try:
            metadata.arrive_deadline(headers.get(metadata.TIMEOUT_HEADER))
            for hook in before:
                hook(headers)
            response = await endpoint(request)
            for see in after:
                see(answered, response)
            code = "ok"
            return response
        except BaseException as raised:
            error = codes.outcome_error(raised)
            code = type(error).__name__
            raise error from error.__cause__
        finally:
            if finalizers:
                outcome = Outcome("memory", name, code, 0, clock() - started, error)
                for finalizer in finalizers:
                    finalizer(outcome)

    return serve


def memory_client(
    server: Server,
    *,
    latency: float | Callable[[], float] = 0.0,
    before: tuple[Before, ...] = (),
    after: tuple[After, ...] = (),
) -> Endpoint:
    """The client's side; `latency` is the round trip in seconds, or draws one for each call."""

    async def call(request: Any, headers: Headers, answered: Headers, instant: float | None) -> Any:
        seconds = latency() if callable(latency) else latency
        if seconds:
            await asyncio.sleep(seconds / 2)
        fresh = _fresh_context()
        loop = asyncio.get_running_loop()
        try:
            response = await loop.create_task(server(request, headers, answered), context=fresh)
        except CallError as error:
            response = _copy(error)
        if seconds:
            await asyncio.sleep(seconds / 2)
        if isinstance(response, CallError):
            raise response
        if hasattr(response, "__anext__"):
            return await begun(_items(response, fresh, instant))
        return response

    async def endpoint(request: Any) -> Any:
        headers, answered = metadata.outgoing(), dict[str, str]()
        for hook in before:
            hook(headers)
        instant = context.deadline.get()
        if instant is None:
            response = await call(request, headers, answered, None)
        else:
            try:
                async with asyncio.timeout_at(instant):
                    response = await call(request, headers, answered, instant)
            except TimeoutError:
                raise DeadlineExceeded("no answer before the deadline") from None
        for see in after:
            see(answered, response)
        return response

    return endpoint


def _fresh_context() -> Context:
    """An empty context, apart from the clock and the ids, which belong to the world."""
    fresh = Context()
    fresh.run(context.wall_clock.set, context.wall_clock.get())
    fresh.run(context.ids.set, context.ids.get())
    return fresh


def _copy(error: CallError) -> CallError:
    headers = codes.wire_headers(error)
    seconds = getattr(error, "retry_after_seconds", None)
    name = headers[codes.ERROR_HEADER]
    return codes.error_from(name, codes.wire_message(error), retry_after_seconds=seconds)


async def _items(
    items: AsyncIterator[Any], fresh: Context, instant: float | None
) -> AsyncGenerator[Any, None]:
    """A stream from the server, each step taken in the server's context, until the deadline."""

    async def step() -> Any:
        return await anext(items)

    loop = asyncio.get_running_loop()
    try:
        yield None  # begun
        while True:
            timeout = asyncio.timeout_at(instant)
            try:
                async with timeout:
                    item = await loop.create_task(step(), context=fresh)
            except StopAsyncIteration:
                return
            except BaseException as raised:
                if timeout.expired():
                    raise DeadlineExceeded("no answer before the deadline") from None
                raise _copy(codes.outcome_error(raised)) from None
            yield item
    finally:
        try:
            await loop.create_task(close_stream(items), context=fresh)
        except Exception as raised:
            raise _copy(codes.outcome_error(raised)) from None
