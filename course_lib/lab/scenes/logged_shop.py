"""Three services that log one request on its way: shop -> orders -> users, joined in memory.

Each says two things about a request: what it does, and how the call ended; the one that fails
says one thing more. `log_of(service)` is how it says it: a logger of events, or one that writes
sentences as print does. Beside them the users service alone, over HTTP.
"""

import asyncio
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from fastapi import FastAPI

from course_lib.endpoint import Endpoint, Middleware, chain
from course_lib.errors import Unavailable
from course_lib.middleware.logging import logging
from course_lib.middleware.tracing import tracing
from course_lib.shop.users import with_demo_users
from course_lib.shop.users_http import users_app
from course_lib.transport.memory import memory_client, memory_server

LogOf = Callable[[str], Any]


def logged_shop(
    log_of: LogOf, *, fails: Callable[[int], bool] = lambda _: False, rng: Random | None = None
) -> Endpoint:
    """The front of the shop: takes the number of an order, answers with its customer.

    Order n belongs to user n modulo 200; the users service cannot read the user where
    `fails(order)` says so. Every step takes up to 20 ms.
    """
    rng, log_of = rng or Random(1), cache(log_of)

    async def users(order: int) -> str:
        user_id, log = order % 200, log_of("users")
        log("reading a user", user_id=user_id)
        await asyncio.sleep(rng.uniform(0, 0.02))
        if fails(order):
            log("user not read", level="error", user_id=user_id, reason="no connection")
            raise Unavailable("no connection")
        return f"user {user_id}"

    async def orders(order: int) -> str:
        log_of("orders")("looking for prices", order_id=order)
        await asyncio.sleep(rng.uniform(0, 0.02))
        return str(await ask_users(order))

    async def shop(order: int) -> str:
        log_of("shop")("order asked for", user_id=order % 200)
        await asyncio.sleep(rng.uniform(0, 0.02))
        return str(await ask_orders(order))

    def served(name: str, endpoint: Endpoint) -> Endpoint:
        return chain(tracing(), logging(log_of(name), operation=endpoint.__name__))(endpoint)

    def joined(name: str, endpoint: Endpoint) -> Endpoint:
        return memory_client(memory_server(served(name, endpoint)), latency=0.002)

    ask_users = joined("users", users)
    ask_orders = joined("orders", orders)
    return served("shop", shop)


def logged_users_app(log: Callable[..., None]) -> FastAPI:
    """The users service over HTTP, which logs each call in its trace."""

    def wrap(operation: str) -> Middleware:
        return chain(tracing(), logging(log, operation=operation))

    return users_app(with_demo_users(), wrap)
