"""The collector's HTTP routes: bodies in, traces out."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from course_lib.stand_ins import otlp_jaeger as jaeger
from course_lib.stand_ins.otlp_bodies import (
    JSON,
    LARGEST_BODY_BYTES,
    PROTOBUF,
    Refused,
    accepted,
    media_type,
    refusal,
    unpacked,
)
from course_lib.stand_ins.otlp_spans import Trace
from course_lib.stand_ins.otlp_store import Query


class Asked(Protocol):
    """What the routes need of a collector."""

    refused_bodies: int

    def ingest(self, body: bytes, kind: str) -> int: ...
    def find(self, query: Query, limit: int | None) -> list[Trace]: ...
    def trace(self, trace_id: str) -> Trace | None: ...
    def operations(self) -> dict[str, set[tuple[str, str]]]: ...


def routes(collector: Asked) -> Sequence[Route]:
    """OTLP's route for bodies, and Jaeger's for questions."""

    async def receive(request: Request) -> Response:
        kind = PROTOBUF
        try:
            kind = media_type(request.headers.get("content-type", ""))
            encoding = request.headers.get("content-encoding", "").strip().lower()
            body = unpacked(await _body(request), encoding)
            return Response(accepted(kind, collector.ingest(body, kind)), 200, media_type=kind)
        except Refused as refused:
            collector.refused_bodies += 1
            return Response(refusal(refused, kind), refused.status, media_type=kind)

    async def services(request: Request) -> Response:
        names = sorted(collector.operations())
        return _json(jaeger.answer(names, total=len(names)))

    async def operations(request: Request) -> Response:
        service = request.path_params["service"]
        names = sorted({name for name, _ in collector.operations().get(service, ())})
        return _json(jaeger.answer(names, total=len(names)))

    async def operations_by_kind(request: Request) -> Response:
        service = request.query_params.get("service", "")
        if not service:
            raise Refused(400, "parameter 'service' is required")
        wanted = request.query_params.get("spanKind", "")
        found = [
            {"name": name, "spanKind": kind}
            for name, kind in sorted(collector.operations().get(service, ()))
            if wanted in ("", kind)
        ]
        return _json(jaeger.answer(found, total=len(found)))

    async def search(request: Request) -> Response:
        params = request.query_params.multi_items()
        asked = [jaeger.trace_id(value) for name, value in params if name == "traceID"]
        if not asked:
            found = collector.find(*jaeger.read_query(params))
            return _json(jaeger.answer([jaeger.trace_view(trace) for trace in found]))
        there = {trace_id: collector.trace(trace_id) for trace_id in asked}
        views = [jaeger.trace_view(trace) for trace in there.values() if trace]
        missing = [{"msg": "trace not found", "traceID": key} for key in there if not there[key]]
        return _json(jaeger.answer(views, errors=missing or None))

    async def one(request: Request) -> Response:
        trace = collector.trace(jaeger.trace_id(request.path_params["trace_id"]))
        if trace is None:
            raise Refused(404, "trace not found")
        return _json(jaeger.answer([jaeger.trace_view(trace)]))

    return [
        Route("/v1/traces", receive, methods=["POST"]),
        Route("/api/services", _answering(services)),
        Route("/api/services/{service:path}/operations", _answering(operations)),
        Route("/api/operations", _answering(operations_by_kind)),
        Route("/api/traces", _answering(search)),
        Route("/api/traces/{trace_id}", _answering(one)),
    ]


def _answering(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as refused:
            return _json(jaeger.problem(refused.status, refused.reason), refused.status)

    return endpoint


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type=JSON)


async def _body(request: Request) -> bytes:
    """The whole body; 413 over the limit, before it is read where possible."""
    declared = request.headers.get("content-length", "")
    too_large = declared.isdigit() and int(declared) > LARGEST_BODY_BYTES
    chunks: list[bytes] = []
    size = 0
    if not too_large:
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST_BODY_BYTES:
                too_large = True
                break
            chunks.append(chunk)
    if too_large:
        raise Refused(413, f"the body is larger than {LARGEST_BODY_BYTES} bytes")
    return b"".join(chunks)
