"""Graders of the exercises to lesson 4.4, health and runtime state."""

import asyncio

import pytest

from course_lib.errors import Unavailable
from course_lib.grading.checks import ensure, expect

# Verdict


def verdicts(answer, answers, success_threshold=1, failure_threshold=3, healthy=True):
    """What holds after each answer: + is a good one, - a bad one."""
    verdict = answer.Verdict(success_threshold, failure_threshold, healthy)
    seen = []
    for each in answers:
        verdict.answer(each == "+")
        seen.append(verdict.healthy)
    return seen


@pytest.mark.task("Verdict")
def test_below_the_threshold_nothing_changes(answer):
    """Two bad answers of three change nothing, whatever held before."""
    expect(verdicts(answer, "--"), [True, True], "Verdict(1, 3, True).healthy after each of - -")
    got = verdicts(answer, "--", healthy=False)
    expect(got, [False, False], "Verdict(1, 3, False).healthy after each of - -")


@pytest.mark.task("Verdict")
def test_the_third_in_a_row_is_the_verdict(answer):
    """After as many bad answers in a row as the threshold says it is unhealthy."""
    expect(
        verdicts(answer, "---")[-1],
        False,
        "Verdict(1, 3, True).healthy after - - -",
        "The third bad answer in a row makes it unhealthy, not the one after it.",
    )


@pytest.mark.task("Verdict")
def test_a_good_answer_begins_the_count_anew(answer):
    """Bad answers with a good one between them are not in a row."""
    expect(
        verdicts(answer, "--+--")[-1],
        True,
        "Verdict(1, 3, True).healthy after - - + - -",
        "Only answers in a row count: a good one begins the count of bad ones anew.",
    )


@pytest.mark.task("Verdict")
def test_back_after_enough_good_answers_in_a_row(answer):
    """Healthy again only after as many good answers in a row as asked for."""
    three = {"success_threshold": 3, "failure_threshold": 2, "healthy": False}
    expect(
        verdicts(answer, "+++", **three),
        [False, False, True],
        "Verdict(3, 2, False).healthy after each of + + +",
        "It has to answer well success_threshold times before it is healthy.",
    )
    expect(
        verdicts(answer, "++-++", **three)[-1],
        False,
        "Verdict(3, 2, False).healthy after + + - + +",
        "A bad answer begins the count of good ones anew.",
    )


# longest


@pytest.mark.task("longest")
def test_with_one_failure(answer):
    """With one failure it is a period, until it is asked, and the timeout."""
    for period, timeout in ((10, 1), (5, 2)):
        expect(
            answer.longest(period, timeout, 1, 0),
            period + timeout,
            f"longest(period={period}, timeout={timeout}, failures=1, grace=0)",
            "It hung just after a good answer: a whole period passes before it is asked again.",
        )


@pytest.mark.task("longest")
def test_each_further_failure_is_a_period(answer):
    """Every further failure takes one period."""
    expect(
        answer.longest(10, 1, 3, 0) - answer.longest(10, 1, 1, 0),
        20,
        "longest(10, 1, failures=3, grace=0) - longest(10, 1, failures=1, grace=0)",
        "Questions begin a period apart, whether or not the last one timed out meanwhile.",
    )


@pytest.mark.task("longest")
def test_the_grace_comes_on_top(answer):
    """A process that does not hear SIGTERM lives until the grace period is over."""
    expect(
        answer.longest(10, 1, 3, 30) - answer.longest(10, 1, 3, 0),
        30,
        "longest(10, 1, 3, grace=30) - longest(10, 1, 3, grace=0)",
        "What hangs does not hear SIGTERM. It is killed when the grace period is over.",
    )


# report


async def fine():
    await asyncio.sleep(0.01)


async def broken():
    raise ConnectionError("refused")


async def hangs():
    await asyncio.Event().wait()


async def reported(answer, checks, call):
    """The report, and how long it took; one that hangs or raises is said in words."""
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(60):
            got = await answer.report(checks, 0.5)
    except TimeoutError:
        ensure(False, "The page hangs when a check hangs.", call=call, got="nothing, for ever")
    except NotImplementedError:
        raise  # not started
    except Exception as error:
        why = "The page must answer whatever a check does: catch what it raises."
        ensure(False, why, call=call, got=f"{type(error).__name__} was raised")
    return got, asyncio.get_running_loop().time() - began


@pytest.mark.task("report")
async def test_all_is_well(answer):
    """Without trouble, and without checks, the status is 200."""
    call = 'await report({"database": fine, "cache": fine}, 0.5)'
    got, _ = await reported(answer, {"database": fine, "cache": fine}, call)
    expect(got, (200, {"database": "ok", "cache": "ok"}), call)
    got, _ = await reported(answer, {}, "await report({}, 0.5)")
    expect(got, (200, {}), "await report({}, 0.5)", "Nothing is wrong where nothing is asked.")


@pytest.mark.task("report")
async def test_a_check_that_raises_is_named(answer):
    """A check that raises makes it 503 and is called "failed"; the others keep their outcome."""
    call = 'await report({"database": raises, "cache": fine}, 0.5)'
    got, _ = await reported(answer, {"database": broken, "cache": fine}, call)
    expect(got, (503, {"database": "failed", "cache": "ok"}), call)


