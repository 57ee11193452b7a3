"""Graders of the exercises to lesson 2.5, one request end to end."""

import asyncio
import contextlib
from collections import namedtuple

import pytest

from course_lib import context, errors
from course_lib.errors import DeadlineExceeded
from course_lib.grading.checks import CheckFailed, ensure, expect, no_error, raises
from course_lib.telemetry import trace_context
from course_lib.transport.hooks import Outcome

# own_times

Span = namedtuple("Span", "name start end parent", defaults=(None,))


def owned(answer, *spans):
    given = list(spans)
    found = answer.own_times(given)
    ensure(
        isinstance(found, dict) and set(found) == {span.name for span in spans},
        "Return a dictionary with each span's name and its own time.",
        call="own_times(spans)",
        got=repr(found),
        expected="a time for each of " + ", ".join(span.name for span in spans),
    )
    ensure(
        given == list(spans),
        "The list belongs to the caller, who may have put it in this order. Use `sorted`.",
        call="own_times(spans)",
        got="a list that has changed: " + ", ".join(span.name for span in given),
        expected=", ".join(span.name for span in spans),
    )
    return {name: round(seconds, 6) for name, seconds in found.items()}


@pytest.mark.task("own_times")
def test_a_span_alone_keeps_all_its_time(answer):
    """A span without children has all its time to itself."""
    expect(
        owned(answer, Span("users", 0.2, 0.5)),
        {"users": 0.3},
        'own_times([Span("users", 0.2, 0.5)])',
        "Its own time is its length: end less start.",
    )
    expect(
        owned(answer, Span("users", 0.2, 0.337)),
        {"users": 0.137},
        'own_times([Span("users", 0.2, 0.337)])',
        "Do not round: a service of 137 ms and one of 60 ms are both 0.1 s then.",
    )


@pytest.mark.task("own_times")
def test_a_parent_may_be_elsewhere(answer):
    """A span whose parent is not in the list keeps all its time to itself."""
    call = 'own_times([Span("users", 0.2, 0.5, "browser")])'
    why = "The parent ran on another machine, and nobody asks for its time."
    with no_error(KeyError, StopIteration, call=call, expected="{'users': 0.3}", why=why):
        expect(owned(answer, Span("users", 0.2, 0.5, "browser")), {"users": 0.3}, call, why)


@pytest.mark.task("own_times")
def test_grandchildren_are_not_taken_off(answer):
    """What a child hands on to a grandchild is taken off the child alone."""
    expect(
        owned(
            answer,
            Span("gateway", 0.0, 1.0),
            Span("orders", 0.1, 0.8, "gateway"),
            Span("database", 0.3, 0.6, "orders"),
        ),
        {"gateway": 0.3, "orders": 0.4, "database": 0.3},
        "gateway 0 to 1 > orders 0.1 to 0.8 > database 0.3 to 0.6",
        "The database is within orders already. Take off the spans whose parent is this one.",
    )
    expect(
        owned(
            answer,
            Span("gateway", 0.0, 1.0),
            Span("orders", 0.1, 0.5, "gateway"),
            Span("mail", 0.4, 0.8, "orders"),
        )["gateway"],
        0.6,
        "gateway 0 to 1 > orders 0.1 to 0.5 > mail 0.4 to 0.8",
        "The gateway waits for orders alone. What mail does afterwards is no affair of its own.",
    )


@pytest.mark.task("own_times")
def test_children_side_by_side_count_once(answer):
    """Two children that run at the same time take their shared time off once."""
    expect(
        owned(
            answer,
            Span("gateway", 0.0, 1.0),
            Span("users", 0.1, 0.7, "gateway"),
            Span("stock", 0.3, 0.5, "gateway"),
            Span("orders", 0.4, 0.9, "gateway"),
        )["gateway"],
        0.2,
        "gateway 0 to 1, with users 0.1 to 0.7, stock 0.3 to 0.5 and orders 0.4 to 0.9",
        "Nobody works from 0 to 0.1 and from 0.9 to 1 but the gateway. Go through the children by "
        "their start, and remember how far the time is covered already.",
    )
    expect(
        owned(
            answer,
            Span("gateway", 0.0, 1.0),
            Span("users", 0.0, 0.6, "gateway"),
            Span("orders", 0.6, 1.0, "gateway"),
        )["gateway"],
        0.0,
        "gateway 0 to 1, with users 0 to 0.6 and orders 0.6 to 1",
        "Its children cover all of it, so nothing is left, and 0.0 is a time too.",
    )


