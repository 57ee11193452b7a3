"""Graders of the exercises to lesson 4.3, traces."""

import asyncio
import random

import pytest

from course_lib import context
from course_lib.context import TraceContext
from course_lib.grading.checks import ensure, expect

# self_times


def span(name, start, end, parent=None, kind="CHILD_OF"):
    reference = {"refType": kind, "traceID": "ab" * 16, "spanID": parent}
    return {
        "traceID": "ab" * 16,
        "spanID": name,
        "operationName": name,
        "references": [reference] if parent else [],
        "startTime": 1_700_000_000_000_000 + start,
        "duration": end - start,
        "tags": [],
        "processID": "p1",
    }


@pytest.mark.task("self_times")
def test_a_span_without_children_owns_all_its_time(answer):
    """A span alone owns its whole duration."""
    expect(answer.self_times([span("a", 0, 70)]), {"a": 70}, "self_times of a span of 70")


@pytest.mark.task("self_times")
def test_children_in_turn_are_taken_out(answer):
    """The time of children and grandchildren belongs to them."""
    spans = [
        span("front", 0, 100),
        span("orders", 5, 95, "front"),
        span("cache", 10, 30, "orders"),
        span("users", 30, 90, "orders"),
    ]
    expect(
        answer.self_times(spans),
        {"front": 10, "orders": 10, "cache": 20, "users": 60},
        "self_times: front > orders > cache, users",
        "Only the children of a span count, not their children once more.",
    )


@pytest.mark.task("self_times")
def test_children_at_the_same_time_count_once(answer):
    """Where two children run at the same time, that time is taken out once."""
    spans = [span("a", 0, 100), span("b", 10, 50, "a"), span("c", 40, 60, "a")]
    spans += [span("d", 12, 20, "a"), span("e", 70, 80, "a")]
    expect(
        answer.self_times(spans)["a"],
        40,
        "own time of 0-100 with children at 10-50, 40-60, 12-20 and 70-80",
        "Children that overlap cover the same moments; adding up durations counts them twice.",
    )


@pytest.mark.task("self_times")
def test_what_lies_outside_the_parent_does_not_count(answer):
    """Of a child that begins before or ends after its parent, only what lies inside counts."""
    spans = [span("a", 0, 100), span("mail", 90, 500, "a"), span("skewed", -30, 20, "a")]
    expect(
        answer.self_times(spans)["a"],
        70,
        "own time of a span from 0 to 100, its children from 90 to 500 and from -30 to 20",
        "Cut a child off at the start and the end of its parent.",
    )
    spans = [span("a", 0, 100), span("late", 150, 200, "a"), span("early", -80, -20, "a")]
    expect(
        answer.self_times(spans)["a"],
        100,
        "own time of a span from 0 to 100, its children from 150 to 200 and from -80 to -20",
        "Of a child wholly outside its parent nothing counts. Cut off at both ends it would have a "
        "length below zero; leave it out.",
    )


@pytest.mark.task("self_times")
def test_the_order_of_the_spans_does_not_matter(answer):
    """Spans come in any order, and a parent may be missing."""
    spans = [span("c", 40, 60, "a"), span("a", 0, 100), span("b", 10, 20, "a")]
    spans += [span("lost", 5, 9, "nobody"), span("next", 20, 30, "a", "FOLLOWS_FROM")]
    expect(
        answer.self_times(spans),
        {"a": 70, "b": 10, "c": 20, "lost": 4, "next": 10},
        "self_times of spans out of order, one with a parent that did not arrive, "
        "one that FOLLOWS_FROM",
        "A span whose parent is not among the spans is a root, and a span that only follows "
        "from another is not its child.",
    )


# over_the_queue

ADA = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", True, "rojo=1")
GRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", False)


STUBBORN = []  # a coroutine that catches everything would spin when it is cleared away


async def ended(task):
    """Cancel a task; whether it ended. One that goes on is cancelled until it gives in."""
    task.cancel()
    await asyncio.wait([task], timeout=30)
    at_once = task.done()
    for _ in range(20):
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
    if not task.done():
        STUBBORN.append(task)
    return at_once


