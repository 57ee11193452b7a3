"""Graders of the exercises to lesson 4.4, health and runtime state."""

import asyncio

import pytest

from course_lib.errors import Unavailable
from course_lib.grading.checks import ensure, expect, no_error

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
    """The report, and how long it took; one that hangs is said in words."""
    began = asyncio.get_running_loop().time()
    coroutine = answer.report(checks, 0.5)
    why = "`report` is awaited: write `async def report`."
    ensure(asyncio.iscoroutine(coroutine), why, call=call, got=f"{coroutine!r}, no coroutine")
    reporting = asyncio.ensure_future(coroutine)
    await asyncio.wait([reporting], timeout=60)
    took = asyncio.get_running_loop().time() - began
    if not reporting.done():
        reporting.cancel()
        ensure(False, "The page hangs when a check hangs.", call=call, got="nothing, for ever")
    return await reporting, took


async def answered(answer, checks, call, *errors):
    """The report; one of these errors is that of a check, which nobody caught."""
    why = "The page must answer whatever a check does: catch what it raises."
    with no_error(*errors, ExceptionGroup, call=call, expected="an answer", why=why):
        return (await reported(answer, checks, call))[0]


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
    got = await answered(answer, {"database": broken, "cache": fine}, call, ConnectionError)
    expect(got, (503, {"database": "failed", "cache": "ok"}), call)


@pytest.mark.task("report")
async def test_a_check_that_hangs_is_named(answer):
    """A check that hangs makes it 503 and is called "no answer"; the others keep their outcome."""
    call = 'await report({"mail": hangs, "cache": fine}, 0.5)'
    got = await answered(answer, {"mail": hangs, "cache": fine}, call, TimeoutError)
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


