"""Graders of the exercises to lesson 2.4, middleware."""

import asyncio
import base64
import contextlib
import itertools
import time

import jwt
import pytest

from course_lib import context
from course_lib.endpoint import chain
from course_lib.errors import CallError, NotFound, RateLimited, Unauthenticated
from course_lib.grading.checks import ensure, expect, no_error, raises
from course_lib.middleware.authentication import basic
from course_lib.middleware.logging import logging
from course_lib.middleware.rate_limit import TokenBucket, erroring
from course_lib.middleware.timeout import deadline
from course_lib.middleware.tracing import tracing

KEY = "a key that the shop keeps to itself"


async def hello(request):
    await asyncio.sleep(2)
    return f"hello {request}"


async def nobody(request):
    await asyncio.sleep(2)
    raise NotFound("no user 7")


async def too_slow(request):
    await asyncio.sleep(2)
    raise TimeoutError


async def quick(request):
    return request


# stopwatch


@pytest.mark.task("stopwatch")
async def test_times_what_succeeds(answer):
    """A call that succeeds is recorded as ok, with its seconds, and its response comes back."""
    seen = []
    response = await answer.stopwatch(lambda *each: seen.append(each))(hello)("Ada")
    why = "Return what the inner endpoint returned."
    expect(response, "hello Ada", "await endpoint('Ada')", why)
    why = "Once, as ('ok', seconds), by the clock of the running loop."
    expect(seen, [("ok", 2.0)], "what was recorded of a call of 2 s", why)


@pytest.mark.task("stopwatch")
async def test_nothing_at_once_is_a_call_too(answer):
    """A call that returns an empty text at once is recorded, and its response comes back."""
    seen = []
    response = await answer.stopwatch(lambda *each: seen.append(each))(quick)("")
    why = "An empty response and no time at all are false, but it is a call that ended well."
    expect((response, seen), ("", [("ok", 0.0)]), "the response '' after 0 s, what was seen", why)


@pytest.mark.task("stopwatch")
async def test_times_what_fails(answer):
    """A call that fails is recorded with the name of its error."""
    seen = []
    with contextlib.suppress(CallError):
        await answer.stopwatch(lambda *each: seen.append(each))(nobody)(7)
    expect(
        seen,
        [("NotFound", 2.0)],
        "what was recorded of a call that raised NotFound after 2 s",
        "A call that fails has taken its time too. Record it once, wherever the call ends.",
    )
    seen = []
    with contextlib.suppress(TimeoutError):
        await answer.stopwatch(lambda *each: seen.append(each))(too_slow)(7)
    expect(
        seen,
        [("TimeoutError", 2.0)],
        "what was recorded of a call that raised TimeoutError after 2 s",
        "Every error counts under its own name, not only those of the course.",
    )


@pytest.mark.task("stopwatch")
async def test_lets_errors_through(answer):
    """The caller gets the error itself."""
    call, error = "await endpoint(7)", NotFound("no user 7")

    async def inner(request):
        raise error

    with raises(NotFound, call=call, names="no user 7", why="Raise it again.") as raised:
        await answer.stopwatch(lambda *each: None)(inner)(7)
    ensure(
        raised.error is error,
        "A new error has lost what the first one carried. `raise` alone passes on the very same.",
        call=call,
        got="another NotFound",
        expected="the NotFound that the inner endpoint raised",
    )


@pytest.mark.task("stopwatch")
async def test_calls_at_the_same_time_are_apart(answer):
    """Two calls that overlap are each recorded with their own outcome and seconds."""
    seen, number = [], itertools.count(1)

    async def first_fails(request):
        this = next(number)
        await asyncio.sleep(2)
        if this == 1:
            raise NotFound("no user 7")

    endpoint = answer.stopwatch(lambda *each: seen.append(each))(first_fails)
    first = asyncio.create_task(endpoint(7))
    await asyncio.sleep(1)
    await asyncio.gather(first, endpoint(7), return_exceptions=True)
    expect(
        seen,
        [("NotFound", 2.0), ("ok", 2.0)],
        "what was recorded of two calls of 2 s, the second a second later; the first fails",
        "The start and the outcome belong to one call: keep them in variables of the endpoint.",
    )


