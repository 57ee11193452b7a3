"""A server process of its own: `python -m tests.bench.server NAME LOG CPU` prints its port.

uvicorn on uvloop and httptools, without an access log, pinned to one core where the system
lets us. It ends when its standard input does.
"""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from tests.bench.apps import APPS


def main(name: str, log_path: str, cpu: str) -> None:
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {int(cpu)})
    with open(log_path, "ab", buffering=0) as log_file:  # a system call a line for everybody
        serve(app_named(name)(log_file))


def app_named(name: str) -> Callable[[Any], ASGIApp]:
    if name in APPS:
        return APPS[name]
    from tests.bench import telemetry_apps  # OpenTelemetry, which the others do without

    return telemetry_apps.APPS[name]


def serve(app: ASGIApp) -> None:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen(512)
    print(listening.getsockname()[1], flush=True)
    threading.Thread(target=stop_with_stdin, args=(server,), daemon=True).start()
    server.run(sockets=[listening])


def stop_with_stdin(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    main(*sys.argv[1:])
