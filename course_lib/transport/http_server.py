"""A service over HTTP: routes matched and documented by FastAPI, handled by `http_route`.

The page at /docs needs no network. Leaves out: authentication, limits and everything else
that wraps a call; those are endpoint middlewares.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar, get_type_hints

from fastapi import Body, FastAPI, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, create_model
from starlette.exceptions import HTTPException
from starlette.routing import Match, get_route_path
from starlette.types import Receive, Scope, Send

from course_lib.errors import CallError, InvalidRequest, NotFound, Unimplemented
from course_lib.transport.http_docs import docs_page
from course_lib.transport.http_route import Route, encode_error, send_answer, serve_route

__all__ = ["Envelope", "Route", "http_app"]

T = TypeVar("T")


class Envelope(BaseModel, Generic[T]):
    """What every answer looks like; `code` is the HTTP status once more."""

    code: int
    data: T
    message: str


class LeanRoute(APIRoute):
    """A route that FastAPI documents and matches, with a bare ASGI application inside."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = endpoint.serve  # type: ignore[attr-defined]
        self._allowed = frozenset(self.methods or ())

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As FastAPI does it, less what these routes never need."""
        if scope["type"] != "http":
            return Match.NONE, {}
        path = get_route_path(scope) if scope.get("root_path") else scope["path"]
        found = self.path_regex.match(path)
        if found is None:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in self._allowed else Match.PARTIAL
        return match, {"path_params": found.groupdict(), "endpoint": self.endpoint, "route": self}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say which methods there are."""
        if scope["method"] in self._allowed:
            await self.app(scope, receive, send)
            return
        allowed = ", ".join(sorted(_methods_at(scope["router"].routes, self.path)))
        refusal = Unimplemented(f"{scope['method']}: not a method of this path ({allowed} is)")
        status, headers, body = encode_error(refusal, 405)
        await send_answer(send, status, [*headers, (b"allow", allowed.encode())], body)


def http_app(title: str, routes: Iterable[Route], *, max_body_bytes: int = 1_000_000) -> FastAPI:
    """A FastAPI application that serves the routes; bodies above the limit get 413."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None)
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
    if route.has_body:
        strict = ConfigDict(extra="forbid", strict=True)
        model = create_model(route.request.__name__, __config__=strict, **in_body)
        add("body", model, Body())
    return inspect.Signature(parameters)


def _sentence(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", lambda capital: " " + capital[1].lower(), name)


def _methods_at(routes: Iterable[Any], path: str) -> set[str]:
    return {method for route in routes if route.path == path for method in route.methods}


async def _refuse(request: Request, error: Any) -> Response:
    """What FastAPI itself refuses, in the same envelope as everything else."""
    refusal: CallError = InvalidRequest(str(error.detail))
    if error.status_code == 404:
        refusal = NotFound(f"no such path: {request.url.path}")
    if error.status_code == 405:
        refusal = Unimplemented(f"{request.method}: not a method of this path")
    status, headers, body = encode_error(refusal, error.status_code)
    response = Response(body, status)
    response.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    response.headers.update(error.headers or {})
    return response
