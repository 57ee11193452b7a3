"""Instances that are ill inside, where their own metrics see it, and begin anew at a restart."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from course_lib.endpoint import Middleware, chain
from course_lib.lab.faults import Faults
from course_lib.lab.instances import FleetInstance, Shown
from course_lib.middleware.instrumenting import instrumenting
from course_lib.middleware.tracing import tracing
from course_lib.shop.users import with_demo_users
from course_lib.shop.users_http import users_app
from course_lib.telemetry.metrics import CollectorRegistry, Red, metrics_app


class Anew:
    """An ASGI application that is made again at each start, as a process begins with nothing."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None or scope["type"] == "lifespan":
            self._app = self._make()
        await self._app(scope, receive, send)


class Ailing(Shown):
    """An instance whose operations, and not its door, are slow or fail: its panel's buttons."""

    def __init__(self, instance: FleetInstance, faults: Faults) -> None:
        super().__init__(instance)
        self._faults = faults

    @property
    def state(self) -> str:
        """What it is doing: as the instance, or "slow", or "failing"."""
        if self._instance.state != "up":
            return self._instance.state
        if self._faults.error:
            return "failing"
        return "slow" if self._faults.slow else "up"

    @property
    def acts(self) -> dict[str, Callable[[], None]]:
        """What else a control panel may offer."""
        return {**self._instance.acts, "fail": self.fail}

    def slow_down(self, seconds: float) -> None:
        """Let every operation take so much longer."""
        self._faults.slow, self._faults.slow_seconds = 1.0, seconds

    def fail(self) -> None:
        """Let every second operation fail."""
        self._faults.error = 0.5

    def recover(self) -> None:
        """Be well again."""
        self._faults.heal()


def measured_users_app(faults: Faults) -> FastAPI:
    """The users service over HTTP: its calls, faults and all, are on its page `/metrics`."""
    red = Red(CollectorRegistry(), "users")

    def wrap(operation: str) -> Middleware:
        return chain(tracing(), instrumenting(red.observe, operation=operation), faults)

    app = users_app(with_demo_users(), wrap)
    page: Any = metrics_app(red.registry)  # an ASGI application, which Starlette takes as well
    app.add_route("/metrics", page)
    return app
