"""Trace, deadline and caller go wherever the work of a call goes, and only there."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from course_lib import context
from course_lib.context import TraceContext
from course_lib.endpoint import chain
from course_lib.lab.launch import serve_grpc
from course_lib.middleware.logging import logging
from course_lib.middleware.tracing import tracing
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.user_streams import UserStreams
from course_lib.shop.users import CreateUser, GetUser, User, with_demo_users
from course_lib.shop.users_grpc import add_users, grpc_user_stream_client
from course_lib.telemetry import trace_context
from course_lib.telemetry.traces import Spans
from course_lib.transport import metadata
from course_lib.transport.memory import memory_client, memory_server
from tests.transport.wires import WIRES

HERE = TraceContext("ab" * 16, "cd" * 8, True, "rojo=1")


def in_a_call() -> None:
    """Stand where an endpoint stands: traced, in a hurry, and asked by somebody."""
    context.trace.set(HERE)
    context.deadline.set(asyncio.get_running_loop().time() + 60)
    context.caller.set("ada")


def what_is_known() -> tuple[Any, Any, Any]:
    return context.trace.get(), context.deadline.get(), context.caller.get()


async def what_is_known_later() -> tuple[Any, Any, Any]:
    await asyncio.sleep(0)
    return what_is_known()


async def test_a_task_knows_what_its_maker_knew():
    in_a_call()
    known = what_is_known()
    assert await asyncio.create_task(what_is_known_later()) == known
    assert await asyncio.gather(what_is_known_later(), what_is_known_later()) == [known] * 2
    async with asyncio.TaskGroup() as group:
        task = group.create_task(what_is_known_later())
    assert task.result() == known


async def test_what_a_task_sets_stays_in_the_task():
    in_a_call()

    async def goes_on() -> None:
        context.trace.set(HERE.child())
        context.caller.set("grace")

    await asyncio.create_task(goes_on())
    assert what_is_known()[::2] == (HERE, "ada")


@pytest.mark.real_time
async def test_to_thread_takes_it_along_and_a_bare_executor_does_not():
    in_a_call()
    known = what_is_known()
    assert await asyncio.to_thread(what_is_known) == known
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        assert await loop.run_in_executor(pool, what_is_known) == (None, None, None)
        carried = contextvars.copy_context().run
        assert await loop.run_in_executor(pool, carried, what_is_known) == known


@pytest.mark.real_time
@pytest.mark.parametrize("wire", WIRES)
async def test_a_call_takes_trace_and_deadline_over_the_wire_and_leaves_the_caller_behind(wire):
    seen: list[tuple[Any, float | None, Any]] = []

    async def endpoint(request: GetUser) -> User:
        inside = await asyncio.create_task(what_is_known_later())
        seen.append((inside[0], context.remaining_seconds(), inside[2]))
        return User(1, "Ada", 36)

    in_a_call()
    async with WIRES[wire](endpoint, {}) as call:
        await call(GetUser(1))
    ((trace, seconds, caller),) = seen
    assert trace == HERE and caller is None
    assert seconds is not None and 50 < seconds <= 61


async def test_every_step_of_a_stream_knows_the_call_it_belongs_to():
    async def numbers(request: object) -> AsyncIterator[Any]:
        async def steps() -> AsyncIterator[Any]:
            for _ in range(3):
                await asyncio.sleep(1)
                yield what_is_known()[0], context.remaining_seconds()

        return steps()

    in_a_call()
    stream = await memory_client(memory_server(numbers))(None)
    steps = [step async for step in stream]
    assert [trace for trace, _ in steps] == [HERE] * 3
    assert [seconds for _, seconds in steps] == pytest.approx([59, 58, 57])


@pytest.mark.parametrize("spans", [None, Spans("users", export=lambda span: None)])
async def test_a_stream_stays_in_its_span_and_with_its_caller_until_its_end(spans):
    async def numbers(request: object) -> AsyncIterator[Any]:
        async def steps() -> AsyncIterator[Any]:
            for _ in range(3):
                yield await what_is_known_later()

        context.caller.set("grace")  # as authentication does
        began.append(context.trace.get())
        return steps()

    began: list[TraceContext | None] = []
    in_a_call()
    wrap = chain(tracing(spans, operation="numbers"), logging(lambda *_, **__: None, operation="n"))
    steps = [step async for step in await wrap(numbers)(None)]
    assert began[0].trace_id == HERE.trace_id and began[0].span_id != HERE.span_id
    assert [(trace, caller) for trace, _, caller in steps] == [(began[0], "grace")] * 3
    assert what_is_known()[::2] == (HERE, "ada")


async def test_a_stream_that_is_left_early_is_closed():
    closed = []

    async def numbers(request: object) -> AsyncIterator[int]:
        async def steps() -> AsyncIterator[int]:
            try:
                yield 1
                yield 2
            finally:
                closed.append(context.trace.get())

        return steps()

    stream = await tracing()(numbers)(None)
    assert await anext(stream) == 1
    await stream.aclose()
    assert len(closed) == 1


@pytest.mark.real_time
async def test_a_stream_over_real_grpc_knows_its_call_at_every_step_in_both_directions():
    seen: list[tuple[Any, float | None]] = []

    async def found(request: Any) -> AsyncIterator[User]:
        async def steps() -> AsyncIterator[User]:
            wanted = [item async for item in request] if hasattr(request, "__anext__") else [1, 2]
            for number, _ in enumerate(wanted):
                inside = await asyncio.create_task(what_is_known_later())
                seen.append((inside[0], context.remaining_seconds()))
                yield User(number, "Ada", 36)

        return steps()

    async def imported(request: Any) -> int:
        count = len([item async for item in request])
        seen.append((context.trace.get(), context.remaining_seconds()))
        return count

    async def asked() -> AsyncIterator[GetUser]:
        for number in (1, 2):
            yield GetUser(number)

    async def new_users() -> AsyncIterator[CreateUser]:
        yield CreateUser("Ada", 36)

    users, streams = user_endpoints(with_demo_users()), UserStreams(found, imported, found)
    with serve_grpc(lambda server: add_users(server, users, streams=streams)) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            client = grpc_user_stream_client(channel)
            in_a_call()
            assert len([user async for user in await client.watch_users()]) == 2
            assert len([user async for user in await client.find_users(asked())]) == 2
            assert await client.import_users(new_users()) == 1
    assert [trace for trace, _ in seen] == [HERE] * 5
    assert all(seconds and 50 < seconds <= 61 for _, seconds in seen)


async def test_a_message_carries_its_trace_to_whoever_takes_it_from_the_queue():
    """The handler was started long before the call, so nothing reaches it but the headers."""
    queue: asyncio.Queue[tuple[dict[str, str], str]] = asyncio.Queue()
    handled: dict[str, tuple[TraceContext | None, float | None]] = {}

    async def handle(message: object) -> None:
        handled[str(message)] = (context.trace.get(), context.remaining_seconds())

    async def consumer() -> None:
        while True:
            headers, message = await queue.get()
            tokens = metadata.arrive_with(headers, None)
            try:
                metadata.arrive_deadline(headers.get(metadata.TIMEOUT_HEADER))
                await tracing()(handle)(message)
            finally:
                metadata.leave(tokens)
                queue.task_done()

    async def publish(message: str) -> None:
        await queue.put((metadata.outgoing(), message))

    working = asyncio.create_task(consumer())
    await publish("from nobody")
    in_a_call()
    await publish("from a call")
    await queue.join()
    working.cancel()
    trace, seconds = handled["from a call"]
    assert (trace.trace_id, trace.tracestate) == (HERE.trace_id, "rojo=1")
    assert trace.span_id != HERE.span_id and seconds == pytest.approx(60)
    trace, seconds = handled["from nobody"]
    assert trace.trace_id != HERE.trace_id and seconds is None


async def test_headers_are_enough_to_go_on_anywhere():
    sent = trace_context.inject(HERE)
    assert trace_context.parse([sent["traceparent"]], [sent["tracestate"]]) == HERE
