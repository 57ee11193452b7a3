from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest

from course_lib.endpoint import Endpoint, Middleware, chain, until_over, within


def named(name: str, seen: list[str]) -> Middleware:
    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: object) -> object:
            seen.append(f"{name} before")
            response = await inner(request)
            seen.append(f"{name} after")
            return response

        return endpoint

    return wrap


async def test_the_first_middleware_of_a_chain_is_the_outermost():
    seen: list[str] = []

    async def echo(request: object) -> object:
        seen.append("endpoint")
        return request

    onion = chain(named("a", seen), named("b", seen))(echo)
    assert await onion("hello") == "hello"
    assert seen == ["a before", "b before", "endpoint", "b after", "a after"]


async def test_an_empty_chain_is_the_endpoint_itself():
    async def echo(request: object) -> object:
        return request

    assert chain()(echo) is echo


async def test_chains_nest():
    seen: list[str] = []

    async def echo(request: object) -> object:
        return request

    await chain(chain(named("a", seen), named("b", seen)), named("c", seen))(echo)(1)
    assert seen[:3] == ["a before", "b before", "c before"]


WHERE: ContextVar[str] = ContextVar("where", default="outside")


async def places(told: list[str]) -> AsyncIterator[str]:
    try:
        while True:
            yield WHERE.get()
    finally:
        told.append(f"closed {WHERE.get()}")


@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_each_step_of_a_stream_and_its_end_are_taken_within(taken: int):
    told: list[str] = []
    stream = await within(WHERE, "inside", places(told))
    for _ in range(taken):
        assert await anext(stream) == "inside"
        assert WHERE.get() == "outside"
    await stream.aclose()
    assert told == ["closed inside"] * bool(taken)


@pytest.mark.parametrize("taken", [0, 1, 2])
async def test_the_end_of_a_stream_is_heard_of_once_even_before_its_first_item(taken: int):
    heard: list[object] = []
    closed: list[str] = []
    stream = await until_over(
        places(closed), lambda error: heard.append((type(error), len(closed)))
    )
    for _ in range(taken):
        await anext(stream)
    assert not heard
    await stream.aclose()
    await stream.aclose()
    assert heard == [(GeneratorExit, bool(taken))]  # it is over once it has cleaned up
