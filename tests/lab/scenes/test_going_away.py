"""A server that goes away: what gRPC repeats unasked, and what it does not."""

import grpc
import pytest

from course_lib.errors import Unavailable
from course_lib.lab.scenes.going_away import going_away
from course_lib.shop.users_grpc import grpc_user_client

pytestmark = pytest.mark.real_time


@pytest.mark.parametrize(("options", "asked"), [([], 2), ([("grpc.enable_retries", 0)], 1)])
async def test_grpc_repeats_once_what_the_server_has_not_begun(
    options: list[tuple[str, int]], asked: int
):
    async with going_away() as server:
        async with grpc.aio.insecure_channel(server.address, options) as channel:
            with pytest.raises(Unavailable):
                await grpc_user_client(channel).get_user(1)
        assert server.asked == asked
