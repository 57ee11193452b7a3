"""The RED dashboard knows only what scrapes tell it; instances that are ill inside say so."""

import asyncio
from random import Random

import pytest

from course_lib.lab.faults import Faults
from course_lib.lab.fleet import Fleet
from course_lib.lab.http_load import HttpLoad
from course_lib.lab.load import load
from course_lib.lab.plots import dashboard
from course_lib.lab.scenes.ailing import Ailing, Anew, measured_users_app
from course_lib.lab.scenes.red_view import RedView
from course_lib.lab.widgets import control_panel
from course_lib.telemetry.metrics import CollectorRegistry, Red, exposition


class Clerk:
    """An instance in memory that counts its calls."""

    state = "up"

    def __init__(self) -> None:
        self.red, self.seconds, self.outcome = Red(CollectorRegistry(), "users"), 0.02, "ok"
        self.served = 0

    async def call(self) -> None:
        self.served += 1
        self.red.observe("get_user", self.outcome, self.seconds)

    async def page(self) -> bytes:
        return exposition(self.red.registry)

    def kill(self) -> None:
        """Nothing."""

    revive = kill

    def slow_down(self, seconds: float) -> None:
        self.seconds = seconds


async def test_rate_errors_and_duration_are_those_of_the_service():
    one, other = Clerk(), Clerk()
    view = RedView({"one": one.page, "other": other.page}, interval_seconds=0.5)
    other.slow_down(0.4)
    for n in range(100):
        await one.call()
        await one.call()
        other.outcome = "Unavailable" if n % 2 else "NotFound"
        await other.call()
        await asyncio.sleep(0.1)
        await view.frame()
    await view.stop()
    assert view._rate["one"][-1][1] == 2 * view._rate["other"][-1][1] == pytest.approx(20)
    assert view._failed["failed"][-1][1] == pytest.approx(100 / 6, abs=2)
    assert 10 < view._duration["p50"][-1][1] < 25
    assert 400 < view._duration["p99"][-1][1] <= 500
    assert "errors (%): failed 16" in view.draw().text


async def test_a_panel_shows_the_view_in_place_of_its_own_figure():
    clerk = Clerk()
    view = RedView({"one": clerk.page}, interval_seconds=0.1)
    panel = await control_panel({"one": clerk}, clerk.call, rate=100, view=view)
    assert view._rate["one"][-1][1] > 10
    assert panel.figure._draw().text.startswith("RED: rate, errors, duration.")
    assert view._scraping is None, "it ends with the panel"


def test_a_dashboard_without_data_says_so():
    assert "rate: nothing yet." in dashboard({"rate": {"a": []}}, title="x").text


@pytest.mark.real_time
async def test_an_ailing_instance_measures_its_own_illness_and_begins_anew():
    faults = Faults(Random(1))
    with Fleet(lambda name: Anew(lambda: measured_users_app(faults)), ("a",)) as fleet:
        ill = Ailing(fleet["a"], faults)
        scraper = RedView({"a": ill.url}).scraper
        assert (ill.state, set(ill.acts)) == ("up", {"fail"})
        ill.slow_down(0.06)
        assert ill.state == "slow"
        async with HttpLoad(ill.url) as call:
            await load(call, requests=3, request="/users/1")
            ill.fail()
            assert ill.state == "failing"
            await load(call, requests=20, at_once=20, request="/users/1")
        await scraper.scrape("a")
        (fast,) = scraper.memory.select("request_duration_seconds_bucket", le="0.05")
        (failed,) = scraper.memory.select("requests_total", outcome="Internal")
        assert fast.samples[-1][1] <= failed.samples[-1][1], "only failed calls are fast"
        assert 3 <= failed.samples[-1][1] <= 17
        ill.kill()
        assert ill.state == "down" and not await scraper.scrape("a")
        ill.revive()
        assert ill.state == "up" and await scraper.scrape("a")
        assert not scraper.memory.select("requests_total")[0].at(asyncio.get_running_loop().time())
