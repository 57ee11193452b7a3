"""Graders of the exercises to lesson 4.2, metrics."""

import asyncio
import contextlib
import gc
import math
import weakref

import pytest

from course_lib.errors import CallError, NotFound
from course_lib.grading.checks import CheckFailed, ensure, expect, no_error, raises, show
from course_lib.telemetry.metrics import CollectorRegistry, Gauge

INF = math.inf


def function(made, call, why):
    """What the learner's function made, if it can be called."""
    ensure(callable(made), why, call=call, got=show(made), expected="a function")
    return made


# grown


def grew(answer, samples, expected, why=""):
    try:
        got = answer.grown(list(samples))
    except (IndexError, ValueError, TypeError) as error:
        got = f"{type(error).__name__}: {error}"
        raise CheckFailed(why, call=f"grown({samples})", got=got, expected=str(expected)) from error
    expect(got, expected, f"grown({samples})", why)


@pytest.mark.task("grown")
def test_counts_what_was_added(answer):
    """Without a restart it is the last value minus the first."""
    grew(answer, [(0, 5), (15, 8), (30, 8)], 3)
    grew(answer, [(0, 7), (15, 7)], 0)


@pytest.mark.task("grown")
def test_counts_what_came_after_a_restart(answer):
    """What was counted between the restart and the next sample is not lost."""
    why = "The counter fell to 4: it began at zero and has counted 4 since. So 10, then 4, then 2."
    grew(answer, [(0, 10), (15, 20), (30, 4), (45, 6)], 16, why)


@pytest.mark.task("grown")
def test_sees_every_restart(answer):
    """Each restart is seen, not only one."""
    why = "It fell twice. Look at each pair of neighbours, not at the ends."
    grew(answer, [(0, 10), (15, 0), (30, 4), (45, 0), (60, 3)], 7, why)


@pytest.mark.task("grown")
def test_one_sample_says_nothing(answer):
    """With fewer than two samples nothing has grown."""
    why = "From a single value, or from none, nobody can tell what was added."
    for samples in ([(0, 100)], []):
        grew(answer, samples, 0, why)


# kept_promise


def kept(answer, before, after, seconds, expected, why=""):
    call = f"kept_promise({before}, {after}, {seconds})"
    try:
        got = answer.kept_promise(before, after, seconds)
    except (KeyError, ZeroDivisionError) as error:
        got = f"{type(error).__name__}: {error}"
        raise CheckFailed(why, call=call, got=got, expected=str(expected)) from error
    expect(got, expected, call, why, within=None if expected is None else 1e-9)


@pytest.mark.task("kept_promise")
def test_the_share_of_one_instance(answer):
    """Of 100 calls of one instance 60 took at most 0.1 s."""
    why = "The bucket of math.inf holds all calls, so it is what to divide by."
    kept(answer, {"a": {0.1: 0, INF: 0}}, {"a": {0.1: 60, INF: 100}}, 0.1, 0.6, why)


@pytest.mark.task("kept_promise")
def test_a_bucket_holds_the_ones_before_it(answer):
    """Buckets are cumulative: each holds the faster calls too."""
    why = "The bucket 0.25 already counts the 60 calls of the bucket 0.1. Do not add them again."
    before, after = {0.1: 0, 0.25: 0, INF: 0}, {0.1: 60, 0.25: 90, INF: 100}
    kept(answer, {"a": before}, {"a": after}, 0.25, 0.9, why)


@pytest.mark.task("kept_promise")
def test_only_what_ended_between_the_scrapes_counts(answer):
    """What ended before the first scrape is not counted."""
    why = "Counters hold everything since the start. Subtract what the first scrape saw."
    before, after = {0.1: 9000, INF: 9000}, {0.1: 9000, INF: 9100}
    kept(answer, {"a": before}, {"a": after}, 0.1, 0.0, why)