def plain(left, call, why):
    """Fail when the function that was called is a coroutine function."""
    if asyncio.iscoroutine(left):
        left.close()
        name, expected = call.partition("(")[0], "a plain function that returns at once"
        ensure(False, why, call=call, got=f"`{name}` returned a coroutine", expected=expected)


def publish(answer, queue, text):
    call = f"publish(queue, {text!r})"
    plain(answer.publish(queue, text), call, "Write `def`, not `async def`. `put_nowait` helps.")


class Mail:
    """The learner's two ends, with a worker that was started before anybody sent anything."""

    def __init__(self, answer):
        self.answer, self.queue, self.seen = answer, asyncio.Queue(), []
        self.inside = self.most_inside = self.seen_when_joined = 0
        self.worker = asyncio.create_task(answer.work_off(self.queue, self.handle))

    async def handle(self, text):
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        await asyncio.sleep(0.1)
        self.inside -= 1
        self.seen.append((text, context.trace.get()))
        if text == "broken":
            raise ValueError(text)

    async def send(self, *mails):
        await asyncio.sleep(0.1)
        for text, trace in mails:
            context.trace.set(trace)
            publish(self.answer, self.queue, text)
        context.trace.set(None)
        await asyncio.wait([joined := asyncio.create_task(self.queue.join())], timeout=10)
        self.seen_when_joined = len(self.seen)
        joined.cancel()
        await asyncio.sleep(10)
        alive = not self.worker.done()
        await self.end()
        error = None if self.worker.cancelled() else self.worker.exception()
        if error is not None and str(error) != "broken":
            raise error  # what ended the worker, with its line, and not what came of that
        ensure(
            error is not None or (alive and len(self.seen) == len(mails)),
            "`publish` puts each text into the queue, and `work_off` takes one message after the "
            "other, for ever.",
            call=f"{len(mails)} x publish(queue, text), with a worker behind the queue",
            got=f"{len(self.seen)} handled" + ("" if alive else ", then the worker ended"),
            expected=f"{len(mails)} handled, and the worker waits for more",
        )
        return alive

    async def end(self):
        ensure(
            await ended(self.worker),
            "Catch an Exception. CancelledError is none; a bare `except:` catches it too.",
            call="task.cancel() on the task that runs `work_off`",
            got="a task that goes on",
            expected="a task that has ended",
        )


@pytest.mark.task("over_the_queue")
async def test_the_worker_stands_in_the_trace_of_the_sender(answer):
    """While a mail is handled, the trace is that of its sender."""
    mail = Mail(answer)
    await mail.send(("to Ada", ADA))
    got = [(text, trace and trace.trace_id) for text, trace in mail.seen]
    why = "The worker was started before the call: what the sender knows must be in the message."
    expect(got, [("to Ada", ADA.trace_id)], "publish(queue, 'to Ada') in a trace", why)


@pytest.mark.task("over_the_queue")
async def test_each_mail_has_its_own_trace(answer):
    """Of two senders, each finds its mail in its own trace, sampled or not."""
    mail = Mail(answer)
    await mail.send(("to Ada", ADA), ("to Grace", GRACE))
    got = [(text, trace and (trace.trace_id, trace.sampled)) for text, trace in mail.seen]
    expected = [("to Ada", (ADA.trace_id, True)), ("to Grace", (GRACE.trace_id, False))]
    expect(got, expected, "two mails from two traces", "Set the trace for each message anew.")


@pytest.mark.task("over_the_queue")
async def test_a_mail_without_a_trace_is_in_none(answer):
    """A mail that was sent outside any trace is not in the trace of the mail before it."""
    mail = Mail(answer)
    await mail.send(("to Ada", ADA), ("from nobody", None))
    expect(
        [(text, trace and trace.trace_id) for text, trace in mail.seen],
        [("to Ada", ADA.trace_id), ("from nobody", None)],
        "a mail in a trace, then one outside any",
        "The worker still stands in the trace of the last message unless you set it to None.",
    )


