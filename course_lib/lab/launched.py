"""What a launched server can do whatever protocol it speaks, and which servers there are."""

import asyncio
import atexit
import contextvars
import os
import threading
from collections.abc import Iterable
from typing import Any, Self

from course_lib.lab import background

DRAIN_SECONDS = 1.0

_running: dict[str, "Server"] = {}
_changing = threading.Lock()


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
        (`request.state.watching = True`) is ended at once, and so is a silent stream in gRPC.
        """
        stop_together([self], drain_seconds)

    def kill(self) -> None:
        """Crash: connections break, handlers are cancelled, nobody is told."""
        if self.state in ("up", "paused"):
            _refuse_on_the_lab()
            self._leave("killed")
            _wait(self._kill())

    def pause(self) -> None:
        """Accept connections but answer nothing, as a stopped process would."""
        if self.state == "up":
            _refuse_on_the_lab()
            self.state = "paused"
            _wait(self._hold(True))

    def resume(self) -> None:
        """Answer again, also what came in meanwhile."""
        if self.state == "paused":
            _refuse_on_the_lab()
            self.state = "up"
            _wait(self._hold(False))

    def _leave(self, state: str) -> None:
        self.state = state
        with _changing:
            if _running.get(self.name) is self:
                del _running[self.name]

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


def stop_together(servers: Iterable[Server], drain_seconds: float = DRAIN_SECONDS) -> None:
    """Stop several servers at the same time; it takes as long as the slowest."""
    endings = []
    for server in servers:
        if server.state in ("up", "paused"):
            _refuse_on_the_lab()
            endings.append(server._stop(drain_seconds if server.state == "up" else 0.0))
            server._leave("stopped")

    async def stop() -> None:
        await asyncio.gather(*endings)

    if endings:
        _wait(stop())


def start(server: Server, name: str | None, port: int) -> Server:
    """Start a server in the place of the one that has its name.

    An interrupted start leaves nothing. Of several that start at the same time the last one stays.
    """
    if name is not None and (earlier := _running.get(name)):
        earlier.stop()
    try:
        contextvars.Context().run(background.run_on_lab, _begin(server, port))
    except BaseException as error:
        if not isinstance(error, Exception):  # it may have come when the server was just up
            background.submit(server._kill(), contextvars.Context())
        raise
    server.name = name or f"server at {server.address}"
    server.state = "up"
    with _changing:
        earlier, _running[server.name] = _running.get(server.name), server
    if earlier:
        earlier.stop()
    return server


async def _begin(server: Server, port: int) -> None:
    try:
        await server._start(port)
    except asyncio.CancelledError:
        await server._kill()
        raise


def running() -> list[Server]:
    """The servers that are up or paused."""
    return list(_running.values())


def stop_all() -> None:
    """Kill whatever still runs."""
    for server in running():
        server.kill()


def _forget() -> None:
    """After a fork the servers are the parent's."""
    global _changing
    _running.clear()
    _changing = threading.Lock()


atexit.register(stop_all)
os.register_at_fork(after_in_child=_forget)


def _refuse_on_the_lab() -> None:
    """Refuse before anything has changed, for `_wait` would."""
    if threading.current_thread().name == background.THREAD_NAME:
        raise RuntimeError(
            "a server cannot be waited for on the loop it runs on; "
            "in a handler, use asyncio.to_thread(server.stop)"
        )


def _wait(coroutine: Any) -> Any:
    """Run on the lab's loop in an empty context: a server must not inherit a caller's trace."""
    return background.submit(coroutine, contextvars.Context()).result()
