"""A clock in every room that a call passes: where it is at each moment, where its time goes.

`Followed` gives the hooks and middlewares that look at the clock, and makes the calls.
"""

import asyncio
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

from course_lib.endpoint import Endpoint, Middleware
from course_lib.lab.plots import Step

# What is drawn, from one look at the clock to another; the last number is the depth.
_STEPS = (
    ("get_user", "call", "answer", 0),
    ("on the way", "call", "before", 1),
    ("decode", "before", "middleware in", 1),
    ("middleware", "middleware in", "middleware out", 1),
    ("service", "service in", "service out", 2),
    ("on the way", "after", "answer", 1),
)


class Followed:
    """The clock; a server needs its hooks "before" and "after", its rooms "middleware", "service".

    It follows one call at a time.
    """

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def hook(self, name: str) -> Callable[..., None]:
        """A hook of a transport that looks at the clock."""
        return lambda *_: self._look(name)

    def room(self, name: str) -> Middleware:
        """A middleware that looks at the clock when a call comes in and when it leaves."""

        def wrap(inner: Endpoint) -> Endpoint:
            async def endpoint(request: Any) -> Any:
                self._look(f"{name} in")
                try:
                    return await inner(request)
                finally:
                    self._look(f"{name} out")

            return endpoint

        return wrap

    async def follow(self, way: Any) -> list[Step]:
        """Ask for user 1, and say what happened when, in ms since the call."""
        self._look("call")
        await way.client.get_user(1)
        self._look("answer")
        at = {name: 1000 * (seconds - self._at["call"]) for name, seconds in self._at.items()}
        return [Step(name, at[start], at[end], depth) for name, start, end, depth in _STEPS]

    async def shares(self, ways: Mapping[str, Any], calls: int = 30) -> dict[str, dict[str, float]]:
        """For each way the medians (ms) of its transport, its middleware and its service.

        The ways take turns, so that whatever else the machine does falls on all of them.
        """
        followed: dict[str, list[list[Step]]] = {name: [] for name in ways}
        for _ in range(calls):
            for name, way in ways.items():
                followed[name].append(await self.follow(way))
        return {name: _medians(each) for name, each in followed.items()}

    def _look(self, name: str) -> None:
        self._at[name] = asyncio.get_running_loop().time()


def _medians(calls: list[list[Step]]) -> dict[str, float]:
    took = [{step.name: step.end - step.start for step in steps} for steps in calls]
    return {
        "transport": median(each["get_user"] - each["middleware"] for each in took),
        "middleware": median(each["middleware"] - each["service"] for each in took),
        "service": median(each["service"] for each in took),
    }
