"""Sampling: totals stay right, and a flood of one event never silences another."""

import asyncio
import json
import os
import signal
import sys
import threading
from collections import Counter
from random import Random
from typing import Any

import pytest

from course_lib.context import new_trace, trace
from course_lib.telemetry.log_sampling import sampled
from course_lib.telemetry.logs import json_logger


def logger(lines: list[str], **settings: Any) -> Any:
    return sampled(json_logger("users", "a", lines), **settings)


def read(lines: list[str]) -> list[tuple[str, int]]:
    events = [json.loads(line) for line in lines]
    return [(event["event"], event["stands_for"]) for event in events]


async def test_the_first_are_kept_then_every_so_many_and_each_says_what_it_stands_for():
    lines: list[str] = []
    log = logger(lines, first=2, then_every=10)
    for n in range(25):
        log("refused", n=n)
    assert read(lines) == [("refused", 1), ("refused", 1), ("refused", 10), ("refused", 10)]
    log.flush()
    assert read(lines)[4:] == [("refused", 3)]
    assert json.loads(lines[-1])["n"] == 24
    log.flush()
    assert len(lines) == 5


async def test_a_flood_of_one_event_silences_no_other_and_no_other_level():
    lines: list[str] = []
    log = logger(lines, first=1, then_every=1000)
    for _ in range(500):
        log("refused", level="warning")
    log("disk full", level="error")
    log("refused", level="error")
    assert read(lines) == [("refused", 1), ("disk full", 1), ("refused", 1)]


async def test_what_was_left_out_is_told_when_the_next_window_begins():
    lines: list[str] = []
    log = logger(lines, first=1, then_every=100)
    for n in range(5):
        log("refused", n=n)
    await asyncio.sleep(1)
    log("hello")
    assert read(lines) == [("refused", 1), ("refused", 4), ("hello", 1)]
    log("refused")
    assert read(lines)[-1] == ("refused", 1)


async def test_totals_are_right_whatever_comes_when():
    lines: list[str] = []
    log, came, rng = logger(lines, first=3, then_every=7), Counter[str](), Random(1)
    for _ in range(5000):
        name = rng.choice(("ok", "refused", "late"))
        log(name)
        came[name] += 1
        await asyncio.sleep(rng.choice((0, 0, 0, 0.1)))
    log.flush()
    told = Counter[str]()
    for name, stands_for in read(lines):
        told[name] += stands_for
    assert told == came
    assert len(lines) < 4000


async def test_a_line_told_late_carries_the_trace_it_belongs_to():
    lines: list[str] = []
    log = logger(lines, first=1, then_every=100)
    traces = [new_trace() for _ in range(3)]
    for each in traces:
        trace.set(each)
        log("refused")
    trace.set(None)
    log.flush()
    told = [json.loads(line)["trace_id"] for line in lines]
    assert told == [traces[0].trace_id, traces[2].trace_id]


async def test_a_line_told_late_is_stamped_with_the_instant_of_the_last_one_left_out():
    lines: list[str] = []
    log = logger(lines, first=1, then_every=100)
    for _ in range(3):
        log("refused")
        await asyncio.sleep(0.25)
    await asyncio.sleep(600)
    log("all is well")
    stamps = [json.loads(line)["timestamp"][14:22] for line in lines]
    assert stamps == ["00:00.00", "00:00.50", "10:00.75"]


def test_totals_are_right_when_threads_take_turns_in_the_middle_of_counting():
    lines: list[str] = []
    log = logger(lines, first=2, then_every=7, window_seconds=0.001)
    threads = [threading.Thread(target=lambda: [log("x") for _ in range(5_000)]) for _ in range(4)]
    turns_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(turns_seconds)
    log.flush()
    assert sum(stands_for for _, stands_for in read(lines)) == 20_000


async def test_a_million_different_events_take_a_bounded_memory_and_stay_counted():
    lines: list[str] = []
    log = logger(lines, first=1, then_every=10_000)
    for n in range(5000):
        log(f"user {n} logged in")
    log.flush()
    assert len(lines) == 1002
    assert sum(stands_for for _, stands_for in read(lines)) == 5000


async def test_a_bound_logger_is_counted_together_with_its_parent():
    lines: list[str] = []
    log = logger(lines, first=1, then_every=2)
    log("x")
    log.bind(user_id=7)("x")
    log.bind(user_id=8)("x", stands_for="from outside")
    assert [json.loads(line).get("user_id") for line in lines] == [None, 8]
    assert read(lines) == [("x", 1), ("x", 2)]


def test_settings_that_keep_nothing_are_refused():
    for wrong in ({"first": 0}, {"then_every": 0}, {"window_seconds": 0}):
        with pytest.raises(ValueError):
            sampled(print, **wrong)


def test_it_works_outside_an_event_loop():
    lines: list[str] = []
    logger(lines)("x")
    assert read(lines) == [("x", 1)]


def test_the_child_of_a_fork_waits_for_no_thread_of_its_parent_and_tells_only_its_own():
    lines: list[str] = []
    log = logger(lines, first=1, then_every=10)
    log("refused")
    log("refused")  # left out, by the parent
    holding, over = threading.Event(), threading.Event()

    def hold() -> None:
        with log._window.lock:
            holding.set()
            over.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        del lines[:]
        log("refused")
        log.flush()
        os._exit(read(lines) != [("refused", 1)])
    over.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
