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


# stopwatch


@pytest.mark.task("stopwatch")
async def test_times_what_succeeds(answer):
    """A call that succeeds is recorded as ok, with its seconds, and its response comes back."""
    seen = []
    response = await answer.stopwatch(lambda *each: seen.append(each))(hello)("Ada")
    why = "Return what the inner endpoint returned."
    expect(response, "hello Ada", "await endpoint('Ada')", why)
    expect(seen, [("ok", 2.0)], "what was recorded of a call of 2 s", "Once, as ('ok', seconds).")


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
        "A call that fails has taken its time too. Record it wherever the call ends.",
    )


@pytest.mark.task("stopwatch")
async def test_lets_errors_through(answer):
    """The caller gets the error itself."""
    with raises(NotFound, call="await endpoint(7)", names="no user 7", why="Raise it again."):
        await answer.stopwatch(lambda *each: None)(nobody)(7)


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
    task = asyncio.create_task(answer.stopwatch(lambda *each: None)(hello)("Ada"))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
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
    ordered = list(answer.order_the_onion(dict(parts)))
    ensure(
        sorted(map(id, ordered)) == sorted(map(id, parts.values())),
        "Return each of the five middlewares once.",
        call="order_the_onion(parts)",
        got=f"{len(ordered)} things: {', '.join(type(each).__name__ for each in ordered)}",
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
            await endpoint("Ada")
        except RateLimited:
            return "refused"
        return "ok"

    return call


async def quick(request):
    return request


async def burst_of(call, number):
    return [await call() for _ in range(number)]


@pytest.mark.task("limit_each_caller")
async def test_lets_the_burst_through_and_no_more(answer):
    """A caller with a burst of 2 gets two calls through, and the third is refused."""
    call = as_caller(answer.limit_each_caller(1, 2)(quick), "ada")
    expect(await burst_of(call, 3), ["ok", "ok", "refused"], "three calls at once, burst 2")


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
    with raises(RateLimited, call="the second call at once, 0.5 a second") as refused:
        await endpoint("Ada")
    expect(
        refused.error.retry_after_seconds,
        2.0,
        "error.retry_after_seconds",
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
async def test_memory_is_bounded(answer):
    """With room for two callers, the one who has been quiet longest is forgotten."""
    endpoint = answer.limit_each_caller(0.001, 1, most_callers=2)(quick)
    for name in ("ada", "grace", "linus"):
        await as_caller(endpoint, name)()
    expect(
        await as_caller(endpoint, "ada")(),
        "ok",
        "ada calls again, after grace and linus, with most_callers=2",
        "There was room for two, so the bucket of ada must be gone, and a new one is full. "
        "Names come from outside: what you keep for each of them needs a bound.",
    )


@pytest.mark.task("limit_each_caller")
async def test_who_calls_often_is_not_forgotten(answer):
    """Who called just now is not the one who is forgotten."""
    endpoint = answer.limit_each_caller(0.001, 1, most_callers=2)(quick)
    for name in ("ada", "grace", "ada", "linus"):
        await as_caller(endpoint, name)()
    expect(
        await as_caller(endpoint, "ada")(),
        "refused",
        "ada calls again, after ada, grace, ada, linus, with most_callers=2",
        "Forget who has not *called* for the longest time, not who came first; otherwise a flood "
        "of new names empties the bucket of a caller you wanted to limit.",
    )


# caller_of


def token(key=KEY, algorithm="HS256", **claims):
    return jwt.encode({"sub": "ada", "exp": time.time() + 600, **claims}, key, algorithm)


def refused(answer, bad, what, why):
    with raises(Unauthenticated, call=f"caller_of({what}, key)", why=why):
        answer.caller_of(bad, KEY)


@pytest.mark.task("caller_of")
def test_names_the_caller(answer):
    """A good token names its caller."""
    expect(answer.caller_of(token(), KEY), "ada", "caller_of(a good token, key)")


@pytest.mark.task("caller_of")
def test_refuses_another_key(answer):
    """A token signed with another key is refused."""
    refused(answer, token(KEY[::-1]), "a token signed with another key", "Check the signature.")


@pytest.mark.task("caller_of")
def test_refuses_what_is_not_signed(answer):
    """A token without a signature is refused."""
    bad = jwt.encode({"sub": "ada", "exp": time.time() + 600}, None, "none")
    refused(answer, bad, "a token with `alg: none`", "The token must not choose how it is checked.")


@pytest.mark.task("caller_of")
def test_refuses_another_algorithm(answer):
    """A token signed with HS512 is refused, even with the right key."""
    bad = token(KEY * 2, "HS512")
    with raises(
        Unauthenticated,
        call="caller_of(a token signed with HS512, key)",
        why="The server decides on the algorithm: give PyJWT the list ['HS256'].",
    ):
        answer.caller_of(bad, KEY * 2)


@pytest.mark.task("caller_of")
def test_refuses_what_has_expired(answer):
    """A token that has expired is refused."""
    bad = token(exp=time.time() - 60)
    refused(answer, bad, "a token that expired a minute ago", "Let PyJWT look at `exp`.")


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
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    scope = {"type": scope_type}
    if scope_type == "http":
        scope |= {"path": "/", "headers": list(headers)}
    await answer.RequestIds(app)(scope, receive, send)
    return sent


def app_with(status=200, seen=None, request_id=None):
    async def app(scope, receive, send):
        await asyncio.sleep(1)
        if seen is not None:
            seen.append(request_id.get())
        start = {"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]}
        await send(start)
        await send({"type": "http.response.body", "body": b"hello"})

    return app


def ids_of(sent):
    pairs = itertools.chain.from_iterable(message.get("headers", []) for message in sent)
    return [value for name, value in pairs if name.lower() == b"x-request-id"]


@pytest.mark.task("request_ids")
async def test_keeps_the_id_it_was_given(answer):
    """The id that came with the request is on the answer, once."""
    sent = await ask(answer, app_with(), [(b"x-request-id", b"abc")])
    call = "the x-request-id of the answer to a request with id abc"
    why = "Look in scope['headers'] for b'x-request-id': names and values are bytes."
    expect(ids_of(sent), [b"abc"], call, why)


@pytest.mark.task("request_ids")
async def test_makes_an_id_where_there_is_none(answer):
    """Without an id, each request gets a new one."""
    first, second = [ids_of(await ask(answer, app_with())) for _ in range(2)]
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
    expect(seen, ["abc"], "request_id.get() inside the application", "Set it before you call on.")


@pytest.mark.task("request_ids")
async def test_the_other_headers_stay(answer):
    """The headers of the application stay as they were."""
    sent = await ask(answer, app_with())
    headers = [tuple(pair) for pair in sent[0].get("headers", [])] if sent else []
    ensure(
        (b"a", b"b") in headers,
        "Add to the list of headers; do not put a new one in its place.",
        call="an application that sets the header `a: b`",
        got=repr(headers),
        expected="`a: b` among the headers",
    )


@pytest.mark.task("request_ids")
async def test_a_list_used_twice_stays_clean(answer):
    """An application may use the same list of headers for every answer."""
    own = [(b"a", b"b")]

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": own})

    for given in (b"one", b"two"):
        sent = await ask(answer, app, [(b"x-request-id", given)])
    expect(
        ids_of(sent),
        [b"two"],
        "the x-request-id of the second answer, made from the same list of headers as the first",
        "The list belongs to the application, and it may be a constant. Send on a new message "
        "with a new list.",
    )


@pytest.mark.task("request_ids")
async def test_what_is_not_http_passes_untouched(answer):
    """A scope of type lifespan passes untouched."""
    seen = []

    async def app(scope, receive, send):
        seen.append((scope["type"], answer.request_id.get()))
        await send({"type": "lifespan.startup.complete"})

    call, why = "a scope of type lifespan", "Only `http` is a request; pass on the rest as it is."
    with no_error(KeyError, TypeError, call=call, why=why):
        sent = await ask(answer, app, scope_type="lifespan")
    expect(sent, [{"type": "lifespan.startup.complete"}], call, why)
    expect(seen, [("lifespan", None)], call, why)
