"""Graders of the exercises to lesson 4.1, logs."""

import asyncio
import copy
import json
from datetime import UTC, datetime

import pytest

from course_lib.errors import Unavailable
from course_lib.grading.checks import CheckFailed, ensure, expect, no_error, show
from course_lib.grading.explaining import learners_line
from course_lib.stand_ins import LogStore
from course_lib.stand_ins.log_values import Refused

# story_of


def line(second, service, event, trace_id="t1", level="info"):
    """One line of JSON, as the services write them."""
    stamp = f"2025-01-01T00:00:{second:02}.000000Z"
    known = {"service": service, "event": event, "level": level, "trace_id": trace_id}
    return json.dumps({**known, "timestamp": stamp})


STORY = [
    line(1, "shop", "order asked for"),
    line(1, "shop", "order asked for", "t2"),
    line(2, "orders", "looking for prices"),
    line(3, "users", "user not read", level="error"),
    line(4, "orders", "call failed", level="error"),
    line(5, "shop", "order shown", "t2"),
]
TOLD = ["shop: order asked for", "orders: looking for prices"]
TOLD += ["users: user not read", "orders: call failed"]


@pytest.mark.task("story_of")
def test_the_whole_trace_and_nothing_else(answer):
    """The events of the failed trace are there, of all services, and no others."""
    why = "Take the trace_id of the error, and every event that has the same one."
    expect(answer.story_of(list(STORY)), TOLD, "story_of(lines)", why)


@pytest.mark.task("story_of")
def test_in_the_order_of_time(answer):
    """They are in the order of time, in whatever order they arrived."""
    lines = [STORY[n] for n in (4, 0, 5, 3, 1, 2)]
    why = "Batches arrive in any order. Sort by timestamp, also to find the first error."
    expect(answer.story_of(lines), TOLD, "story_of(lines in another order)", why)
    lines.insert(0, line(6, "shop", "order not shown", "t2", "error"))
    call = "story_of(lines), a later error of another trace first in the file"
    expect(answer.story_of(lines), TOLD, call, why)


@pytest.mark.task("story_of")
def test_lines_that_are_no_events(answer):
    """What is not a JSON object is passed over."""
    why = "Other programs write into the same file. Pass over what is not a JSON object."
    for noise in ("Traceback (most recent call last):", "", "[1, 2]", "7", '{"cut off": ', "null"):
        call = f"story_of([{noise!r}, *the lines of a story])"
        try:
            told = answer.story_of([noise, *STORY])
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            got = f"{type(error).__name__}: {error}, in {learners_line('story_of', error)}"
            raise CheckFailed(why, call=call, got=got, expected="the story") from error
        expect(told, TOLD, call, why)


@pytest.mark.task("story_of")
def test_the_level_says_what_is_an_error(answer):
    """An event that only speaks of errors is none: the level says it."""
    why = "Other fields may hold the word error too. Ask the field level, not the text of the line."
    for event in ("error page shown", "error"):
        lines = [line(0, "shop", event, "t2"), *STORY]
        call = f"story_of(lines), the first an event {event!r} of another trace, with level 'info'"
        expect(answer.story_of(lines), TOLD, call, why)


@pytest.mark.task("story_of")
def test_an_error_outside_a_trace_stands_alone(answer):
    """An error without a trace belongs with no other event."""
    lines = [
        line(1, "users", "started", None),
        line(2, "users", "disk full", None, "error"),
        line(3, "shop", "started", None),
    ]
    why = "null is no trace id. Events that have none have nothing in common: tell the error alone."
    expect(answer.story_of(lines), ["users: disk full"], "story_of(lines outside a trace)", why)


@pytest.mark.task("story_of")
def test_without_an_error(answer):
    """Without an error there is no story."""
    lines = [STORY[0], STORY[1], STORY[5]]
    expect(answer.story_of(lines), [], "story_of(lines without an error)", "Return [].")


# redacted

BROKEN = (TypeError, ValueError, AttributeError)


def redacts(answer, given, wanted, why, *broken):
    """The copy is as wanted; the errors in `broken` are explained with `why` too."""
    call = f"redacted({given})"
    with no_error(*broken, call=call, expected=str(wanted), why=why):
        got = answer.redacted(copy.deepcopy(given))
    ensure(
        isinstance(got, dict),
        "Return the copy: a dict, with the same names.",
        call=call,
        got=show(got),
        expected=str(wanted),
    )
    expect(got, wanted, call, why)