@pytest.mark.task("over_the_queue")
async def test_the_tracestate_goes_along(answer):
    """What other tracing systems wrote into tracestate arrives too."""
    mail = Mail(answer)
    await mail.send(("to Ada", ADA), ("to Grace", GRACE))
    states = [trace.tracestate if trace else None for _, trace in mail.seen]
    why = "`inject` gives two headers when there is a tracestate. Pass both to `parse`."
    expect(states, ["rojo=1", ""], "the tracestate of two mails, one with rojo=1", why)


@pytest.mark.task("over_the_queue")
async def test_only_text_travels(answer):
    """A message is text and dictionaries of text, as a broker can carry it."""
    queue = asyncio.Queue()
    context.trace.set(ADA)
    publish(answer, queue, "to Ada")
    context.trace.set(None)
    ensure(not queue.empty(), "Put the message into the queue.", call="publish(queue, 'to Ada')")
    message = queue.get_nowait()
    ensure(
        only_text(message),
        "A broker in another process carries bytes. Put the headers in, not the TraceContext.",
        call="publish(queue, 'to Ada'), then queue.get_nowait()",
        got=repr(message)[:200],
        expected="text, and a dictionary of headers",
    )


def only_text(value):
    if isinstance(value, dict):
        return all(only_text(part) for pair in value.items() for part in pair)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return all(map(only_text, value))
    return value is None or isinstance(value, str | int | float | bytes)


@pytest.mark.task("over_the_queue")
async def test_a_mail_that_fails_does_not_end_the_worker(answer):
    """After a mail that cannot be sent comes the next, and `task_done` is called for both."""
    mail = Mail(answer)
    alive = await mail.send(("broken", ADA), ("to Grace", GRACE))
    lost = asyncio.get_running_loop().unretrieved()
    lost[:] = [error for error in lost if str(error) != "broken"]  # nobody need ask for it
    expect(
        ([text for text, _ in mail.seen], alive, mail.queue._unfinished_tasks),
        (["broken", "to Grace"], True, 0),
        "mails handled, whether the worker lives, and messages without task_done",
        "Catch what `handle` raises, and call `task_done` in any case.",
    )


@pytest.mark.task("over_the_queue")
async def test_one_mail_after_the_other(answer):
    """A mail is done when it has been handled, and only then the next one is taken."""
    mail = Mail(answer)
    await mail.send(("to Ada", ADA), ("to Grace", GRACE))
    why = "Await `handle(text)` in the worker itself; a task for each mail would run beside it."
    expect(mail.most_inside, 1, "two mails: the most that `handle` had at the same time", why)
    why = "Who waits for `queue.join()` wants the mails sent: call `task_done` after `handle`."
    expect(mail.seen_when_joined, 2, "two mails: handled when `queue.join()` returns", why)


@pytest.mark.task("over_the_queue")
async def test_the_worker_can_be_cancelled(answer):
    """Cancelling the worker ends it, also while a mail is handled."""
    mail = Mail(answer)
    publish(answer, mail.queue, "to Ada")
    await asyncio.sleep(0.05)
    await mail.end()


# keeps


def some_ids(number, seed=1):
    rng = random.Random(seed)
    return [f"{rng.getrandbits(128):032x}" for _ in range(number)]


@pytest.mark.task("keeps")
def test_it_keeps_about_its_share(answer):
    """Of ten thousand traces about a thousand are kept."""
    kept = sum(bool(answer.keeps(trace_id, 0.1)) for trace_id in some_ids(10_000))
    expect(kept, 1000, "kept of 10,000 traces at a share of 0.1", within=100)


@pytest.mark.task("keeps")
def test_it_decides_the_same_each_time(answer):
    """Asked twice about the same trace, it decides alike."""
    ids = some_ids(500)
    first = [bool(answer.keeps(trace_id, 0.5)) for trace_id in ids]
    again = [bool(answer.keeps(trace_id, 0.5)) for trace_id in ids]
    ensure(
        first == again,
        "Each service asks once, and all must get the same answer. The id alone decides.",
        call="keeps(trace_id, 0.5), twice for 500 ids",
        got=f"{sum(a != b for a, b in zip(first, again, strict=True))} different answers",
        expected="the same answers",
    )


