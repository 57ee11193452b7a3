"""Alan, registered by a call that goes wrong: as often as the client repeats it."""

import json
from typing import Any

import pytest

from course_lib.lab.launch import running
from course_lib.lab.scenes.repeated import TROUBLES, alans

pytestmark = pytest.mark.real_time


def policy(attempts: int) -> list[tuple[str, Any]]:
    """A policy that repeats every method."""
    retry = {"maxAttempts": attempts, "initialBackoff": "0.01s", "maxBackoff": "0.01s"}
    retry |= {"backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}
    config = {"methodConfig": [{"name": [{}], "retryPolicy": retry}]}
    return [("grpc.service_config", json.dumps(config))]


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_client_that_repeats_nothing_registers_one_alan(trouble: str):
    assert await alans(trouble) == 1
    assert not running()


async def test_an_answer_that_is_always_lost_registers_an_alan_at_each_attempt():
    assert await alans("the answer is lost", policy(attempts=3)) == 3


async def test_a_line_that_breaks_once_registers_a_second_alan():
    assert await alans("the line breaks", policy(attempts=4)) == 2