@pytest.mark.task("own_times")
def test_a_child_may_outlast_its_parent(answer):
    """What a child does after its parent has ended, or before it began, is not taken off."""
    why = "Only the part of a child that lies within its parent is taken off it."
    for start, end, own in ((0.8, 3.0, 0.8), (1.5, 3.0, 1.0), (-0.5, 0.3, 0.7)):
        expect(
            owned(answer, Span("orders", 0.0, 1.0), Span("mail", start, end, "orders")),
            {"orders": own, "mail": round(end - start, 6)},
            f"orders 0 to 1, with mail {start:g} to {end:g}",
            why,
        )


@pytest.mark.task("own_times")
def test_the_order_does_not_matter(answer):
    """The spans may come in any order."""
    expect(
        owned(
            answer,
            Span("late", 0.6, 0.8, "gateway"),
            Span("early", 0.0, 0.2, "gateway"),
            Span("gateway", 0.0, 1.0),
        )["gateway"],
        0.6,
        "late 0.6 to 0.8, early 0 to 0.2, and last their parent, gateway 0 to 1",
        "Spans arrive as they end, so a parent comes after its children. Sort the children.",
    )


# onward_headers


def seconds_sent(headers, call):
    try:
        text = headers["x-timeout-seconds"]
        return float(text if isinstance(text, str) else "no text")
    except (KeyError, TypeError, ValueError):
        raise CheckFailed(
            "The header is what is left, in seconds, as text.",
            call=call,
            got=repr(headers),
            expected="a header x-timeout-seconds with a number as text",
        ) from None


async def with_a_deadline(seconds, passed):
    context.deadline.set(asyncio.get_running_loop().time() + seconds)
    await asyncio.sleep(passed)


@pytest.mark.task("onward_headers")
async def test_sends_what_is_left(answer):
    """The time that has passed is taken off."""
    await with_a_deadline(1.0, passed=0.306)
    call = "onward_headers(), 0.306 s into a deadline of 1 s"
    why = (
        "What is left, to the millisecond. Not what came in, and not the instant itself: another "
        "machine has another clock."
    )
    expect(seconds_sent(answer.onward_headers(), call), 0.694, call, why, within=0.002)


@pytest.mark.task("onward_headers")
async def test_keeps_what_it_needs(answer):
    """What this service needs for itself is kept back."""
    await with_a_deadline(1.0, passed=0.3)
    call = "onward_headers(0.2), 0.3 s into a deadline of 1 s"
    why = "Whoever gives away all the time has none to do something with the answer."
    expect(seconds_sent(answer.onward_headers(0.2), call), 0.5, call, why, within=0.002)


@pytest.mark.task("onward_headers")
async def test_without_a_deadline_there_is_no_timeout(answer):
    """Without a deadline there is no timeout header."""
    sent = answer.onward_headers(0.2)
    why = "Nobody has set a deadline, and there is no trace, so there is nothing to send."
    expect(sent, {}, "onward_headers(0.2), without deadline and trace", why)


@pytest.mark.task("onward_headers")
async def test_does_not_call_when_it_is_too_late(answer):
    """When the other service would have no time at all, it is not called."""
    await with_a_deadline(1.0, passed=0.9)
    why = "A call with nothing left is work for nobody. Do not make it."
    with raises(DeadlineExceeded, call="onward_headers(0.2), with 0.1 s left", why=why):
        answer.onward_headers(0.2)
    await with_a_deadline(1.0, passed=0.5)
    with raises(DeadlineExceeded, call="onward_headers(0.5), with exactly 0.5 s left", why=why):
        answer.onward_headers(0.5)
    await with_a_deadline(1.0, passed=1.5)
    why = "`context.remaining_seconds()` raises it; let it go on. There was a deadline: it is over."
    with raises(DeadlineExceeded, call="onward_headers(), 0.5 s after the deadline", why=why):
        answer.onward_headers()