@pytest.mark.task("report")
async def test_a_check_that_hangs_is_named(answer):
    """A check that hangs makes it 503 and is called "no answer"; the others keep their outcome."""
    call = 'await report({"mail": hangs, "cache": fine}, 0.5)'
    got, _ = await reported(answer, {"mail": hangs, "cache": fine}, call)
    why = "One check that hangs says nothing about the others: limit the time of each."
    expect(got, (503, {"mail": "no answer", "cache": "ok"}), call, why)


@pytest.mark.task("report")
async def test_three_that_hang_take_no_longer_than_one(answer):
    """The page takes the time limit once, however many checks hang."""
    call = "await report(three checks that hang, 0.5)"
    _, took = await reported(answer, dict.fromkeys("abc", hangs), call)
    ensure(
        took <= 0.6,
        "Run them at the same time: a prober waits one second.",
        call=call,
        got=f"an answer after {took:.2g} s",
        expected="an answer after 0.5 s",
    )


# Door


async def takes(seconds):
    """Work that lasts so long; a negative number fails after a second."""
    await asyncio.sleep(abs(seconds))
    if seconds < 0:
        raise ValueError("a bug")
    return "done"


async def outcome(endpoint, request):
    """What the caller sees: the answer, or the name of the error."""
    try:
        return await endpoint(request)
    except Exception as error:
        return type(error).__name__


async def left(door, notice, patience):
    """Leave; how many seconds it took, or None when it never ends."""
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(1000):
            await door.leave(notice, patience)
    except TimeoutError:
        return None
    return asyncio.get_running_loop().time() - began


@pytest.mark.task("Door")
async def test_serves_while_it_is_ready(answer):
    """Before anybody leaves, calls pass and errors too."""
    door = answer.Door()
    expect(door.ready, True, "Door().ready")
    got = [await outcome(door.guard(takes), request) for request in (1, -1)]
    expect(got, ["done", "ValueError"], "a call that works, and one whose inner raises ValueError")


@pytest.mark.task("Door")
async def test_not_ready_at_once(answer):
    """The moment it begins to leave it is not ready."""
    door = answer.Door()
    leaving = asyncio.create_task(door.leave(5, 5))
    await asyncio.sleep(0.1)
    got = door.ready
    await leaving
    expect(got, False, "door.ready, 0.1 s after leave(notice=5, patience=5) began")


@pytest.mark.task("Door")
async def test_serves_during_the_notice(answer):
    """Until the notice is over everybody is served: they have not heard of it yet."""
    door = answer.Door()
    leaving = asyncio.create_task(door.leave(5, 5))
    await asyncio.sleep(3)
    got = await outcome(door.guard(takes), 1)
    await leaving
    why = "Those who have not noticed still send. Close the door when the notice is over."
    expect(got, "done", "a call 3 s after leave(notice=5, patience=5) began", why)


@pytest.mark.task("Door")
async def test_refuses_when_the_door_is_closed(answer):
    """After the notice a call is refused with Unavailable."""
    door = answer.Door()
    await left(door, 5, 5)
    got = await outcome(door.guard(takes), 1)
    expect(got, Unavailable.__name__, "a call after leave(notice=5, patience=5) has ended")


@pytest.mark.task("Door")
async def test_waits_for_calls_in_flight(answer):
    """A call that has begun ends before leave does."""
    door = answer.Door()
    call = asyncio.create_task(outcome(door.guard(takes), 8))
    await asyncio.sleep(0)
    took = await left(door, 5, 60)
    await call
    why = "A call was in flight when the door closed. Wait for it, and no longer."
    expect(took, 8, "seconds leave(5, 60) took, with a call of 8 s in flight", why, within=0.3)


@pytest.mark.task("Door")
async def test_its_patience_ends(answer):
    """A call that never ends does not keep it for ever."""
    door = answer.Door()
    call = asyncio.create_task(outcome(door.guard(takes), 5000))
    await asyncio.sleep(0)
    took = await left(door, 5, 20)
    call.cancel()
    shown = "never ends" if took is None else took
    why = "It waits for calls in flight `patience` seconds at most."
    expect(shown, 25, "seconds leave(5, 20) took, with a call that hangs", why, within=0.3)


@pytest.mark.task("Door")
async def test_a_call_that_failed_is_not_in_flight(answer):
    """A call that raised is over."""
    door = answer.Door()
    await outcome(door.guard(takes), -1)
    took = await left(door, 5, 60)
    why = "Count a call down also when inner raises: with `finally`."
    expect(took, 5, "seconds leave(5, 60) took, after a call that failed", why, within=0.3)


@pytest.mark.task("Door")
async def test_a_call_that_was_cancelled_is_not_in_flight(answer):
    """A call that its caller gave up is over."""
    door = answer.Door()
    call = asyncio.create_task(outcome(door.guard(takes), 5000))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    took = await left(door, 5, 60)
    why = "Callers give up, and CancelledError is no Exception. A `finally` counts in every case."
    expect(took, 5, "seconds leave(5, 60) took, after a call that was cancelled", why, within=0.3)
