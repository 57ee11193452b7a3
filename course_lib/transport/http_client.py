"""An endpoint that lives on another machine: encode the request, send it, decode the answer.

All endpoints of one event loop share one pool of connections. Leaves out: retries, balancing,
timeouts of its own; those are middlewares around it, and the deadline is in the context.
"""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Callable
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

import httpx
import orjson

from course_lib import context
from course_lib.endpoint import Endpoint, begun
from course_lib.errors import DeadlineExceeded, Internal, InvalidRequest, Unavailable
from course_lib.transport import codes, metadata
from course_lib.transport.decoding import json_converter
from course_lib.transport.hooks import After, Before, basic, bearer
from course_lib.transport.http_stream import read_events

__all__ = ["basic", "bearer", "close_connections", "http_client"]

_CONNECT_SECONDS = 5.0
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()


def http_client(
    base_url: str,
    method: str,
    path: str,
    response: Any,
    *,
    before: tuple[Before, ...] = (),
    after: tuple[After, ...] = (),
    transport: httpx.AsyncBaseTransport | None = None,
    stream: bool = False,
) -> Endpoint:
    """The endpoint at this method and path, answering with a `response` (None: plain data).

    Raises what the service raised, `.remote`; Unavailable when nobody answers, and
    DeadlineExceeded. With `stream` it returns an async iterator of responses.
    """
    decode = json_converter(response or Any, ignore_unknown=True)
    prepare = _preparer(base_url.rstrip("/"), method, path)
    name = f"{method} {path}"
    own = httpx.AsyncClient(transport=transport) if transport is not None else None

    async def endpoint(request: Any) -> Any:
        headers = metadata.outgoing()
        for hook in before:
            hook(headers)
        client = own or _shared_client()
        sending = prepare(client, request, headers)
        instant = context.deadline.get()
        async with _network_errors(name, instant):
            answer = await client.send(sending, stream=stream)
            if stream and answer.status_code < 300:
                return await begun(_items(answer, decode, name, instant))
            await answer.aread()
        result = _decode_answer(answer, decode, name)
        for see in after:
            see(dict(answer.headers), result)
        return result

    return endpoint


async def close_connections() -> None:
    """Close the pool of the running loop; the next call opens a new one."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.aclose()


def _shared_client() -> httpx.AsyncClient:
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        timeout = httpx.Timeout(None, connect=_CONNECT_SECONDS)
        _clients[loop] = httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False)
    return _clients[loop]


def _preparer(base_url: str, method: str, path: str) -> Callable[..., httpx.Request]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]

    def prepare(client: httpx.AsyncClient, request: Any, headers: dict[str, str]) -> httpx.Request:
        fields = {f.name: getattr(request, f.name) for f in dataclasses.fields(request)}
        try:
            return build(client, fields, headers)
        except (TypeError, ValueError) as error:
            raise InvalidRequest(f"{method} {path}: cannot be encoded: {error}") from error

    def build(
        client: httpx.AsyncClient, fields: dict[str, Any], headers: dict[str, str]
    ) -> httpx.Request:
        filled = {name: _path_part(name, str(fields.pop(name))) for name in names}
        url = base_url + path.format(**filled)
        if method in ("POST", "PUT", "PATCH"):
            headers["content-type"] = "application/json"
            return client.build_request(method, url, content=orjson.dumps(fields), headers=headers)
        query = {name: value for name, value in fields.items() if value is not None}
        return client.build_request(method, url, params=query, headers=headers)

    return prepare


def _path_part(name: str, value: str) -> str:
    if not value.strip(".") or "/" in value:
        raise InvalidRequest(f"{name}: must be a name without a slash, got {value[:20]!r}")
    return quote(value, safe="")


class _network_errors:
    """Turns what the network does into errors of our tree, and ends the wait at the deadline."""

    def __init__(self, call: str, deadline: float | None) -> None:
        self._call = call
        self._timeout = asyncio.timeout_at(deadline)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise DeadlineExceeded(f"{self._call}: no answer before the deadline") from None
        if isinstance(error, httpx.DecodingError):
            raise Internal(f"{self._call}: the answer cannot be read: {error}") from error
        if isinstance(error, httpx.TransportError):
            reason = str(error) or type(error).__name__
            raise Unavailable(f"{self._call}: {reason}") from error


def _decode_answer(answer: httpx.Response, decode: Callable[[Any, str], Any], call: str) -> Any:
    try:
        envelope = orjson.loads(answer.content)
        message = str(envelope["message"])
        data = envelope["data"]
    except (ValueError, KeyError, TypeError):
        message, data = f"{call}: answered {answer.status_code}", None
        if answer.is_success:
            raise Internal(f"{call}: the answer has no envelope") from None
    if not answer.is_success:
        raise codes.remote_error(answer.headers, message, answer.status_code)
    return _decode_data(data, decode, call)


def _decode_data(data: Any, decode: Callable[[Any, str], Any], call: str) -> Any:
    try:
        return decode(data, "data")
    except InvalidRequest as error:
        raise Internal(f"{call}: not the answer it should be: {error.message}") from None


def _decode_event(name: str, data: bytes, decode: Callable[[Any, str], Any], call: str) -> Any:
    try:
        value = orjson.loads(data)
        if name == "error":
            raise codes.remote_error(value, str(value["message"]), int(value["code"]))
    except (ValueError, KeyError, TypeError):
        raise Internal(f"{call}: an event of the stream is not what it should be") from None
    return _decode_data(value, decode, call)


async def _items(
    answer: httpx.Response, decode: Callable[[Any, str], Any], call: str, deadline: float | None
) -> AsyncGenerator[Any, None]:
    events = read_events(answer.aiter_bytes())
    try:
        yield None  # begun
        while True:
            async with _network_errors(call, deadline):  # not around the reader's own work
                event = await anext(events, None)
            if event is None:
                return
            yield _decode_event(*event, decode, call)
    finally:
        await answer.aclose()