@pytest.mark.task("onward_headers")
async def test_the_trace_goes_on_in_a_new_span(answer):
    """The trace is the same, the span is a new one."""
    here = context.TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    context.trace.set(here)
    spans = {here.span_id}
    for call in ("the first call", "the second call"):
        sent = answer.onward_headers()
        there = trace_context.parse([str(sent.get("traceparent", ""))])
        ensure(
            there is not None and there.trace_id == here.trace_id and there.span_id not in spans,
            "Each call is a step of its own in the same trace: `child()` makes it.",
            call=f"onward_headers() in {here.traceparent}, {call}",
            got=repr(sent.get("traceparent")),
            expected="a traceparent with the same trace id and a span id of its own",
        )
        spans.add(there.span_id)
    context.trace.set(here._replace(sampled=False))
    sent = answer.onward_headers().get("traceparent")
    ensure(
        str(sent).endswith("-00"),
        "Whether a trace is recorded was decided where it began. `child()` keeps it.",
        call="onward_headers() in a trace that is not recorded, which ends in -00",
        got=repr(sent),
        expected="a traceparent that ends in -00",
    )


@pytest.mark.task("onward_headers")
async def test_this_call_stays_as_it_is(answer):
    """Trace and deadline of the call in which this happens stay as they were."""
    await with_a_deadline(1.0, passed=0.3)
    context.trace.set(context.TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))
    before = context.trace.get(), context.deadline.get()
    answer.onward_headers(0.2)
    ensure(
        (context.trace.get(), context.deadline.get()) == before,
        "The headers are for the other service. Whoever sets the context changes this call, and "
        "the next call that leaves it.",
        call="context.trace and context.deadline after onward_headers(0.2)",
        got="others than before",
        expected="the same as before",
    )


@pytest.mark.task("onward_headers")
async def test_credentials_stay_here(answer):
    """The caller's credentials are not sent on, nor is anything else."""
    context.authorization.set("Basic YWRhOmVuZ2luZQ==")
    context.caller.set("ada")
    sent = answer.onward_headers()
    ensure(
        "Basic" not in repr(sent),
        "They were meant for this service. The next one is told who calls by other means.",
        call="onward_headers() in a call that came with a password",
        got="the caller's password among the headers",
        expected="no credentials",
    )
    why = "The two headers and nothing else: a stranger believes, or keeps, whatever you send."
    expect(sent, {}, "onward_headers() in a call of ada, without deadline and trace", why)


# availability


def over_http(code, error=None):
    return Outcome("GET", "/users/{user_id}", code, 100, 0.01, error)


def over_grpc(code, error=None):
    return Outcome("gRPC", "/shop.Users/GetUser", code, 100, 0.01, error)


def in_memory(code, error=None):
    return Outcome("memory", "get_user", code, 0, 0.01, error)


GOOD = [over_http("200"), over_http("201"), over_grpc("OK"), in_memory("ok")]


@pytest.mark.task("availability")
def test_all_well_is_a_hundred(answer):
    """Four calls that went well over the three transports make 100 percent."""
    why = "A number of percent, from 0 to 100."
    expect(answer.availability(GOOD), 100, "200, 201, OK and ok", why, within=1e-6)
    why = "Whoever waited was answered, whatever the code. Do not make a list of the good ones."
    expect(answer.availability([over_http("204")]), 100, "one 204, no error", why, within=1e-6)


@pytest.mark.task("availability")
def test_each_list_is_counted_anew(answer):
    """What was counted for one list does not count for the next."""
    answer.availability([over_http("503", errors.Overloaded("full"))])
    why = "Begin at nought in each call; do not keep a count outside the function."
    call = "four good calls, after another list with one 503"
    expect(answer.availability(GOOD), 100, call, why, within=1e-6)


