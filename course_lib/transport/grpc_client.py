"""An endpoint over gRPC, made from one method of a generated stub.

The channel belongs to the loop it was made on. On the wire gRPC rounds a deadline up, by at
most one per cent. Leaves out: retries (but grpc itself repeats a
call that never left the client) and balancing.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from course_lib.endpoint import Endpoint, begun
from course_lib.errors import CallError, InvalidRequest, PayloadTooLarge
from course_lib.transport import codes, metadata
from course_lib.transport.hooks import After, Before

_STREAMED_REQUESTS = (grpc.aio.StreamUnaryMultiCallable, grpc.aio.StreamStreamMultiCallable)
_STREAMED_RESPONSES = (grpc.aio.UnaryStreamMultiCallable, grpc.aio.StreamStreamMultiCallable)
_NOBODY_ANSWERED = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


def grpc_client(
    method: Any,
    encode: Callable[[Any], Any],
    decode: Callable[[Any], Any],
    *,
    before: tuple[Before, ...] = (),
    after: tuple[After, ...] = (),
) -> Endpoint:
    """The endpoint behind a stub's method, such as `UsersStub(channel).GetUser`.

    A method that streams takes or returns an async iterator. Raises what the service raised,
    `.remote`; Unavailable when nobody answers, and DeadlineExceeded.
    """

    def encode_one(request: Any) -> Any:
        try:
            return encode(request)
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"message: cannot be encoded: {error}") from error

    async def encode_all(
        requests: AsyncIterator[Any], broken: list[Exception]
    ) -> AsyncIterator[Any]:
        try:
            async for request in requests:
                yield encode_one(request)
        except Exception as error:
            broken.append(error)
            raise

    async def endpoint(request: Any) -> Any:
        headers = metadata.outgoing_trace()
        for hook in before:
            hook(headers)
        streamed = isinstance(method, _STREAMED_REQUESTS)
        broken: list[Exception] = []
        message = encode_all(request, broken) if streamed else encode_one(request)
        seconds = metadata.outgoing_seconds()
        call = method(message, timeout=seconds, metadata=tuple(headers.items()))
        if isinstance(method, _STREAMED_RESPONSES):
            items = await begun(_items(call, decode, broken))
            try:
                await call.initial_metadata()  # the server has begun: a watcher misses nothing now
            except BaseException:
                call.cancel()
                raise
            return items
        with _translated(broken):
            response = decode(await call)
        if after:
            trailing = dict(await call.trailing_metadata())
            for see in after:
                see(trailing, response)
        return response

    return endpoint


async def _items(
    call: Any, decode: Callable[[Any], Any], broken: list[Exception]
) -> AsyncGenerator[Any, None]:
    try:
        yield None  # begun
        with _translated(broken):
            async for message in call:
                yield decode(message)
    finally:
        call.cancel()


@contextmanager
def _translated(broken: list[Exception]) -> Iterator[None]:
    """Raise errors of our tree, and what broke the caller's own stream of requests."""
    try:
        yield
    except grpc.aio.AioRpcError as failure:
        raise _error(failure) from None
    except asyncio.CancelledError:
        if broken:  # then it is grpc that cancelled the call
            raise broken[0] from None
        raise


def _error(failure: grpc.aio.AioRpcError) -> CallError:
    """The error of our tree; without a class name it may be grpc on our own side that speaks."""
    headers = dict(failure.trailing_metadata() or ())
    name, status = headers.get(codes.ERROR_HEADER), failure.code().name
    details = failure.details() or ("" if name else status)
    if name is None and status == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        name = PayloadTooLarge.__name__
    seconds = codes.come_back_after(headers)
    error = codes.error_from(name, details, grpc_status=status, retry_after_seconds=seconds)
    error.remote = name is not None or status not in _NOBODY_ANSWERED
    return error
