"""What every transport promises, tested over all three."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest

from course_lib import context, errors
from course_lib.context import TraceContext
from course_lib.errors import CallError, ComeBackLater, DeadlineExceeded, InvalidRequest
from course_lib.shop.users import GetUser, User
from course_lib.transport.hooks import Outcome, bearer
from tests.transport.wires import WIRES, Wire

ADA = User(1, "Ada", 36)
ASK = GetUser(1)
TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", True, "a=1")

pytestmark = pytest.mark.real_time


@pytest.fixture(params=WIRES)
def wire(request: pytest.FixtureRequest) -> Wire:
    return WIRES[request.param]


def every_error() -> list[type[CallError]]:
    def below(error: type[CallError]) -> list[type[CallError]]:
        return [error, *(e for child in error.__subclasses__() for e in below(child))]

    return [error for error in below(CallError) if error.__module__ == errors.__name__]


def answers(value: Any) -> Callable[[Any], Any]:
    async def endpoint(request: Any) -> Any:
        return value

    return endpoint


def fails(error: BaseException) -> Callable[[Any], Any]:
    async def endpoint(request: Any) -> Any:
        raise error

    return endpoint


async def refusal(call: Callable[[Any], Any], request: Any = ASK) -> CallError:
    with pytest.raises(CallError) as caught:
        await call(request)
    return caught.value


async def test_a_request_arrives_and_its_answer_comes_back(wire: Wire):
    async def endpoint(request: GetUser) -> User:
        return User(request.user_id, "Zoë", 30)

    async with wire(endpoint, {}) as call:
        assert await call(GetUser(7)) == User(7, "Zoë", 30)


async def test_every_error_arrives_as_the_same_class_with_its_message(wire: Wire):
    for error_class in every_error():
        async with wire(fails(error_class("because ü\n2")), {}) as call:
            error = await refusal(call)
        assert type(error) is error_class
        assert (error.message, error.remote) == ("because ü\n2", True)


async def test_a_message_that_no_wire_can_carry_still_arrives(wire: Wire):
    for message, expected in (("half \ud800", "half ?"), (7, "7"), ("", "")):
        async with wire(fails(errors.NotFound(message)), {}) as call:  # type: ignore[arg-type]
            error = await refusal(call)
        assert type(error) is errors.NotFound
        assert error.message == expected


async def test_an_error_says_when_to_come_back(wire: Wire):
    for seconds in (1.25, 0.0, None):
        async with wire(fails(errors.RateLimited("slow", retry_after_seconds=seconds)), {}) as call:
            error = await refusal(call)
        assert isinstance(error, ComeBackLater)
        assert error.retry_after_seconds == seconds


async def test_an_error_of_the_lesson_s_own_arrives_as_its_nearest_ancestor(wire: Wire):
    class OutOfStock(errors.Conflict):
        pass

    async with wire(fails(OutOfStock("no more")), {}) as call:
        assert type(await refusal(call)) is errors.Conflict


async def test_a_bug_becomes_internal_and_keeps_its_details_on_the_server(wire: Wire):
    seen: list[Outcome] = []
    bug = RuntimeError("password=hunter2 in line 7")
    async with wire(fails(bug), {}, finalizers=(seen.append,)) as call:
        error = await refusal(call)
    assert (type(error), error.message) == (errors.Internal, "internal error")
    assert error.__cause__ is None or wire is WIRES["memory"]
    assert seen[0].error is not None and seen[0].error.__cause__ is bug


async def test_what_no_wire_can_carry_is_an_invalid_request():
    for name in ("http", "grpc"):
        async with WIRES[name](answers(ADA), {}) as call:
            for number in (2**64, "\ud800"):
                request = GetUser(number)  # type: ignore[arg-type]
                assert type(await refusal(call, request)) is InvalidRequest


@pytest.mark.parametrize("bug", [asyncio.CancelledError, SystemExit])
async def test_what_would_end_the_server_s_task_is_a_bug_too(wire: Wire, bug: type[BaseException]):
    async with wire(fails(bug()), {}) as call:
        for _ in range(2):
            error = await refusal(call)
            assert (type(error), error.message) == (errors.Internal, "internal error")


async def test_a_message_too_long_for_the_wire_is_cut(wire: Wire):
    async with wire(fails(errors.NotFound("ü" * 20_000)), {}) as call:
        error = await refusal(call)
    assert (type(error), error.message) == (errors.NotFound, "ü" * 1000)


async def test_a_deadline_beyond_every_calendar_is_no_obstacle(wire: Wire):
    async with wire(answers(ADA), {}) as call:
        context.deadline.set(math.inf)
        assert await call(ASK) == ADA


async def test_the_deadline_travels_and_shrinks(wire: Wire):
    left: list[float | None] = []

    async def endpoint(request: Any) -> User:
        left.append(context.remaining_seconds())
        return ADA

    async with wire(endpoint, {}) as call:
        await call(GetUser(1))
        context.deadline.set(asyncio.get_running_loop().time() + 5.0)
        await call(GetUser(1))
    assert left[0] is None
    assert left[1] is not None and 3.0 < left[1] < 5.0 * 1.011  # gRPC rounds up by up to 1 %


async def test_a_call_ends_at_its_deadline_even_when_the_service_never_answers(wire: Wire):
    async def endpoint(request: Any) -> User:
        await asyncio.get_running_loop().create_future()
        return ADA

    async with wire(endpoint, {}) as call:
        context.deadline.set(asyncio.get_running_loop().time() + 0.05)
        assert type(await refusal(call)) is DeadlineExceeded


async def test_a_call_that_is_too_late_does_not_leave(wire: Wire):
    served: list[Any] = []

    async def endpoint(request: Any) -> User:
        served.append(request)
        return ADA

    async with wire(endpoint, {}) as call:
        context.deadline.set(asyncio.get_running_loop().time() - 1.0)
        assert type(await refusal(call)) is DeadlineExceeded
    assert served == []


async def test_the_trace_is_forwarded_and_continued(wire: Wire):
    seen: list[TraceContext | None] = []

    async def endpoint(request: Any) -> User:
        seen.append(context.trace.get())
        return ADA

    async with wire(endpoint, {}) as call:
        await call(GetUser(1))
        context.trace.set(TRACE)
        await call(GetUser(1))
    assert seen == [None, TRACE]


async def test_credentials_go_only_where_they_are_sent_on_purpose(wire: Wire):
    seen: list[str | None] = []

    async def endpoint(request: Any) -> User:
        seen.append(context.authorization.get())
        return ADA

    context.authorization.set("Bearer of-the-caller")
    async with wire(endpoint, {}) as call:
        await call(GetUser(1))
    async with wire(endpoint, {"before": (bearer("on-purpose"),)}) as call:
        await call(GetUser(1))
    assert seen == [None, "Bearer on-purpose"]


async def test_the_context_of_the_caller_is_untouched(wire: Wire):
    context.caller.set("me")
    seen: list[Any] = []

    async def endpoint(request: Any) -> User:
        seen.append((context.caller.get(), context.caller_address.get() is not None))
        context.caller.set("somebody else")
        return ADA

    async with wire(endpoint, {}) as call:
        await call(GetUser(1))
    assert (seen, context.caller.get()) == ([(None, True)], "me")


async def test_hooks_run_in_go_kit_s_order(wire: Wire):
    steps: list[str] = []

    async def endpoint(request: Any) -> User:
        steps.append("endpoint")
        return ADA

    def after(headers: Any, response: Any) -> None:
        steps.append(f"after {response.name}")
        headers["x-served-by"] = "a"

    def client_after(headers: Any, response: Any) -> None:
        steps.append(f"client after {response.name} from {headers['x-served-by']}")

    def client_before(headers: Any) -> None:
        steps.append("client before")
        headers["x-tenant"] = "shop"

    client = {"before": (client_before,), "after": (client_after,)}
    hooks = {
        "before": (lambda headers: steps.append(f"before for {headers['x-tenant']}"),),
        "after": (after,),
        "finalizers": (lambda outcome: steps.append("finalizer"),),
    }
    async with wire(endpoint, client, **hooks) as call:
        await call(GetUser(1))
        while "finalizer" not in steps:
            await asyncio.sleep(0)
    assert steps[:4] == ["client before", "before for shop", "endpoint", "after Ada"]
    assert sorted(steps[4:]) == ["client after Ada from a", "finalizer"]


async def test_a_before_hook_may_refuse_and_the_endpoint_is_not_called(wire: Wire):
    def before(headers: Any) -> None:
        raise InvalidRequest("x-tenant: is required")

    async with wire(fails(AssertionError("called")), {}, before=(before,)) as call:
        error = await refusal(call)
    assert (type(error), error.message) == (InvalidRequest, "x-tenant: is required")


async def test_what_a_before_hook_sets_is_seen_by_the_endpoint(wire: Wire):
    seen: list[str | None] = []

    async def endpoint(request: Any) -> User:
        seen.append(context.caller.get())
        return ADA

    async with wire(endpoint, {}, before=(lambda headers: context.caller.set("hook"),)) as call:
        await call(GetUser(1))
    assert seen == ["hook"]


async def test_the_finalizer_knows_how_each_call_ended(wire: Wire):
    seen: list[Outcome] = []
    async with wire(answers(ADA), {}, finalizers=(seen.append,)) as call:
        await call(GetUser(1))
    async with wire(fails(errors.NotFound("no user 1")), {}, finalizers=(seen.append,)) as call:
        await refusal(call)
    assert seen[0].code in ("200", "OK", "ok") and seen[0].error is None
    assert seen[1].code in ("404", "NOT_FOUND", "NotFound")
    assert isinstance(seen[1].error, errors.NotFound)
    assert all(outcome.seconds >= 0 and outcome.route for outcome in seen)


async def test_many_calls_at_once_do_not_mix(wire: Wire):
    async def endpoint(request: GetUser) -> User:
        await asyncio.sleep(0.001 * (request.user_id % 5))
        return User(request.user_id, f"user {request.user_id}", 1)

    async with wire(endpoint, {}) as call:
        got = await asyncio.gather(*(call(GetUser(number)) for number in range(50)))
    assert [user.user_id for user in got] == list(range(50))
