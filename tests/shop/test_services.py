"""The business rules of the shop, without any transport."""

from collections.abc import AsyncIterator

import pytest

from course_lib.errors import Conflict, InvalidRequest, NotFound, Overloaded
from course_lib.shop.catalogue import with_demo_products
from course_lib.shop.orders import Item, Order, Orders
from course_lib.shop.storage import MemoryTable
from course_lib.shop.user_streams import WatchedUsers
from course_lib.shop.users import CreateUser, GetUser, User, with_demo_users


def shop() -> Orders:
    return Orders(MemoryTable(Order), with_demo_users(), with_demo_products())


async def test_a_user_can_be_created_changed_and_found_again():
    users = with_demo_users()
    created = await users.create_user("Margaret", 33)
    changed = await users.update_user(created.user_id, "Margaret H.", 34)
    assert await users.get_user(6) == changed == User(6, "Margaret H.", 34)


async def test_an_unknown_user_is_not_found():
    users = with_demo_users()
    for call in (users.get_user(7), users.update_user(7, "Ada", 36)):
        with pytest.raises(NotFound, match="no user 7"):
            await call


@pytest.mark.parametrize(
    ("name", "age", "message"),
    [
        ("", 36, "name: must be 1 to 100"),
        ("x" * 101, 36, "name: must be 1 to 100"),
        ("A\x00da", 36, "name: must be 1 to 100"),
        ("Ada", -1, "age: must be between 0 and 150, got -1"),
        ("Ada", 151, "age: must be between 0 and 150, got 151"),
    ],
)
async def test_a_user_that_makes_no_sense_is_refused_by_field(name: str, age: int, message: str):
    users = with_demo_users()
    for call in (users.create_user(name, age), users.update_user(1, name, age)):
        with pytest.raises(InvalidRequest, match=message):
            await call
    assert await users.get_user(1) == User(1, "Ada", 36)


async def test_users_come_in_pages():
    users = with_demo_users()
    assert [user.name for user in await users.list_users(limit=2, after=1)] == ["Grace", "Linus"]
    with pytest.raises(InvalidRequest, match="limit: must be between 1 and 1000, got 0"):
        await users.list_users(limit=0)


async def test_an_order_takes_from_the_stock_and_knows_its_total():
    catalogue = with_demo_products()
    orders = Orders(MemoryTable(Order), with_demo_users(), catalogue)
    order = await orders.place_order(1, (Item("book", 2), Item("pen", 1)))
    assert (order.total_cents, order.status) == (2 * 2_900 + 12_000, "placed")
    assert (await catalogue.get_product("book")).stock == 98
    assert await orders.list_orders() == [order]


async def test_an_order_that_fails_puts_back_what_it_took():
    catalogue = with_demo_products()
    orders = Orders(MemoryTable(Order), with_demo_users(), catalogue)
    with pytest.raises(Conflict, match="only 1 of pen left, 2 wanted"):
        await orders.place_order(1, (Item("book", 2), Item("pen", 2)))
    assert (await catalogue.get_product("book")).stock == 100
    assert await orders.list_orders() == []


async def test_an_order_needs_a_user_products_and_at_least_one_item():
    orders = shop()
    with pytest.raises(NotFound, match="no user 9"):
        await orders.place_order(9, (Item("book", 1),))
    with pytest.raises(NotFound, match="no product chair"):
        await orders.place_order(1, (Item("chair", 1),))
    with pytest.raises(InvalidRequest, match="items: must be 1 to 100, got 0"):
        await orders.place_order(1, ())
    with pytest.raises(InvalidRequest, match="quantity: must be between 1 and 1000, got -5"):
        await orders.place_order(1, (Item("book", -5),))


async def test_an_order_is_cancelled_once_and_its_items_return():
    catalogue = with_demo_products()
    orders = Orders(MemoryTable(Order), with_demo_users(), catalogue)
    await orders.place_order(1, (Item("pen", 1),))
    assert (await orders.cancel_order(1)).status == "cancelled"
    assert (await catalogue.get_product("pen")).stock == 1
    with pytest.raises(Conflict, match="order 1 is cancelled already"):
        await orders.cancel_order(1)


async def test_a_product_is_added_once():
    catalogue = with_demo_products()
    await catalogue.add_product("chair", "A chair", 9_900, 5)
    with pytest.raises(Conflict, match="product chair exists already"):
        await catalogue.add_product("chair", "Another", 1, 1)
    with pytest.raises(InvalidRequest, match="sku"):
        await catalogue.add_product("", "Nothing", 1, 1)


async def test_a_watcher_hears_of_every_change_from_now_on():
    users = WatchedUsers(with_demo_users())
    await users.create_user("Before", 1)
    changes = await users.watch_users()
    await users.create_user("After", 2)
    await users.update_user(1, "Ada L.", 36)
    assert [(await anext(changes)).name for _ in range(2)] == ["After", "Ada L."]


async def test_a_watcher_that_does_not_read_is_let_go():
    users = WatchedUsers(with_demo_users())
    changes = await users.watch_users()
    for _ in range(1001):
        await users.create_user("Ada", 1)
    with pytest.raises(Overloaded):
        await anext(changes)


async def test_users_are_imported_and_found_as_streams():
    users = WatchedUsers(with_demo_users())

    async def new() -> AsyncIterator[CreateUser]:
        for age in range(3):
            yield CreateUser("Child", age)

    async def wanted() -> AsyncIterator[GetUser]:
        for number in (8, 1):
            yield GetUser(number)

    assert await users.import_users(new()) == 3
    assert [user.name async for user in await users.find_users(wanted())] == ["Child", "Ada"]
