"""Loki's HTTP API in JSON: push, query_range, query, labels, label values; refusals in words."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from course_lib import context
from course_lib.stand_ins import log_words
from course_lib.stand_ins.log_entries import pushed
from course_lib.stand_ins.log_query import NAME, Query, parse
from course_lib.stand_ins.log_table import Row, Table
from course_lib.stand_ins.log_values import (
    LARGEST_NS,
    Refused,
    duration_ns,
    nanoseconds,
    shortened,
)

HOUR_NS = 3600 * 10**9
DEFAULT_LIMIT, LARGEST_LIMIT = 100, 5000

Handler = Callable[[Request], Awaitable[Response]]


def loki_app(table: Table, most_body_bytes: int, query_seconds: float) -> Starlette:
    """The ASGI application; `query_seconds` is how long a query may take before it gets 504."""

    async def push(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            words = f"Content-Type: expected application/json, got {shortened(kind)}"
            raise Refused(400, f"{words}; this store does not read protobuf")
        table.insert(pushed(await _body(request, most_body_bytes)))
        return Response(status_code=204)

    async def query_range(request: Request) -> Response:
        params = request.query_params
        query = parse(_required(params, "query"))
        start_ns, end_ns = _range(params, HOUR_NS)
        if end_ns <= start_ns:
            raise Refused(400, "end timestamp must not be before or equal to start time")
        limit, forward = _limit(params), _forward(params)
        if params.get("step"):  # for metric queries only; read to say what is wrong with it
            duration_ns(params["step"], "step")
        apart_ns = duration_ns(params["interval"], "interval") if params.get("interval") else 0
        try:
            async with asyncio.timeout(query_seconds):
                rows = await _find(table, query, start_ns, end_ns, limit, forward, apart_ns)
        except TimeoutError:
            words = f"the query took longer than {query_seconds:g} s: ask for less time or fewer"
            raise Refused(504, f"{words} streams") from None
        return _success(_as_streams(table, rows))

    async def query(request: Request) -> Response:
        parse(_required(request.query_params, "query"))
        words = "log queries are not supported as an instant query type"
        raise Refused(400, f"{words}, please change your query to a range query type")

    async def labels(request: Request) -> Response:
        return _success(sorted({name for found in _streams(table, request) for name in found}))

    async def values(request: Request) -> Response:
        name = request.path_params["name"]
        if not NAME.fullmatch(name):
            raise Refused(400, f"label name: expected letters, digits and _, got {shortened(name)}")
        found = _streams(table, request)
        return _success(sorted({labels[name] for labels in found if name in labels}))

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        return Route(f"/loki/api/v1/{path}", _answers(handler), methods=[method])

    return Starlette(
        routes=[
            route("push", push, "POST"),
            route("query_range", query_range),
            route("query", query),
            route("labels", labels),
            route("label/{name}/values", values),
        ],
        exception_handlers={HTTPException: _plainly},
    )


async def _find(
    table: Table,
    query: Query,
    start_ns: int,
    end_ns: int,
    limit: int,
    forward: bool,
    apart_ns: int,
) -> list[Row]:
    streams = [number for number, labels in table.streams.items() if query.chooses(dict(labels))]
    terms = log_words.of_filters(query.lines)
    found: list[Row] = []
    for rows in table.slices(streams, start_ns, end_ns, newest_first=not forward, terms=terms):
        for row in rows:
            too_close = apart_ns and found and abs(row.at_ns - found[-1].at_ns) < apart_ns
            if not too_close and query.keeps(row.line):
                found.append(row)
            if len(found) == limit:
                return found
        await asyncio.sleep(0)
    return found


def _as_streams(table: Table, rows: list[Row]) -> dict[str, Any]:
    """Rows by stream, in order; structured metadata joins the labels, as Loki answers it."""
    streams: dict[tuple[int, str | None], dict[str, Any]] = {}
    for row in rows:
        stream = streams.get((row.stream, row.metadata))
        if stream is None:
            labels = dict(table.streams[row.stream])
            more = orjson.loads(row.metadata) if row.metadata else {}
            for name, text in more.items():
                labels[f"{name}_extracted" if name in labels else name] = text
            stream = {"stream": labels, "values": []}
            streams[row.stream, row.metadata] = stream
        stream["values"].append([str(row.at_ns), row.line])
    return {"resultType": "streams", "result": list(streams.values()), "stats": {}}


def _streams(table: Table, request: Request) -> list[dict[str, str]]:
    params = request.query_params
    start_ns, end_ns = _range(params, 6 * HOUR_NS)
    query = parse(params["query"]) if params.get("query") else None
    if query is not None and query.lines:
        raise Refused(400, "query: only a stream selector chooses labels, got line filters")
    used = table.used(start_ns, end_ns)
    streams = (dict(table.streams[number]) for number in used)
    return [labels for labels in streams if query is None or query.chooses(labels)]


def _range(params: Mapping[str, str], back_ns: int) -> tuple[int, int]:
    now_ns = round(context.wall_clock.get()() * 1e9)
    end_ns = nanoseconds(params["end"], "end") if params.get("end") else now_ns
    back_ns = duration_ns(params["since"], "since") if params.get("since") else back_ns
    if params.get("start"):
        return nanoseconds(params["start"], "start"), end_ns
    return max(min(end_ns, now_ns) - back_ns, -LARGEST_NS), end_ns


def _limit(params: Mapping[str, str]) -> int:
    text = params.get("limit") or str(DEFAULT_LIMIT)
    if not (text.isascii() and text.isdigit() and int(text[:10]) > 0):
        raise Refused(400, f"limit: expected a number greater than zero, got {shortened(text)}")
    if int(text[:10]) > LARGEST_LIMIT:
        words = f"limit > max_entries_limit ({text[:10]} > {LARGEST_LIMIT})"
        raise Refused(400, f"max entries limit per query exceeded, {words}")
    return int(text)


def _forward(params: Mapping[str, str]) -> bool:
    text = (params.get("direction") or "backward").lower()
    if text not in ("forward", "backward"):
        raise Refused(400, f"direction: expected forward or backward, got {shortened(text)}")
    return text == "forward"


def _required(params: Mapping[str, str], name: str) -> str:
    if not params.get(name):
        raise Refused(400, f"{name}: missing")
    return params[name]


async def _body(request: Request, most_bytes: int) -> bytes:
    """The body, unzipped; `Refused` (413) as soon as it is over the limit."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise Refused(400, f"Content-Encoding: expected gzip or none, got {shortened(encoding)}")
    unzip = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    try:
        async for chunk in request.stream():
            while chunk:
                body += unzip.decompress(chunk, most_bytes + 1 - len(body)) if unzip else chunk
                if len(body) > most_bytes:
                    raise Refused(413, f"body: larger than {most_bytes} bytes")
                if unzip and unzip.unused_data:
                    raise Refused(400, "body: not gzip: it goes on after its end")
                chunk = unzip.unconsumed_tail if unzip else b""
    except zlib.error as error:
        raise Refused(400, f"body: not gzip: {error}") from None
    if unzip is not None and not unzip.eof:
        raise Refused(400, "body: not gzip: it ends too early")
    return bytes(body)


def _success(data: Any) -> Response:
    content = orjson.dumps({"status": "success", "data": data})
    return Response(content, media_type="application/json")


def _answers(handler: Handler) -> Handler:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            return _plain(refused.status, refused.words)

    return endpoint


async def _plainly(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    words = {404: "404 page not found", 405: f"method {request.method} not allowed"}
    return _plain(status, words.get(status, "internal error"), headers)


def _plain(status: int, words: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(words + "\n", status, dict(headers or {}), "text/plain")