@pytest.mark.task("redacted")
def test_secret_names(answer):
    """A value whose name holds a secret word is redacted."""
    given = {"user": "ada", "password": "p", "new_token": "t", "secrets": "s"}
    wanted = {"user": "ada"} | dict.fromkeys(("password", "new_token", "secrets"), "[redacted]")
    redacts(answer, given, wanted, "The word may stand anywhere in the name.")


@pytest.mark.task("redacted")
def test_in_capitals(answer):
    """Names are recognised in capitals too."""
    wanted = {"Authorization": "[redacted]", "SET-COOKIE": "[redacted]"}
    why = "HTTP does not care about capitals. Compare in lower case."
    redacts(answer, {"Authorization": "a", "SET-COOKIE": "c"}, wanted, why)


@pytest.mark.task("redacted")
def test_whatever_the_value_is(answer):
    """A value under a secret name is redacted whole, whatever it is."""
    why = "The name decides, before anybody looks at the value: a list, a dict, a number, nothing."
    for value in (["sid=abc"], {"db": "hunter2"}, 1234, 0, None, ""):
        given = {"secrets": value, "user": "ada"}
        redacts(answer, given, {**given, "secrets": "[redacted]"}, why, *BROKEN)


@pytest.mark.task("redacted")
def test_the_others_stay_as_they_are(answer):
    """Everything else stays as it is, of whatever kind."""
    why = "Only names decide. A value under a harmless name comes back as it was, and of its kind."
    at = datetime(2025, 1, 1, tzinfo=UTC)
    for value in (36, 0, None, True, ["x", 7], "the password is", {"said": "no token"}, at):
        redacts(answer, {"note": value}, {"note": value}, why, *BROKEN)


@pytest.mark.task("redacted")
def test_deep_inside(answer):
    """Dicts inside dicts are looked into."""
    given = {"request": {"headers": {"authorization": "a", "host": "shop"}}}
    wanted = {"request": {"headers": {"authorization": "[redacted]", "host": "shop"}}}
    redacts(answer, given, wanted, "A value that is a dict has fields of its own.")


@pytest.mark.task("redacted")
def test_in_lists(answer):
    """Dicts in lists are looked into."""
    given = {"logins": [{"user": "ada", "secret": "s"}, "text", [{"token": "t"}]]}
    logins = [{"user": "ada", "secret": "[redacted]"}, "text", [{"token": "[redacted]"}]]
    redacts(answer, given, {"logins": logins}, "A list may hold dicts, or lists that do.")


@pytest.mark.task("redacted")
def test_the_original_is_not_touched(answer):
    """What was given is as it was."""
    fields = {"headers": {"cookie": "c"}, "password": "p", "logins": [{"token": "t"}]}
    before = copy.deepcopy(fields)
    answer.redacted(fields)
    why = "The request goes on with these very headers. Build new dicts and lists, at every depth."
    expect(fields, before, "fields, after redacted(fields)", why)


# thinned


def thinned(answer, events, first=2, every=10):
    """What was written, as (event, stands_for, fields)."""
    written = []

    def log(event, **fields):
        written.append((event, fields.pop("stands_for", None), fields))

    write = answer.thinned(log, first, every)
    ensure(
        callable(write),
        "Return the function `write` that you define inside.",
        call=f"thinned(log, {first}, {every})",
        got=type(write).__name__,
        expected="a function",
    )
    for number, event in enumerate(events, 1):
        write(event, number=number)
    return written


@pytest.mark.task("thinned")
def test_which_are_written(answer):
    """The first ones are written, and then every so many."""
    numbers = [fields.get("number") for _, _, fields in thinned(answer, ["refused"] * 25)]
    call = '25 times write("refused", number=...), first=2, every=10'
    why = "Count from the last of the first ones, and hand the fields on with every line."
    expect(numbers, [1, 2, 12, 22], call, why)