@pytest.mark.task("stopwatch")
async def test_times_what_is_cancelled(answer):
    """A call that is cancelled is recorded as cancelled."""
    seen = []
    task = asyncio.create_task(answer.stopwatch(lambda *each: seen.append(each))(hello)("Ada"))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    expect(
        seen,
        [("cancelled", 1.0)],
        "what was recorded of a call cancelled after 1 s",
        "CancelledError is no Exception; it needs an `except` of its own, or a `finally`.",
    )


@pytest.mark.task("stopwatch")
async def test_lets_cancellation_through(answer):
    """A call that is cancelled stays cancelled."""
    state = "at work"

    async def inner(request):
        nonlocal state
        try:
            return await hello(request)
        except asyncio.CancelledError:
            state = "cancelled"
            raise

    task = asyncio.create_task(answer.stopwatch(lambda *each: None)(inner)("Ada"))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    why = "The inner endpoint must hear of it. Await it as it is, with no shield around it."
    expect(state, "cancelled", "the inner endpoint after task.cancel()", why)
    ensure(
        task.cancelled(),
        "Whoever cancels a call must be able to rely on it. Raise CancelledError again.",
        call="task.cancel() after 1 s",
        got="a task that went on",
        expected="a task that is cancelled",
    )


# order_the_onion


def the_onion(answer):
    """The learner's order around an endpoint, with what there is to look at afterwards."""
    lines, bucket = [], TokenBucket(rate_per_second=1, burst=3)

    def log(event, **fields):
        trace = context.trace.get()
        lines.append({"trace_id": trace and trace.trace_id, **fields})

    parts = {
        "authentication": basic({"ada": "right"}),
        "deadline": deadline(5.0),
        "logging": logging(log, operation="greet"),
        "rate limit": erroring(bucket),
        "tracing": tracing(),
    }
    returned = answer.order_the_onion(dict(parts))
    ordered = [returned] if callable(returned) else list(returned)
    things = "1 thing" if len(ordered) == 1 else f"{len(ordered)} things"
    ensure(
        sorted(map(id, ordered)) == sorted(map(id, parts.values())),
        "Return each of the five middlewares once, in a list, and not chained.",
        call="order_the_onion(parts)",
        got=f"{things}: {', '.join(type(each).__name__ for each in ordered)}",
        expected="a list of the five values of parts",
    )
    endpoint = chain(*ordered)(hello)

    async def call(password="right", seconds=None):
        context.trace.set(None)
        now = asyncio.get_running_loop().time()
        context.deadline.set(None if seconds is None else now + seconds)
        sent = base64.b64encode(f"ada:{password}".encode()).decode()
        context.authorization.set(f"Basic {sent}")
        try:
            return await endpoint("Ada")
        except CallError as error:
            return type(error).__name__

    return call, lines, bucket


@pytest.mark.task("order_the_onion")
async def test_logs_what_authentication_refuses(answer):
    """A call with a wrong password has its line in the log."""
    call, lines, _ = the_onion(answer)
    await call("wrong")
    expect(
        [line["outcome"] for line in lines],
        ["Unauthenticated"],
        "the log after a wrong password",
        "What stands outside the log, the log cannot see.",
    )


@pytest.mark.task("order_the_onion")
async def test_logs_what_came_too_late(answer):
    """A call whose deadline has passed has its line in the log."""
    call, lines, _ = the_onion(answer)
    await call(seconds=-1)
    expect(
        [line["outcome"] for line in lines],
        ["DeadlineExceeded"],
        "the log after a call that came too late",
        "The deadline refuses too, and the log must stand outside it.",
    )


@pytest.mark.task("order_the_onion")
async def test_the_line_has_the_trace(answer):
    """Every line in the log has the trace id of its call."""
    call, lines, _ = the_onion(answer)
    await call()
    ensure(
        bool(lines) and all(line["trace_id"] for line in lines),
        "The line is written when the call is over. By then the trace has ended too, "
        "unless tracing stands outside logging.",
        call="the log after a call that succeeded",
        got="a line without a trace id" if lines else "no line",
        expected="a line with a trace id",
    )


@pytest.mark.task("order_the_onion")
async def test_forgers_take_no_tokens(answer):
    """Three calls with a wrong password leave the whole budget to the next three."""
    call, _, _ = the_onion(answer)
    for _ in range(3):
        await call("wrong")
    context.deadline.set(None)
    answers = await asyncio.gather(call(), call(), call())
    expect(
        answers,
        ["hello Ada"] * 3,
        "three good calls at once after three with a wrong password (burst 3, 1 a second)",
        "Only who has proved who they are may draw on the budget.",
    )


