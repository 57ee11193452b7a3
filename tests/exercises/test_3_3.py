"""Graders of the exercises to lesson 3.3, circuit breaker and fallback."""

import asyncio
from collections import Counter

import pytest

from course_lib import errors
from course_lib.endpoint import chain
from course_lib.errors import (
    Answer,
    CallError,
    CircuitOpen,
    Failure,
    Internal,
    NotFound,
    RateLimited,
    Unavailable,
)
from course_lib.grading.checks import ensure, expect, no_error, raises, show
from course_lib.middleware.breaker import CircuitBreaker, breaker
from course_lib.middleware.fallback import fallback
from course_lib.middleware.instrumenting import instrumenting
from course_lib.middleware.rate_limit import TokenBucket, erroring
from course_lib.middleware.timeout import timeout
from course_lib.shop.users import GetUser, User


async def well(request):
    await asyncio.sleep(1)
    return f"hello {request}"


def raising(error):
    async def inner(request):
        raise error

    return inner


def each_kind(of):
    """An error of each class of a branch of the tree; Internal, which is a bug, aside."""
    tree = [each for each in vars(errors).values() if isinstance(each, type)]
    return [each("as told") for each in tree if issubclass(each, of) and each is not Internal]


async def raised_by(endpoint, request, error, why):
    """Fail unless the call raises this very error."""
    caught = None
    try:
        await endpoint(request)
    except (CallError, type(error)) as raised:
        caught = raised
    call = f"what the caller gets when {show(error)} is raised inside"
    got = "no error" if caught is None else f"another error, {show(caught)}"
    ensure(caught is error, why, call=call, got=got, expected="the very same error")


async def cancelled(endpoint, request):
    """Fail unless a call that is cancelled half-way ends as cancelled."""
    task = asyncio.create_task(endpoint(request))
    await asyncio.sleep(0.5)
    task.cancel()
    (got,) = await asyncio.gather(task, return_exceptions=True)
    _bugs_first([got])
    why = "CancelledError goes on to the caller."
    call = "task.cancel() during a call"
    ensure(task.cancelled(), why, call=call, got=show(got), expected="CancelledError")


# failure_rate


def noted(answer, seconds, minimum_calls, results):
    rate = answer.FailureRate(seconds, minimum_calls)
    for now, failed in results:
        rate.add(now, failed)
    return rate


@pytest.mark.task("failure_rate")
def test_counts_a_share_and_not_a_row(answer):
    """Two failures of three are two thirds, in whatever order."""
    rate = noted(answer, 10, 3, [(n / 10, n % 3 != 2) for n in range(30)])
    why = "Count failures among all results; a success in between wipes nothing out."
    expect(rate.rate(3), 2 / 3, "30 results in 3 s, two of three bad: rate(3)", why, within=1e-9)


@pytest.mark.task("failure_rate")
def test_forgets_what_is_old(answer):
    """What is older than the window is forgotten when new results come."""
    rate = noted(answer, 10, 1, [(0, True), (1, True), (11, False), (11.5, False)])
    why = "Results from before now - seconds no longer count."
    expect(rate.rate(12), 0.0, "bad at 0 and 1, good at 11 and 11.5, window 10 s: rate(12)", why)


@pytest.mark.task("failure_rate")
def test_forgets_in_silence_too(answer):
    """What is older than the window is forgotten also when nothing comes."""
    rate = noted(answer, 10, 1, [(0, True), (3, False), (4, False)])
    why = "Forget in `rate` as well: time passes without calls."
    expect(rate.rate(12), 0.0, "bad at 0, good at 3 and 4, window 10 s: rate(12)", why)


@pytest.mark.task("failure_rate")
def test_says_nothing_of_too_few(answer):
    """With fewer results than the minimum there is no rate."""
    rate = noted(answer, 10, 3, [(0, True), (1, True)])
    why = "Two results are below the minimum of 3: return None."
    expect(rate.rate(2), None, "FailureRate(10, 3) with two results: rate(2)", why)
    rate.add(2, True)
    expect(rate.rate(2), 1.0, "and with a third", "The minimum itself is enough.")


