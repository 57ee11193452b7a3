"""A service over gRPC: what turns an endpoint into the method of a servicer.

A stream is an async iterator in the place of a message, on either side. Messages are parsed
here and not by grpc, which would call a broken one an internal error. Of several traceparent
headers gRPC's core shows only the last, so that two of them do not restart the trace here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError

from course_lib.endpoint import Endpoint, close_stream
from course_lib.errors import CallError, InvalidRequest
from course_lib.transport import codes, metadata
from course_lib.transport.hooks import After, Before, Finalizer, Outcome

Method = Callable[[Any, grpc.aio.ServicerContext], Awaitable[Any]]


@dataclass(frozen=True)
class _Broken:
    """Stands for bytes that are no message, until the decode step refuses them."""

    reason: str


def grpc_method(
    endpoint: Endpoint,
    decode: Callable[[Any], Any],
    encode: Callable[[Any], Any],
    *,
    name: str = "",
    stream_requests: bool = False,
    stream_responses: bool = False,
    before: tuple[Before, ...] = (),
    after: tuple[After, ...] = (),
    finalizers: tuple[Finalizer, ...] = (),
) -> Method:
    """A coroutine to use as a method of a servicer; `decode` and `encode` are for one message."""

    def decode_one(message: Any) -> Any:
        if isinstance(message, _Broken):
            raise InvalidRequest(message.reason)
        return decode(message)

    async def decode_all(messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for message in messages:
            yield decode_one(message)

    async def method(message: Any, call: grpc.aio.ServicerContext) -> Any:
        clock = asyncio.get_running_loop().time
        started, size = clock(), 0
        code, error = "CANCELLED", None
        headers = _headers(call)
        tokens = metadata.arrive_with(headers, _address(call.peer()))
        try:
            try:
                metadata.arrive_deadline(_seconds_left(call))
                for hook in before:
                    hook(headers)
                request = decode_all(message) if stream_requests else decode_one(message)
                response = await endpoint(request)
                trailing: dict[str, str] = {}
                for see in after:
                    see(trailing, response)
                if trailing:
                    call.set_trailing_metadata(tuple(trailing.items()))
                encoded = None
                if stream_responses:
                    try:
                        await call.send_initial_metadata(())
                        async for item in response:
                            one = encode(item)
                            size += one.ByteSize()
                            await call.write(one)
                    finally:
                        await close_stream(response)
                else:
                    encoded = encode(response)
                    size = encoded.ByteSize()
                code = "OK"
                return encoded
            except BaseException as raised:
                error = codes.outcome_error(raised)
                code = codes.grpc_status(error)
            await _refuse(call, error)
        finally:
            if finalizers:
                outcome = Outcome("gRPC", name, code, size, clock() - started, error)
                for finalizer in finalizers:
                    finalizer(outcome)
            metadata.leave(tokens)

    return method


def add_service(
    server: grpc.aio.Server, service: ServiceDescriptor, methods: Mapping[str, Method]
) -> None:
    """Register methods by name; what the service describes and is not given is Unimplemented."""
    handlers = {name: _handler(service.methods_by_name[name], methods[name]) for name in methods}
    generic = grpc.method_handlers_generic_handler(service.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))


def _handler(described: Any, method: Method) -> grpc.RpcMethodHandler:
    kind = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[described.client_streaming, described.server_streaming]
    request = message_factory.GetMessageClass(described.input_type)

    def parse(data: bytes) -> Any:
        try:
            return request.FromString(data)
        except DecodeError:
            return _Broken(f"message: must be a {described.input_type.full_name} in protobuf")

    return kind(
        method, request_deserializer=parse, response_serializer=lambda m: m.SerializeToString()
    )


async def _refuse(call: grpc.aio.ServicerContext, error: CallError) -> None:
    """The one error encoder: status, details, and what travels beside an error."""
    status = grpc.StatusCode[codes.grpc_status(error)]
    headers = tuple(codes.wire_headers(error).items())
    await call.abort(status, codes.wire_message(error), headers)


def _headers(call: grpc.aio.ServicerContext) -> dict[str, str]:
    pairs = [(k, v) for k, v in call.invocation_metadata() or () if isinstance(v, str)]
    headers = dict(pairs)
    if len(headers) < len(pairs):
        for joined in ("traceparent", "tracestate"):
            if joined in headers:
                headers[joined] = ",".join(value for name, value in pairs if name == joined)
    return headers


def _seconds_left(call: grpc.aio.ServicerContext) -> float | None:
    left = call.time_remaining()
    return None if left is None else min(max(left, 0.0), metadata.LONGEST_TIMEOUT_SECONDS)


def _address(peer: str) -> str:
    """The host of a gRPC peer such as `ipv4:127.0.0.1:40000` or `ipv6:%5B::1%5D:40000`."""
    return unquote(peer).partition(":")[2].rpartition(":")[0]