@pytest.mark.task("keeps")
def test_services_in_other_languages_decide_alike(answer):
    """The answers are those of OpenTelemetry's TraceIdRatioBased."""
    half, ids = 2**63, some_ids(500, seed=2)
    for trace_id in [*ids, "f" * 16 + f"{1:016x}"]:
        expect(
            bool(answer.keeps(trace_id, 0.5)),
            int(trace_id, 16) % 2**64 < half,
            f"keeps({trace_id!r}, 0.5)",
            "The last 16 digits as a number, against share * 2**64. `hash` of a string is another "
            "in each process, and the first digits are a date with some tracers.",
        )
    for share, number, kept in ((0.5, half - 2**12, True), (0.5, half, False), (0, 0, False)):
        trace_id = f"{1:016x}{number:016x}"
        why = "Keep it if the number is *less* than share * 2**64; equal is not less."
        expect(bool(answer.keeps(trace_id, share)), kept, f"keeps({trace_id!r}, {share})", why)


@pytest.mark.task("keeps")
def test_nothing_and_everything(answer):
    """A share of 0 keeps nothing, a share of 1 everything."""
    ids = ["0" * 31 + "1", "f" * 32, *some_ids(100)]
    expect(
        [sum(bool(answer.keeps(trace_id, share)) for trace_id in ids) for share in (0, 1)],
        [0, len(ids)],
        f"kept of {len(ids)} traces at a share of 0 and of 1, among them the lowest and highest id",
        "Compare with `<`, and with 2**64: the highest number is one less, and divided by 2**64 it "
        "gives 1.0, since a float has 53 bits.",
    )


# Reporter


class Wire:
    """A `send` that can be told to be slow, to raise or to hang."""

    def __init__(self, seconds=0.1):
        self.came, self.seconds, self.raises = [], seconds, False
        self.inside = self.most_inside = 0

    async def __call__(self, item):
        self.came.append(item)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.inside -= 1
        if self.raises:
            raise ConnectionError("the collector is down")


def report(reporter, item):
    why = "A request calls it and goes on. A coroutine would have to be awaited."
    plain(reporter.report(item), "report(span)", why)


async def reported(answer, wire, number, *, most_waiting=5, apart=0.0, seconds=60.0):
    """A reporter that has got so many spans, and had so many seconds for them; whether it lives."""
    reporter = answer.Reporter(wire, most_waiting, 1.0)
    running = asyncio.create_task(reporter.run())
    await asyncio.sleep(0.01)
    for item in range(1, number + 1):
        report(reporter, item)
        if apart:
            await asyncio.sleep(apart)
    await asyncio.sleep(seconds)
    alive = not running.done()
    await ended(running)
    if not running.cancelled() and isinstance(running.exception(), NotImplementedError):
        raise running.exception()  # not started
    return reporter, alive


def counts(reporter):
    return {name: getattr(reporter, name) for name in ("sent", "failed", "dropped")}


@pytest.mark.task("Reporter")
async def test_spans_are_sent_in_order_and_counted(answer):
    """What is reported is sent, in order, and counted."""
    wire = Wire()
    reporter, _ = await reported(answer, wire, 5)
    expect(wire.came, [1, 2, 3, 4, 5], "what was sent after five spans")
    expect(counts(reporter), {"sent": 5, "failed": 0, "dropped": 0}, "the counts after five spans")


@pytest.mark.task("Reporter")
async def test_only_so_many_wait(answer):
    """When five spans wait, the next ones are dropped and counted."""
    wire = Wire()
    reporter, _ = await reported(answer, wire, 20)
    expect(
        counts(reporter),
        {"sent": 5, "failed": 0, "dropped": 15},
        "twenty spans at once, at most five may wait",
        "A queue without a bound is memory that a dead collector fills.",
    )
    expect(wire.came, [1, 2, 3, 4, 5], "what was sent", "The new one is dropped, not an old one.")