@pytest.mark.task("thinned")
def test_totals_are_right(answer):
    """Each line says how many it stands for, so that the sum is right."""
    stands_for = [number for _, number, _ in thinned(answer, ["refused"] * 22)]
    call = "stands_for of the lines written of 22"
    why = "The first ones stand for themselves, a later one for itself and the nine left out."
    expect(stands_for, [1, 1, 10, 10], call, why)


@pytest.mark.task("thinned")
def test_events_do_not_silence_each_other(answer):
    """A flood of one event takes nothing from another."""
    events = ["refused"] * 500 + ["disk is full"] + ["refused"] * 500
    rare = [event for event, _, _ in thinned(answer, events) if event == "disk is full"]
    call = 'one write("disk is full") among 1000 of "refused"'
    expect(rare, ["disk is full"], call, "Keep a count for each event.")


@pytest.mark.task("thinned")
def test_two_samplers_count_apart(answer):
    """A second call of thinned begins anew."""
    thinned(answer, ["refused"] * 5)
    again = thinned(answer, ["refused"] * 5)
    call = "lines of a second sampler, of 5 with first=2"
    expect(len(again), 2, call, "The counts belong to one call of thinned.")


# buffer


async def refuse(lines):
    """A push that fails."""
    raise Unavailable("the store is away")


def filled(answer, count, most=100):
    """A buffer with this many lines written."""
    buffer = answer.Buffer(most)
    for number in range(count):
        buffer.write(f"line {number}")
    return buffer


@pytest.mark.task("buffer")
async def test_lines_are_sent_once_and_in_order(answer):
    """What waits is sent, the oldest first, and then it is gone."""
    sent = []

    async def push(lines):
        sent.append(list(lines))

    buffer = filled(answer, 3)
    await buffer.send(push)
    expect(sent, [["line 0", "line 1", "line 2"]], "what push was given", "One list, in order.")
    expect(list(buffer.waiting), [], "waiting, after a push that succeeded", "They are sent.")


@pytest.mark.task("buffer")
async def test_it_is_bounded(answer):
    """When it is full, a line is dropped and counted."""
    buffer = filled(answer, 5, most=3)
    got = (list(buffer.waiting), buffer.dropped)
    wanted = (["line 0", "line 1", "line 2"], 2)
    expect(
        got, wanted, "waiting and dropped, after 5 lines with most=3", "Drop what comes too late."
    )


@pytest.mark.task("buffer")
async def test_a_push_that_fails_loses_nothing(answer):
    """After a push that fails the lines still wait, and send does not raise."""
    buffer = filled(answer, 3)
    try:
        await buffer.send(refuse)
    except Unavailable as error:
        raise CheckFailed(
            "Whoever calls send can do nothing about it. Count the failure and return.",
            call="await buffer.send(a push that raises Unavailable)",
            got=f"{type(error).__name__} raised",
            expected="nothing raised",
        ) from error
    got = (list(buffer.waiting), buffer.failed)
    wanted = (["line 0", "line 1", "line 2"], 1)
    expect(got, wanted, "waiting and failed, after a push that raised", "They were not sent.")


@pytest.mark.task("buffer")
async def test_lines_written_meanwhile_stay(answer):
    """Lines written while a push is on its way are neither sent nor lost."""
    buffer, pushed = filled(answer, 2), []

    async def push(lines):
        buffer.write("line 1")
        await asyncio.sleep(1)
        buffer.write("another")
        pushed.extend(lines)

    await buffer.send(push)
    why = "Remove only the lines that were in the push, not whatever waits afterwards."
    call = 'waiting, when "line 1" came once more during the push, and "another"'
    expect(list(buffer.waiting), ["line 1", "another"], call, why)
    why = "The push holds your own list, which grows under its hands. Give it a copy."
    expect(pushed, ["line 0", "line 1"], "the lines of the push, at its end", why)


@pytest.mark.task("buffer")
async def test_lines_on_their_way_still_wait(answer):
    """Lines on their way still wait, and count towards the limit."""
    buffer, during = filled(answer, 2, most=3), []

    async def push(lines):
        for line in ("a", "b", "c"):
            buffer.write(line)
        during.extend([list(buffer.waiting), buffer.dropped])

    await buffer.send(push)
    call = "waiting and dropped during a push of 2 lines, with most=3, after 3 more"
    why = "Nobody knows yet whether the push succeeds. Until then its lines take up room."
    expect(during, [["line 0", "line 1", "a"], 2], call, why)