@pytest.mark.task("failure_rate")
def test_the_edge_of_the_window(answer):
    """A result is forgotten at the instant when it is as old as the window."""
    rate = noted(answer, 10, 1, [(0, False), (9.5, True)])
    why = "A result that is exactly `seconds` old is forgotten."
    expect(rate.rate(9.5), 0.5, "good at 0, bad at 9.5, window 10 s: rate(9.5)", "Not yet old.")
    rate.add(10, True)
    expect(rate.rate(10), 1.0, "good at 0, bad at 9.5 and 10, window 10 s: rate(10)", why)


@pytest.mark.task("failure_rate")
def test_a_busy_window_forgets_nothing_early(answer):
    """However many results come, those of the window count."""
    rate = noted(answer, 10, 1, [(n / 100, n >= 500) for n in range(1000)])
    why = "Only age makes a result old: keep as many as come in `seconds`."
    expect(rate.rate(9.99), 0.5, "500 good, then 500 bad, all in 10 s: rate(9.99)", why)


# probing


def _bugs_first(done):
    """Raise what is no error of a call, with its line, and not count it among the others."""
    for each in done:
        if isinstance(each, Exception) and not isinstance(each, CallError):
            raise each


async def ends(calls):
    done = await asyncio.gather(*calls, return_exceptions=True)
    _bugs_first(done)
    return Counter(type(each).__name__ if isinstance(each, Exception) else each for each in done)


@pytest.mark.task("probing")
async def test_lets_so_many_through_and_no_more(answer):
    """Of fifty calls at once, three are made and the others get CircuitOpen."""
    endpoint = answer.probing(3, lambda good: None)(well)
    expect(
        await ends(endpoint("Ada") for _ in range(50)),
        Counter({"CircuitOpen": 47, "hello Ada": 3}),
        "fifty calls at once, three permits",
        "Take the permit before the `await`, so that the next caller sees it gone.",
    )


@pytest.mark.task("probing")
async def test_three_in_all_and_not_three_at_a_time(answer):
    """A probe that has ended, well or badly, has used its permit up."""
    why = "A permit is used up by a result; only a cancelled probe gives it back."
    for ended, inner in {
        "have ended well": well,
        "raised Unavailable": raising(Unavailable("down")),
        "raised RateLimited": raising(RateLimited("too often")),
        "raised NotFound": raising(NotFound("no user 7")),
    }.items():
        endpoint = answer.probing(3, lambda good: None)(inner)
        await ends(endpoint("Ada") for _ in range(3))
        with raises(CircuitOpen, call=f"a fourth call, after three {ended}", why=why):
            await endpoint("Ada")


@pytest.mark.task("probing")
async def test_a_cancelled_probe_gives_its_permit_back(answer):
    """After a cancelled probe another may try."""
    judged = []
    endpoint = answer.probing(1, judged.append)(well)
    await cancelled(endpoint, "Ada")
    expect(
        await ends([endpoint("Ada")]),
        Counter({"hello Ada": 1}),
        "a call after the only probe was cancelled",
        "The permit leaked. CancelledError is no Exception; it needs an `except` of its own.",
    )
    why = "A cancelled probe says nothing about the other side."
    expect(judged, [True], "what was judged: one cancelled, one good", why)


@pytest.mark.task("probing")
async def test_failures_are_judged_bad_and_go_on(answer):
    """A failure or a bug judges False, and the caller gets it."""
    for error in [*each_kind(Failure), Internal("a bug"), KeyError("name")]:
        judged = []
        await raised_by(
            answer.probing(1, judged.append)(raising(error)), "Ada", error, "Raise it again."
        )
        why = "Once, and False: whatever is no Answer tells against the other side."
        expect(judged, [False], f"what was judged of {type(error).__name__}", why)


@pytest.mark.task("probing")
async def test_answers_are_judged_good(answer):
    """An answer such as NotFound judges True: the service has done its work."""
    for error in each_kind(Answer):
        judged = []
        await raised_by(
            answer.probing(1, judged.append)(raising(error)), 7, error, "Raise it again."
        )
        why = "An Answer is a success: the service has answered."
        expect(judged, [True], f"what was judged of {type(error).__name__}", why)


