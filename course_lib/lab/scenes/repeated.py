"""A call that registers Alan and goes wrong afterwards: how many Alans are there in the end?

A client that repeats the call registers him once more, since his first registration stands.
"""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

from course_lib.endpoint import Endpoint, Middleware
from course_lib.lab.faults import Faults
from course_lib.lab.proxy import Proxy
from course_lib.lab.scenes.ways import two_wires
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import with_demo_users

TROUBLES = ("the answer is lost", "the line breaks")


async def alans(trouble: str, channel_options: Sequence[tuple[str, Any]] = ()) -> int:
    """How many Alans there are after one call over gRPC in one of the two `TROUBLES`.

    "the answer is lost": each time, and the client reads `Unavailable` in its place. "the line
    breaks": once, after the first Alan is registered and before the client has heard of him.
    """
    users = with_demo_users()
    lines: list[Proxy] = []
    lost = Faults(Random(1), drop=1)
    makers: dict[str, Middleware] = dict(zip(TROUBLES, (lost, _breaking(lines)), strict=True))
    endpoints = user_endpoints(users, lambda operation: makers[trouble])
    async with two_wires(endpoints, channel_options) as wires:
        lines.append(wires["gRPC"].line)
        await asyncio.gather(wires["gRPC"].client.create_user("Alan", 41), return_exceptions=True)
    return [user.name for user in await users.list_users()].count("Alan")


def _breaking(lines: list[Proxy]) -> Middleware:
    """Break the lines once, when the first call has been made and not been answered."""

    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            response = await inner(request)
            while lines:
                for end in list(lines.pop().ends):
                    end.reset()
            return response

        return endpoint

    return wrap
