"""The order service: business rules only. It calls the other two through their interfaces.

It cannot tell whether they are in the same process. What it reserved for an order that then
fails, it releases again (a saga, without the log that would survive a crash).
"""

from dataclasses import dataclass, replace
from typing import Protocol

from course_lib.errors import Conflict, InvalidRequest, NotFound
from course_lib.shop.catalogue import CatalogueService
from course_lib.shop.storage import Table
from course_lib.shop.users import UserService


@dataclass(frozen=True)
class Item:
    """So many pieces of one product."""

    sku: str
    quantity: int


@dataclass(frozen=True)
class Order:
    """What a user bought; the status is "placed" or "cancelled"."""

    order_id: int
    user_id: int
    items: tuple[Item, ...]
    total_cents: int
    status: str


@dataclass(frozen=True)
class GetOrder:
    """Ask for one order."""

    order_id: int


@dataclass(frozen=True)
class PlaceOrder:
    """Buy something."""

    user_id: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class ListOrders:
    """Ask for a page of orders, by id."""

    limit: int = 50
    after: int = 0


@dataclass(frozen=True)
class CancelOrder:
    """Take an order back."""

    order_id: int


class OrderService(Protocol):
    """What the order service offers, to those who implement it and to those who call it."""

    async def get_order(self, order_id: int) -> Order:
        """The order with this id; raises NotFound."""

    async def place_order(self, user_id: int, items: tuple[Item, ...]) -> Order:
        """A new order; raises NotFound (user, product), Conflict (stock), InvalidRequest."""

    async def list_orders(self, limit: int = 50, after: int = 0) -> list[Order]:
        """At most `limit` orders with an id above `after`, by id; raises InvalidRequest."""

    async def cancel_order(self, order_id: int) -> Order:
        """Take an order back; raises NotFound, Conflict when it is cancelled already."""


class Orders:
    """The order service over any storage, any user service and any catalogue."""

    def __init__(
        self, storage: Table[Order], users: UserService, catalogue: CatalogueService
    ) -> None:
        self._storage, self._users, self._catalogue = storage, users, catalogue

    async def get_order(self, order_id: int) -> Order:
        """See OrderService."""
        order = await self._storage.get(order_id)
        if order is None:
            raise NotFound(f"no order {order_id}")
        return order

    async def place_order(self, user_id: int, items: tuple[Item, ...]) -> Order:
        """See OrderService."""
        if not 1 <= len(items) <= 100:
            raise InvalidRequest(f"items: must be 1 to 100, got {len(items)}")
        await self._users.get_user(user_id)
        reserved: list[Item] = []
        total_cents = 0
        try:
            for item in items:
                product = await self._catalogue.reserve(item.sku, item.quantity)
                reserved.append(item)
                total_cents += product.price_cents * item.quantity
            return await self._storage.add(Order(0, user_id, items, total_cents, "placed"))
        except BaseException:
            await self._release(reserved)
            raise

    async def list_orders(self, limit: int = 50, after: int = 0) -> list[Order]:
        """See OrderService."""
        if not 1 <= limit <= 1000:
            raise InvalidRequest(f"limit: must be between 1 and 1000, got {limit}")
        return await self._storage.page(limit, after)

    async def cancel_order(self, order_id: int) -> Order:
        """See OrderService."""

        def cancel(order: Order) -> Order:
            if order.status != "placed":
                raise Conflict(f"order {order_id} is {order.status} already")
            return replace(order, status="cancelled")

        order = await self._storage.change(order_id, cancel)
        if order is None:
            raise NotFound(f"no order {order_id}")
        await self._release(order.items)
        return order

    async def _release(self, items: "tuple[Item, ...] | list[Item]") -> None:
        for item in items:
            await self._catalogue.release(item.sku, item.quantity)