@pytest.mark.task("availability")
def test_failures_count_against_us(answer):
    """One failure in four makes 75 percent, whatever its code."""
    for failed in (
        over_http("503", errors.Overloaded("full")),
        over_grpc("DEADLINE_EXCEEDED", errors.DeadlineExceeded("late")),
        in_memory("Internal", errors.Internal("a bug")),
        over_http("429", errors.RateLimited("too often")),
    ):
        expect(
            answer.availability([*GOOD[:3], failed]),
            75,
            f"three good calls and one {failed.code}",
            "This error is no Answer: the caller did not get what the service is there for.",
            within=1e-6,
        )
    failed = over_http("503", errors.Overloaded("full"))
    why = "Do not round: 99.86 and 99.94 are both 99.9 then, and one has twice the failures."
    two_of_three = answer.availability([*GOOD[:2], failed])
    expect(two_of_three, 200 / 3, "two good calls and one 503", why, within=1e-6)


@pytest.mark.task("availability")
def test_all_failed_is_nought(answer):
    """When every call failed, it is 0 percent, and that is known."""
    failed = over_http("503", errors.Overloaded("full"))
    why = "0 percent is a number, and a bad one; `None` says that there was nothing to count."
    expect(answer.availability([failed] * 3), 0, "three times 503", why, within=1e-6)


@pytest.mark.task("availability")
def test_answers_are_not_failures(answer):
    """A user who does not exist and a request that makes no sense do not count against us."""
    answers = [
        over_http("404", errors.NotFound("no user 7")),
        over_grpc("INVALID_ARGUMENT", errors.PayloadTooLarge("too large")),
        over_http("501", errors.Unimplemented("no such method")),
    ]
    expect(
        answer.availability([*GOOD, *answers]),
        100,
        "four good calls, one 404, one INVALID_ARGUMENT and one 501",
        "Look at the class of the error, `Answer`, and not at the number: a caller who asks for "
        "what is not there would ruin your figure.",
        within=1e-6,
    )
    failed = over_http("503", errors.Overloaded("full"))
    expect(
        answer.availability([answers[0], failed]),
        50,
        "one 404 and one 503",
        "A 404 is work well done. It counts for us, in both numbers of the fraction.",
        within=1e-6,
    )


@pytest.mark.task("availability")
def test_who_left_does_not_count(answer):
    """Callers who left count neither for nor against us."""
    gone = [over_http("499"), over_grpc("CANCELLED"), in_memory("cancelled")]
    outcomes = [over_http("200"), over_http("503", errors.Overloaded("full")), *gone]
    expect(
        answer.availability(outcomes),
        50,
        "one 200, one 503, and callers who left: 499, CANCELLED, cancelled",
        "Who left has no error and got no answer. They stand in neither number of the fraction.",
        within=1e-6,
    )


@pytest.mark.task("availability")
def test_nothing_to_count_is_not_a_number(answer):
    """Without a call that counts, nobody knows."""
    why = "Nothing divided by nothing is not 100 percent, nor 0."
    gone = [over_http("499")]
    for outcomes, call in (([], "availability([])"), (gone, "one caller, who left: 499")):
        with no_error(ZeroDivisionError, call=call, expected="None", why=why):
            expect(answer.availability(outcomes), None, call, why)


# stop_when_caller_leaves