@pytest.mark.task("order_the_onion")
async def test_too_late_is_too_late(answer):
    """A call that is too late and has a wrong password is told it is too late."""
    call, _, _ = the_onion(answer)
    expect(
        await call("wrong", seconds=-1),
        "DeadlineExceeded",
        "a call with a wrong password whose deadline has passed",
        "Nobody waits for this answer any more; do not spend a password check on it.",
    )


# limit_each_caller


def as_caller(endpoint, name):
    async def call():
        context.caller.set(name)
        try:
            response = await endpoint("Ada")
        except RateLimited:
            return "refused"
        return "ok" if response == "Ada" else f"the response {response!r} in place of 'Ada'"

    return call


async def burst_of(call, number):
    return [await call() for _ in range(number)]


@pytest.mark.task("limit_each_caller")
async def test_lets_the_burst_through_and_no_more(answer):
    """A caller with a burst of 2 gets two calls through, and the third is refused."""
    call = as_caller(answer.limit_each_caller(1, 2)(quick), "ada")
    expect(await burst_of(call, 3), ["ok", "ok", "refused"], "three calls at once, burst 2")


@pytest.mark.task("limit_each_caller")
async def test_a_refused_call_is_not_made(answer):
    """A call that is refused does not reach the endpoint."""
    reached = []

    async def inner(request):
        reached.append(request)
        return request

    await burst_of(as_caller(answer.limit_each_caller(1, 2)(inner), "grace"), 3)
    expect(
        len(reached),
        2,
        "calls that reached the endpoint, of three at once, burst 2",
        "Take the token before you call the inner endpoint, or the limit protects nobody.",
    )


@pytest.mark.task("limit_each_caller")
async def test_each_middleware_has_its_own_buckets(answer):
    """Two middlewares with the same numbers do not share their buckets."""
    said = [
        await as_caller(answer.limit_each_caller(1, 1)(quick), "hedy")(),
        await as_caller(answer.limit_each_caller(1, 1)(quick), "hedy")(),
    ]
    expect(
        said,
        ["ok", "ok"],
        "a call of hedy through each of two middlewares, burst 1",
        "Make the buckets inside `limit_each_caller`, anew for each call of it.",
    )


@pytest.mark.task("limit_each_caller")
async def test_fills_up_again(answer):
    """After a second there is a token again."""
    call = as_caller(answer.limit_each_caller(1, 2)(quick), "ada")
    await burst_of(call, 3)
    await asyncio.sleep(1)
    expect(await burst_of(call, 2), ["ok", "refused"], "two calls a second later, 1 a second")


@pytest.mark.task("limit_each_caller")
async def test_says_when_to_come_back(answer):
    """The refusal says when to come back."""
    endpoint = answer.limit_each_caller(0.5, 1)(quick)
    context.caller.set("ada")
    await endpoint("Ada")
    await asyncio.sleep(0.5)
    with raises(RateLimited, call="the second call half a second later, 0.5 a second") as refused:
        await endpoint("Ada")
    expect(
        refused.error.retry_after_seconds,
        1.5,
        "error.retry_after_seconds of a call half a second after the first, 0.5 a second",
        "Pass on what `bucket.take()` returned: RateLimited(message, retry_after_seconds=...).",
        within=0.001,
    )


@pytest.mark.task("limit_each_caller")
async def test_callers_do_not_share(answer):
    """One caller's script running wild costs the others nothing."""
    endpoint = answer.limit_each_caller(1, 2)(quick)
    await burst_of(as_caller(endpoint, "wild"), 50)
    expect(
        await burst_of(as_caller(endpoint, "ada"), 2),
        ["ok", "ok"],
        "two calls of ada after fifty of somebody else",
        "Each caller needs a bucket of their own.",
    )


@pytest.mark.task("limit_each_caller")
async def test_endpoints_share_the_budget(answer):
    """One middleware around two endpoints gives a caller one budget for both."""
    limit = answer.limit_each_caller(1, 2)
    first, second = as_caller(limit(quick), "ada"), as_caller(limit(quick), "ada")
    expect(
        [*await burst_of(first, 2), await second()],
        ["ok", "ok", "refused"],
        "two calls to one endpoint and one to another, both behind the same middleware, burst 2",
        "`wrap` runs once for each endpoint. Make the buckets outside it, or each operation of "
        "the service adds to the caller's budget.",
    )


