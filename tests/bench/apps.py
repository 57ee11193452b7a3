"""The user service three ways, with one and the same answer.

course    the course's chain of endpoint middlewares behind the course's HTTP transport
plain     a FastAPI handler as FastAPI's own tutorial writes it, with none of the behaviours
usual     that handler with the same behaviours as `BaseHTTPMiddleware`, structlog set up as its
          page on performance says, and prometheus-fastapi-instrumentator as its README says

`course` and `usual` authenticate (basic), trace, log, count, limit the rate, keep the deadline
and bound concurrency. Both write the same fields to the log and expose the same metrics.
"""

import asyncio
import base64
import secrets
import time
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_fastapi_instrumentator import Instrumentator
from prometheus_fastapi_instrumentator.metrics import Info
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from course_lib.context import new_trace
from course_lib.endpoint import Middleware, chain
from course_lib.errors import CallError, DeadlineExceeded, Overloaded, RateLimited, Unauthenticated
from course_lib.middleware.authentication import basic
from course_lib.middleware.bulkhead import bulkhead
from course_lib.middleware.instrumenting import instrumenting
from course_lib.middleware.logging import logging
from course_lib.middleware.rate_limit import TokenBucket, erroring
from course_lib.middleware.timeout import deadline
from course_lib.middleware.tracing import Spans, tracing
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import with_demo_users
from course_lib.shop.users_http import user_routes
from course_lib.telemetry import trace_context
from course_lib.telemetry.logs import json_logger
from course_lib.telemetry.metrics import BUCKETS_SECONDS, Red, metrics_app
from course_lib.transport.codes import http_status
from course_lib.transport.http_server import http_app

PASSWORDS = {"ada": "lovelace"}
RATE, CAPACITY, SECONDS = 1_000_000, 1000, 5.0


def course(log_file: Any, spans: Spans | None = None) -> FastAPI:
    """The full chain, in the order of the course; with `spans` each call is one."""
    registry = CollectorRegistry()
    observe = Red(registry, "users").observe
    log = json_logger("users", "a", log_file)

    def wrap(operation: str) -> Middleware:
        return chain(
            tracing(spans, operation=operation),
            instrumenting(observe, operation=operation),
            logging(log, operation=operation),
            deadline(SECONDS),
            basic(PASSWORDS),
            erroring(TokenBucket(RATE, burst=RATE)),
            bulkhead(CAPACITY),
        )

    app = http_app("users", user_routes(user_endpoints(with_demo_users(), wrap)))
    app.add_route("/metrics", metrics_app(registry))
    return app


class UserOut(BaseModel):
    user_id: int
    name: str
    age: int


class Envelope(BaseModel):
    code: int
    data: UserOut
    message: str


def plain(log_file: Any) -> FastAPI:
    """No behaviour at all."""
    app, service = FastAPI(title="users"), with_demo_users()

    @app.get("/users/{user_id}")
    async def get_user(user_id: int) -> Envelope:
        user = await service.get_user(user_id)
        data = UserOut(user_id=user.user_id, name=user.name, age=user.age)
        return Envelope(code=200, data=data, message="ok")

    return app


def usual(log_file: Any) -> FastAPI:
    """Every behaviour a BaseHTTPMiddleware; the last one added is the outermost."""
    app = plain(log_file)
    for middleware in (Bulkhead, RateLimit, Authentication, Deadline, Logging, Tracing):
        app.add_middleware(middleware)
    log_as_json(log_file, structlog.contextvars.merge_contextvars)
    count_calls(app)
    return app


def log_as_json(log_file: Any, *first: Any) -> None:
    """As structlog's page on performance says; `first` are the first processors."""
    structlog.configure(
        cache_logger_on_first_use=True,
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        processors=[
            *first,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=orjson.dumps),
        ],
        logger_factory=structlog.BytesLoggerFactory(file=log_file),
    )


def count_calls(app: FastAPI) -> None:
    """As the README of prometheus-fastapi-instrumentator says."""
    registry = CollectorRegistry()
    instrumentator = Instrumentator(registry=registry, excluded_handlers=["/metrics"])
    instrumentator.add(red(registry)).instrument(app).expose(app)


def red(registry: CollectorRegistry) -> Any:
    """The metrics of `telemetry.metrics.Red`, written as the instrumentator's README does."""
    requests = Counter(
        "requests", "Calls", labelnames=("service", "operation", "outcome"), registry=registry
    )
    seconds = Histogram(
        "request_duration_seconds",
        "Seconds",
        labelnames=("service", "operation"),
        registry=registry,
        buckets=BUCKETS_SECONDS,
    )

    def instrumentation(info: Info) -> None:
        outcome = info.response.headers.get("x-error", "ok") if info.response else "Internal"
        requests.labels("users", "get_user", outcome).inc()
        seconds.labels("users", "get_user").observe(info.modified_duration)

    return instrumentation


def refusal(error: CallError) -> Response:
    code = http_status(error)
    body = {"code": code, "data": None, "message": error.message}
    return JSONResponse(body, code, {"x-error": type(error).__name__})


class Tracing(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        parent = trace_context.parse([request.headers.get("traceparent", "")])
        span = parent.child() if parent else new_trace()
        with structlog.contextvars.bound_contextvars(trace_id=span.trace_id, span_id=span.span_id):
            return await call_next(request)


class Logging(BaseHTTPMiddleware):
    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.log = structlog.get_logger().bind(service="users", instance="a")

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        started = time.perf_counter()
        response = await call_next(request)
        self.log.info(
            "call",
            operation="get_user",
            outcome=response.headers.get("x-error", "ok"),
            seconds=round(time.perf_counter() - started, 6),
            caller=self.caller(request),
        )
        return response

    def caller(self, request: Request) -> str | None:
        return getattr(request.state, "caller", None)


class Deadline(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        seconds = float(request.headers.get("x-timeout-seconds", SECONDS))
        try:
            async with asyncio.timeout(seconds):
                return await call_next(request)
        except TimeoutError:
            return refusal(DeadlineExceeded("the deadline passed"))


class Authentication(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return refusal(
                Unauthenticated("no credentials; send `authorization` with the scheme Basic")
            )
        user, _, password = base64.b64decode(given).decode().partition(":")
        if not secrets.compare_digest(password, PASSWORDS.get(user, "")) or user not in PASSWORDS:
            return refusal(Unauthenticated("wrong user or password"))
        request.state.caller = user
        return await call_next(request)


class RateLimit(BaseHTTPMiddleware):
    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.bucket = TokenBucket(RATE, burst=RATE)

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if self.bucket.take():
            return refusal(RateLimited(f"more than {RATE} calls a second"))
        return await call_next(request)


class Bulkhead(BaseHTTPMiddleware):
    in_flight = 0

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        if self.in_flight >= CAPACITY:
            return refusal(Overloaded(f"{self.in_flight} requests in flight"))
        self.in_flight += 1
        try:
            return await call_next(request)
        finally:
            self.in_flight -= 1


APPS = {"course": course, "plain": plain, "usual": usual}
