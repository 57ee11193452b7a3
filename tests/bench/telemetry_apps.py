"""The user service under observation: a log line, metrics and, one time in ten, spans for a call.

observed        the course's full chain
observed_usual  a plain FastAPI handler with opentelemetry-instrumentation-fastapi,
                prometheus-fastapi-instrumentator and one structlog `BaseHTTPMiddleware`
collector       where both send their spans, at `COLLECTOR_URL`

Each package is set up as its own pages say. Both write the same fields and expose the same
metrics; `observed` also authenticates, limits the rate, and keeps deadlines and a bulkhead.
"""

import base64
import os
from typing import Any

from fastapi import FastAPI
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from course_lib.stand_ins import OtlpCollector
from course_lib.telemetry.traces import Spans, ratio, to_collector
from tests.bench.apps import Logging, count_calls, course, log_as_json, plain

SHARE = 0.1


def observed(log_file: Any) -> FastAPI:
    """The full chain with spans; `/spans` says what became of them."""
    reporter = to_collector(os.environ["COLLECTOR_URL"])
    app = course(log_file, Spans("users", instance="a", export=reporter, sampler=ratio(SHARE)))

    def counts(request: Request) -> JSONResponse:
        return JSONResponse({name: getattr(reporter, name) for name in ("failed", "dropped")})

    app.add_route("/spans", counts)
    return app


def observed_usual(log_file: Any) -> FastAPI:
    """The three packages around a handler that does nothing else."""
    app = plain(log_file)
    app.add_middleware(LoggingCalls)
    log_as_json(log_file, trace_ids)
    count_calls(app)
    provider = TracerProvider(
        resource=Resource.create({"service.name": "users", "service.instance.id": "a"}),
        sampler=ParentBasedTraceIdRatio(SHARE),
    )
    exporter = OTLPSpanExporter(endpoint=f"{os.environ['COLLECTOR_URL']}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider, excluded_urls="metrics")
    return app


class LoggingCalls(Logging):
    """Believes whoever says who they are, which costs less than to check it."""

    def caller(self, request: Request) -> str | None:
        given = request.headers.get("authorization", "").removeprefix("Basic ")
        return base64.b64decode(given).decode().partition(":")[0] or None


def trace_ids(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """After structlog's page on OpenTelemetry; also for spans that nobody records."""
    there = get_current_span().get_span_context()
    event["trace_id"] = format_trace_id(there.trace_id)
    event["span_id"] = format_span_id(there.span_id)
    return event


def collector(log_file: Any) -> ASGIApp:
    """The course's own stand-in."""
    return OtlpCollector().app


APPS = {"observed": observed, "observed_usual": observed_usual, "collector": collector}
