"""A blocked loop: what shows it and what does not."""

import asyncio

import pytest

from course_lib.lab.http_load import HttpLoad
from course_lib.lab.launch import serve
from course_lib.lab.scenes.blocked import Service, asked, figures, page_beside_the_loop
from course_lib.telemetry.health import Health

pytestmark = pytest.mark.real_time


async def test_only_the_lag_tells_a_block_from_a_wait():
    waits, blocks = [
        await figures(Service(seconds=0.1, blocking=blocking), requests=3)
        for blocking in (False, True)
    ]
    lag = "loop lag (ms)"
    assert blocks[lag] > 3 * waits[lag]
    assert blocks["CPU (%)"] < 50
    assert blocks["threads"] == waits["threads"]


async def test_a_page_beside_the_loop_says_all_is_well_while_the_loop_stands_still():
    service = Service(seconds=10, blocking=True)
    with serve(service.app) as server, page_beside_the_loop(Health()) as beside:
        async with HttpLoad(server.url) as client:
            blocked = asyncio.create_task(client("/"))
            while not service.arrived.is_set():
                await asyncio.sleep(0)
            assert (await asked(beside), await asked(server.url)) == ("200", "no answer")
            service.go_on.set()
            await blocked