@pytest.mark.task("limit_each_caller")
async def test_nobody_is_a_caller_too(answer):
    """Callers without a name share a bucket, and it is limited too."""
    call = as_caller(answer.limit_each_caller(1, 2)(quick), None)
    why = "`None` is a caller like any other; otherwise leaving the password out lifts the limit."
    expect(await burst_of(call, 3), ["ok", "ok", "refused"], "three calls of None, burst 2", why)


@pytest.mark.task("limit_each_caller")
async def test_nobody_shares_with_nobody(answer):
    """Callers who are named "None", "anonymous" or "" have buckets of their own."""
    endpoint = answer.limit_each_caller(1, 1)(quick)
    await as_caller(endpoint, None)()
    for name in ("None", "anonymous", ""):
        expect(
            await as_caller(endpoint, name)(),
            "ok",
            f"the first call of a caller named {name!r}, after one of None, burst 1",
            "`None` is no name. Take what `context.caller.get()` returns as the key, as it is.",
        )


@pytest.mark.task("limit_each_caller")
async def test_memory_is_bounded(answer):
    """With room for two callers, the one who has been quiet longest is forgotten."""
    for caller in ("ada", None):
        expect(
            await last_of(answer, caller, "grace", "linus", caller),
            "ok",
            f"{caller} calls again, after grace and linus, with most_callers=2",
            f"There was room for two, so the bucket of {caller} must be gone, and a new one is "
            "full. Names come from outside: what you keep for each of them needs a bound.",
        )


async def last_of(answer, *callers):
    """What the last of these calls, a second apart, was told: room for two, one call each."""
    endpoint = answer.limit_each_caller(0.001, 1, most_callers=2)(quick)
    for name in callers:
        await asyncio.sleep(1)
        said = await as_caller(endpoint, name)()
    return said


@pytest.mark.task("limit_each_caller")
async def test_who_calls_often_is_not_forgotten(answer):
    """Who called just now is not the one who is forgotten."""
    expect(
        await last_of(answer, "ada", "grace", "ada", "linus", "ada"),
        "refused",
        "ada calls again, after ada, grace, ada, linus, with most_callers=2",
        "Forget who has not *called* for the longest time, not who came first; otherwise a flood "
        "of new names empties the bucket of a caller you wanted to limit.",
    )
    expect(
        await last_of(answer, "grace", "grace", "grace", "ada", "linus", "ada"),
        "refused",
        "ada calls again, after grace (three times), ada, linus, with most_callers=2",
        "Forget who has not called for the longest time, not who has called least.",
    )


# caller_of


def token(key=KEY, algorithm="HS256", **claims):
    return jwt.encode({"sub": "ada", "exp": time.time() + 600, **claims}, key, algorithm)


def refused(answer, bad, what, why, key=KEY):
    call = f"caller_of({what}, key)"
    with raises(Unauthenticated, call=call, why=why):
        returned = answer.caller_of(bad, key)
        ensure(
            isinstance(returned, str),
            "What is returned is taken for a caller. Raise Unauthenticated.",
            call=call,
            got=f"{returned!r} returned",
            expected="Unauthenticated raised",
        )


@pytest.mark.task("caller_of")
def test_names_the_caller(answer):
    """A good token names its caller."""
    expect(answer.caller_of(token(), KEY), "ada", "caller_of(a good token, key)")


@pytest.mark.task("caller_of")
def test_refuses_another_key(answer):
    """A token signed with another key is refused."""
    refused(answer, token(KEY[::-1]), "a token signed with another key", "Check the signature.")
    good, what = token(), "a token that was good with the key before this"
    answer.caller_of(good, KEY)
    why = "Check the signature each time: what is remembered by the token alone outlives the key."
    refused(answer, good, what, why, key=KEY[::-1])


@pytest.mark.task("caller_of")
def test_refuses_what_is_not_signed(answer):
    """A token without a signature is refused."""
    bad = jwt.encode({"sub": "ada", "exp": time.time() + 600}, None, "none")
    refused(answer, bad, "a token with `alg: none`", "The token must not choose how it is checked.")


