"""What only the memory transport can do wrong: it has no wire that would end things for it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from course_lib import context
from course_lib.errors import DeadlineExceeded, Internal
from course_lib.transport.memory import memory_client, memory_server


async def test_the_deadline_of_a_call_ends_its_stream_but_not_the_reader_s_own_work():
    async def endpoint(request: Any) -> AsyncIterator[int]:
        async def items() -> AsyncIterator[int]:
            yield 1
            await asyncio.Event().wait()

        return items()

    before = context.deadline.set(2.0)
    items = await memory_client(memory_server(endpoint))(None)
    context.deadline.reset(before)
    assert await anext(items) == 1
    await asyncio.sleep(5)
    with pytest.raises(DeadlineExceeded):
        await anext(items)


async def test_a_timeout_within_the_service_s_stream_is_a_bug_and_not_the_deadline():
    async def endpoint(request: Any) -> AsyncIterator[int]:
        async def items() -> AsyncIterator[int]:
            raise TimeoutError
            yield 1

        return items()

    context.deadline.set(2.0)
    items = await memory_client(memory_server(endpoint))(None)
    with pytest.raises(Internal):
        await anext(items)


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_stream_that_is_left_cleans_up_in_the_server_s_context(taken: int):
    told: list[str | None] = []

    async def endpoint(request: object) -> AsyncIterator[int]:
        async def items() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                told.append(context.caller.get())

        context.caller.set("who was found out")
        stream = items()
        await anext(stream)  # the service itself has looked at its first item
        return stream

    context.caller.set("who called the client")
    stream = await memory_client(memory_server(endpoint))(None)
    for _ in range(taken):
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    await stream.aclose()
    assert told == ["who was found out"]


async def test_what_the_clean_up_of_a_stream_raises_arrives_as_a_copy():
    async def endpoint(request: object) -> AsyncIterator[int]:
        async def items() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                raise ValueError("a bug of the service")

        return items()

    stream = await memory_client(memory_server(endpoint))(None)
    await anext(stream)
    with pytest.raises(Internal):
        await stream.aclose()