# with_guest


@pytest.mark.task("with_guest")
async def test_passes_good_answers_on(answer):
    """While all is well the caller gets the user, and nobody is told anything."""
    told = []

    async def get_user(request):
        return User(request.user_id, "Ada", 36)

    user = await answer.with_guest(get_user, told.append)(GetUser(1))
    expect((user, told), (User(1, "Ada", 36), []), "endpoint(GetUser(1)), and what was told")


@pytest.mark.task("with_guest")
async def test_a_guest_with_the_same_signature(answer):
    """When nobody answers the caller gets a User called Guest, with the id asked for."""
    user = await answer.with_guest(raising(Unavailable("away")), lambda error: None)(GetUser(7))
    why = 'Return `User(request.user_id, "Guest", 0)`: callers must not need to know.'
    ensure(isinstance(user, User), why, call="endpoint(GetUser(7))", got=repr(user))
    expect(user, User(7, "Guest", 0), "endpoint(GetUser(7)), nobody answers", why)


@pytest.mark.task("with_guest")
async def test_whatever_the_failure(answer):
    """Every Failure but Internal is answered with a guest."""
    why = "Catch `Failure`: the classes below it come along."
    for error in each_kind(Failure):
        endpoint = answer.with_guest(raising(error), lambda error: None)
        call = f"endpoint(GetUser(7)), get_user raises {type(error).__name__}"
        with no_error(CallError, call=call, expected="a guest", why=why):
            await endpoint(GetUser(7))


@pytest.mark.task("with_guest")
async def test_somebody_is_told(answer):
    """Each fallback is told, once, with its error."""
    why = "Call `tell(error)` once for each fallback; otherwise nobody sees the outage."
    for error in each_kind(Failure):
        told = []
        try:
            await answer.with_guest(raising(error), told.append)(GetUser(1))
        except CallError:
            continue  # nothing fell back, and another check says so
        call = f"what was told of {type(error).__name__}"
        ensure(
            len(told) == 1 and told[0] is error,
            why,
            call=call,
            got=show(told),
            expected=f"{show([error])}, the error itself",
        )


@pytest.mark.task("with_guest")
async def test_an_answer_stays_an_answer(answer):
    """ "No user 7", like every Answer, reaches the caller, and nobody is told."""
    for error in each_kind(Answer):
        told = []
        why = "An Answer is no outage: raise it as it came."
        await raised_by(answer.with_guest(raising(error), told.append), GetUser(7), error, why)
        expect(told, [], f"what was told of {type(error).__name__}", "Nothing fell back.")


@pytest.mark.task("with_guest")
async def test_bugs_stay_visible(answer):
    """Internal reaches the caller as it came: it is a bug."""
    error, told = Internal("bug"), []
    why = "Internal is a Failure, and a bug. A guest would hide it; so would another error."
    await raised_by(answer.with_guest(raising(error), told.append), GetUser(1), error, why)
    expect(told, [], "what was told of Internal", "Nothing fell back, so there is nothing to tell.")


@pytest.mark.task("with_guest")
async def test_our_own_bugs_stay_visible(answer):
    """An exception that is no Failure reaches the caller: it is a bug of our own."""
    for error in (KeyError("name"), OSError("disk full"), TimeoutError("slow")):
        told = []
        why = f"{type(error).__name__} is no Failure. Catch `Failure`, and nothing wider."
        await raised_by(answer.with_guest(raising(error), told.append), GetUser(1), error, why)
        expect(told, [], f"what was told of {type(error).__name__}", "Nothing fell back.")


@pytest.mark.task("with_guest")
async def test_who_has_left_gets_no_guest(answer):
    """A call that is cancelled stays cancelled."""
    told = []
    await cancelled(answer.with_guest(well, told.append), GetUser(1))
    expect(told, [], "what was told of a cancelled call", "Nothing fell back.")


# order_the_client


