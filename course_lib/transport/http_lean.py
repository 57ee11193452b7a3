"""Where FastAPI lets us in: a route class and an application class that lose no time.

FastAPI still matches and documents every route; `http_route` answers.
"""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match, get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from course_lib.errors import Unimplemented
from course_lib.transport.http_route import encode_error, send_answer


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
        refusal = Unimplemented(f"{scope['method']}: this path takes only {allowed}")
        status, headers, body = encode_error(refusal, 405)
        await send_answer(send, status, [*headers, (b"allow", allowed.encode())], body)


class LeanApp(FastAPI):
    """A FastAPI application whose lean routes are met before FastAPI's own middlewares.

    Those catch what a lean route never lets out. A middleware that is added stays outside.
    """

    def build_middleware_stack(self) -> ASGIApp:
        """The short way for lean routes, FastAPI's way for everything else."""
        added, self.user_middleware = self.user_middleware, []
        usual = super().build_middleware_stack()
        self.user_middleware = added
        routes = [route for route in self.router.routes if isinstance(route, LeanRoute)]

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for route in routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    return await route.app(scope, receive, send)
            return await usual(scope, receive, send)

        stack: ASGIApp = app
        for middleware, arguments, options in reversed(added):
            stack = middleware(stack, *arguments, **options)
        return stack


def _methods_at(routes: Iterable[Any], path: str) -> set[str]:
    return {method for route in routes if route.path == path for method in route.methods}