@pytest.mark.task("Reporter")
async def test_a_collector_that_is_down_does_not_end_it(answer):
    """Spans whose `send` raises have failed, and the next ones are sent all the same."""
    wire = Wire()
    wire.raises = True
    reporter = answer.Reporter(wire, 5, 1.0)
    running = asyncio.create_task(reporter.run())
    for item in range(1, 4):
        report(reporter, item)
    await asyncio.sleep(5)
    wire.raises = False
    report(reporter, 4)
    await asyncio.sleep(5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    expect(
        counts(reporter),
        {"sent": 1, "failed": 3, "dropped": 0},
        "three spans while the collector is down, one when it is back",
        "Catch what `send` raises inside the loop, so that the loop goes on.",
    )


@pytest.mark.task("Reporter")
async def test_a_collector_that_hangs_does_not_hold_it_up(answer):
    """A `send` that takes too long is given up, and the span has failed."""
    wire = Wire(seconds=3600)
    reporter, alive = await reported(answer, wire, 5, seconds=30)
    expect(
        (counts(reporter), alive),
        ({"sent": 0, "failed": 5, "dropped": 0}, True),
        "five spans, a `send` that hangs, a timeout of 1 s: the counts after 30 s, "
        "and whether it still runs",
        "Give each `send` its time, with `asyncio.timeout`; TimeoutError is an Exception.",
    )
    expect(
        wire.inside,
        0,
        "five spans, a `send` that hangs, a timeout of 1 s: calls of `send` that still run",
        "Cancel a `send` that took too long; `asyncio.timeout` does. `asyncio.wait` leaves it be.",
    )


@pytest.mark.task("Reporter")
async def test_one_after_the_other(answer):
    """Spans are sent one at a time, and the one that is being sent does not wait any more."""
    wire = Wire(seconds=0.9)
    reporter, _ = await reported(answer, wire, 3, most_waiting=2, apart=0.2)
    expect(
        wire.most_inside,
        1,
        "three spans in a row: the most calls of `send` at the same time",
        "Await `send` in `run`. In tasks of their own spans wait too, and nobody limits those.",
    )
    expect(
        (wire.came, counts(reporter)),
        ([1, 2, 3], {"sent": 3, "failed": 0, "dropped": 0}),
        "three spans in a row, at most two may wait: what was sent, and the counts",
        "The first is being sent, so only two wait. Take a span out of what waits before you send "
        "it.",
    )


@pytest.mark.task("Reporter")
async def test_it_sleeps_while_nothing_waits(answer):
    """While nothing waits it sleeps, and does not look again and again."""
    loop, wire = asyncio.get_running_loop(), Wire()
    reporter = answer.Reporter(wire, 5, 1.0)
    running = asyncio.create_task(reporter.run())
    report(reporter, 1)
    await asyncio.sleep(10)
    timers, set_timer = [], loop.call_at
    loop.call_at = lambda *args, **more: timers.append(0) or set_timer(*args, **more)
    await asyncio.sleep(60)
    loop.call_at = set_timer
    await ended(running)
    woken = len(timers) - 1  # one timer is this check's own
    ensure(
        woken < 10,
        "Wait for something that `report` sets off: `await` the `get()` of an asyncio.Queue.",
        call="a minute of `run()` in which nothing is reported",
        got=f"woken {woken} times",
        expected="asleep",
    )


@pytest.mark.task("Reporter")
async def test_it_can_be_cancelled(answer):
    """Cancelling `run()` ends it, also while it sends."""
    reporter = answer.Reporter(Wire(seconds=0.5), 5, 1.0)
    running = asyncio.create_task(reporter.run())
    for item in range(1, 4):
        report(reporter, item)
    await asyncio.sleep(0.2)
    ensure(
        await ended(running),
        "Cancellation is how a service ends its tasks. CancelledError is no Exception; do not "
        "catch it, and use no `except BaseException`.",
        call="task.cancel() while a span is being sent",
        got="a task that goes on",
        expected="a task that has ended",
    )
