"""What all routes share: bodies with a limit, blocking queries, the index header, errors."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from course_lib.stand_ins.consul_changes import Changes
from course_lib.stand_ins.consul_values import Refused, duration, unsigned

LARGEST_BODY_BYTES = 512 * 1024
DEFAULT_WAIT_SECONDS = 300.0
LONGEST_WAIT_SECONDS = 600.0

Handler = Callable[[Request], Awaitable[Response]]


def answers(handler: Handler) -> Handler:
    """Turn what a handler refuses into Consul's status and words."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            return Response(refused.words, refused.status, media_type="text/plain")

    return endpoint


def as_json(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, dict(headers or {}), "application/json")


def done() -> Response:
    """The empty answer to a change."""
    return Response(b"")


def index_headers(changes: Changes) -> dict[str, str]:
    """The headers of an answer one can wait on."""
    return {
        "X-Consul-Index": str(changes.index),
        "X-Consul-Knownleader": "true",
        "X-Consul-Lastcontact": "0",
    }


async def read_body(request: Request) -> bytes:
    """The whole body; `Refused` (413) over the limit, before it is read where possible."""
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdigit() else 0
    chunks: list[bytes] = []
    if size <= LARGEST_BODY_BYTES:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST_BODY_BYTES:
                break
            chunks.append(chunk)
    if size > LARGEST_BODY_BYTES:
        limit = f"max size: {LARGEST_BODY_BYTES} bytes"
        raise Refused(413, f"Request body({size} bytes) too large, {limit}.")
    return b"".join(chunks)


async def read_json(request: Request) -> object:
    body = await read_body(request)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = error if body else "EOF"
        raise Refused(400, f"Request decode failed: {reason}") from None


async def block(
    request: Request, changes: Changes, topics: tuple[str, ...], rng: random.Random
) -> None:
    """Hold a query with `?index=` until a topic changes, time is up, or the client is gone."""
    params = request.query_params
    if "stale" in params and "consistent" in params:
        words = "Cannot specify ?stale with ?consistent, conflicting semantics."
        raise Refused(400, words)
    wait_seconds = _wait_seconds(params.get("wait", ""))
    after = _index(params.get("index", ""))
    if after == 0 or changes.latest(topics) > after:
        return
    request.state.watching = True  # it only waits for news: who stops the server may end it
    wait_seconds += rng.uniform(0, wait_seconds / 16)
    waiting = asyncio.ensure_future(changes.wait(topics, after, wait_seconds))
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _wait_seconds(text: str) -> float:
    try:
        seconds = duration(text) if text else 0.0
    except ValueError:
        raise Refused(400, "Invalid wait time") from None
    return min(seconds, LONGEST_WAIT_SECONDS) if seconds > 0 else DEFAULT_WAIT_SECONDS


def _index(text: str) -> int:
    try:
        return unsigned(text) if text else 0
    except ValueError:
        raise Refused(400, "Invalid index") from None