def _all_five(order, parts):
    """Fail, and say no word about their order, unless all parts are there, each once."""
    call, expected = "what order_the_client returns", "a list of all five parts, each once"
    is_list = isinstance(order, list | tuple)
    why = "Return a list of parts: `[parts[...], ...]`."
    ensure(is_list, why, call=call, got=show(order), expected=expected)
    names = {id(part): name for name, part in parts.items()}
    found = Counter(names.get(id(part), show(part)) for part in order)
    wrong = {
        "missing": [name for name in parts if name not in found],
        "more than once": [name for name in parts if found[name] > 1],
        "not a part": [each for each in found if each not in parts],
    }
    got = "; ".join(f"{what}: {', '.join(each)}" for what, each in wrong.items() if each)
    ensure(not got, why, call=call, got=got, expected=expected)


class Client:
    """The learner's order around an inner endpoint, with a tight limit when asked for."""

    def __init__(self, answer, inner, burst=1000.0):
        self.counted = Counter()
        self.circuit = CircuitBreaker("users", window=10, open_seconds=1000)

        async def guest(request):
            return "guest"

        parts = {
            "breaker": breaker(self.circuit),
            "fallback": fallback(guest),
            "metrics": instrumenting(
                lambda operation, outcome, seconds: self.counted.update([outcome]), operation="get"
            ),
            "rate limit": erroring(TokenBucket(0.001, burst=burst)),
            "timeout": timeout(0.5),
        }
        order = answer.order_the_client(dict(parts))
        _all_five(order, parts)
        self.endpoint = chain(*order)(inner)

    async def calls(self, count):
        answers = Counter()
        for _ in range(count):
            try:
                answers[await self.endpoint("x")] += 1
            except CallError as error:
                answers[type(error).__name__] += 1
        return answers


async def quick(request):
    return "ok"


async def hangs(request):
    await asyncio.sleep(3600)


async def refuses(request):
    raise Unavailable("nobody answers")


@pytest.mark.task("order_the_client")
async def test_the_caller_always_gets_an_answer(answer):
    """Whatever fails, the caller gets the fallback."""
    for name, client in {
        "hangs": Client(answer, hangs),
        "is away": Client(answer, refuses),
        "is well, and the limit allows one call": Client(answer, quick, burst=1),
    }.items():
        failed = {k for k in await client.calls(20) if k not in ("ok", "guest")}
        why = "What stands outside the fallback is not caught by it."
        expect(failed, set(), f"errors that reach the caller when the service {name}", why)


@pytest.mark.task("order_the_client")
async def test_the_metrics_see_the_outage(answer):
    """While the service is away, the metrics count failures, and not the fallback's answers."""
    client = Client(answer, refuses)
    await client.calls(20)
    why = "The fallback turns failures into answers. Count before it does."
    expect(client.counted["ok"], 0, "calls counted as ok while the service is away", why)


@pytest.mark.task("order_the_client")
async def test_the_metrics_see_every_refusal(answer):
    """Calls that the breaker or the rate limit refused are counted."""
    away, limited = Client(answer, refuses), Client(answer, quick, burst=5)
    await away.calls(20)
    await limited.calls(20)
    why = "What is refused outside the metrics is not counted by them."
    expect(away.counted.total(), 20, "calls counted of 20, breaker open half-way", why)
    expect(limited.counted.total(), 20, "calls counted of 20, the limit allows 5", why)


@pytest.mark.task("order_the_client")
async def test_a_hang_opens_the_breaker(answer):
    """After ten calls that hang the breaker is open."""
    client = Client(answer, hangs)
    await client.calls(12)
    why = "A breaker that is cancelled from outside counts nothing: the timeout belongs inside."
    expect(client.circuit.state, "open", "the breaker after twelve calls that hang", why)


@pytest.mark.task("order_the_client")
async def test_our_own_limit_opens_nothing(answer):
    """Refusals of our own limit leave the breaker closed."""
    client = Client(answer, quick, burst=2)
    await client.calls(20)
    why = "The breaker took our own refusals for failures: the limit belongs outside it."
    expect(client.circuit.state, "closed", "the breaker after 18 refusals of the limit", why)
