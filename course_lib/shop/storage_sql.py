"""The same table in a real database: SQLite by default, PostgreSQL by its URL.

A row type becomes a table with one column for each field; a field that is neither number nor
text is kept as JSON. Not for virtual time: a driver's answer comes from outside the loop.
Leaves out: migrations.
"""

import asyncio
import dataclasses
import typing
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from course_lib.errors import Conflict, Unavailable
from course_lib.shop.storage import Row, key_name

SQLITE_IN_MEMORY = "sqlite+aiosqlite://"
_CLOSE_SECONDS = 5.0

Result = TypeVar("Result")

_NUMBER = sql.BigInteger().with_variant(sql.Integer(), "sqlite")
_TEXT = sql.Text().with_variant(sql.Text(collation="C"), "postgresql")


class Database:
    """Tables behind one URL, such as `postgresql+asyncpg://shop@127.0.0.1:5432/shop`."""

    def __init__(self, url: str = SQLITE_IN_MEMORY) -> None:
        # SQLite has one writer at a time, and in memory every connection is a database of its own.
        alone: dict[str, Any] = {"pool_size": 1, "max_overflow": 0}
        pool = alone if url.startswith("sqlite") else {}
        self._engine = create_async_engine(url, poolclass=AsyncAdaptedQueuePool, **pool)
        self._work = _Work()

    async def table(self, row_type: type[Row]) -> "SqlTable[Row]":
        """The table of this row type, made if there is none; raises Unavailable."""
        table = SqlTable(self._engine, self._work, row_type)
        async with _transaction(self._engine) as connection:
            await connection.run_sync(table.description.metadata.create_all)
        return table

    async def close(self) -> None:
        """Let what has begun come to its end, and close all connections."""
        await self._work.ended()
        await self._engine.dispose()

    async def __aenter__(self) -> "Database":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Work:
    """What the database is doing. A caller who is cancelled leaves, and the work ends by itself:

    broken off in the middle, it would take its connection with it, and a database in memory too.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def to_its_end(self, work: Coroutine[Any, Any, Result]) -> Result:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def ended(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CLOSE_SECONDS)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, also where its caller has left


class SqlTable(Generic[Row]):
    """A table in a database; concurrent changes of a row are noticed by its version."""

    def __init__(self, engine: AsyncEngine, work: "_Work", row_type: type[Row]) -> None:
        self._engine, self._work = engine, work
        self._row_type: Any = row_type
        self._hints = typing.get_type_hints(row_type)
        self.description = self._describe()
        self._key = self.description.c[key_name(row_type)]
        self._version = self.description.c.version

    async def add(self, row: Row) -> Row:
        """See Table."""
        return await self._work.to_its_end(self._add(row))

    async def get(self, key: Any) -> Row | None:
        """See Table."""
        found = await self._work.to_its_end(self._read(key))
        return found[0] if found else None

    async def change(self, key: Any, change: Callable[[Row], Row]) -> Row | None:
        """See Table. It tries again when somebody else was quicker."""
        return await self._work.to_its_end(self._change(key, change))

    async def page(self, limit: int, after: Any) -> list[Row]:
        """See Table."""
        return await self._work.to_its_end(self._page(limit, after))

    async def clear(self) -> None:
        """Remove every row, and begin with number 1 again."""
        await self._work.to_its_end(self._clear())

    async def _add(self, row: Row) -> Row:
        values = self._values(row)
        if values[self._key.name] == 0:
            del values[self._key.name]
        try:
            async with _transaction(self._engine) as connection:
                insert = sql.insert(self.description).values(version=1, **values)
                result: Any = await connection.execute(insert)
        except IntegrityError:
            if self._key.name not in values:  # a number that somebody chose; the next may be free
                return await self._add(row)
            name = f"{self._row_type.__name__.lower()} {values[self._key.name]}"
            raise Conflict(f"{name} exists already") from None
        key = result.inserted_primary_key[0]
        return dataclasses.replace(row, **{self._key.name: key})  # type: ignore[type-var]

    async def _change(self, key: Any, change: Callable[[Row], Row]) -> Row | None:
        while found := await self._read(key):
            old, version = found
            new = change(old)
            unchanged = (self._key == key) & (self._version == version)
            update = sql.update(self.description).where(unchanged)
            async with _transaction(self._engine) as connection:
                values = update.values(version=version + 1, **self._values(new))
                if (await connection.execute(values)).rowcount == 1:
                    return new
        return None

    async def _page(self, limit: int, after: Any) -> list[Row]:
        select = sql.select(self.description).where(self._key > after).order_by(self._key)
        async with _transaction(self._engine) as connection:
            rows = (await connection.execute(select.limit(limit))).mappings()
        return [self._row(row) for row in rows]

    async def _clear(self) -> None:
        async with _transaction(self._engine) as connection:
            await connection.run_sync(self.description.drop)
            await connection.run_sync(self.description.create)

    async def _read(self, key: Any) -> tuple[Row, int] | None:
        select = sql.select(self.description).where(self._key == key)
        async with _transaction(self._engine) as connection:
            row = (await connection.execute(select)).mappings().one_or_none()
        return (self._row(row), row["version"]) if row else None

    def _describe(self) -> sql.Table:
        columns = [
            sql.Column(name, _column_type(hint), primary_key=name == key_name(self._row_type))
            for name, hint in self._hints.items()
        ]
        version = sql.Column("version", sql.Integer, nullable=False)
        name = self._row_type.__name__.lower() + "s"
        return sql.Table(name, sql.MetaData(), *columns, version)

    def _values(self, row: Any) -> dict[str, Any]:
        return dataclasses.asdict(row)

    def _row(self, values: Any) -> Row:
        fields = {name: _load(hint, values[name]) for name, hint in self._hints.items()}
        return self._row_type(**fields)


def _column_type(hint: Any) -> Any:
    return {int: _NUMBER, str: _TEXT}.get(hint, sql.JSON())


def _load(hint: Any, value: Any) -> Any:
    """A tuple of dataclasses comes back from JSON as a list of objects."""
    if typing.get_origin(hint) is tuple:
        one = typing.get_args(hint)[0]
        return tuple(one(**fields) for fields in value)
    return value


@asynccontextmanager
async def _transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with engine.begin() as connection:
            yield connection
    except IntegrityError:
        raise
    except (DBAPIError, OSError) as error:
        raise Unavailable(f"the database did not answer: {type(error).__name__}") from error