@pytest.mark.task("kept_promise")
def test_a_busy_instance_weighs_more(answer):
    """Calls are added over all instances before anything is divided."""
    why = "Add the calls of all instances, then divide once. Shares cannot be averaged."
    before = {name: {0.1: 0, INF: 0} for name in "ab"}
    after = {"a": {0.1: 990, INF: 990}, "b": {0.1: 0, INF: 10}}
    kept(answer, before, after, 0.1, 0.99, why)


@pytest.mark.task("kept_promise")
def test_a_new_instance_began_at_zero(answer):
    """An instance that is missing in the first scrape counts from zero."""
    why = "It has just been started, so all its calls are new."
    kept(answer, {}, {"a": {0.1: 3, INF: 4}}, 0.1, 0.75, why)


@pytest.mark.task("kept_promise")
def test_an_instance_that_is_gone_is_left_out(answer):
    """An instance that is missing in the second scrape is left out."""
    why = "Nobody knows what it did since the first scrape. Go through the instances of `after`."
    before = {"a": {0.1: 10, INF: 10}, "gone": {0.1: 500, INF: 900}}
    kept(answer, before, {"a": {0.1: 13, INF: 14}}, 0.1, 0.75, why)


@pytest.mark.task("kept_promise")
def test_without_calls_there_is_no_share(answer):
    """When no call ended, the answer is None."""
    why = "Nothing was promised to anybody: neither 0 % nor 100 % would be true."
    same = {"a": {0.1: 5, INF: 6}}
    kept(answer, same, same, 0.1, None, why)


# in_flight


class Calls:
    """A gauge of ours, and the learner's middleware around an inner endpoint, twice."""

    def __init__(self, answer):
        self.registry = CollectorRegistry()
        gauge = Gauge("in_flight", "Calls inside", registry=self.registry)
        why = "Return the function `wrap`: a middleware takes the inner endpoint."
        wrap = function(answer.in_flight(gauge), "in_flight(gauge)", why)
        why = "Return the function `endpoint` that you define inside `wrap`."
        call = "in_flight(gauge)(inner)"
        self.endpoint, self.second = (function(wrap(self.inner), call, why) for _ in range(2))

    @property
    def inside(self):
        return self.registry.get_sample_value("in_flight")

    async def inner(self, request):
        await asyncio.sleep(request)
        if request == 7:
            raise NotFound("no user 7")
        return "hello"


@pytest.mark.task("in_flight")
async def test_is_one_during_a_call_and_none_after_it(answer):
    """During a call it is 1, and after it 0; the response comes back."""
    calls = Calls(answer)
    task = asyncio.create_task(calls.endpoint(2))
    await asyncio.sleep(1)
    expect(calls.inside, 1.0, "the gauge during a call")
    expect(await task, "hello", "await endpoint(request)", "Return what the inner one returned.")
    expect(calls.inside, 0.0, "the gauge after the call")


@pytest.mark.task("in_flight")
async def test_knows_how_many_are_left(answer):
    """Of three calls at once, two are left when one has ended."""
    calls = Calls(answer)
    tasks = [asyncio.create_task(calls.endpoint(seconds)) for seconds in (1, 3, 3)]
    await asyncio.sleep(0.5)
    expect(calls.inside, 3.0, "the gauge during three calls")
    await asyncio.sleep(1)
    why = "One has left, and two are still inside. Take one off; do not set it."
    expect(calls.inside, 2.0, "the gauge when one of three has ended", why)
    await asyncio.gather(*tasks)


@pytest.mark.task("in_flight")
async def test_two_endpoints_are_counted_together(answer):
    """Two endpoints in the same middleware are counted together."""
    calls = Calls(answer)
    tasks = [asyncio.create_task(calls.endpoint(seconds)) for seconds in (2, 3)]
    tasks.append(asyncio.create_task(calls.second(1)))
    await asyncio.sleep(0.5)
    why = "Each endpoint adds to what the gauge holds already. A count of your own knows but one."
    expect(calls.inside, 3.0, "the gauge, two calls in one endpoint and one in another", why)
    await asyncio.gather(*tasks)


