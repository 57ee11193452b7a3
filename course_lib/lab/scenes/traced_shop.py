"""Three services that trace their calls: shop -> orders (HTTP) -> users (gRPC), orders -> cache.

The same code runs in memory, for virtual time, and on real servers. Every fiftieth order has a
price that is not in the cache; every hundredth cannot be shown.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from course_lib import context
from course_lib.endpoint import Endpoint, Middleware, chain
from course_lib.errors import Unavailable
from course_lib.lab import virtual_time
from course_lib.lab.fleet import FleetInstance, GrpcInstance
from course_lib.lab.launch import run_on_lab
from course_lib.middleware.tracing import tracing
from course_lib.shop.endpoints import UserClient, UserEndpoints, user_endpoints
from course_lib.shop.users import GetUser, User, with_demo_users
from course_lib.shop.users_grpc import add_users, grpc_user_client
from course_lib.stand_ins import OtlpCollector, TailSampling
from course_lib.telemetry.traces import Spans, in_process
from course_lib.transport.http_client import http_client
from course_lib.transport.http_server import Route, http_app
from course_lib.transport.memory import memory_client, memory_server

_RECONNECT = [("grpc.max_reconnect_backoff_ms", 1000)]
"""A revived service is found within a second, and not after gRPC's two minutes at worst."""

WIRE_SECONDS, CACHE_SECONDS, WAREHOUSE_SECONDS, USERS_SECONDS = 0.002, 0.02, 0.3, 0.03
NAMES = ("shop", "orders", "users")


@dataclass(frozen=True)
class ShowOrder:
    """Which order to show."""

    order_id: int


@dataclass(frozen=True)
class OrderPage:
    """An order as the customer sees it."""

    order_id: int
    customer: str
    total_cents: int


Gather = Callable[[Endpoint, Endpoint, int], Awaitable[tuple[list[int], User]]]
"""How orders collects prices and the user of an order: one after the other, or together."""


async def in_turn(price: Endpoint, get_user: Endpoint, order_id: int) -> tuple[list[int], User]:
    """Ask for one thing, and then for the next."""
    prices = [await price(sku) for sku in skus(order_id)]
    return prices, await get_user(GetUser(order_id % 3 + 1))


def skus(order_id: int) -> list[str]:
    """What is in an order."""
    return ["cup", "teapot" if order_id % 50 == 7 else "plate", "spoon"]


def tutorial_reporter() -> Callable[[Any], None]:
    """What a much copied example hands its spans to (`jaeger.NewNullReporter()`)."""
    return lambda span: None


