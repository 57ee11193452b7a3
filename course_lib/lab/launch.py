"""Start services inside this process and stop, crash, pause and resume them.

Every server runs on the lab's loop, listens on a free port of 127.0.0.1, and says nothing:
what uvicorn has to tell goes to the logger `uvicorn.error`. Leaves out TLS and WebSockets.
"""

import asyncio
import atexit
import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Self

import uvicorn
from uvicorn.lifespan.on import LifespanOn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from course_lib.lab import background
from course_lib.lab.background import on_lab, run_on_lab

__all__ = ["Server", "on_lab", "run_on_lab", "running", "serve", "serve_grpc", "stop_all"]

DRAIN_SECONDS = 1.0
START_SECONDS = 10.0

_running: dict[str, "Server"] = {}

logging.getLogger("uvicorn").addHandler(logging.NullHandler())


class Server:
    """A running service: where it is, and what may be done to it.

    `state` is "up", "paused", "stopped" or "killed"; `served` counts the answers given so far.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.address = ""
        self.state = "starting"

    @property
    def url(self) -> str:
        """The address as a base URL."""
        return f"http://{self.address}"

    @property
    def served(self) -> int:
        """How many requests have been answered."""
        raise NotImplementedError

    def stop(self, drain_seconds: float = DRAIN_SECONDS) -> None:
        """Take no more requests, let those in flight finish, and end.

        What is not finished after `drain_seconds` is ended. A request that only waits for news
        (`request.state.watching = True`) is ended at once.
        """
        if self.state in ("up", "paused"):
            drain = drain_seconds if self.state == "up" else 0.0
            self._end("stopped", self._stop(drain))

    def kill(self) -> None:
        """Crash: connections break, handlers are cancelled, nobody is told."""
        if self.state in ("up", "paused"):
            self._end("killed", self._kill())

    def pause(self) -> None:
        """Accept connections but answer nothing, as a stopped process would."""
        if self.state == "up":
            self.state = "paused"
            _wait(self._hold(True))

    def resume(self) -> None:
        """Answer again, also what came in meanwhile."""
        if self.state == "paused":
            self.state = "up"
            _wait(self._hold(False))

    def _end(self, state: str, ending: Any) -> None:
        self.state = state
        if _running.get(self.name) is self:
            del _running[self.name]
        _wait(ending)

    async def _start(self, port: int) -> None:
        raise NotImplementedError

    async def _stop(self, drain_seconds: float) -> None:
        raise NotImplementedError

    async def _kill(self) -> None:
        raise NotImplementedError

    async def _hold(self, paused: bool) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.state}>"


def serve(app: Any, name: str | None = None, *, port: int = 0) -> Server:
    """Run an ASGI application; it is ready when this returns.

    Serving under a `name` already in use stops the earlier server. `port` 0 takes a free one.
    Raises RuntimeError when the application does not start.
    """
    return launch(HttpServer(app, name or ""), name, port)


def serve_grpc(add: Any, name: str | None = None, *, port: int = 0) -> Server:
    """Run a gRPC server with health and reflection; `add(server)`, one or a list, fills it."""
    from course_lib.lab.launch_grpc import GrpcServer

    adders: Iterable[Callable[[Any], None]] = [add] if callable(add) else add
    return launch(GrpcServer(list(adders), name or ""), name, port)


def launch(server: Server, name: str | None, port: int) -> Server:
    """Start a server in the place of the one that has its name."""
    if name is not None and name in _running:
        _running[name].stop()
    _wait(server._start(port))
    server.name = name or f"server at {server.address}"
    server.state = "up"
    _running[server.name] = server
    return server


def running() -> list[Server]:
    """The servers that are up or paused."""
    return list(_running.values())


def stop_all() -> None:
    """Kill whatever still runs."""
    for server in running():
        server.kill()


atexit.register(stop_all)


def _wait(coroutine: Any) -> Any:
    """Run on the lab's loop in an empty context: a server must not inherit a caller's trace."""
    return background.submit(coroutine, contextvars.Context()).result()


class HttpServer(Server):
    """An ASGI application on uvicorn, driven without uvicorn's main loop and its 100 ms ticks."""

    def __init__(self, app: Any, name: str) -> None:
        super().__init__(name)
        self.held = False
        self._config = uvicorn.Config(
            app,
            host="127.0.0.1",
            http=partial(_Connection, self),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
        )
        self._server = uvicorn.Server(self._config)
        self._state: Any = self._server.server_state

    @property
    def served(self) -> int:
        """How many requests have been answered."""
        return self._state.total_requests

    async def _start(self, port: int) -> None:
        self._config.port = port
        self._config.load()
        self._server.lifespan = self._lifespan = _Lifespan(self._config)
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._server.startup()  # binds with IPPROTO_TCP, so TCP_NODELAY is on
        except TimeoutError:
            await _cancel(self._lifespan.task)
            raise RuntimeError(f"the application did not start in {START_SECONDS:g} s") from None
        except SystemExit:
            reason = self._lifespan.reason or f"port {port} is taken"
            raise RuntimeError(f"the application did not start: {reason}") from None
        self.address = "{}:{}".format(*self._server.servers[0].sockets[0].getsockname())

    async def _stop(self, drain_seconds: float) -> None:
        self._close_listeners()
        await asyncio.sleep(0.001)  # let requests that have arrived be read
        wanted = set()  # nobody waits for the others: their client has gone
        for connection in list(self._state.connections):
            if connection.cycle and connection.cycle.scope["state"].get("watching"):
                connection.cut()
            elif connection.task and not connection.task.done():
                wanted.add(connection.task)
            connection.shutdown()
        if wanted:
            await asyncio.wait(wanted, timeout=drain_seconds)
        await self._cut_connections()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lifespan.shutdown(), drain_seconds or DRAIN_SECONDS)
        await _cancel(self._lifespan.task)

    async def _kill(self) -> None:
        self._close_listeners()
        await self._cut_connections()
        await _cancel(self._lifespan.task)

    async def _hold(self, paused: bool) -> None:
        self.held = paused
        for connection in self._state.connections:
            connection.hold(paused)

    def _close_listeners(self) -> None:
        for listener in self._server.servers:
            listener.close()

    async def _cut_connections(self) -> None:
        tasks = set(self._state.tasks)
        for connection in list(self._state.connections):
            connection.cut()
        await _cancel(*tasks)
        while self._state.connections:
            await asyncio.sleep(0)


