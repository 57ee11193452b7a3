"""Graders of the exercises to lesson 3.3, circuit breaker and fallback."""

import asyncio
from collections import Counter

import pytest

from course_lib.endpoint import chain
from course_lib.errors import (
    CallError,
    CircuitOpen,
    DeadlineExceeded,
    Internal,
    NotFound,
    Unavailable,
)
from course_lib.grading.checks import ensure, expect, raises
from course_lib.middleware.breaker import CircuitBreaker, breaker
from course_lib.middleware.fallback import fallback
from course_lib.middleware.instrumenting import instrumenting
from course_lib.middleware.rate_limit import TokenBucket, erroring
from course_lib.middleware.timeout import timeout
from course_lib.shop.users import GetUser, User


async def well(request):
    await asyncio.sleep(1)
    return f"hello {request}"


async def unknown(request):
    raise NotFound("no user 7")


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


def _unless_not_started(done):
    """Gathered exceptions would hide that nothing is written yet."""
    for each in done:
        if isinstance(each, NotImplementedError):
            raise each


async def ends(calls):
    done = await asyncio.gather(*calls, return_exceptions=True)
    _unless_not_started(done)
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
        "have failed": raising(Unavailable("down")),
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
    probe = asyncio.create_task(endpoint("Ada"))
    await asyncio.sleep(0.5)
    probe.cancel()
    _unless_not_started(await asyncio.gather(probe, return_exceptions=True))
    ensure(probe.cancelled(), "Raise CancelledError again.", call="task.cancel() during a probe")
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
    for error in (Unavailable("nobody answers"), KeyError("name")):
        judged, kind = [], type(error)
        endpoint = answer.probing(1, judged.append)(raising(error))
        with raises(kind, call=f"a probe that raises {kind.__name__}", why="Raise it again."):
            await endpoint("Ada")
        expect(judged, [False], f"what was judged of {kind.__name__}", "Once, and False.")


@pytest.mark.task("probing")
async def test_answers_are_judged_good(answer):
    """An answer such as NotFound judges True: the service has done its work."""
    judged = []
    with raises(NotFound, call="a probe that raises NotFound", why="Raise the error again."):
        await answer.probing(1, judged.append)(unknown)(7)
    why = "An Answer is a success: the service has answered."
    expect(judged, [True], "what was judged of NotFound", why)


# with_guest


def raising(error):
    async def get_user(request):
        raise error

    return get_user


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
async def test_somebody_is_told(answer):
    """Each fallback is told, once, with its error."""
    told = []
    endpoint = answer.with_guest(raising(DeadlineExceeded("too late")), told.append)
    await endpoint(GetUser(1))
    why = "Call `tell(error)` once for each fallback; otherwise nobody sees the outage."
    expect([type(each).__name__ for each in told], ["DeadlineExceeded"], "what was told", why)


@pytest.mark.task("with_guest")
async def test_an_answer_stays_an_answer(answer):
    """ "No user 7" reaches the caller."""
    told = []
    endpoint = answer.with_guest(raising(NotFound("no user 7")), told.append)
    why = "There is no such user: an Answer, and not an outage."
    with raises(NotFound, call="endpoint(GetUser(7)), no such user", why=why):
        await endpoint(GetUser(7))
    expect(told, [], "what was told of an answer", "Nothing fell back.")


@pytest.mark.task("with_guest")
async def test_bugs_stay_visible(answer):
    """Internal reaches the caller: it is a bug."""
    why = "Internal is a Failure, and a bug. A guest would hide it."
    with raises(Internal, call="endpoint(GetUser(1)), the service has a bug", why=why):
        await answer.with_guest(raising(Internal("bug")), lambda error: None)(GetUser(1))


@pytest.mark.task("with_guest")
async def test_our_own_bugs_stay_visible(answer):
    """An exception that is no Failure reaches the caller: it is a bug of our own."""
    why = "A KeyError is no outage. Catch `Failure`, and nothing wider."
    with raises(KeyError, call="endpoint(GetUser(1)), get_user raises KeyError", why=why):
        await answer.with_guest(raising(KeyError("name")), lambda error: None)(GetUser(1))


# order_the_client


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
        names = {id(part): name for name, part in parts.items()}
        self.order = [names.get(id(part), "?") for part in order]
        why = "Return all five, each once."
        expect(sorted(self.order), sorted(parts), "the parts you returned", why)
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
