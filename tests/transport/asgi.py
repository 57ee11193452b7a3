"""Calls an ASGI application as a server would, with bytes that no client library would send."""

import asyncio
from dataclasses import dataclass
from typing import Any

import orjson

RawHeaders = list[tuple[bytes, bytes]]


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes
    chunks_read: int

    @property
    def envelope(self) -> dict[str, Any]:
        return orjson.loads(self.body)


async def call(
    app: Any,
    method: str,
    path: str,
    *chunks: bytes,
    query: bytes = b"",
    headers: RawHeaders | None = None,
    unfinished: bool = False,
) -> Answer:
    """One request in so many chunks; what came back, and how many were read before it began."""
    messages: list[dict[str, Any]] = []
    read, read_before = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        if read > len(chunks):
            await asyncio.get_running_loop().create_future()  # the caller stays, and says no more
        read += 1
        body = chunks[read - 1] if read <= len(chunks) else b""
        more = unfinished or read < len(chunks)
        return {"type": "http.request", "body": body, "more_body": more}

    async def send(message: Any) -> None:
        nonlocal read_before
        if not messages:
            read_before = read
        messages.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": headers or [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in messages[1:])
    return Answer(messages[0]["status"], dict(messages[0]["headers"]), body, read_before)
