"""The ways of logging that one takes first do what the lesson says of them."""

import socket
from random import Random
from typing import Any

import pytest

from course_lib.lab.launch import serve
from course_lib.lab.load import load
from course_lib.lab.scenes.logged_shop import logged_shop
from course_lib.lab.scenes.plain_logging import Sentences, WaitingHandler, by_chance
from course_lib.stand_ins import LogStore
from course_lib.telemetry.logs import json_logger


async def test_a_sentence_says_what_happened_and_only_its_trace_says_to_whom():
    printed = Sentences()
    await load(logged_shop(printed.log_of, fails=lambda n: n == 1), requests=1, request=1)
    assert printed.lines == [
        *("shop: order asked for", "orders: looking for prices", "users: reading a user"),
        *("users: user not read", "users: call Unavailable", "orders: call Unavailable"),
        "shop: call Unavailable",
    ]
    assert len(printed.traces) == 7 and len(set(printed.traces)) == 1


def test_by_chance_every_line_stands_for_those_that_were_left_out():
    kept: list[dict[str, Any]] = []
    log = by_chance(lambda event, **fields: kept.append(fields), share=0.1, rng=Random(1))
    for number in range(1000):
        log("call", number=number)
    log.flush()
    assert 60 < len(kept) < 140
    assert {fields["stands_for"] for fields in kept} == {10}


@pytest.mark.real_time
def test_the_handler_that_waits_delivers_each_line_before_it_returns():
    store = LogStore()
    with serve(store.app) as server:
        log = json_logger("shop", "a", WaitingHandler(server.url, timeout_seconds=5))
        log("order placed")
        assert [event["event"] for event in store.search()] == ["order placed"]


@pytest.mark.real_time
def test_the_handler_that_waits_gives_a_line_up_when_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        WaitingHandler(url, timeout_seconds=0.05).write(b"{}")
        assert mute.accept()[0].recv(4) == b"POST"