async def _cancel(*tasks: asyncio.Task[Any] | None) -> None:
    alive = [task for task in tasks if task is not None and not task.done()]
    for task in alive:
        task.cancel()
    if alive:
        await asyncio.wait(alive, timeout=DRAIN_SECONDS)


class _Connection(HttpToolsProtocol):
    """uvicorn's connection, which can also be cut, and held while its server is paused."""

    task: asyncio.Task[None] | None = None

    def __init__(self, server: HttpServer, **options: Any) -> None:
        super().__init__(**options)
        self._lab_server = server

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if self._lab_server.held:
            self.hold(True)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # A context of its own: a request must not inherit what the last one left behind.
        self.task = self.loop.create_task(cycle.run_asgi(app), context=contextvars.Context())
        self.tasks.add(self.task)
        self.task.add_done_callback(self.tasks.discard)

    def hold(self, paused: bool) -> None:
        """Stop or continue reading requests and sending answers."""
        if paused:
            self.flow.pause_reading()
            self.flow.pause_writing()
        else:
            self.flow.resume_writing()
            self.flow.resume_reading()

    def cut(self) -> None:
        """Break the connection, and cancel the request on it."""
        if self.cycle:
            self.cycle.disconnected = True  # otherwise uvicorn answers 500
        self.transport.abort()
        if self.task:
            self.task.cancel()


class _Lifespan(LifespanOn):
    """uvicorn's lifespan, which remembers its task and why the application did not start."""

    task: asyncio.Task[Any] | None = None
    reason = ""

    async def main(self) -> None:
        self.task = asyncio.current_task()
        await super().main()

    async def send(self, message: Any) -> None:
        self.reason = message.get("message", "").strip().rpartition("\n")[2]
        await super().send(message)
