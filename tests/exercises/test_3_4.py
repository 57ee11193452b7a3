"""Graders of the exercises to lesson 3.4, retries, timeouts and overload."""

import asyncio
import inspect
from collections import Counter
from random import Random

import pytest

from course_lib import context
from course_lib.errors import (
    CallError,
    DeadlineExceeded,
    Internal,
    NoInstances,
    NotFound,
    Overloaded,
    RateLimited,
    Unavailable,
)
from course_lib.grading.checks import CheckFailed, ensure, expect, raises, show
from course_lib.middleware.timeout import timeout

# wait


def drawn(answer, n, rng, **limits):
    got = answer.wait(n, rng, **limits)
    if inspect.iscoroutine(got):
        got.close()
        why = "`wait` must be a plain function: write `def`, without `async`."
        raise CheckFailed(why, call=f"wait({n}, rng)", got="a coroutine", expected="a number")
    ensure(
        isinstance(got, int | float),
        "Return the seconds; do not sleep here.",
        call=f"wait({n}, rng)",
        got=show(got),
        expected="a number",
    )
    return got


def waits(answer, n, **limits):
    rng = Random(4)
    return [drawn(answer, n, rng, **limits) for _ in range(1000)]


def near(number, expected):
    return abs(number - expected) <= 0.05 * expected


@pytest.mark.task("wait")
def test_the_limit_doubles(answer):
    """The longest of many waits doubles with each failure."""
    got = [max(waits(answer, n)) for n in range(4)]
    ensure(
        all(near(longest, 0.1 * 2**n) for n, longest in enumerate(got)),
        "The limit is base after the first failure, n = 0, then twice as much each time.",
        call="the longest of 1000 waits for n = 0, 1, 2, 3",
        got=repr([round(longest, 3) for longest in got]),
        expected="close to 0.1, 0.2, 0.4, 0.8",
    )


@pytest.mark.task("wait")
def test_any_moment_from_none_to_the_limit(answer):
    """A tenth of the waits lies in each tenth of the limit."""
    tenths = Counter(min(9, int(10 * each / 0.8)) for each in waits(answer, 3))
    got = [tenths[n] for n in range(10)]
    ensure(
        all(60 <= number <= 140 for number in got),
        "Full jitter takes any moment between 0 and the limit.",
        call="how many of 1000 waits lie in each tenth of 0.8 s, n = 3",
        got=repr(got),
        expected="about 100 in each",
    )


@pytest.mark.task("wait")
def test_at_the_cap_they_are_still_spread(answer):
    """After many failures clients do not all wait as long as the cap."""
    got = sum(each >= 9.99 for each in waits(answer, 9, cap=10.0))
    ensure(
        got <= 20,
        "The cap is for the limit. Draw last, or most of them wait exactly as long as the cap.",
        call="how many of 1000 clients wait 10 s, n = 9 and cap=10",
        got=repr(got),
        expected="hardly any",
    )


@pytest.mark.task("wait")
def test_never_more_than_the_cap(answer):
    """After many failures the limit is the cap, whatever the base."""
    got = max(waits(answer, 30, base=0.001, cap=60.0))
    ensure(
        got <= 60 and near(got, 60),
        "Take the smaller one of the cap and the doubled base; let it double until it is there.",
        call="the longest of 1000 waits, n = 30, base=0.001 and cap=60",
        got=f"{got:.3g}",
        expected="close to 60, and not more",
    )
    got = max(waits(answer, 0, base=5.0, cap=2.0))
    ensure(
        got <= 2 and near(got, 2),
        "The limit is never more than the cap, not even after the first failure.",
        call="the longest of 1000 waits, n = 0, base=5 and cap=2",
        got=f"{got:.3g}",
        expected="close to 2, and not more",
    )


@pytest.mark.task("wait")
def test_draws_from_the_generator_it_is_given(answer):
    """The same `rng` gives the same waits."""
    why = "Draw from `rng`, so that a test can repeat what happened."
    call = "whether two Randoms of one seed give the same 1000 waits"
    expect(waits(answer, 3) == waits(answer, 3), True, call, why)


@pytest.mark.task("wait")
def test_a_week_of_failures(answer):
    """After 50,000 failures it still waits."""
    try:
        got = drawn(answer, 50_000, Random(4))
    except OverflowError as error:
        got = repr(error)
    ensure(
        isinstance(got, int | float) and 0 <= got <= 10,
        "2 ** 50000, like 2.0 ** 50000, is too large for a float. Let the exponent stop growing.",
        call="wait(50_000, rng)",
        got=repr(got),
        expected="something from 0 to 10",
    )


# Budget