@pytest.mark.task("in_flight")
async def test_comes_back_after_an_error(answer):
    """After a call that failed it is 0 again."""
    calls = Calls(answer)
    with contextlib.suppress(CallError):
        await calls.endpoint(7)
    expect(calls.inside, 0.0, "the gauge after a call that raised", "A failed call has left too.")


@pytest.mark.task("in_flight")
async def test_lets_errors_through(answer):
    """The caller gets the error itself."""
    with raises(NotFound, call="await endpoint(7)", names="no user 7", why="Let it go on."):
        await Calls(answer).endpoint(7)


@pytest.mark.task("in_flight")
async def test_comes_back_after_a_cancelled_call(answer):
    """After a call that was given up it is 0 again, and the call ends as cancelled."""
    calls = Calls(answer)
    task = asyncio.create_task(calls.endpoint(100))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    why = "CancelledError is no Exception, so `except Exception` does not see it. `finally` does."
    expect(calls.inside, 0.0, "the gauge after a call that was cancelled", why)
    ensure(
        task.cancelled(),
        "Who cancels a call wants it to end so. Let CancelledError go on to the caller.",
        call="the task of endpoint(request), after it was cancelled",
        got="it returned as if nothing had happened",
        expected="cancelled",
    )


# limited


class Path(str):
    """A text whose end can be seen."""

    __slots__ = ("__weakref__",)


def label_of(answer, most):
    """The learner's function for labels."""
    why = "Return the function `label` that you define inside."
    return function(answer.limited(most), f"limited({most})", why)


@pytest.mark.task("limited")
def test_lets_the_first_ones_in(answer):
    """The first different values come back as they are, however often they come."""
    label = label_of(answer, 2)
    values = ["/users", "/users", "/users", "/orders", "/users"]
    why = "Count the different values, not the calls: /orders is the second one."
    expect([label(value) for value in values], values, f"{', '.join(values)} with most=2", why)


@pytest.mark.task("limited")
def test_the_next_one_is_other(answer):
    """The first value that is too many is other."""
    label = label_of(answer, 2)
    got = [label(value) for value in ("/users", "/orders", "/wp-admin")]
    expect(got[2], "other", "/wp-admin after /users and /orders, with most=2")


@pytest.mark.task("limited")
def test_who_is_in_stays_in(answer):
    """When the limit is reached, the known values keep their names."""
    label = label_of(answer, 2)
    for value in ("/users", "/orders", "/wp-admin"):
        label(value)
    why = "Its series is there already. Ask first whether the value is known, then for the limit."
    expect(label("/users"), "/users", "/users again, when the limit is reached", why)


@pytest.mark.task("limited")
def test_keeps_nothing_of_the_others(answer):
    """Of a value that is not let in, nothing is kept."""
    label = label_of(answer, 1)
    label("/users")
    paths = [Path(f"/scan-{n}") for n in range(3)]
    seen = [weakref.ref(path) for path in paths]
    for path in paths:
        label(path)
    del paths, path
    gc.collect()
    ensure(
        all(ref() is None for ref in seen),
        "A scanner knows a million of them. Remember the values you let in, and no others.",
        call="three values that were not let in",
        got=f"{sum(ref() is not None for ref in seen)} of them are still in memory",
        expected="none of them is kept",
    )


@pytest.mark.task("limited")
def test_each_counts_for_itself(answer):
    """Two limits do not share their values."""
    one, other = label_of(answer, 1), label_of(answer, 1)
    one("/prices")  # no other check uses these two
    why = "What `limited` remembers must be made anew in each call of it."
    expect(other("/stock"), "/stock", "the first value of a second limited(1)", why)


# alert