class Caller:
    """What an ASGI server is to an application: messages in, messages out, and a caller."""

    def __init__(self, *bodies, leaves_after=None):
        parts = bodies or (b"",)
        last = len(parts) - 1
        self.messages = [
            {"type": "http.request", "body": body, "more_body": n < last}
            for n, body in enumerate(parts)
        ]
        self.leaves_after, self.sent = leaves_after, []

    async def receive(self):
        if self.messages:
            return self.messages.pop(0)
        if self.leaves_after is None:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self.leaves_after - asyncio.get_running_loop().time())
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    async def call(self, answer, app, scope_type="http"):
        state = "has not begun"

        async def watched(scope, receive, send):
            nonlocal state
            state = "works"
            try:
                await app(scope, receive, send)
            finally:
                state = "has ended"

        stopping = answer.stop_when_caller_leaves(app if scope_type != "http" else watched)
        try:
            async with asyncio.timeout(3600) as patience:
                await stopping({"type": scope_type}, self.receive, self.send)
        except TimeoutError:
            if not patience.expired():
                raise
            raise CheckFailed(
                f"Your code still waits for a message although the application {state}. Who waits "
                "in `receive()` sees nothing else: let a task of its own do it.",
                call="a caller who sends a request, and stays",
                got="a call that never returns",
                expected="a call that returns when the application has ended",
            ) from None


async def left_since(before):
    """The names of the tasks that have begun since, and have not ended."""
    await asyncio.sleep(0)
    return [task.get_coro().__qualname__ for task in asyncio.all_tasks() - before]


async def respond(send, body):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.mark.task("stop_when_caller_leaves")
async def test_who_waits_is_answered(answer):
    """A caller who waits gets the answer."""

    async def app(scope, receive, send):
        await asyncio.sleep(1)
        await respond(send, b"hello")

    caller = Caller()
    await caller.call(answer, app)
    got = [message.get("body") for message in caller.sent]
    expect(got, [None, b"hello"], "an application that answers after 1 s")


@pytest.mark.task("stop_when_caller_leaves")
async def test_the_body_arrives_whole(answer):
    """The application reads the whole body, also when it reads it late."""
    read = []

    async def app(scope, receive, send):
        await asyncio.sleep(1)
        for _ in range(2):
            async with asyncio.timeout(5):
                message = await receive()
            read.append(message.get("body"))
        await respond(send, b"thanks")

    try:
        await Caller(b"first ", b"second").call(answer, app)
    except TimeoutError:
        read.append("nothing more")
    expect(
        read,
        [b"first ", b"second"],
        "an application that reads two messages of body after 1 s",
        "What you receive is gone for the application. Put it into the queue, and give the "
        "application the queue's `get` in place of `receive`.",
    )


@pytest.mark.task("stop_when_caller_leaves")
async def test_stops_when_the_caller_leaves(answer):
    """The caller leaves after 1 s, and the application, which never reads, is cancelled then."""
    ended = []

    async def app(scope, receive, send):
        try:
            await asyncio.sleep(10)
            ended.append("finished")
        except asyncio.CancelledError:
            ended.append(f"cancelled after {asyncio.get_running_loop().time():g} s")
            raise

    call = "an application of 10 s, whose caller leaves after 1 s"
    why = "A caller who leaves is no error. When the application is cancelled, just return."
    with no_error(asyncio.CancelledError, TimeoutError, call=call, why=why):
        await Caller(leaves_after=1).call(answer, app)
    await asyncio.sleep(0)
    expect(
        ended,
        ["cancelled after 1 s"],
        call,
        "Listen while the application works: two tasks, and `asyncio.wait` for the first.",
    )


@pytest.mark.task("stop_when_caller_leaves")
async def test_waits_for_the_end_of_the_application(answer):
    """When the caller has left, it returns when the application has tidied up."""
    app = "works"

    async def tidying(scope, receive, send):
        nonlocal app
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(1)
            app = "has ended"

    await Caller(leaves_after=1).call(answer, tidying)
    expect(
        app,
        "has ended",
        "the application, when your function returns, a caller having left",
        "`cancel()` only asks. Ask once, and await the task: it may have to tidy up.",
    )