@pytest.mark.task("caller_of")
def test_refuses_another_algorithm(answer):
    """A token signed with HS512 is refused, even with the right key."""
    bad = token(KEY * 2, "HS512")
    why = "The server decides on the algorithm: give PyJWT the list ['HS256']."
    refused(answer, bad, "a token signed with HS512", why, key=KEY * 2)


@pytest.mark.task("caller_of")
def test_refuses_what_has_expired(answer):
    """A token that has expired is refused."""
    bad = token(exp=time.time() - 60)
    refused(answer, bad, "a token that expired a minute ago", "Let PyJWT look at `exp`.")
    why = "What has expired has expired: allow no seconds more."
    for _ in range(2):  # between two of them a second may have begun, but hardly twice
        refused(answer, token(exp=int(time.time())), "a token that expired a moment ago", why)


@pytest.mark.task("caller_of")
def test_refuses_what_pyjwt_refuses(answer):
    """A token that is not valid yet is refused in the same way."""
    bad, why = token(nbf=time.time() + 60), "Catch jwt.InvalidTokenError, whichever kind it is."
    refused(answer, bad, "a token that is valid from the next minute on", why)


@pytest.mark.task("caller_of")
def test_refuses_what_never_expires(answer):
    """A token without an expiry is refused."""
    bad = jwt.encode({"sub": "ada"}, KEY, "HS256")
    refused(
        answer,
        bad,
        "a token without `exp`",
        "A token that is stolen today would be good for ever. PyJWT has an option to require it.",
    )


@pytest.mark.task("caller_of")
def test_refuses_what_names_nobody(answer):
    """A token that names nobody is refused."""
    bad = jwt.encode({"exp": time.time() + 600}, KEY, "HS256")
    why = "Require `sub` as well, or reading it raises KeyError, and the service answers 500."
    refused(answer, bad, "a token without `sub`", why)


@pytest.mark.task("caller_of")
def test_refuses_what_is_no_token(answer):
    """The texts "", "hello" and "a.b.c" are no tokens, and are refused in the same way."""
    for text in ("", "hello", "a.b.c"):
        refused(answer, text, repr(text), "Whatever PyJWT raises, the caller gets Unauthenticated.")


# request_ids


async def ask(answer, app, headers=(), scope_type="http"):
    """Send one request through the learner's middleware; the messages that came out."""
    return await through(answer.RequestIds(app), headers, scope_type)


async def through(middleware, headers=(), scope_type="http"):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": scope_type}
    if scope_type != "lifespan":
        scope |= {"path": "/", "headers": list(headers)}
    await middleware(scope, receive, send)
    return sent


def app_with(status=200, seen=None, request_id=None):
    async def app(scope, receive, send):
        await asyncio.sleep(1)
        if seen is not None:
            seen.append(request_id.get())
        await send({"type": "http.response.start", "status": status, "headers": list(COOKIES)})
        await send({"type": "http.response.body", "body": b"hello"})
        if seen is not None:
            seen.append(request_id.get())

    return app


COOKIES = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


def ids_of(sent):
    pairs = itertools.chain.from_iterable(message.get("headers", []) for message in sent)
    return [value for name, value in pairs if name.lower() == b"x-request-id"]


@pytest.mark.task("request_ids")
async def test_keeps_the_id_it_was_given(answer):
    """The id that came with the request is on the answer, once."""
    given = [(b"x-parent-request-id", b"no"), (b"x-request-id", b"abc")]
    sent = await ask(answer, app_with(), given)
    call = "the x-request-id of the answer to a request with x-parent-request-id no, id abc"
    why = (
        "Look in scope['headers'] for b'x-request-id', names and values are bytes, and put it "
        "into the message of type http.response.start alone."
    )
    expect(ids_of(sent), [b"abc"], call, why)


@pytest.mark.task("request_ids")
async def test_makes_an_id_where_there_is_none(answer):
    """Without an id, each request gets a new one."""
    middleware = answer.RequestIds(app_with())
    first, second = [ids_of(await through(middleware)) for _ in range(2)]
    ensure(
        len(first) == len(second) == 1 and first != second and bool(first[0]),
        "Make a new id for each request, for example with uuid4().hex.",
        call="two requests without an id",
        got=f"{first} and {second}",
        expected="one id each, and not the same",
    )


