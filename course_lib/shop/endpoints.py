"""The operations of the shop as endpoints, and client stubs made of endpoints.

`user_endpoints` turns a service into endpoints; `UserClient` turns endpoints back into a
service. Between the two may lie a wire: a caller cannot tell, as in Go-kit. The users are written
out, operation by operation; orders and the catalogue say the same with `endpoint_of`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from course_lib.endpoint import Endpoint, Middleware, chain
from course_lib.shop.users import CreateUser, GetUser, ListUsers, UpdateUser, User, UserService

Wrap = Callable[[str], Middleware]


def bare(_operation: str) -> Middleware:
    """Wrap an operation in nothing at all."""
    return chain()


def endpoint_of(operation: Callable[..., Awaitable[Any]]) -> Endpoint:
    """An endpoint that calls the operation with the fields of its request, by name."""

    async def endpoint(request: Any) -> Any:
        return await operation(**vars(request))

    return endpoint


@dataclass(frozen=True)
class UserEndpoints:
    """The operations of the user service, one endpoint each."""

    get_user: Endpoint
    create_user: Endpoint
    list_users: Endpoint
    update_user: Endpoint


def user_endpoints(service: UserService, wrap: Wrap = bare) -> UserEndpoints:
    """Make endpoints of a service; `wrap("get_user")` is the middleware around that one."""

    async def get_user(request: GetUser) -> User:
        return await service.get_user(request.user_id)

    async def create_user(request: CreateUser) -> User:
        return await service.create_user(request.name, request.age)

    async def list_users(request: ListUsers) -> list[User]:
        return await service.list_users(request.limit, request.after)

    async def update_user(request: UpdateUser) -> User:
        return await service.update_user(request.user_id, request.name, request.age)

    return UserEndpoints(
        get_user=wrap("get_user")(get_user),
        create_user=wrap("create_user")(create_user),
        list_users=wrap("list_users")(list_users),
        update_user=wrap("update_user")(update_user),
    )


class UserClient:
    """A user service made of endpoints: what a caller holds in place of the service itself."""

    def __init__(self, endpoints: UserEndpoints) -> None:
        self._endpoints = endpoints

    async def get_user(self, user_id: int) -> User:
        """See UserService."""
        return await self._endpoints.get_user(GetUser(user_id))

    async def create_user(self, name: str, age: int) -> User:
        """See UserService."""
        return await self._endpoints.create_user(CreateUser(name, age))

    async def list_users(self, limit: int = 50, after: int = 0) -> list[User]:
        """See UserService."""
        return await self._endpoints.list_users(ListUsers(limit, after))

    async def update_user(self, user_id: int, name: str, age: int) -> User:
        """See UserService."""
        return await self._endpoints.update_user(UpdateUser(user_id, name, age))
