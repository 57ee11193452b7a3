"""Two wires: the same service over HTTP and gRPC, with lines that count and break."""

import pytest

from course_lib.errors import Unavailable
from course_lib.lab.launch import running
from course_lib.lab.two_wires import two_wires
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import with_demo_users
from course_lib.transport.hooks import bearer

pytestmark = pytest.mark.real_time


async def test_both_wires_reach_the_service_count_bytes_and_break():
    hooks = (bearer("x" * 500),)
    async with two_wires(user_endpoints(with_demo_users()), before=hooks) as wires:
        assert list(wires) == ["HTTP", "gRPC"]
        for client, line in wires.values():
            assert (await client.get_user(1)).name == "Ada"
            assert line.sent_bytes > 500
            line.cut()
            with pytest.raises(Unavailable):
                await client.get_user(1)
    assert not running()


async def test_channel_options_reach_the_channel():
    options = [("grpc.max_receive_message_length", 5)]
    async with two_wires(user_endpoints(with_demo_users()), options) as wires:
        with pytest.raises(Exception, match="larger than max"):
            await wires["gRPC"].client.get_user(1)