@pytest.mark.task("request_ids")
async def test_errors_have_an_id_too(answer):
    """An answer with status 500 has the id as well."""
    sent = await ask(answer, app_with(500), [(b"x-request-id", b"abc")])
    expect(
        ids_of(sent),
        [b"abc"],
        "the x-request-id of an answer with status 500",
        "It is the failed request that support will ask about.",
    )


@pytest.mark.task("request_ids")
async def test_the_application_knows_the_id(answer):
    """The application finds the id in the context variable."""
    seen = []
    app = app_with(seen=seen, request_id=answer.request_id)
    await ask(answer, app, [(b"x-request-id", b"abc")])
    why = "Set it before you call on, as text, and leave it there until the application has ended."
    expect(seen, ["abc"] * 2, "request_id.get() in the application, at its begin and end", why)
    seen.clear()
    sent = await ask(answer, app)
    expect(
        [str(each).encode() for each in seen],
        ids_of(sent) * 2,
        "request_id.get() in the application, for a request that brought no id",
        "Make the new id once, before you call on: the log and the answer need the same.",
    )


@pytest.mark.task("request_ids")
async def test_two_requests_at_once(answer):
    """Two requests at the same time keep their ids."""
    middleware = answer.RequestIds(app_with())
    sent = await asyncio.gather(
        *(through(middleware, [(b"x-request-id", each)]) for each in (b"one", b"two"))
    )
    expect(
        [ids_of(each) for each in sent],
        [[b"one"], [b"two"]],
        "the x-request-id of two requests that are answered at the same time",
        "All requests share `self`. Keep what belongs to one of them in a variable of `__call__`.",
    )


@pytest.mark.task("request_ids")
async def test_errors_of_the_application_go_on(answer):
    """An error that the application raises goes on to the server."""

    async def app(scope, receive, send):
        raise ValueError("a bug")

    why = "The server answers it and logs it. Catch nothing."
    with raises(ValueError, call="an application that raises ValueError", why=why):
        await ask(answer, app)


@pytest.mark.task("request_ids")
async def test_the_other_headers_stay(answer):
    """The headers of the application stay as they were."""
    sent = await ask(answer, app_with())
    headers = [tuple(pair) for pair in sent[0].get("headers", [])] if sent else []
    ensure(
        set(COOKIES) <= set(headers),
        "Add to the list of headers, which may have two of a name; make no other in its place.",
        call="an application that sets two cookies",
        got=repr(headers),
        expected="both among the headers",
    )
    kinds = [message["type"] for message in sent]
    wanted = ["http.response.start", "http.response.body"]
    why = "Pass on every message that the application sends, once, and add none."
    expect(kinds, wanted, "the messages that were sent", why)


@pytest.mark.task("request_ids")
async def test_a_list_used_twice_stays_clean(answer):
    """An application may use the same list of headers, or the same message, for every answer."""
    own = [(b"a", b"b")]

    async def same_list(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": own})

    for given in (b"one", b"two"):
        sent = await ask(answer, same_list, [(b"x-request-id", given)])
    expect(
        ids_of(sent),
        [b"two"],
        "the x-request-id of the second answer, made from the same list of headers as the first",
        "The list belongs to the application, and it may be a constant. Send on a new message "
        "with a new list.",
    )
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}

    async def same_message(scope, receive, send):
        await send(start)

    for given in (b"one", b"two"):
        sent = await ask(answer, same_message, [(b"x-request-id", given)])
    expect(
        ids_of(sent),
        [b"two"],
        "the x-request-id of the second answer, which is the same message as the first",
        "The message belongs to the application too. Change nothing in it; send on a new one, "
        "such as {**message, 'headers': ...}.",
    )


@pytest.mark.task("request_ids")
async def test_what_is_not_http_passes_untouched(answer):
    """A scope of type lifespan or websocket passes untouched."""
    for kind, message in (
        ("lifespan", "lifespan.startup.complete"),
        ("websocket", "websocket.accept"),
    ):
        seen = []

        async def app(scope, receive, send, seen=seen, message=message):
            seen.append((scope["type"], answer.request_id.get()))
            await send({"type": message})

        call = f"a scope of type {kind}"
        why = "Only `http` is a request; pass on the rest as it is."
        with no_error(KeyError, TypeError, call=call, why=why):
            sent = await ask(answer, app, scope_type=kind)
        expect(sent, [{"type": message}], call, why)
        expect(seen, [(kind, None)], f"{call}: the type, and request_id.get()", why)