def after(answer, *turns, most=10, ratio=0.5):
    """Whether a budget allows a retry after so many failures, then successes, then failures ..."""
    budget = answer.Budget(most, ratio)
    for number, times in enumerate(turns):
        for _ in range(times):
            (budget.succeeded if number % 2 else budget.failed)()
    return budget.allows


@pytest.mark.task("Budget")
def test_a_few_failures_are_retried(answer):
    """At first and after four failures of ten a retry is allowed."""
    got = [after(answer, n) for n in (0, 1, 4)]
    why = "`allows` is a property: True while more than half of the tokens are there."
    expect(got, [True] * 3, "Budget(10, 0.5).allows after 0, 1 and 4 failures", why)
    expect(after(answer, 2, most=5), True, "Budget(5, 0.5).allows after 2 failures", why)


@pytest.mark.task("Budget")
def test_no_retry_at_half(answer):
    """At exactly half of the tokens there is no retry."""
    why = "There must be more than half of the tokens."
    expect(after(answer, 5), False, "Budget(10, 0.5).allows after 5 failures", why)
    call = "Budget(5, 0.5).allows, 3 failures, then 1 success: 2.5 tokens"
    expect(after(answer, 3, 1, most=5), False, call, why)


@pytest.mark.task("Budget")
def test_a_success_pays_back(answer):
    """After six failures three successes are enough, and one is not."""
    got = [after(answer, 6, n) for n in (1, 3)]
    why = "Six failures leave 4 tokens; one success makes 4.5, three make 5.5."
    expect(got, [False, True], "Budget(10, 0.5).allows, 6 failures, then 1 or 3 successes", why)


@pytest.mark.task("Budget")
def test_a_long_outage_is_forgotten(answer):
    """After a thousand failures eleven successes are enough."""
    why = "There are never fewer than none: 11 successes make 5.5 tokens."
    call = "Budget(10, 0.5).allows, 1000 failures, then 11 successes"
    expect(after(answer, 1000, 11), True, call, why)
    why = "There are never fewer than none: a failure that finds 0.25 tokens leaves 0, not -0.75."
    call = "Budget(10, 0.25).allows, 10 failures, 1 success, 1 failure, 21 successes"
    expect(after(answer, 10, 1, 1, 21, ratio=0.25), True, call, why)


@pytest.mark.task("Budget")
def test_a_good_day_is_not_saved_up(answer):
    """After a thousand successes six failures are still too many."""
    why = "There are never more than the 10 it began with."
    call = "Budget(10, 0.5).allows, 1000 successes, then 6 failures"
    expect(after(answer, 0, 1000, 6), False, call, why)
    why = (
        "There are never more than the 9 it began with: a success that finds 8.9 makes 9, not 9.8."
    )
    call = "Budget(9, 0.9).allows, 1 failure, 2 successes, 5 failures"
    expect(after(answer, 1, 2, 5, most=9, ratio=0.9), False, call, why)


# again


class Script:
    """An endpoint that fails as written, then answers; it notes when it was called, and how."""

    def __init__(self, *errors):
        self.errors, self.called_at, self.calls = list(errors), [], Counter()

    async def __call__(self, request):
        self.called_at.append(round(asyncio.get_running_loop().time(), 3))
        self.calls[request] += 1
        if self.errors:
            raise self.errors.pop(0)
        return f"hello {request}"


def seconds(n):
    return 1.0 + n


@pytest.mark.task("again")
async def test_asks_until_it_has_an_answer(answer):
    """Two failures, then the answer; it waits after each failure."""
    inner = Script(Unavailable("down"), Overloaded("busy"))
    got = await answer.again(inner, 5, seconds)("Ada")
    expect(got, "hello Ada", "again(inner, 5, wait), two failures and then an answer")
    why = "After failure n, from 0, wait(n) seconds pass; here they are 1 and 2."
    expect(inner.called_at, [0.0, 1.0, 3.0], "when inner was called", why)


@pytest.mark.task("again")
async def test_attempts_are_counted_in_all(answer):
    """Three attempts are three calls, the first one among them."""
    inner = Script(*(Unavailable(f"down, call {n}") for n in range(1, 10)))
    message = ""
    try:
        await answer.again(inner, 3, seconds)("Ada")
    except CallError as error:
        message = error.message
    why = "`attempts` are the calls in all, not the retries."
    expect(len(inner.called_at), 3, "how often inner is called, attempts=3", why)
    expect(message, "down, call 3", "the error in the end", "Raise the last error.")


@pytest.mark.task("again")
async def test_does_not_wait_in_vain(answer):
    """After the last attempt the error is raised at once."""
    inner = Script(*(Unavailable("down") for _ in range(10)))
    with raises(Unavailable, call="again(inner, 2, wait)"):
        await answer.again(inner, 2, seconds)("Ada")
    waited = asyncio.get_running_loop().time() - inner.called_at[-1]
    expect(waited, 0.0, "seconds between the last attempt and the error", "There is no next one.")


