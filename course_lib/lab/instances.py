"""One instance of a service, over HTTP or gRPC, that can be killed, slowed down and revived.

An instance keeps its address for life, as a machine does, so that clients find it again. With a
line before it (`lined`), the network between it and its clients can be partitioned too.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

from course_lib.lab.faults import slowed
from course_lib.lab.launch import Server, serve, serve_grpc
from course_lib.lab.proxy import Proxy

_lines: dict[str, Proxy] = {}


def close_lines() -> None:
    """Take away the lines of every fleet; the servers behind them are not touched."""
    for name in list(_lines):
        _lines.pop(name).close()


class FleetInstance:
    """One instance: `name`, `address`, `url`, and what may be done to it.

    `state` is "up", "slow", "paused", "parted" or "down"; `served` counts the answers since it
    began. `server` is what runs now, `line` what lies before it, and `client` may be kept with it.
    """

    client: Any = None

    def __init__(self, name: str, app: Any, server_name: str, *, lined: bool = False) -> None:
        self.name = name
        self._delay_seconds = 0.0
        self._served_before = 0
        self._app = app
        self._server_name = server_name
        self.server: Any = self._start(port=0)
        self._port = int(self.server.address.split(":")[1])
        self.line: Any = self._lay_line() if lined else None
        self.address: str = (self.line or self.server).address
        self.url = f"http://{self.address}"

    def _lay_line(self) -> Proxy:
        if self._server_name in _lines:
            _lines[self._server_name].close()
        _lines[self._server_name] = Proxy(self.server.address)
        return _lines[self._server_name]

    def _start(self, port: int) -> Server:
        app = slowed(self._app, lambda: self._delay_seconds)
        return serve(app, self._server_name, port=port)

    @property
    def state(self) -> str:
        """What the instance is doing."""
        if self.server.state == "up":
            if self.line is not None and self.line.stalled:
                return "parted"
            return "slow" if self._delay_seconds else "up"
        return "paused" if self.server.state == "paused" else "down"

    @property
    def served(self) -> int:
        """How many requests it has answered in all its lives."""
        return self._served_before + self.server.served

    def kill(self) -> None:
        """Crash: connections break, and nobody listens any more."""
        self.server.kill()

    def stop(self) -> None:
        """End in good order: requests in flight finish."""
        self.server.stop()

    @property
    def acts(self) -> Mapping[str, Callable[[], None]]:
        """What else a control panel may offer."""
        return {} if self.line is None else {"partition": self.partition}

    def partition(self) -> None:
        """Let nothing pass between the instance and its clients; nobody is told."""
        if self.line is None:
            raise RuntimeError("this instance has no line to part: Fleet(..., lined=True)")
        self.line.stall()

    def revive(self) -> None:
        """Start again at the same address, healthy, and mend its line; one that is up stays up."""
        if self.line is not None:
            self.line.restore()
        if self.state != "down":
            return
        self._served_before += self.server.served
        self._delay_seconds = 0.0
        self.server = self._start(self._port)

    def slow_down(self, seconds: float) -> None:
        """Let every request take `seconds` longer."""
        self._delay_seconds = seconds

    def recover(self) -> None:
        """Be as fast as before."""
        self.slow_down(0.0)

    def pause(self) -> None:
        """Accept connections but answer nothing."""
        self.server.pause()

    def resume(self) -> None:
        """Answer again."""
        self.server.resume()

    def close(self) -> None:
        """Stop it and take its line away."""
        self.stop()
        if self.line is not None:
            self.line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.state}>"


class GrpcInstance(FleetInstance):
    """The same over gRPC; its `app` is what `serve_grpc` takes, an adder or a list of them."""

    def _start(self, port: int) -> Server:
        return serve_grpc(self._app, self._server_name, port=port)

    def slow_down(self, seconds: float) -> None:
        """Let every call take `seconds` longer."""
        super().slow_down(seconds)
        self.server.delay_seconds = seconds


class Shown:
    """An instance as a control panel shows it; what this does not say, the instance says."""

    def __init__(self, instance: FleetInstance) -> None:
        self._instance = instance

    def revive(self) -> None:
        """Undo whatever was done to it."""
        self.recover()
        self._instance.revive()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._instance, name)
