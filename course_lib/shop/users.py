"""The user service: business rules only. It knows no transport and no database."""

from dataclasses import dataclass, replace
from typing import Protocol

from course_lib.errors import InvalidRequest, NotFound
from course_lib.shop.storage import MemoryTable, Table


@dataclass(frozen=True)
class User:
    """Somebody who buys in the shop; the age is in years."""

    user_id: int
    name: str
    age: int


@dataclass(frozen=True)
class GetUser:
    """Ask for one user."""

    user_id: int


@dataclass(frozen=True)
class CreateUser:
    """Register a new user."""

    name: str
    age: int


@dataclass(frozen=True)
class ListUsers:
    """Ask for a page of users, by id."""

    limit: int = 50
    after: int = 0


@dataclass(frozen=True)
class UpdateUser:
    """Give a user another name and age."""

    user_id: int
    name: str
    age: int


class UserService(Protocol):
    """What the user service offers, to those who implement it and to those who call it."""

    async def get_user(self, user_id: int) -> User:
        """The user with this id; raises NotFound."""

    async def create_user(self, name: str, age: int) -> User:
        """A new user, who gets the next id; raises InvalidRequest."""

    async def list_users(self, limit: int = 50, after: int = 0) -> list[User]:
        """At most `limit` users with an id above `after`, by id; raises InvalidRequest."""

    async def update_user(self, user_id: int, name: str, age: int) -> User:
        """The user with a new name and age; raises NotFound, InvalidRequest."""


class Users:
    """The user service over any storage."""

    def __init__(self, storage: Table[User]) -> None:
        self._storage = storage

    async def get_user(self, user_id: int) -> User:
        """See UserService."""
        user = await self._storage.get(user_id)
        if user is None:
            raise NotFound(f"no user {user_id}")
        return user

    async def create_user(self, name: str, age: int) -> User:
        """See UserService."""
        _check(name, age)
        return await self._storage.add(User(0, name, age))

    async def list_users(self, limit: int = 50, after: int = 0) -> list[User]:
        """See UserService."""
        if not 1 <= limit <= 1000:
            raise InvalidRequest(f"limit: must be between 1 and 1000, got {limit}")
        return await self._storage.page(limit, after)

    async def update_user(self, user_id: int, name: str, age: int) -> User:
        """See UserService."""
        _check(name, age)
        user = await self._storage.change(user_id, lambda old: replace(old, name=name, age=age))
        if user is None:
            raise NotFound(f"no user {user_id}")
        return user


def with_demo_users() -> Users:
    """The user service in memory, with Ada (1), Grace (2), Linus (3), Barbara (4), Edsger (5)."""
    table = MemoryTable(User)
    people = [("Ada", 36), ("Grace", 45), ("Linus", 28), ("Barbara", 52), ("Edsger", 41)]
    for number, (name, age) in enumerate(people, start=1):
        table.put(User(number, name, age))
    return Users(table)


def _check(name: str, age: int) -> None:
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise InvalidRequest(f"name: must be 1 to 100 printable characters, got {name[:20]!r}")
    if not 0 <= age <= 150:
        raise InvalidRequest(f"age: must be between 0 and 150, got {age}")
