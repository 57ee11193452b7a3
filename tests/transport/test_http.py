"""What only HTTP can do, and what only HTTP can do wrong."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from course_lib import context
from course_lib.context import TraceContext
from course_lib.errors import (
    CallError,
    Conflict,
    DeadlineExceeded,
    Internal,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    Unauthenticated,
    Unavailable,
)
from course_lib.lab.launch import serve
from course_lib.shop.endpoints import user_endpoints
from course_lib.shop.users import GetUser, User, with_demo_users
from course_lib.shop.users_http import http_user_client, user_routes
from course_lib.transport.hooks import Outcome
from course_lib.transport.http_client import close_connections, http_client
from course_lib.transport.http_server import Route, http_app
from course_lib.transport.http_stream import read_events
from tests.transport.asgi import call

ADA = User(1, "Ada", 36)
TRACEPARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def refusal(ask: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        await ask(GetUser(1))
    return caught.value


def client_of(app: Any, **options: Any) -> Any:
    """A client that reaches the application without a socket."""
    options["transport"] = httpx.ASGITransport(app)
    return http_client("http://test", "GET", "/users/{user_id}", User, **options)


async def test_the_answer_is_an_envelope_with_the_status_in_it():
    app = http_app("users", user_routes(user_endpoints(with_demo_users())))
    answer = await call(app, "POST", "/users", b'{"name": "Zo\xc3\xab", "age": 3}')
    assert answer.status == 201
    assert answer.body == (
        '{"code":201,"data":{"user_id":6,"name":"Zoë","age":3},"message":"ok"}'.encode()
    )
    assert answer.headers[b"content-type"] == b"application/json"


async def test_two_traceparent_headers_start_a_new_trace():
    seen: list[TraceContext | None] = []

    async def endpoint(request: Any) -> User:
        seen.append(context.trace.get())
        return ADA

    app = http_app("users", [Route("GET", "/users/{user_id}", endpoint, GetUser, User)])
    for count in (1, 2):
        await call(app, "GET", "/users/1", headers=[(b"traceparent", TRACEPARENT)] * count)
    assert seen[0] is not None and seen[0].span_id == "00f067aa0ba902b7"
    assert seen[1] is None


async def test_an_unauthenticated_caller_is_told_how_to_authenticate():
    async def endpoint(request: Any) -> User:
        raise Unauthenticated("who are you")

    app = http_app("users", [Route("GET", "/users/{user_id}", endpoint, GetUser, User)])
    answer = await call(app, "GET", "/users/1")
    assert (answer.status, answer.headers[b"www-authenticate"]) == (401, b"Bearer")


async def test_a_plain_fastapi_route_and_a_middleware_live_beside_ours():
    app: FastAPI = http_app("users", user_routes(user_endpoints(with_demo_users())))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    class Stamp:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def stamped(message: Any) -> None:
                if message["type"] == "http.response.start":
                    message["headers"].append((b"x-stamp", b"1"))
                await send(message)

            await self.inner(scope, receive, stamped)

    app.add_middleware(Stamp)
    for path in ("/healthz", "/users/1", "/nothing"):
        assert (await call(app, "GET", path)).headers[b"x-stamp"] == b"1"


async def test_the_application_works_below_another_one():
    outer = FastAPI()
    outer.mount("/shop", http_app("users", user_routes(user_endpoints(with_demo_users()))))
    assert (await call(outer, "GET", "/shop/users/1")).status == 200
    assert (await call(outer, "GET", "/shop/users/99")).status == 404


async def test_a_foreign_server_is_understood_by_its_status():
    foreign = FastAPI()

    @foreign.get("/users/{status}")
    async def answer(status: int) -> Any:
        headers = {"retry-after": "2"}
        return PlainTextResponse("<html>secret", status_code=status, headers=headers)

    ask = client_of(foreign)
    expected = {
        404: NotFound,
        409: Conflict,
        418: InvalidRequest,
        422: InvalidRequest,
        429: RateLimited,
        500: Internal,
        502: Unavailable,
        503: Unavailable,
        504: DeadlineExceeded,
        599: Internal,
    }
    for status, error_class in expected.items():
        with pytest.raises(error_class) as caught:
            await ask(GetUser(status))
        assert "secret" not in caught.value.message and caught.value.remote
    with pytest.raises(RateLimited) as limited:
        await ask(GetUser(429))
    assert limited.value.retry_after_seconds == 2.0


async def test_an_answer_that_is_not_what_was_asked_for_is_internal():
    foreign = FastAPI()
    bodies: list[Any] = [{"name": "Ada"}, {"code": 200, "data": {"user_id": "x"}, "message": "ok"}]

    @foreign.get("/users/{number}")
    async def answer(number: int) -> Any:
        return JSONResponse(bodies[number])

    for number in range(2):
        with pytest.raises(Internal):
            await client_of(foreign)(GetUser(number))


async def test_an_answer_that_cannot_be_unpacked_is_internal():
    foreign = FastAPI()

    @foreign.get("/users/{number}")
    async def answer(number: int) -> Any:
        return Response(b"no gzip", headers={"content-encoding": "gzip"})

    with pytest.raises(Internal, match="cannot be read"):
        await client_of(foreign)(GetUser(1))


async def test_a_newer_server_may_send_more_fields():
    foreign = FastAPI()

    @foreign.get("/users/{number}")
    async def answer(number: int) -> Any:
        data = {"user_id": 1, "name": "Ada", "age": 36, "email": "ada@shop"}
        return {"code": 200, "data": data, "message": "ok", "page": 1}

    assert await client_of(foreign)(GetUser(1)) == ADA


async def test_a_value_that_cannot_stand_in_a_path_does_not_leave():
    app = http_app("users", [])
    for value in ("", "..", "a/b"):
        with pytest.raises(InvalidRequest, match="user_id: must be a name without a slash"):
            await client_of(app)(GetUser(value))  # type: ignore[arg-type]


@pytest.mark.real_time
async def test_nobody_there_is_unavailable():
    ask = http_client("http://127.0.0.1:1", "GET", "/users/{user_id}", User)
    error = await refusal(ask)
    assert type(error) is Unavailable and not error.remote
    await close_connections()


@pytest.mark.real_time
async def test_a_server_that_crashes_in_the_middle_is_unavailable():
    async def endpoint(request: Any) -> User:
        arrived.set_result(None)
        await asyncio.get_running_loop().create_future()
        return ADA

    arrived: Future[None] = Future()
    app = http_app("users", [Route("GET", "/users/{user_id}", endpoint, GetUser, User)])
    with serve(app) as server:
        ask = http_client(server.url, "GET", "/users/{user_id}", User)
        asking = asyncio.create_task(refusal(ask))
        await asyncio.wrap_future(arrived)
        server.kill()
        assert type(await asking) is Unavailable
    await close_connections()


@pytest.mark.real_time
async def test_a_caller_who_still_sends_gets_the_refusal_and_no_broken_connection():
    with serve(http_app("users", user_routes(user_endpoints(with_demo_users())))) as server:
        users = http_user_client(server.url)
        for size in (1_000_100, 20_000_000):
            with pytest.raises(PayloadTooLarge, match="at most 1000000 bytes"):
                await users.create_user("x" * size, 3)
        await close_connections()


@pytest.mark.real_time
async def test_after_a_body_that_is_too_large_the_server_still_answers():
    app = http_app("users", user_routes(user_endpoints(with_demo_users())), max_body_bytes=1000)
    with serve(app) as server:
        reader, writer = await asyncio.open_connection(*server.address.split(":"))
        writer.write(b"POST /users HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nabc")
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        users = http_user_client(server.url)
        assert await users.get_user(1) == ADA
        await close_connections()


def streaming(items: Any, **hooks: Any) -> Any:
    return http_app(
        "users",
        [Route("GET", "/users/{user_id}", items, GetUser, User, stream=True, **hooks)],
    )


async def test_an_error_before_the_stream_begins_has_a_status_of_its_own():
    async def endpoint(request: GetUser) -> AsyncIterator[User]:
        raise NotFound("no user 1")

    assert (await call(streaming(endpoint), "GET", "/users/1")).status == 404


async def test_an_error_within_a_stream_arrives_as_what_it_was():
    async def endpoint(request: GetUser) -> AsyncIterator[User]:
        async def items() -> AsyncIterator[User]:
            yield ADA
            raise RateLimited("enough", retry_after_seconds=3.0)

        return items()

    seen: list[Outcome] = []
    got = await client_of(streaming(endpoint, finalizers=(seen.append,)), stream=True)(GetUser(1))
    assert await anext(got) == ADA
    with pytest.raises(RateLimited, match="enough") as caught:
        await anext(got)
    assert (caught.value.remote, caught.value.retry_after_seconds) == (True, 3.0)
    assert (seen[0].code, type(seen[0].error)) == ("429", RateLimited)


async def test_a_stream_is_plain_server_sent_events():
    async def endpoint(request: GetUser) -> AsyncIterator[User]:
        async def items() -> AsyncIterator[User]:
            for age in (1, 2):
                yield User(1, "Ada", age)

        return items()

    answer = await call(streaming(endpoint), "GET", "/users/1", b"")
    assert answer.headers[b"content-type"] == b"text/event-stream"
    events = answer.body.split(b"\n\n")[:-1]
    assert [orjson.loads(event.removeprefix(b"data: "))["age"] for event in events] == [1, 2]


@pytest.mark.real_time
async def test_the_deadline_of_a_call_ends_its_stream_but_not_the_reader_s_own_work():
    async def endpoint(request: GetUser) -> AsyncIterator[User]:
        async def items() -> AsyncIterator[User]:
            yield ADA
            await asyncio.Event().wait()

        return items()

    with serve(streaming(endpoint)) as server:
        watch = http_client(server.url, "GET", "/users/{user_id}", User, stream=True)
        before = context.deadline.set(asyncio.get_running_loop().time() + 0.5)
        items = await watch(GetUser(1))
        context.deadline.reset(before)
        assert await anext(items) == ADA
        await asyncio.sleep(0.55)
        with pytest.raises(DeadlineExceeded):
            await anext(items)
        await close_connections()


@pytest.mark.parametrize("event", [b"data: {", b'data: {"user_id": "x"}', b"event: error\ndata: 1"])
async def test_an_event_that_is_not_what_it_should_be_is_internal(event: bytes):
    foreign = FastAPI()

    @foreign.get("/users/{number}")
    async def answer(number: int) -> Any:
        return Response(event + b"\n\n", media_type="text/event-stream")

    items = await client_of(foreign, stream=True)(GetUser(1))
    with pytest.raises(Internal, match="it should be"):
        await anext(items)


async def test_only_the_ends_of_lines_that_events_know_end_a_line():
    async def endpoint(request: GetUser) -> AsyncIterator[User]:
        async def items() -> AsyncIterator[User]:
            yield User(1, "A\u2028d\x85a", 36)

        return items()

    items = await client_of(streaming(endpoint), stream=True)(GetUser(1))
    assert await anext(items) == User(1, "A\u2028d\x85a", 36)

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"data: a\r", b"\ndata: b\r\rev", b"ent: error\n\ndata: c\n", b"\ndata: d"):
            yield chunk

    assert [event async for event in read_events(chunks())] == [
        ("message", b"a\nb"),
        ("message", b"c"),
    ]


async def test_a_request_that_says_all_in_its_path_needs_no_body():
    async def endpoint(request: GetUser) -> User:
        return User(request.user_id, "Ada", 36)

    app = http_app("users", [Route("POST", "/users/{user_id}/wake", endpoint, GetUser, User)])
    for body in (b"", b"{}"):
        answer = await call(app, "POST", "/users/1/wake", body)
        assert answer.envelope["data"] == {"user_id": 1, "name": "Ada", "age": 36}
    assert "requestBody" not in app.openapi()["paths"]["/users/{user_id}/wake"]["post"]
    assert (await call(app, "POST", "/users/1/wake", b'{"name": 1}')).status == 400


@pytest.mark.real_time
@pytest.mark.parametrize("taken", [0, 1])
async def test_a_stream_ends_on_the_server_when_its_reader_leaves(taken: int):
    ended: Future[str] = Future()

    async def endpoint(request: GetUser) -> AsyncIterator[User]:
        async def items() -> AsyncIterator[User]:
            try:
                while True:
                    yield ADA
                    await asyncio.sleep(0.001)
            finally:
                ended.set_result("ended")

        return items()

    with serve(streaming(endpoint)) as server:
        watch = http_client(server.url, "GET", "/users/{user_id}", User, stream=True)
        items = await watch(GetUser(1))
        for _ in range(taken):
            assert await anext(items) == ADA
        await items.aclose()
        async with asyncio.timeout(5):
            assert await asyncio.wrap_future(ended) == "ended"
        await close_connections()


@pytest.mark.real_time
async def test_the_stream_of_a_slow_reader_is_closed_when_the_server_stops():
    ended: Future[str] = Future()
    begun: Future[None] = Future()

    async def endpoint(request: GetUser) -> AsyncIterator[User]:
        async def items() -> AsyncIterator[User]:
            try:
                yield ADA
                begun.set_result(None)
                while True:
                    yield User(1, "x" * 500_000, 36)
            finally:
                ended.set_result("ended")

        return items()

    with serve(streaming(endpoint)) as server:
        watch = http_client(server.url, "GET", "/users/{user_id}", User, stream=True)
        items = await watch(GetUser(1))
        await asyncio.wrap_future(begun)
        await asyncio.to_thread(server.stop, 0.1)
        async with asyncio.timeout(5):
            assert await asyncio.wrap_future(ended) == "ended"
        await items.aclose()
        await close_connections()