@pytest.mark.task("again")
async def test_each_request_has_its_own_attempts(answer):
    """Of two requests at the same time each has all its attempts."""
    one, two = (Script(*(Unavailable("down") for _ in range(20))) for _ in range(2))
    endpoint = answer.again(two, 3, seconds)
    calls = [answer.again(one, 3, seconds)("Ada"), endpoint("Ada"), endpoint("Grace")]
    for each in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(each, Exception) and not isinstance(each, CallError):
            raise each
    why = "Count the attempts inside `endpoint`: each request begins anew."
    alone = one.calls["Ada"]
    call = f"calls of inner for two requests at the same time; for one alone there are {alone}"
    expect(dict(two.calls), {"Ada": alone, "Grace": alone}, call, why)


@pytest.mark.task("again")
async def test_nothing_is_a_result_too(answer):
    """Whatever inner returns is the result, also None or an empty list."""
    for result in (None, [], 0):
        calls = 0

        async def inner(request, result=result):
            nonlocal calls
            calls += 1
            return result

        got = await answer.again(inner, 3, seconds)("Ada")
        why = "A call that returns has succeeded, whatever it returns."
        expect(
            (got, calls),
            (result, 1),
            f"the result, and calls of inner, which returns {result}",
            why,
        )


@pytest.mark.task("again")
async def test_everything_else_is_raised_at_once(answer):
    """NotFound, a timeout, a bug: whatever else is raised is not asked again."""
    for error, why in {
        NotFound("no user 7"): "Who says no says no again.",
        DeadlineExceeded("too late"): "The work may be done, or going on.",
        Internal("a bug"): "A bug stays a bug.",
        NoInstances("nobody there"): "It is neither of the two.",
        ValueError("a bug"): "A bug of our own.",
        TimeoutError("too slow"): "It is neither of the two.",
        ConnectionError("reset"): "It is neither of the two.",
    }.items():
        inner, caught = Script(error), None
        try:
            await answer.again(inner, 3, seconds)(7)
        except (CallError, ValueError, OSError) as raised:
            caught = raised
        why += " Catch only Unavailable and ComeBackLater."
        call = f"how often inner is called when it raises {type(error).__name__}"
        expect(len(inner.called_at), 1, call, why)
        ensure(
            caught is error,
            "The error goes on to the caller, as it came.",
            call=f"what the caller gets when inner raises {type(error).__name__}",
            got=show(caught),
            expected=show(error),
        )