@pytest.mark.task("report")
async def test_what_hangs_is_cancelled(answer):
    """A check that has not ended in time is cancelled, and does not go on behind the page."""
    running = set()

    def hanging(name):
        async def check():
            running.add(name)
            try:
                await asyncio.Event().wait()
            finally:
                running.discard(name)

        return check

    call = 'await report({"mail": hangs, "cache": fine, "disk": hangs}, 0.5)'
    checks = {"mail": hanging("mail"), "cache": fine, "disk": hanging("disk")}
    await reported(answer, checks, call)
    await asyncio.sleep(0.1)
    ensure(
        not running,
        "The page is asked again and again, and each time leaves a few behind. Cancel them; "
        "`asyncio.timeout` does, `asyncio.wait` does not.",
        call=call,
        got=f"still running 0.1 s later: {', '.join(sorted(running))}",
        expected="no check runs any more",
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


NEVER = (
    "It waits for calls in flight `patience` seconds at most, by the clock of the event loop: "
    "`asyncio.timeout`, or `asyncio.get_running_loop().time()`. Here, in virtual time, "
    "`time.monotonic()` stands still."
)


async def left(door, notice, patience, case):
    """Leave; how many seconds it took. One that does not end, or raises, is said in words."""

    async def leave():
        await door.leave(notice, patience)

    call = f"await door.leave(notice={notice}, patience={patience}), {case}"
    loop = asyncio.get_running_loop()
    began, leaving = loop.time(), asyncio.create_task(leave())
    await asyncio.wait([leaving], timeout=1000)
    took = loop.time() - began
    if not leaving.done():
        leaving.cancel()
        ensure(False, NEVER, call=call, got="never ends", expected="an end")
    why = "Without a call in flight there is nothing to wait for, and when the patience is over "
    why += "`leave` returns all the same. Catch TimeoutError."
    late = isinstance(leaving.exception(), TimeoutError)
    ensure(not late, why, call=call, got="TimeoutError was raised", expected="`leave` returns")
    await leaving
    return took


def expect_seconds(took, seconds, case, why=""):
    expect(took, seconds, f"seconds that leave took, {case}", why, within=0.3)


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
    leaving = asyncio.create_task(left(door, 5, 5, "with no call in flight"))
    await asyncio.sleep(0.1)
    got = door.ready
    await leaving
    expect(got, False, "door.ready, 0.1 s after leave(notice=5, patience=5) began")


@pytest.mark.task("Door")
async def test_serves_during_the_notice(answer):
    """Until the notice is over everybody is served: they have not heard of it yet."""
    door = answer.Door()
    leaving = asyncio.create_task(left(door, 5, 5, "with no call in flight"))
    await asyncio.sleep(3)
    got = await outcome(door.guard(takes), 1)
    await leaving
    why = "Those who have not noticed still send. Close the door when the notice is over."
    expect(got, "done", "a call 3 s after leave(notice=5, patience=5) began", why)


@pytest.mark.task("Door")
async def test_refuses_when_the_door_is_closed(answer):
    """After the notice a call is refused with Unavailable, whether or not it still waits."""
    door = answer.Door()
    call = asyncio.create_task(outcome(door.guard(takes), 8))
    leaving = asyncio.create_task(left(door, 5, 60, "with a call of 8 s in flight"))
    await asyncio.sleep(6)
    got = await outcome(door.guard(takes), 1)
    await asyncio.wait([call, leaving])
    expect(
        got,
        Unavailable.__name__,
        "a call 6 s after leave(notice=5, patience=60) began, while another is in flight",
        "Close the door when the notice is over, and only then wait for the calls in flight.",
    )
    await leaving
    got = await outcome(door.guard(takes), 1)
    expect(got, Unavailable.__name__, "a call after leave(notice=5, patience=60) has ended")


@pytest.mark.task("Door")
async def test_waits_for_calls_in_flight(answer):
    """A call that has begun ends before leave does, whatever went before."""
    door = answer.Door()
    await outcome(door.guard(takes), 1)
    call = asyncio.create_task(outcome(door.guard(takes), 8))
    await asyncio.sleep(0)
    case = "leave(5, 60) after a call that has ended, with a call of 8 s in flight"
    took = await left(door, 5, 60, case)
    await call
    why = "A call was in flight when the door closed. Wait for it, and no longer."
    expect_seconds(took, 8, case, why)


@pytest.mark.task("Door")
async def test_its_patience_ends(answer):
    """A call that never ends does not keep it for ever."""
    door = answer.Door()
    call = asyncio.create_task(outcome(door.guard(takes), 5000))
    await asyncio.sleep(0)
    took = await left(door, 5, 20, "with a call that hangs")
    call.cancel()
    expect_seconds(took, 25, "leave(5, 20) with a call that hangs", NEVER)


@pytest.mark.task("Door")
async def test_a_call_that_failed_is_not_in_flight(answer):
    """A call that raised is over."""
    door = answer.Door()
    await outcome(door.guard(takes), -1)
    took = await left(door, 5, 60, "after a call that failed")
    why = "Count a call down also when inner raises: with `finally`."
    expect_seconds(took, 5, "leave(5, 60) after a call that failed", why)


@pytest.mark.task("Door")
async def test_a_call_that_was_cancelled_is_not_in_flight(answer):
    """A call that its caller gave up is over."""
    door = answer.Door()
    call = asyncio.create_task(outcome(door.guard(takes), 5000))
    await asyncio.sleep(1)
    call.cancel()
    await asyncio.wait([call])
    took = await left(door, 5, 60, "after a call that was cancelled")
    why = "Callers give up, and CancelledError is no Exception. A `finally` counts in every case."
    expect_seconds(took, 5, "leave(5, 60) after a call that was cancelled", why)


@pytest.mark.task("Door")
async def test_a_call_that_was_refused_is_not_in_flight(answer):
    """Whom the closed door refused is not waited for."""
    took = {}
    for refused in (False, True):
        door = answer.Door()
        call = asyncio.create_task(outcome(door.guard(takes), 8))
        leaving = asyncio.create_task(left(door, 5, 60, "with a call of 8 s in flight"))
        await asyncio.sleep(6)
        if refused:
            await outcome(door.guard(takes), 0)
        await call
        took[refused] = await leaving
    expect(
        took[True] - took[False],
        0,
        "seconds that leave(5, 60) took longer because a call was refused after 6 s",
        "Count a call when it has passed the door, not before.",
        within=0.3,
    )
