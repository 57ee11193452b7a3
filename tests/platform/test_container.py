"""A container in virtual time: what becomes of requests when it hangs, crashes or ends."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from course_lib.platform.container import Container
from course_lib.telemetry.health import Health


async def slow(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(5)
    await send({"type": "http.response.start", "status": 204, "headers": []})


async def gives_up(scope: Any, receive: Any, send: Any) -> None:
    async with asyncio.timeout(3):
        await asyncio.Event().wait()


async def finish() -> None:
    await asyncio.sleep(2)


async def asked(container: Container, *acts: Callable[[], None]) -> tuple[float, Any]:
    """Ask it at 0 and do the acts at 1, 2 and so on; when it answered, and what."""
    running = asyncio.create_task(container.run())
    await asyncio.sleep(0)
    for at, act in enumerate(acts, 1):
        asyncio.get_running_loop().call_at(at, act)
    outcome: Any
    try:
        outcome = await asyncio.wait_for(container.get("/"), 1000)
    except ConnectionError as error:
        outcome = type(error)
    finally:
        container.crash()
        await running
    return asyncio.get_running_loop().time(), outcome


async def test_before_it_listens_and_after_its_end_connections_are_refused():
    container = Container(Health(), start_seconds=5)
    assert await asked(container) == (0, ConnectionRefusedError)
    assert await asked(container) == (0, ConnectionRefusedError)


async def test_a_request_in_flight_is_answered():
    assert await asked(Container(slow)) == (5, 204)


async def test_a_crash_resets_the_request_in_flight():
    container = Container(slow)
    assert await asked(container, container.crash) == (1, ConnectionResetError)


async def test_so_does_an_end_in_order_when_it_does_not_wait_for_the_request():
    container = Container(slow, on_term=finish)
    assert await asked(container, container.terminate) == (3, ConnectionResetError)


async def test_a_request_to_one_that_hangs_waits_until_it_is_killed():
    container = Container(Health())
    container.hang()
    acts = (container.terminate, container.crash, container.crash)
    assert await asked(container, *acts) == (2, ConnectionResetError)


async def test_a_timeout_of_the_application_is_its_own():
    with pytest.raises(TimeoutError):
        await asked(Container(gives_up))
    assert asyncio.get_running_loop().time() == 3


async def test_a_handler_of_the_end_that_fails_does_not_keep_it_alive():
    async def fails() -> None:
        raise OSError("no such file")

    container = Container(slow, on_term=fails)
    with pytest.raises(OSError, match="no such file"):
        await asked(container, container.terminate)
    assert asyncio.get_running_loop().time() == 1
