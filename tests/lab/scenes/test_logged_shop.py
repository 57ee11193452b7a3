"""The logged shop: one request, three services, one trace."""

import json

import httpx

from course_lib.lab.load import load
from course_lib.lab.scenes.logged_shop import logged_shop, logged_users_app
from course_lib.telemetry.logs import json_logger


async def test_a_failed_order_tells_its_story_in_one_trace():
    lines: list[str] = []
    shop = logged_shop(lambda service: json_logger(service, "a", lines), fails=lambda n: n == 3)
    result = await load(shop, requests=5, at_once=5, request=lambda n: n)
    assert result.outcomes == {"ok": 4, "Unavailable": 1}
    events = [json.loads(line) for line in lines]
    (failed,) = [event for event in events if event["event"] == "user not read"]
    story = [event for event in events if event["trace_id"] == failed["trace_id"]]
    assert [event["service"] for event in story] == [
        *("shop", "orders", "users", "users", "users", "orders", "shop")
    ]
    assert len(events) == 5 * 6 + 1


async def test_the_users_service_over_http_logs_each_call_in_its_trace():
    lines: list[str] = []
    app = logged_users_app(json_logger("users", "a", lines))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as web:
        await web.get("/users/1")
        await web.get("/users/999")
    events = [json.loads(line) for line in lines]
    assert [(event["event"], event["outcome"]) for event in events] == [
        *(("call", "ok"), ("call", "NotFound"))
    ]
    assert len({event["trace_id"] for event in events} - {None}) == 2
