"""One suite for every storage: in memory, SQLite in memory and in a file, and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from course_lib.errors import Conflict, Unavailable
from course_lib.lab.servers.postgres import Postgres, postgres_folder
from course_lib.shop.catalogue import Product
from course_lib.shop.orders import Item, Order
from course_lib.shop.storage import MemoryTable, Table
from course_lib.shop.storage_sql import SQLITE_IN_MEMORY, Database
from course_lib.shop.users import User

pytestmark = pytest.mark.real_time

OpenTable = Callable[[type], AbstractAsyncContextManager[Table[Any]]]


@pytest.fixture(scope="module", autouse=True)
def postgres_url() -> Iterator[str | None]:
    if postgres_folder() is None:
        yield None
        return
    with Postgres() as server:
        yield server.url


@pytest.fixture(params=["memory", "sqlite in memory", "sqlite in a file", "postgres"])
def open_table(
    request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str | None
) -> OpenTable:
    @asynccontextmanager
    async def in_memory(row_type: type) -> AsyncIterator[Table[Any]]:
        yield MemoryTable(row_type)

    @asynccontextmanager
    async def in_database(row_type: type) -> AsyncIterator[Table[Any]]:
        async with Database(url) as database:
            table = await database.table(row_type)
            await table.clear()
            yield table

    urls = {
        "sqlite in memory": SQLITE_IN_MEMORY,
        "sqlite in a file": f"sqlite+aiosqlite:///{tmp_path}/shop.db",
        "postgres": postgres_url,
    }
    if request.param == "memory":
        return in_memory
    url = urls[request.param]
    if url is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return in_database


async def test_rows_get_numbers_in_order_and_come_back_equal(open_table: OpenTable):
    async with open_table(User) as users:
        added = [await users.add(User(0, name, 30)) for name in ("Zoë", "李", "O'Hara; --")]
        assert [user.user_id for user in added] == [1, 2, 3]
        assert [await users.get(number) for number in (1, 2, 3)] == added


async def test_what_is_not_there_is_none(open_table: OpenTable):
    async with open_table(User) as users:
        assert await users.get(7) is None
        assert await users.change(7, lambda user: user) is None


async def test_a_key_can_be_taken_only_once(open_table: OpenTable):
    async with open_table(Product) as products:
        await products.add(Product("pen", "A pen", 100, 1))
        with pytest.raises(Conflict, match="product pen exists already"):
            await products.add(Product("pen", "Another", 200, 1))
        assert (await products.get("pen")).title == "A pen"


async def test_a_change_that_raises_changes_nothing(open_table: OpenTable):
    def refuse(product: Product) -> Product:
        raise Conflict("no")

    async with open_table(Product) as products:
        pen = await products.add(Product("pen", "A pen", 100, 1))
        with pytest.raises(Conflict):
            await products.change("pen", refuse)
        assert await products.get("pen") == pen


async def test_concurrent_changes_lose_nothing(open_table: OpenTable):
    def take_one(product: Product) -> Product:
        return replace(product, stock=product.stock - 1)

    async with open_table(Product) as products:
        await products.add(Product("pen", "A pen", 100, 20))
        await asyncio.gather(*(products.change("pen", take_one) for _ in range(20)))
        assert (await products.get("pen")).stock == 0


async def test_concurrent_additions_get_different_numbers(open_table: OpenTable):
    async with open_table(User) as users:
        added = await asyncio.gather(*(users.add(User(0, "Ada", n)) for n in range(20)))
        assert sorted(user.user_id for user in added) == list(range(1, 21))
        assert sorted(user.age for user in await users.page(100, 0)) == list(range(20))


async def test_a_number_that_was_chosen_is_left_out(open_table: OpenTable):
    async with open_table(User) as users:
        for number in (1, 2):
            await users.add(User(number, "Ada", 36))
        added = await users.add(User(0, "Grace", 45))
        assert added == User(3, "Grace", 45) == await users.get(3)


async def test_a_call_that_is_cancelled_takes_no_rows_with_it(open_table: OpenTable):
    async with open_table(User) as users:
        ada = await users.add(User(0, "Ada", 36))
        for turns in range(20):
            call = asyncio.create_task(users.change(1, lambda user: user))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
        assert await users.get(1) == ada


async def test_pages_follow_each_other_by_key(open_table: OpenTable):
    async with open_table(Product) as products:
        for sku in ("b", "a", "B", "Ä", "a-1"):
            await products.add(Product(sku, sku, 1, 1))
        first = await products.page(3, "")
        second = await products.page(3, first[-1].sku)
    assert [product.sku for product in first + second] == ["B", "a", "a-1", "b", "Ä"]


async def test_what_is_no_number_and_no_text_comes_back_too(open_table: OpenTable):
    async with open_table(Order) as orders:
        order = Order(0, 1, (Item("pen", 2), Item("lamp", 1)), 2**40, "placed")
        assert await orders.get((await orders.add(order)).order_id) == replace(order, order_id=1)


async def test_a_row_outlives_its_database_object(tmp_path: Path):
    url = f"sqlite+aiosqlite:///{tmp_path}/shop.db"
    async with Database(url) as database:
        await (await database.table(User)).add(User(0, "Ada", 36))
    async with Database(url) as database:
        assert await (await database.table(User)).get(1) == User(1, "Ada", 36)


async def test_a_database_that_is_not_there_is_unavailable():
    async with Database("postgresql+asyncpg://shop@127.0.0.1:1/shop") as database:
        with pytest.raises(Unavailable, match="the database did not answer"):
            await database.table(User)
