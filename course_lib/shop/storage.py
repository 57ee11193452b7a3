"""Where a service keeps its rows: a small interface, and a table in memory.

A row is a frozen dataclass whose first field is its key. Leaves out: queries, relations.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from course_lib.errors import Conflict

Row = TypeVar("Row")


class Table(Protocol[Row]):
    """What every storage can do; all of it is safe under concurrent calls."""

    async def add(self, row: Row) -> Row:
        """Keep a new row; the key 0 asks for the next number. Raises Conflict if it exists."""

    async def get(self, key: Any) -> Row | None:
        """The row with this key, or None."""

    async def change(self, key: Any, change: Callable[[Row], Row]) -> Row | None:
        """Replace a row by what `change` makes of it, in one step; None if it is not there.

        `change` may raise to leave the row as it is, and may be called more than once.
        """

    async def page(self, limit: int, after: Any) -> list[Row]:
        """At most `limit` rows with a key above `after`, by key."""


class MemoryTable(Generic[Row]):
    """A table in a dict: for tests and for virtual time."""

    def __init__(self, row_type: type[Row]) -> None:
        self._row_type: Any = row_type
        self._key_name = key_name(row_type)
        self._rows: dict[Any, Row] = {}
        self._last_number = 0

    async def add(self, row: Row) -> Row:
        """See Table."""
        return self.put(row)

    def put(self, row: Row) -> Row:
        """The same as `add`, for setting up a table before anything runs."""
        key = getattr(row, self._key_name)
        if key == 0:
            key = self._last_number + 1
            row = dataclasses.replace(row, **{self._key_name: key})  # type: ignore[type-var]
        if key in self._rows:
            raise Conflict(f"{self._row_type.__name__.lower()} {key} exists already")
        if isinstance(key, int):
            self._last_number = max(self._last_number, key)
        self._rows[key] = row
        return row

    async def get(self, key: Any) -> Row | None:
        """See Table."""
        return self._rows.get(key)

    async def change(self, key: Any, change: Callable[[Row], Row]) -> Row | None:
        """See Table."""
        if key not in self._rows:
            return None
        self._rows[key] = change(self._rows[key])
        return self._rows[key]

    async def page(self, limit: int, after: Any) -> list[Row]:
        """See Table."""
        return [self._rows[key] for key in sorted(self._rows) if key > after][:limit]


def key_name(row_type: Any) -> str:
    """The name of a row's key: its first field."""
    return dataclasses.fields(row_type)[0].name
