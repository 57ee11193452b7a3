"""The operations of the order service as endpoints, and an order service made of endpoints."""

from dataclasses import dataclass

from course_lib.endpoint import Endpoint
from course_lib.shop.endpoints import Wrap, bare, endpoint_of
from course_lib.shop.orders import (
    CancelOrder,
    GetOrder,
    Item,
    ListOrders,
    Order,
    OrderService,
    PlaceOrder,
)


@dataclass(frozen=True)
class OrderEndpoints:
    """The operations of the order service, one endpoint each."""

    get_order: Endpoint
    place_order: Endpoint
    list_orders: Endpoint
    cancel_order: Endpoint


def order_endpoints(service: OrderService, wrap: Wrap = bare) -> OrderEndpoints:
    """Make endpoints of a service, each inside the middleware made for its name."""
    return OrderEndpoints(
        get_order=wrap("get_order")(endpoint_of(service.get_order)),
        place_order=wrap("place_order")(endpoint_of(service.place_order)),
        list_orders=wrap("list_orders")(endpoint_of(service.list_orders)),
        cancel_order=wrap("cancel_order")(endpoint_of(service.cancel_order)),
    )


class OrderClient:
    """An order service made of endpoints: what a caller holds in place of the service itself."""

    def __init__(self, endpoints: OrderEndpoints) -> None:
        self._endpoints = endpoints

    async def get_order(self, order_id: int) -> Order:
        """See OrderService."""
        return await self._endpoints.get_order(GetOrder(order_id))

    async def place_order(self, user_id: int, items: tuple[Item, ...]) -> Order:
        """See OrderService."""
        return await self._endpoints.place_order(PlaceOrder(user_id, items))

    async def list_orders(self, limit: int = 50, after: int = 0) -> list[Order]:
        """See OrderService."""
        return await self._endpoints.list_orders(ListOrders(limit, after))

    async def cancel_order(self, order_id: int) -> Order:
        """See OrderService."""
        return await self._endpoints.cancel_order(CancelOrder(order_id))
