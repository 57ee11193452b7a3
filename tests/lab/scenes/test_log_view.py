"""The log dashboard: it draws what the store knows, and leaves nothing behind."""

import asyncio
import time

import pytest

from course_lib.lab.launch import serve
from course_lib.lab.scenes.log_view import LogView
from course_lib.stand_ins import LogStore
from course_lib.telemetry.logs import json_logger
from course_lib.telemetry.shipping_http import Shipper


@pytest.mark.real_time
async def test_it_draws_what_arrived_and_closes_the_shippers():
    store = LogStore()
    with serve(store.app) as server:
        shipper = Shipper(server.url, {"service": "users"}, every_seconds=0.01)
        view = LogView(store, {"a": shipper})
        assert "nothing yet" in view.draw().alt
        await view.frame()
        for instance in "ab":
            json_logger("users", instance, shipper)("call", outcome="ok")
        while len(store) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.1)  # the view draws seconds that are over
        await view.frame()
        alt = view.draw().alt
        assert "a 0, b 0" in alt or "a 1, b 1" in alt
        assert "waiting 0, dropped 0" in alt
        await view.stop()
    assert shipper.sent == 2


async def test_an_instance_without_a_line_in_sight_has_a_curve_at_nothing():
    view = LogView(
        LogStore(), {"a": Shipper("http://nowhere", {}), "b": Shipper("http://nowhere", {})}
    )
    view._began = time.time() - 100
    assert "a 0, b 0" in view.draw().alt
