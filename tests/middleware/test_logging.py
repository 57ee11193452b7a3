"""Logging: one event a call, whatever happens to the call."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from course_lib.context import caller
from course_lib.errors import NotFound, Overloaded
from course_lib.middleware.logging import logging


class Events(list[dict[str, Any]]):
    def log(self, event: str, /, **fields: Any) -> None:
        self.append({"event": event, **fields})


async def answers_after_two_seconds(request: str) -> str:
    await asyncio.sleep(2)
    return f"hello {request}"


async def test_a_call_that_returns_is_one_event_with_its_duration():
    events = Events()
    endpoint = logging(events.log, operation="greet")(answers_after_two_seconds)
    assert await endpoint("ada") == "hello ada"
    assert events == [
        {"event": "call", "operation": "greet", "outcome": "ok", "seconds": 2.0, "caller": None}
    ]


@pytest.mark.parametrize(
    ("error", "outcome", "level"),
    [
        (NotFound("no user 7"), "NotFound", "info"),
        (Overloaded("full"), "Overloaded", "warning"),
        (KeyError("name"), "Internal", "error"),
    ],
)
async def test_an_error_is_logged_by_its_class_and_goes_on_unchanged(error, outcome, level):
    events = Events()

    async def fails(_: object) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        await logging(events.log, operation="greet")(fails)("ada")
    assert raised.value is error
    assert [(e["outcome"], e["level"], e["error"]) for e in events] == [
        (outcome, level, str(error))
    ]


async def test_a_cancelled_call_is_logged_as_cancelled_and_stays_cancelled():
    events = Events()
    call = asyncio.create_task(logging(events.log, operation="greet")(answers_after_two_seconds)(1))
    await asyncio.sleep(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert [(e["outcome"], e["seconds"]) for e in events] == [("Cancelled", 1.0)]


async def test_the_caller_found_out_further_in_is_logged_and_does_not_linger():
    events = Events()

    async def authenticates(request: str) -> str:
        caller.set(request)
        return request

    endpoint = logging(events.log, operation="greet")(authenticates)
    await endpoint("ada")
    assert events[0]["caller"] == "ada"
    assert caller.get() is None


async def test_a_stream_is_logged_when_it_is_over_with_its_caller_and_what_broke_it():
    events = Events()

    async def breaks(request: str) -> AsyncIterator[str]:
        async def steps() -> AsyncIterator[str]:
            yield "first"
            await asyncio.sleep(2)
            raise Overloaded("too much")

        caller.set(request)
        return steps()

    stream = await logging(events.log, operation="watch")(breaks)("ada")
    assert await anext(stream) == "first" and not events
    with pytest.raises(Overloaded):
        await anext(stream)
    assert events == [
        {
            **{"event": "call", "level": "warning", "operation": "watch", "outcome": "Overloaded"},
            **{"seconds": 2.0, "caller": "ada", "error": "too much"},
        }
    ]


@pytest.mark.parametrize("leave", ["close it", "let it go"])
async def test_a_stream_that_nobody_takes_an_item_of_is_logged_too(leave: str):
    events = Events()

    async def one(_: object) -> AsyncIterator[int]:
        async def items() -> AsyncIterator[int]:
            yield 1

        return items()

    stream = await logging(events.log, operation="watch")(one)(None)
    if leave == "close it":
        await stream.aclose()
    del stream
    await asyncio.sleep(0.1)
    assert [event["outcome"] for event in events] == ["Cancelled"]


async def test_an_error_that_cannot_be_printed_is_logged_and_raised_all_the_same():
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    events = Events()

    async def fails(_: object) -> None:
        raise Odd

    with pytest.raises(Odd):
        await logging(events.log, operation="x")(fails)(None)
    assert events[0]["error"] == "Odd"
