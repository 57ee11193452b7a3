"""The user service over HTTP: its routes, and a client with the service's own interface."""

from typing import Any

from fastapi import FastAPI

from course_lib.shop.endpoints import UserClient, UserEndpoints, Wrap, bare, user_endpoints
from course_lib.shop.user_streams import UserStreams, WatchUsers
from course_lib.shop.users import CreateUser, GetUser, ListUsers, UpdateUser, User, UserService
from course_lib.transport.http_client import http_client
from course_lib.transport.http_server import Route, http_app


def user_routes(endpoints: UserEndpoints, **hooks: Any) -> list[Route]:
    """The routes of the user service; `before`, `after`, `finalizers` go to each of them."""
    return [
        Route("GET", "/users/{user_id}", endpoints.get_user, GetUser, User, **hooks),
        Route("GET", "/users", endpoints.list_users, ListUsers, list[User], **hooks),
        Route("POST", "/users", endpoints.create_user, CreateUser, User, status=201, **hooks),
        Route("PUT", "/users/{user_id}", endpoints.update_user, UpdateUser, User, **hooks),
    ]


def user_stream_routes(streams: UserStreams, **hooks: Any) -> list[Route]:
    """The watch as server-sent events; put it before `user_routes`, whose paths would match."""
    watch = streams.watch_users
    return [Route("GET", "/users/changes", watch, WatchUsers, User, stream=True, **hooks)]


def users_app(service: UserService, wrap: Wrap = bare, **options: Any) -> FastAPI:
    """The user service as an application; `options` are those of `http_app`."""
    return http_app("users", user_routes(user_endpoints(service, wrap)), **options)


def http_user_client(base_url: str, **options: Any) -> UserClient:
    """The user service at this address; `options` are those of `http_client`."""
    return UserClient(
        UserEndpoints(
            get_user=http_client(base_url, "GET", "/users/{user_id}", User, **options),
            create_user=http_client(base_url, "POST", "/users", User, **options),
            list_users=http_client(base_url, "GET", "/users", list[User], **options),
            update_user=http_client(base_url, "PUT", "/users/{user_id}", User, **options),
        )
    )
