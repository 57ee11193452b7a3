"""One route as a bare ASGI application: read, decode, call the endpoint, encode, send.

FastAPI documents and matches the route; this takes the place of its request handling, which
would cost more than everything else a request meets on its way.
"""

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from course_lib.endpoint import Endpoint
from course_lib.errors import (
    CallError,
    Unauthenticated,
)
from course_lib.transport import codes, metadata
from course_lib.transport.hooks import After, Before, Finalizer, Outcome
from course_lib.transport.http_decoding import linger, read_body, request_decoder
from course_lib.transport.http_stream import send_events

CALLER_GONE = 499
"""The status in an `Outcome` when the caller left before the answer (nginx's number)."""

RawHeaders = list[tuple[bytes, bytes]]
_CARRIED = (b"traceparent", b"tracestate", b"authorization", metadata.TIMEOUT_HEADER.encode())
_TRACE = frozenset({b"traceparent", b"tracestate"})
_JSON_TYPE = (b"content-type", b"application/json")


@dataclasses.dataclass(frozen=True)
class Route:
    """An endpoint at a method and a path; what `{braces}` name fills the request's fields.

    Fields that the path does not name come from the query (GET, DELETE) or from the JSON
    body. With `stream`, the endpoint returns an async iterator, sent as server-sent events.
    """

    method: str
    path: str
    endpoint: Endpoint
    request: type
    response: Any
    _: dataclasses.KW_ONLY
    status: int = 200
    summary: str | None = None
    before: tuple[Before, ...] = ()
    after: tuple[After, ...] = ()
    finalizers: tuple[Finalizer, ...] = ()
    stream: bool = False

    @property
    def has_body(self) -> bool:
        """Whether the rest of the request travels as JSON."""
        return self.method in ("POST", "PUT", "PATCH")

    @property
    def path_names(self) -> frozenset[str]:
        """The fields that the path names."""
        return frozenset(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


def serve_route(route: Route, max_body_bytes: int) -> ASGIApp:
    """The route as an ASGI application; the order is that of `hooks`."""
    decode = request_decoder(route.request, route.path_names, route.has_body)
    head = b'{"code":%d,"data":' % route.status
    before, after, finalizers = route.before, route.after, route.finalizers
    endpoint, has_body, stream = route.endpoint, route.has_body, route.stream

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        started = clock()
        tokens, timeout = _arrive(scope)
        status, size, error = CALLER_GONE, 0, None
        try:
            try:
                metadata.arrive_deadline(timeout)
                if before:
                    incoming = _text_headers(scope)
                    for hook in before:
                        hook(incoming)
                body = await read_body(scope, receive, max_body_bytes) if has_body else b""
                response = await endpoint(decode(scope["path_params"], scope["query_string"], body))
                headers: dict[str, str] = {}
                for see in after:
                    see(headers, response)
                if stream:
                    scope.setdefault("state", {})["watching"] = True
                    size, error = await send_events(response, _raw(headers), receive, send)
                    status = codes.http_status(error) if error else route.status
                    return
                body = head + orjson.dumps(response) + b',"message":"ok"}'
                status = route.status
                raw = [_JSON_TYPE, *_raw(headers)] if headers else [_JSON_TYPE]
            except BaseException as raised:
                error = codes.outcome_error(raised)
                status, raw, body = encode_error(error)
            size, too_large = len(body), has_body and status == 413
            await send_answer(send, status, raw, body, is_all=not too_large)
        finally:
            if finalizers:
                outcome = Outcome(
                    route.method, route.path, str(status), size, clock() - started, error
                )
                for finalizer in finalizers:
                    finalizer(outcome)
            metadata.leave(tokens)
        if too_large:
            await linger(scope, receive)
            await send({"type": "http.response.body", "body": b""})

    return app


def encode_error(error: CallError, status: int | None = None) -> tuple[int, RawHeaders, bytes]:
    """The one error encoder: status, headers and envelope."""
    status = status or codes.http_status(error)
    headers = codes.wire_headers(error)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = error.challenge
    if status == 413:
        headers["connection"] = "close"
    body = orjson.dumps({"code": status, "data": None, "message": codes.wire_message(error)})
    return status, [_JSON_TYPE, *_raw(headers)], body


async def send_answer(
    send: Send, status: int, headers: RawHeaders, body: bytes, is_all: bool = True
) -> None:
    """Send a whole answer as the two messages ASGI asks for; not `is_all` keeps it open."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": not is_all})


def _arrive(scope: Scope) -> tuple[metadata.Tokens, str | None]:
    """Begin the call; headers of the trace that come several times are joined."""
    raw, client = scope["headers"], scope.get("client")
    found: dict[bytes, bytes] = dict(raw)
    if len(found) < len(raw):
        for joined in _TRACE.intersection(found):
            found[joined] = b",".join(value for name, value in raw if name == joined)
    sent = [found[name].decode("latin-1") if name in found else None for name in _CARRIED]
    traceparent, tracestate, authorization, timeout = sent
    address = client[0] if client else None
    return metadata.arrive(traceparent, tracestate, authorization, address), timeout


def _text_headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _raw(headers: Mapping[str, str]) -> RawHeaders:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
