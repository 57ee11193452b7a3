"""Server-sent events: an async iterator on its way over HTTP (WHATWG, server-sent events).

Each item is one event of JSON. An error after the first byte cannot change the status any
more, so it travels as an event named `error`. Leaves out: event ids and resuming.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.types import Receive, Send

from course_lib.endpoint import close_stream
from course_lib.errors import CallError
from course_lib.transport import codes

_LINE_END = re.compile(rb"\r\n|\n|\r")  # and nothing else that Unicode calls a line's end
_EVENT_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


async def send_events(
    items: AsyncIterator[Any], headers: list[tuple[bytes, bytes]], receive: Receive, send: Send
) -> tuple[int, CallError | None]:
    """Send every item as an event until the caller leaves; returns bytes sent, and the error."""
    sent = 0
    ended: CallError | None = None

    async def send_all() -> None:
        nonlocal sent, ended
        start = {"type": "http.response.start", "status": 200}
        await send({**start, "headers": _EVENT_HEADERS + headers})
        try:
            async for item in items:
                event = b"data: " + orjson.dumps(item) + b"\n\n"
                sent += len(event)
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except BaseException as raised:
            ended = codes.outcome_error(raised)
            task = asyncio.current_task()
            if task is None or task.cancelling():  # nobody is there to read it
                raise
            event = _error_event(ended)
            sent += len(event)
            await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            await close_stream(items)
        await send({"type": "http.response.body", "body": b""})

    await _until_the_caller_leaves(send_all(), receive)
    return sent, ended


def _error_event(error: CallError) -> bytes:
    message = codes.wire_message(error)
    answer = {"code": codes.http_status(error), "data": None, "message": message}
    return b"event: error\ndata: " + orjson.dumps(answer | codes.wire_headers(error)) + b"\n\n"


async def _until_the_caller_leaves(work: Any, receive: Receive) -> None:
    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """Turn the bytes of an event stream into pairs of event name and data."""
    name, data = "message", []
    async for line in _lines(chunks):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            name = value.decode(errors="replace")
        elif field == b"data":
            data.append(value)
        elif not line:
            if data:
                yield name, b"\n".join(data)
            name, data = "message", []


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Every line that has ended, without its end; what the stream breaks off in is no line."""
    rest = b""
    async for chunk in chunks:
        rest += chunk
        half = rest.endswith(b"\r")  # its \n may still come
        *ended, rest = _LINE_END.split(rest[:-1] if half else rest)
        rest += b"\r" if half else b""
        for line in ended:
            yield line
