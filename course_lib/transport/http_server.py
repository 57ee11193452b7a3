"""A service over HTTP: routes matched and documented by FastAPI, handled by `http_route`.

The page at /docs needs no network. Leaves out: authentication, limits and everything else
that wraps a call; those are endpoint middlewares.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable
from typing import Any, Generic, TypeVar, get_type_hints

from fastapi import Body, FastAPI, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, create_model
from starlette.exceptions import HTTPException

from course_lib.errors import CallError, InvalidRequest, NotFound, Unimplemented
from course_lib.transport.http_docs import docs_page
from course_lib.transport.http_lean import LeanApp, LeanRoute
from course_lib.transport.http_route import Route, encode_error, serve_route

__all__ = ["Envelope", "Route", "http_app"]

T = TypeVar("T")


class Envelope(BaseModel, Generic[T]):
    """What every answer looks like; `code` is the HTTP status once more."""

    code: int
    data: T
    message: str


def http_app(title: str, routes: Iterable[Route], *, max_body_bytes: int = 1_000_000) -> FastAPI:
    """A FastAPI application that serves the routes; bodies above the limit get 413."""
    no_telemetry: Any = {"tracing": False, "metrics": False, "logs": False}
    app = LeanApp(
        title=title, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=no_telemetry
    )
    app.add_exception_handler(HTTPException, _refuse)
    for route in routes:
        _add(app, route, max_body_bytes)

    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))

    app.add_api_route("/docs", docs, include_in_schema=False)
    return app


def _add(app: FastAPI, route: Route, max_body_bytes: int) -> None:
    async def documented() -> None:
        """Stands for the endpoint in the documentation; LeanRoute calls the real one."""

    documented.__name__ = route.request.__name__
    documented.__doc__ = route.request.__doc__
    documented.__signature__ = _signature(route)  # type: ignore[attr-defined]
    documented.serve = serve_route(route, max_body_bytes)  # type: ignore[attr-defined]
    app.router.add_api_route(
        route.path,
        documented,
        methods=[route.method],
        status_code=route.status,
        summary=route.summary or _sentence(route.request.__name__),
        response_model=None if route.stream else Envelope.__class_getitem__(route.response),
        response_class=_Events if route.stream else JSONResponse,
        responses={key: {"model": Envelope[None]} for key in ("4XX", "5XX")},
        route_class_override=LeanRoute,
    )


class _Events(Response):
    media_type = "text/event-stream"


def _signature(route: Route) -> inspect.Signature:
    """The parameters that a hand-written FastAPI function for this route would have."""
    keyword, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    hints = get_type_hints(route.request)
    parameters: list[inspect.Parameter] = []
    in_body: dict[str, Any] = {}

    def add(name: str, annotation: Any, default: Any) -> None:
        parameters.append(inspect.Parameter(name, keyword, annotation=annotation, default=default))

    for field in dataclasses.fields(route.request):
        default = empty if field.default is dataclasses.MISSING else field.default
        if field.name in route.path_names:
            add(field.name, hints[field.name], Path())
        elif route.has_body:
            in_body[field.name] = (hints[field.name], ... if default is empty else default)
        else:
            add(field.name, hints[field.name], Query() if default is empty else Query(default))
    if in_body:
        strict = ConfigDict(extra="forbid", strict=True)
        model = create_model(route.request.__name__, __config__=strict, **in_body)
        add("body", model, Body())
    return inspect.Signature(parameters)


def _sentence(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", lambda capital: " " + capital[1].lower(), name)


async def _refuse(request: Request, error: Any) -> Response:
    """What FastAPI itself refuses, in the same envelope as everything else."""
    refusal: CallError = InvalidRequest(str(error.detail))
    if error.status_code == 404:
        refusal = NotFound(f"no such path: {request.scope['path']}")
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "other methods")
        refusal = Unimplemented(f"{request.method}: this path takes only {allowed}")
    status, headers, body = encode_error(refusal, error.status_code)
    response = Response(body, status)
    response.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    response.headers.update(error.headers or {})
    return response
