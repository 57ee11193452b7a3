"""The user service where more than one message travels: watch, import, find.

It stands around another user service, as a service middleware does in Go-kit.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakSet

from course_lib.endpoint import Endpoint
from course_lib.errors import Overloaded
from course_lib.shop.endpoints import Wrap, bare
from course_lib.shop.users import CreateUser, GetUser, User, UserService

_UNREAD_LIMIT = 1000


@dataclass(frozen=True)
class WatchUsers:
    """Ask to be told of every user who is created or changed from now on."""


class UserStreamService(Protocol):
    """The streams of the user service, to those who implement it and to those who call it."""

    async def watch_users(self) -> AsyncIterator[User]:
        """Every user who is created or changed from now on; Overloaded for a slow reader."""

    async def import_users(self, users: AsyncIterator[CreateUser]) -> int:
        """Create all of them; how many there were. Raises InvalidRequest at the first bad one."""

    async def find_users(self, wanted: AsyncIterator[GetUser]) -> AsyncIterator[User]:
        """An answer for each question, while questions still come; raises NotFound."""


class WatchedUsers:
    """A user service that tells its watchers what changed."""

    def __init__(self, inner: UserService) -> None:
        self._inner = inner
        self._watchers: WeakSet[asyncio.Queue[User]] = WeakSet()
        self.get_user = inner.get_user
        self.list_users = inner.list_users

    async def create_user(self, name: str, age: int) -> User:
        """See UserService."""
        return self._tell(await self._inner.create_user(name, age))

    async def update_user(self, user_id: int, name: str, age: int) -> User:
        """See UserService."""
        return self._tell(await self._inner.update_user(user_id, name, age))

    async def watch_users(self) -> AsyncIterator[User]:
        """See UserStreamService."""
        unread: asyncio.Queue[User] = asyncio.Queue(_UNREAD_LIMIT)
        self._watchers.add(unread)
        return _drain(unread)

    async def import_users(self, users: AsyncIterator[CreateUser]) -> int:
        """See UserStreamService."""
        imported = 0
        async for user in users:
            await self.create_user(user.name, user.age)
            imported += 1
        return imported

    async def find_users(self, wanted: AsyncIterator[GetUser]) -> AsyncIterator[User]:
        """See UserStreamService."""

        async def found() -> AsyncIterator[User]:
            async for request in wanted:
                yield await self.get_user(request.user_id)

        return found()

    def _tell(self, user: User) -> User:
        for unread in list(self._watchers):
            if not unread.full():
                unread.put_nowait(user)
        return user


async def _drain(unread: asyncio.Queue[User]) -> AsyncIterator[User]:
    while not unread.full():
        yield await unread.get()
    raise Overloaded(f"more than {_UNREAD_LIMIT} changes were waiting to be read")


@dataclass(frozen=True)
class UserStreams:
    """The streams of the user service, one endpoint each."""

    watch_users: Endpoint
    import_users: Endpoint
    find_users: Endpoint


def user_streams(service: UserStreamService, wrap: Wrap = bare) -> UserStreams:
    """Make endpoints of the streams, each with the same middleware around it."""

    async def watch_users(request: WatchUsers) -> AsyncIterator[User]:
        return await service.watch_users()

    async def import_users(users: AsyncIterator[CreateUser]) -> int:
        return await service.import_users(users)

    async def find_users(wanted: AsyncIterator[GetUser]) -> AsyncIterator[User]:
        return await service.find_users(wanted)

    return UserStreams(
        watch_users=wrap("watch_users")(watch_users),
        import_users=wrap("import_users")(import_users),
        find_users=wrap("find_users")(find_users),
    )


class UserStreamClient:
    """The streams of a user service made of endpoints."""

    def __init__(self, streams: UserStreams) -> None:
        self._streams = streams

    async def watch_users(self) -> AsyncIterator[User]:
        """See UserStreamService."""
        return await self._streams.watch_users(WatchUsers())

    async def import_users(self, users: AsyncIterator[CreateUser]) -> int:
        """See UserStreamService."""
        return await self._streams.import_users(users)

    async def find_users(self, wanted: AsyncIterator[GetUser]) -> AsyncIterator[User]:
        """See UserStreamService."""
        return await self._streams.find_users(wanted)