class Parts:
    """The three services, each with its spans, not yet joined by any wire.

    `export` and `sampler` are those of `Spans`; `clock_off` says by how many seconds the clock
    of a service is wrong.
    """

    def __init__(
        self,
        export: Callable[[Any], None],
        *,
        gather: Gather = in_turn,
        sampler: Any = None,
        clock_off: Mapping[str, float] | None = None,
    ) -> None:
        self._gather, self._off = gather, clock_off or {}
        self._true_clock = context.wall_clock.get()
        self._spans = {
            name: Spans(name, instance=f"{name}-1", export=export, sampler=sampler)
            for name in NAMES
        }

    def users(self) -> UserEndpoints:
        """The user service, which takes its time."""

        def hampered(inner: Endpoint) -> Endpoint:
            async def endpoint(request: Any) -> Any:
                await asyncio.sleep(USERS_SECONDS)
                return await inner(request)

            return endpoint

        def wrap(operation: str) -> Middleware:
            return chain(self._served("users", operation), hampered)

        return user_endpoints(with_demo_users(), wrap)

    def orders(self, get_user: Endpoint) -> Endpoint:
        """Shows an order with prices from its cache and the customer from users."""
        calling = partial(tracing, self._spans["orders"], kind="client")
        warehouse = calling(operation="ask warehouse")(_warehouse)
        price = calling(operation="cache get", attributes=lambda sku: {"sku": sku})(
            partial(_price, warehouse)
        )
        ask_users = calling(operation="call users")(get_user)

        async def show(request: ShowOrder) -> OrderPage:
            prices, user = await self._gather(price, ask_users, request.order_id)
            if request.order_id % 100 == 13:
                raise Unavailable(f"order {request.order_id}: its page cannot be read")
            return OrderPage(request.order_id, user.name, sum(prices))

        return self._served("orders", "show_order")(show)

    def shop(self, show_order: Endpoint) -> Endpoint:
        """The front; it only asks orders."""
        ask = tracing(self._spans["shop"], operation="call orders", kind="client")(show_order)
        return self._served("shop", "GET /orders")(ask)

    def in_memory(self) -> Endpoint:
        """All three, joined by the memory transport, from the front."""
        join = partial(memory_client, latency=2 * WIRE_SECONDS)
        orders = self.orders(join(memory_server(self.users().get_user)))
        return self.shop(join(memory_server(orders)))

    def _served(self, name: str, operation: str) -> Middleware:
        def attributes(request: Any) -> dict[str, Any]:
            return dict(vars(request))

        def clocked(inner: Endpoint) -> Endpoint:
            async def endpoint(request: Any) -> Any:
                off = self._off.get(name, 0.0)
                restore = context.wall_clock.set(lambda: self._true_clock() + off)
                try:
                    return await inner(request)
                finally:
                    context.wall_clock.reset(restore)

            return endpoint

        traced = tracing(self._spans[name], operation=operation, attributes=attributes)
        return chain(clocked, traced) if self._off else traced


async def _warehouse(sku: str) -> int:
    await asyncio.sleep(WAREHOUSE_SECONDS)
    return 2400


async def _price(warehouse: Endpoint, sku: str) -> int:
    await asyncio.sleep(CACHE_SECONDS)
    return await warehouse(sku) if sku == "teapot" else 350


def traced_orders(
    order_ids: Iterable[int], *, tail: TailSampling | None = None, **options: Any
) -> OtlpCollector:
    """Show the orders, all at once and in virtual time; what the collector has of them then.

    `tail` is the collector's own sampler, `options` are those of `Parts`.
    """

    async def run() -> OtlpCollector:
        collector = OtlpCollector(tail=tail)
        reporter = in_process(collector, batch_spans=100)
        shop = Parts(reporter, **options).in_memory()
        await asyncio.gather(*map(shop, map(ShowOrder, order_ids)), return_exceptions=True)
        reporter.flush()
        await asyncio.sleep(60)  # the tail sampler has decided by then
        return collector

    return virtual_time.run(run)


def on_servers(
    export: Callable[[Any], None], *, name: str = "traced", **options: Any
) -> dict[str, FleetInstance]:
    """The three on real servers, by name; `["shop"].client` shows an order, from the front.

    The same `name` replaces the servers before.
    """
    parts = Parts(export, **options)
    users = GrpcInstance("users", lambda server: add_users(server, parts.users()), f"{name}-users")
    client = run_on_lab(_user_client(users.address))  # a channel belongs to the loop that uses it

    async def get_user(request: GetUser) -> User:
        return await client.get_user(request.user_id)

    orders = _http("orders", parts.orders(get_user), name)
    shop = _http("shop", parts.shop(_client(orders)), name)
    shop.client = _client(shop)
    return {"shop": shop, "orders": orders, "users": users}


async def _user_client(address: str) -> UserClient:
    return grpc_user_client(grpc.aio.insecure_channel(address, options=_RECONNECT))


def _http(service: str, endpoint: Endpoint, name: str) -> FleetInstance:
    app = http_app(service, [Route("GET", "/orders/{order_id}", endpoint, ShowOrder, OrderPage)])
    return FleetInstance(service, app, f"{name}-{service}")


def _client(instance: FleetInstance) -> Endpoint:
    return http_client(instance.url, "GET", "/orders/{order_id}", OrderPage)