@pytest.mark.task("buffer")
async def test_a_cancelled_push_loses_nothing(answer):
    """When the push is cancelled, the lines still wait."""
    buffer = filled(answer, 2)

    async def push(lines):
        await asyncio.sleep(10)

    task = asyncio.create_task(buffer.send(push))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    why = "CancelledError is no Exception. Leave the lines where they are until the push is over."
    wanted = ["line 0", "line 1"]
    expect(list(buffer.waiting), wanted, "waiting, after the push was cancelled", why)
    ensure(
        task.cancelled(),
        "Who cancels send wants it to end so. Catch Exception, and not more.",
        call="the task of send, after it was cancelled",
        got="it returned as if nothing had happened",
        expected="cancelled",
    )
    why = "Nothing went wrong: somebody wanted it to end. Count an Exception, and nothing else."
    expect(buffer.failed, 0, "failed, after the push was cancelled", why)


# query_for


def found(answer, text, *others, service="users"):
    """The lines that the learner's query finds among `text` and the others."""
    store = LogStore()
    lines = [f"they said {text} today", *others]
    values = [[str(1 + number), line] for number, line in enumerate(lines)]
    streams = [{"stream": {"service": service}, "values": values}]
    store.push(json.dumps({"streams": streams}).encode())
    query = answer.query_for(service, text)
    ensure(
        isinstance(query, str),
        "Return the query as a text.",
        call=f"query_for({service!r}, {text!r})",
        got=type(query).__name__,
        expected="str",
    )
    try:
        return [event.line for event in store.search(query, newest_first=False)], query
    except Refused as refused:
        raise CheckFailed(
            "What was typed must not be read as part of the query. Escape it as Go would.",
            call=f"query_for({service!r}, {text!r})",
            got=f"{query}\n400 {refused.words}",
            expected="a query that the log store understands",
        ) from refused
    finally:
        store.close()


def expect_exactly(answer, text, *others, why, **labels):
    lines, query = found(answer, text, *others, **labels)
    expect(lines, [f"they said {text} today"], f"the lines that {query} finds", why)


@pytest.mark.task("query_for")
def test_plain_text(answer):
    """A plain text is found in the lines of the service."""
    expect_exactly(answer, "timeout", "all is well", why="Choose the service, then the line.")


@pytest.mark.task("query_for")
def test_quotes(answer):
    """Quotes are found as they were typed."""
    why = "A quote needs a backslash."
    expect_exactly(answer, '"no" and "} or {" `so`', "they said no", why=why)


@pytest.mark.task("query_for")
def test_backslashes_and_line_ends(answer):
    """Backslashes and line ends are found as they were typed."""
    text = "C:\\new\\table \n\tdone"
    expect_exactly(answer, text, "C:new", why="A backslash needs another one, a line end is \\n.")


@pytest.mark.task("query_for")
def test_no_patterns(answer):
    """Dots and stars mean nothing but themselves."""
    why = "|= looks for a text; |~ looks for a pattern."
    expect_exactly(answer, "1.5 (a*b)", "they said 125 aab today", why=why)


@pytest.mark.task("query_for")
def test_exactly_as_it_was_typed(answer):
    """Other words in between, other capitals or other spaces make another text."""
    why = "One filter for the whole text: its words must stand together, in this order."
    expect_exactly(answer, "read timeout", "timeout, then read", "read a timeout", why=why)
    why = "Capitals count: who types Timeout does not look for timeout."
    expect_exactly(answer, "Read Timeout", "they said read timeout", why=why)
    why = "Spaces at the ends were typed too. Leave the text as it is."
    expect_exactly(answer, " 42 ", "they said 42", "user 1042 is back", why=why)


@pytest.mark.task("query_for")
def test_beyond_ascii(answer):
    """Letters and signs of every script are found."""
    why = "Go has no surrogate pairs: write such a character as itself."
    expect_exactly(answer, "größe 日本 😀", "they said groesse", why=why)


@pytest.mark.task("query_for")
def test_the_service_is_text_too(answer):
    """The name of the service is only a name as well."""
    why = "The service comes from outside too."
    expect_exactly(answer, "x", "y", service='users", level="error', why=why)
