"""The order service over HTTP: its routes, and a client with the service's own interface."""

from typing import Any

from course_lib.shop.order_endpoints import OrderClient, OrderEndpoints
from course_lib.shop.orders import CancelOrder, GetOrder, ListOrders, Order, PlaceOrder
from course_lib.transport.http_client import http_client
from course_lib.transport.http_server import Route

_ONE = "/orders/{order_id}"


def order_routes(endpoints: OrderEndpoints, **hooks: Any) -> list[Route]:
    """The routes of the order service; `before`, `after`, `finalizers` go to each of them."""
    place = endpoints.place_order
    return [
        Route("GET", _ONE, endpoints.get_order, GetOrder, Order, **hooks),
        Route("GET", "/orders", endpoints.list_orders, ListOrders, list[Order], **hooks),
        Route("POST", "/orders", place, PlaceOrder, Order, status=201, **hooks),
        Route("POST", f"{_ONE}/cancel", endpoints.cancel_order, CancelOrder, Order, **hooks),
    ]


def http_order_client(base_url: str, **options: Any) -> OrderClient:
    """The order service at this address; `options` are those of `http_client`."""
    return OrderClient(
        OrderEndpoints(
            get_order=http_client(base_url, "GET", _ONE, Order, **options),
            place_order=http_client(base_url, "POST", "/orders", Order, **options),
            list_orders=http_client(base_url, "GET", "/orders", list[Order], **options),
            cancel_order=http_client(base_url, "POST", f"{_ONE}/cancel", Order, **options),
        )
    )
