"""The user service over gRPC: its methods, and clients with the service's own interface."""

from typing import Any

import grpc

from course_lib.endpoint import Endpoint
from course_lib.shop import shop_pb2 as pb
from course_lib.shop.endpoints import UserClient, UserEndpoints
from course_lib.shop.shop_pb2_grpc import UsersStub
from course_lib.shop.user_streams import UserStreamClient, UserStreams, WatchUsers
from course_lib.shop.users import CreateUser, GetUser, ListUsers, UpdateUser, User
from course_lib.transport.grpc_client import grpc_client
from course_lib.transport.grpc_server import add_service, grpc_method

SERVICE = pb.DESCRIPTOR.services_by_name["Users"]


def add_users(
    server: grpc.aio.Server,
    endpoints: UserEndpoints,
    streams: UserStreams | None = None,
    **hooks: Any,
) -> None:
    """Register the user service; `before`, `after`, `finalizers` go to each method."""

    def method(name: str, endpoint: Endpoint, decode: Any, encode: Any, **kind: bool) -> None:
        options: dict[str, Any] = {"name": f"/shop.Users/{name}", **kind, **hooks}
        methods[name] = grpc_method(endpoint, decode, encode, **options)

    methods: dict[str, Any] = {}
    method("GetUser", endpoints.get_user, get_from_pb, user_to_pb)
    method("CreateUser", endpoints.create_user, create_from_pb, user_to_pb)
    method("ListUsers", endpoints.list_users, list_from_pb, users_to_pb)
    method("UpdateUser", endpoints.update_user, update_from_pb, user_to_pb)
    if streams is not None:
        one_way = {"stream_requests": True}
        method("WatchUsers", streams.watch_users, watch_from_pb, user_to_pb, stream_responses=True)
        method("ImportUsers", streams.import_users, create_from_pb, report_to_pb, **one_way)
        both_ways = {"stream_requests": True, "stream_responses": True}
        method("FindUsers", streams.find_users, get_from_pb, user_to_pb, **both_ways)
    add_service(server, SERVICE, methods)


def grpc_user_client(channel: grpc.aio.Channel, **hooks: Any) -> UserClient:
    """The user service at the other end of a channel."""
    stub = UsersStub(channel)
    return UserClient(
        UserEndpoints(
            get_user=grpc_client(stub.GetUser, get_to_pb, user_from_pb, **hooks),
            create_user=grpc_client(stub.CreateUser, create_to_pb, user_from_pb, **hooks),
            list_users=grpc_client(stub.ListUsers, list_to_pb, users_from_pb, **hooks),
            update_user=grpc_client(stub.UpdateUser, user_to_pb, user_from_pb, **hooks),
        )
    )


def grpc_user_stream_client(channel: grpc.aio.Channel, **hooks: Any) -> UserStreamClient:
    """The streams of the user service at the other end of a channel."""
    stub = UsersStub(channel)
    return UserStreamClient(
        UserStreams(
            watch_users=grpc_client(stub.WatchUsers, watch_to_pb, user_from_pb, **hooks),
            import_users=grpc_client(stub.ImportUsers, create_to_pb, report_from_pb, **hooks),
            find_users=grpc_client(stub.FindUsers, get_to_pb, user_from_pb, **hooks),
        )
    )


def user_to_pb(user: User | UpdateUser) -> pb.User:
    """A user, or the wish to change one."""
    return pb.User(user_id=user.user_id, name=user.name, age=user.age)


def user_from_pb(message: pb.User) -> User:
    """A user."""
    return User(message.user_id, message.name, message.age)


def users_to_pb(users: list[User]) -> pb.UserList:
    """A page of users."""
    return pb.UserList(users=[user_to_pb(user) for user in users])


def users_from_pb(message: pb.UserList) -> list[User]:
    """A page of users."""
    return [user_from_pb(user) for user in message.users]


def get_to_pb(request: GetUser) -> pb.GetUserRequest:
    """The request for one user."""
    return pb.GetUserRequest(user_id=request.user_id)


def get_from_pb(message: pb.GetUserRequest) -> GetUser:
    """The request for one user."""
    return GetUser(message.user_id)


def create_to_pb(request: CreateUser) -> pb.CreateUserRequest:
    """The request to create a user."""
    return pb.CreateUserRequest(name=request.name, age=request.age)


def create_from_pb(message: pb.CreateUserRequest) -> CreateUser:
    """The request to create a user."""
    return CreateUser(message.name, message.age)


def list_to_pb(request: ListUsers) -> pb.ListUsersRequest:
    """The request for a page."""
    return pb.ListUsersRequest(limit=request.limit, after=request.after)


def list_from_pb(message: pb.ListUsersRequest) -> ListUsers:
    """The request for a page; the limit has a default, so its absence must be told from 0."""
    limit = message.limit if message.HasField("limit") else ListUsers.limit
    return ListUsers(limit, message.after)


def update_from_pb(message: pb.User) -> UpdateUser:
    """The request to change a user."""
    return UpdateUser(message.user_id, message.name, message.age)


def watch_to_pb(request: WatchUsers) -> pb.WatchUsersRequest:
    """The request to watch."""
    return pb.WatchUsersRequest()


def watch_from_pb(message: pb.WatchUsersRequest) -> WatchUsers:
    """The request to watch."""
    return WatchUsers()


def report_to_pb(imported: int) -> pb.ImportReport:
    """How many users were imported."""
    return pb.ImportReport(imported=imported)


def report_from_pb(message: pb.ImportReport) -> int:
    """How many users were imported."""
    return message.imported
