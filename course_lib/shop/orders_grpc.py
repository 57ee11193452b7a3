"""The order service over gRPC: its methods, and a client with the service's own interface."""

from typing import Any

import grpc

from course_lib.shop import shop_pb2 as pb
from course_lib.shop.order_endpoints import OrderClient, OrderEndpoints
from course_lib.shop.orders import CancelOrder, GetOrder, Item, ListOrders, Order, PlaceOrder
from course_lib.shop.shop_pb2_grpc import OrdersStub
from course_lib.transport.grpc_client import grpc_client
from course_lib.transport.grpc_server import add_service, grpc_method

SERVICE = pb.DESCRIPTOR.services_by_name["Orders"]


def add_orders(server: grpc.aio.Server, endpoints: OrderEndpoints, **hooks: Any) -> None:
    """Register the order service; `before`, `after`, `finalizers` go to each method."""
    parts: dict[str, tuple[Any, Any, Any]] = {
        "GetOrder": (endpoints.get_order, lambda m: GetOrder(m.order_id), order_to_pb),
        "PlaceOrder": (endpoints.place_order, place_from_pb, order_to_pb),
        "ListOrders": (endpoints.list_orders, list_from_pb, orders_to_pb),
        "CancelOrder": (endpoints.cancel_order, lambda m: CancelOrder(m.order_id), order_to_pb),
    }
    methods = {
        name: grpc_method(*part, name=f"/shop.Orders/{name}", **hooks)
        for name, part in parts.items()
    }
    add_service(server, SERVICE, methods)


def grpc_order_client(channel: grpc.aio.Channel, **hooks: Any) -> OrderClient:
    """The order service at the other end of a channel."""
    stub = OrdersStub(channel)
    return OrderClient(
        OrderEndpoints(
            get_order=grpc_client(stub.GetOrder, get_to_pb, order_from_pb, **hooks),
            place_order=grpc_client(stub.PlaceOrder, place_to_pb, order_from_pb, **hooks),
            list_orders=grpc_client(stub.ListOrders, list_to_pb, orders_from_pb, **hooks),
            cancel_order=grpc_client(stub.CancelOrder, get_to_pb, order_from_pb, **hooks),
        )
    )


def order_to_pb(order: Order) -> pb.Order:
    """An order."""
    return pb.Order(
        order_id=order.order_id,
        user_id=order.user_id,
        items=items_to_pb(order.items),
        total_cents=order.total_cents,
        status=order.status,
    )


def order_from_pb(message: pb.Order) -> Order:
    """An order."""
    items = items_from_pb(message.items)
    return Order(message.order_id, message.user_id, items, message.total_cents, message.status)


def orders_to_pb(orders: list[Order]) -> pb.OrderList:
    """A page of orders."""
    return pb.OrderList(orders=[order_to_pb(order) for order in orders])


def orders_from_pb(message: pb.OrderList) -> list[Order]:
    """A page of orders."""
    return [order_from_pb(order) for order in message.orders]


def items_to_pb(items: tuple[Item, ...]) -> list[pb.Item]:
    """The lines of an order."""
    return [pb.Item(sku=item.sku, quantity=item.quantity) for item in items]


def items_from_pb(messages: Any) -> tuple[Item, ...]:
    """The lines of an order."""
    return tuple(Item(message.sku, message.quantity) for message in messages)


def get_to_pb(request: GetOrder | CancelOrder) -> pb.GetOrderRequest:
    """The request for one order, or to cancel it."""
    return pb.GetOrderRequest(order_id=request.order_id)


def place_to_pb(request: PlaceOrder) -> pb.PlaceOrderRequest:
    """The request to buy something."""
    return pb.PlaceOrderRequest(user_id=request.user_id, items=items_to_pb(request.items))


def place_from_pb(message: pb.PlaceOrderRequest) -> PlaceOrder:
    """The request to buy something."""
    return PlaceOrder(message.user_id, items_from_pb(message.items))


def list_to_pb(request: ListOrders) -> pb.ListOrdersRequest:
    """The request for a page."""
    return pb.ListOrdersRequest(limit=request.limit, after=request.after)


def list_from_pb(message: pb.ListOrdersRequest) -> ListOrders:
    """The request for a page."""
    limit = message.limit if message.HasField("limit") else ListOrders.limit
    return ListOrders(limit, message.after)