@pytest.mark.task("again")
async def test_who_has_left_is_not_asked_for_again(answer):
    """A call that is cancelled ends, and is not made again."""
    calls = 0

    async def inner(request):
        nonlocal calls
        calls += 1
        await asyncio.sleep(1)
        return "late"

    task = asyncio.create_task(answer.again(inner, 3, seconds)("Ada"))
    await asyncio.sleep(0.5)
    task.cancel()
    (got,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(got, Exception):
        raise got
    why = "Let CancelledError go on: nobody waits for the answer any more."
    call = "calls of inner, and the result of a call that is cancelled"
    expect((calls, task.cancelled() or got), (1, True), call, why)


@pytest.mark.task("again")
async def test_believes_a_service_that_says_when(answer):
    """Overloaded and RateLimited say: come back in five seconds."""
    why = "Add `retry_after_seconds` to the wait, when the error has one."
    for kind, times in {Overloaded: [0.0, 6.0], RateLimited: [6.0, 12.0]}.items():
        inner = Script(kind("busy", retry_after_seconds=5.0))
        await answer.again(inner, 3, seconds)("Ada")
        call = f"when inner was called, wait(0) = 1, {kind.__name__}, retry after 5"
        expect(inner.called_at, times, call, why)


@pytest.mark.task("again")
async def test_never_past_the_deadline(answer):
    """When the next attempt would come too late, the error is raised at once."""
    for patience in (2.5, 3.0):
        inner = Script(*(Unavailable("down") for _ in range(10)))
        got = await ends(answer.again(inner, 9, seconds), patience)
        why = f"At 1 s the wait is 2 s, and remaining_seconds() is {patience - 1}: too late."
        call = f"the error and when, deadline {patience} s, wait 1, 2, ..."
        expect(got, ["Unavailable", 1.0], call, why)
    told = [Overloaded("busy", retry_after_seconds=5.0) for _ in range(10)]
    heeded = Script(*told[:1])
    await answer.again(heeded, 2, seconds)("Ada")
    if heeded.called_at[1:] == [heeded.called_at[0] + 6.0]:  # or else another check fails
        got = await ends(answer.again(Script(*told), 9, seconds), 3.0)
        why = (
            "The next attempt would begin after 1 + 5 s: compare the whole wait with what is left."
        )
        call = "the error and when, deadline 3 s, wait 1, Overloaded with retry after 5"
        expect(got, ["Overloaded", 0.0], call, why)


async def ends(endpoint, patience):
    """The error a call with a deadline ends with, and after how many seconds."""
    clock, got = asyncio.get_running_loop().time, "nothing"
    began = clock()
    try:
        await timeout(patience)(endpoint)("Ada")
    except CallError as error:
        got = type(error).__name__
    return [got, round(clock() - began, 3)]


# in_time


class Kitchen:
    """Takes a second for each; notes the order, and fails where told."""

    def __init__(self, *fails):
        self.fails, self.done, self.at_once, self.most = fails, [], 0, 0

    async def __call__(self, request):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(1)
        finally:
            self.at_once -= 1
        if request in self.fails:
            raise Unavailable("the oven is cold")
        self.done.append(request)
        return f"{request} is done"


async def order(endpoint, request, patience):
    """What becomes of a call that waits so long, and when."""
    instant = None if patience is None else asyncio.get_running_loop().time() + patience
    context.deadline.set(instant)
    try:
        outcome = await endpoint(request)
    except (CallError, DeadlineExceeded) as error:
        outcome = type(error).__name__
    return outcome, round(asyncio.get_running_loop().time(), 3)


async def orders(endpoint, *patiences):
    calls = [order(endpoint, name, each) for name, each in zip("abcdefgh", patiences, strict=False)]
    return await asyncio.gather(*map(asyncio.create_task, calls))


@pytest.mark.task("in_time")
async def test_one_at_a_time_in_order(answer):
    """Calls with time enough are served one after the other."""
    kitchen = Kitchen()
    got = await orders(answer.in_time(kitchen, 1), None, 9, None)
    expected = [("a is done", 1.0), ("b is done", 2.0), ("c is done", 3.0)]
    why = "Everybody waits for a turn, `async with turn:`, and then for `inner`."
    expect(got, expected, "three calls at once, with None, 9 and None seconds left", why)
    why = "Call `inner` only inside `async with turn:`."
    expect(kitchen.most, 1, "how many were served at the same time", why)


@pytest.mark.task("in_time")
async def test_counts_its_own_time(answer):
    """A call whose turn comes in time but cannot be finished is refused."""
    got = await orders(answer.in_time(Kitchen(), 1), None, None, 2.5)
    why = "It would be finished after 3 s. That is known as it comes, so refuse it then."
    expect(got[2], ("Overloaded", 0.0), "the third of three calls, with 2.5 s left", why)


@pytest.mark.task("in_time")
async def test_the_last_moment_is_in_time(answer):
    """A call that would be finished just at its deadline is served."""
    got = await orders(answer.in_time(Kitchen(), 1), None, None, 3)
    why = "Refuse what would be finished *after* its deadline. This one is just in time."
    expect(got[2], ("c is done", 3.0), "the third of three calls, with 3 s left", why)


@pytest.mark.task("in_time")
async def test_who_is_refused_takes_no_place(answer):
    """Those who are refused do not make the line longer for the next."""
    got = await orders(answer.in_time(Kitchen(), 1), None, 0.5, 0.5, 0.5, 2.5)
    why = "One is before it. Those who were refused take no place in the line."
    expect(
        got[4], ("e is done", 2.0), "a call with 2.5 s left, after one served, three refused", why
    )


@pytest.mark.task("in_time")
async def test_who_may_wait_is_not_refused(answer):
    """Without a deadline a call waits as long as it takes."""
    got = await orders(answer.in_time(Kitchen(), 1), *[None] * 8)
    why = "None is no deadline: such a call is never refused."
    expect(got[7], ("h is done", 8.0), "the last of eight calls without a deadline", why)


@pytest.mark.task("in_time")
async def test_a_failure_leaves_the_line(answer):
    """Who fails, or leaves while waiting, is in line no more."""
    endpoint = answer.in_time(Kitchen("a", "b", "c"), 1)
    await orders(endpoint, None, None, None)
    got = await order(endpoint, "d", 1.5)
    why = "Three have failed and are gone. Count down in `finally`."
    expect(got, ("d is done", 4.0), "a call with 1.5 s left, after three that failed", why)
    served, waiting = (asyncio.ensure_future(order(endpoint, name, None)) for name in "ef")
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    got = await order(endpoint, "g", 2.5)
    why = "Who was cancelled while waiting is gone too. Count down in `finally`."
    expect(got, ("g is done", 6.0), "one served, one waiting and cancelled, then 2.5 s left", why)
    await served
