"""Two versions of a contract live side by side, and a server speaks the one it is given."""

import grpc
import pytest

from course_lib.lab.scenes.contract import message_class, serve_version

CONTRACT = """syntax = "proto3";
package users;
service Users { rpc GetUser(GetUserRequest) returns (User); }
message GetUserRequest { int64 user_id = 1; }
message User { FIELDS }
"""


def user(fields: str):
    return message_class(CONTRACT.replace("FIELDS", fields), "users.User")


def test_an_old_version_reads_what_a_new_one_wrote():
    Old, New = user("int32 age = 3;"), user("int32 points = 3;")
    assert Old.FromString(New(points=120).SerializeToString()).age == 120


def test_what_the_compiler_refuses_is_told_in_its_words():
    with pytest.raises(ValueError, match="reserved number 3"):
        user("reserved 3; int32 age = 3;")


@pytest.mark.real_time
async def test_a_server_answers_in_its_version():
    User = user("string name = 2;")
    with serve_version(User, {"name": "Ada"}, "users") as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            get_user = channel.unary_unary("/users.Users/GetUser")
            assert await get_user(b"") == b"\x12\x03Ada"