def states(answer, threshold, for_seconds, *values):
    made = f"alert({threshold}, {for_seconds})"
    why = "Return the function `evaluate` that you define inside."
    evaluate = function(answer.alert(threshold, for_seconds), made, why)
    words = []
    for now, value in values:
        call = f"{made}, then evaluate({now}, {value})"
        errors = (TypeError,) if value is None else ()
        why = "`None` cannot be compared with a number: it means that there is no data."
        with no_error(*errors, call=call, expected="'inactive'", why=why):
            words.append(evaluate(now, value))
        ensure(
            words[-1] in ("inactive", "pending", "firing"),
            "Every evaluation returns one of the three words.",
            call=call,
            got=show(words[-1]),
            expected="inactive, pending or firing",
        )
    return words


@pytest.mark.task("alert")
def test_waits_before_it_fires(answer):
    """It is pending first, fires when the time is over, and goes on firing."""
    values = [(at, 0.1) for at in (100, 130, 159, 160, 175)]
    got = states(answer, 0.05, 60, *values)
    call = "alert(0.05, 60), above it at 100, 130, 159"
    expect(got[:3], ["pending"] * 3, call, "It has not been above for 60 s yet.")
    why = "At least 60 s: at 160 exactly 60 s have gone by."
    expect(got[3], "firing", f"{call}, 160", why)
    why = "It is still above, and the 60 s are over: it goes on firing."
    expect(got[4], "firing", f"{call}, 160, 175", why)


@pytest.mark.task("alert")
def test_waits_from_the_instant_0_too(answer):
    """It waits as long when the first instant is 0."""
    got = states(answer, 0.05, 60, (0, 0.1), (30, 0.2), (59, 0.1), (75, 0.1))
    why = "0 is an instant too: ask whether the start is None, not whether it is true."
    call = "alert(0.05, 60), above it at 0, 30, 59, 75"
    expect(got, ["pending", "pending", "pending", "firing"], call, why)


@pytest.mark.task("alert")
def test_at_the_threshold_nothing_happens(answer):
    """A value at the threshold is not above it."""
    got = states(answer, 0.05, 60, (0, 0.01), (15, 0.05))
    expect(got, ["inactive"] * 2, "alert(0.05, 60) at 0.01 and 0.05", "Above means more than.")


@pytest.mark.task("alert")
def test_a_good_moment_starts_the_clock_anew(answer):
    """When the value was fine in between, the waiting starts anew."""
    got = states(answer, 0.05, 60, (0, 0.1), (45, 0.01), (60, 0.1), (119, 0.1), (125, 0.1))
    expected = ["pending", "inactive", "pending", "pending", "firing"]
    call = "alert(0.05, 60), above it at 0, fine at 45, above it at 60, 119, 125"
    expect(got, expected, call, "It has not held for 60 s: at 45 it was fine. Forget the start.")


@pytest.mark.task("alert")
def test_without_data_it_is_inactive(answer):
    """Without data it is inactive, and the waiting starts anew."""
    got = states(answer, 0.05, 60, (0, 0.1), (30, None), (60, 0.1))
    why = "None is no breach: the alert is inactive, as if the value had been fine."
    call = "alert(0.05, 60), above it at 0, no data at 30, above it at 60"
    expect(got, ["pending", "inactive", "pending"], call, why)


@pytest.mark.task("alert")
def test_without_a_time_it_fires_at_once(answer):
    """With a time of 0 it fires at the first value above."""
    why = "At least 0 s: they are over at once."
    expect(states(answer, 1, 0, (0, 2)), ["firing"], "alert(1, 0), above it at 0", why)


@pytest.mark.task("alert")
def test_ends_as_soon_as_the_value_is_fine(answer):
    """An alert that fires is inactive at the first good value, and then waits anew."""
    got = states(answer, 1, 60, (100, 2), (165, 2), (175, 0), (190, None), (205, 2))
    call = "alert(1, 60), above it at 100 and 165, fine at 175"
    why = "It is fine again, so nobody needs to be called."
    expect(got[:3], ["pending", "firing", "inactive"], call, why)
    expect(got[3], "inactive", f"{call}, no data at 190", "Without data it is inactive.")
    why = "The first breach is over. Forget that it fired, as well as when it began."
    expect(got[4], "pending", f"{call}, no data at 190, above it again at 205", why)