@pytest.mark.task("stop_when_caller_leaves")
async def test_requests_do_not_mix(answer):
    """Of two requests at once, each reads its own body."""
    read = {}

    def sends_after(seconds):
        now = asyncio.get_running_loop().time
        turn, due = asyncio.Lock(), now() + seconds
        messages = [{"type": "http.request", "body": f"{seconds} s"}]

        async def receive():
            async with turn:
                await asyncio.sleep(max(0.0, due - now()))
                if not messages:
                    await asyncio.get_running_loop().create_future()
                return messages.pop()

        return receive

    async def app(scope, receive, send):
        read[scope["path"]] = (await receive()).get("body")

    stopping = answer.stop_when_caller_leaves(app)
    calls = [
        stopping({"type": "http", "path": f"/{seconds}"}, sends_after(seconds), Caller().send)
        for seconds in (2, 1)
    ]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            await asyncio.gather(*calls)
    expect(
        read,
        {"/1": "1 s", "/2": "2 s"},
        "two requests at the same time, with a body after 2 s and one after 1 s: what each read",
        "Make the queue inside `stopping`, one for each request.",
    )


@pytest.mark.task("stop_when_caller_leaves")
async def test_nothing_of_it_is_left(answer):
    """When the application has ended, with an answer or without, no task is left."""
    ended = 0

    async def app(scope, receive, send):
        nonlocal ended
        try:
            await asyncio.sleep(1)
            await respond(send, b"hello")
        finally:
            ended += 1

    before = asyncio.all_tasks()
    await Caller().call(answer, app)
    why = "Your listener waits for a message that never comes: cancel it, one for each request."
    expect(await left_since(before), [], "the tasks that are left after an answer", why)
    await Caller(leaves_after=asyncio.get_running_loop().time() + 0.5).call(answer, app)
    why = "Cancel all that you have started, however the call ends: `finally` is the place."
    expect(await left_since(before), [], "the tasks that are left after a caller has left", why)
    whole = asyncio.create_task(Caller().call(answer, app))
    await asyncio.sleep(0.5)
    whole.cancel()
    await asyncio.wait([whole])
    left = await left_since(before)
    if ended == 3:  # a task that is left because the application goes on is another mistake
        expect(left, [], "the tasks that are left after a server has cancelled the call", why)


@pytest.mark.task("stop_when_caller_leaves")
async def test_errors_of_the_application_go_on(answer):
    """An error of the application goes on to the server."""

    async def app(scope, receive, send):
        await asyncio.sleep(1)
        raise ValueError("a bug")

    why = "The server must hear of it. Ask the finished task for its `result()`."
    with raises(ValueError, call="an application that raises ValueError", why=why):
        await Caller().call(answer, app)


@pytest.mark.task("stop_when_caller_leaves")
async def test_who_cancels_the_whole_is_obeyed(answer):
    """Who cancels the whole is obeyed: the error goes on, and the application has ended."""
    app = "has not begun"

    async def tidying(scope, receive, send):
        nonlocal app
        app = "works"
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(1)  # it tidies up
            app = "has ended"

    stopping = answer.stop_when_caller_leaves(tidying)
    caller = Caller()
    whole = asyncio.create_task(stopping({"type": "http"}, caller.receive, caller.send))
    await asyncio.sleep(3)
    whole.cancel()
    await asyncio.wait([whole])
    expect(
        ("cancelled" if whole.cancelled() else "returned", f"the application {app}"),
        ("cancelled", "the application has ended"),
        "a server that shuts down, and so cancels the call after 3 s",
        "A cancellation from outside is not the caller who left: let it go on. But before, in "
        "`finally`, cancel what you have started and wait for its end.",
    )


@pytest.mark.task("stop_when_caller_leaves")
async def test_what_is_no_request_passes_untouched(answer):
    """A scope of type lifespan or websocket gets the server's own receive."""
    got = []

    async def app(scope, receive, send):
        got.append((receive, send))

    for kind in ("lifespan", "websocket"):
        got.clear()
        caller = Caller()
        await caller.call(answer, app, scope_type=kind)
        ensure(
            got == [(caller.receive, caller.send)],
            "Only `http` is passed through your queue; pass on the rest as it is.",
            call=f"a scope of type {kind}",
            got="another receive or send" if got else "an application that was not called",
            expected="the application, called with what the server gave you",
        )
