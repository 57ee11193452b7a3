"""The three services of the traces lesson: the same spans in memory and on real servers."""

import asyncio
from collections import Counter

import pytest

from course_lib.errors import Unavailable
from course_lib.lab.launch import serve
from course_lib.lab.scenes import trace_view
from course_lib.lab.scenes.trace_view import NewestTrace, draw, own_seconds
from course_lib.lab.scenes.traced_shop import (
    OrderPage,
    Parts,
    ShowOrder,
    in_turn,
    on_servers,
    skus,
    traced_orders,
    tutorial_reporter,
)
from course_lib.shop.users import GetUser
from course_lib.stand_ins import OtlpCollector, TailSampling
from course_lib.telemetry.traces import in_process, to_collector
from course_lib.transport.http_client import close_connections

SPANS = {
    ("shop", "GET /orders"): 1,
    ("shop", "call orders"): 1,
    ("orders", "show_order"): 1,
    ("orders", "cache get"): 3,
    ("orders", "call users"): 1,
    ("users", "get_user"): 1,
}


async def traced(order_id: int, **options) -> OtlpCollector:
    collector = OtlpCollector()
    shop = Parts(in_process(collector), **options).in_memory()
    await asyncio.gather(shop(ShowOrder(order_id)), return_exceptions=True)
    return collector


async def test_in_memory_one_order_is_one_whole_trace():
    (trace,) = (await traced(1)).traces()
    assert trace.whole and trace.seconds == pytest.approx(0.098)
    assert Counter((span.service, span.name) for span in trace.spans) == SPANS


async def test_asking_at_once_takes_as_long_as_the_slowest():
    async def at_once(price, get_user, order_id):
        *prices, user = await asyncio.gather(*map(price, skus(order_id)), get_user(GetUser(1)))
        return prices, user

    (trace,) = (await traced(1, gather=at_once)).traces()
    assert trace.seconds == pytest.approx(0.038)


async def test_every_fiftieth_order_asks_the_warehouse():
    (trace,) = (await traced(57)).traces()
    own = own_seconds(trace)
    assert next(iter(own.items())) == ("orders: ask warehouse", pytest.approx(0.3))
    assert own["orders: cache get (3)"] == pytest.approx(0.06)
    assert sum(own.values()) == pytest.approx(trace.seconds)


async def test_every_hundredth_order_fails_and_its_trace_says_so():
    collector = OtlpCollector()
    with pytest.raises(Unavailable, match="order 113"):
        await Parts(in_process(collector)).in_memory()(ShowOrder(113))
    assert collector.traces()[0].failed


async def test_a_wrong_clock_moves_the_spans_of_its_service_and_no_others():
    (trace,) = (await traced(1, clock_off={"orders": -0.06})).traces()
    starts = {span.name: (span.start - trace.start) / 1e9 for span in trace.spans}
    assert starts["show_order"] == 0
    assert starts["call orders"] == pytest.approx(0.058)
    assert starts["get_user"] == pytest.approx(0.122)


@pytest.mark.real_time
@pytest.mark.leaves("the channel of the users stays until the process ends")
async def test_on_real_servers_the_trace_is_the_same_over_http_and_grpc():
    collector = OtlpCollector()
    with serve(collector.app) as server, to_collector(server.url) as reporter:
        services = on_servers(reporter)
        page = await services["shop"].client(ShowOrder(1))
        assert page == OrderPage(1, "Grace", 1050)
        assert await asyncio.to_thread(reporter.flush)
        view = NewestTrace(collector, reporter, "shop")
        assert "no trace has come yet" in view.draw().text
        view = NewestTrace(collector, reporter, "shop")
        await view.frame()
        assert "sent 8, failed 0, dropped 0" in view.draw().text
        for instance in services.values():
            instance.close()
        await close_connections()
    (trace,) = collector.traces()
    assert trace.whole
    assert Counter((span.service, span.name) for span in trace.spans) == SPANS


async def test_the_reporter_of_the_tutorial_sends_nothing_and_says_nothing():
    page = await Parts(tutorial_reporter(), gather=in_turn).in_memory()(ShowOrder(1))
    assert page.customer == "Grace"


async def test_a_trace_is_drawn_in_milliseconds_since_it_began():
    (trace,) = (await traced(1)).traces()
    said = draw(trace, title="One order").text
    assert "users: get_user (depth 4): from 64, 30 ms." in said


async def test_what_a_slow_clock_puts_before_the_request_is_drawn_before_it():
    (trace,) = (await traced(1, clock_off={"orders": -0.06})).traces()
    said = draw(trace, title="One order").text
    assert "shop: GET /orders (depth 0): from 0, 98 ms." in said
    assert "orders: show_order (depth 2): from -58, 94 ms." in said


async def test_of_a_trace_with_very_many_spans_the_longest_are_drawn(monkeypatch):
    monkeypatch.setattr(trace_view, "MOST_STEPS", 3)
    (trace,) = (await traced(1)).traces()
    title, _, *steps = draw(trace, title="One order").text.splitlines()
    assert title == "One order (and 5 shorter spans)."
    names = [step.partition(" (")[0] for step in steps]
    assert names == ["shop: GET /orders", "shop: call orders", "orders: show_order"]


def test_many_orders_are_shown_at_once_and_a_tail_sampler_has_decided():
    tail = TailSampling(keep=lambda trace: trace.failed, wait_seconds=10)
    collector = traced_orders(range(100), tail=tail)
    assert (collector.received_spans, collector.kept_spans) == (802, 8)
    assert [trace.failed for trace in collector.traces()] == [True]
