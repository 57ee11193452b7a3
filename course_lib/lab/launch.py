"""Start services inside this process and stop, crash, pause and resume them.

Every server runs on the lab's loop, listens on a free port of 127.0.0.1, and never prints.
"""

from collections.abc import Callable, Iterable
from typing import Any

from course_lib.lab.background import on_lab, run_on_lab
from course_lib.lab.launch_http import HttpServer
from course_lib.lab.launched import Server, running, start, stop_all

__all__ = ["Server", "on_lab", "run_on_lab", "running", "serve", "serve_grpc", "stop_all"]


def serve(app: Any, name: str | None = None, *, port: int = 0) -> Server:
    """Run an ASGI application; it is ready when this returns.

    Serving under a `name` already in use stops the earlier server. `port` 0 takes a free one.
    Raises RuntimeError when the application does not start.
    """
    if not callable(app):
        raise TypeError(f"serve(app): an ASGI application was expected, not {app!r:.60}")
    return start(HttpServer(app, name or ""), name, port)


def serve_grpc(add: Any, name: str | None = None, *, port: int = 0) -> Server:
    """Run a gRPC server with health and reflection; `add(server)`, one or a list, fills it.

    Its handlers are coroutines and asynchronous generators.
    """
    from course_lib.lab.launch_grpc import GrpcServer

    adders: Iterable[Callable[[Any], None]] = [add] if callable(add) else add
    return start(GrpcServer(list(adders), name or ""), name, port)
