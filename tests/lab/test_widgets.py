"""The panel's traffic is real, stands still for a dead instance, and never raises."""

import asyncio
import time
from random import Random

import pytest

from course_lib.errors import Unavailable
from course_lib.lab.traffic import Traffic
from course_lib.lab.widgets import Panel, control_panel
from course_lib.lab.widgets.controls import Controls
from course_lib.lab.widgets.panel import FRAMES_WITHOUT_FRONT_END


class Clerk:
    """An instance without a network: it answers after `delay_seconds` unless it is down."""

    def __init__(self) -> None:
        self.served, self.state, self.delay_seconds = 0, "up", 0.01

    async def answer(self) -> None:
        await asyncio.sleep(self.delay_seconds)
        if self.state == "down":
            raise Unavailable("nobody is here")
        self.served += 1

    def kill(self) -> None:
        self.state = "down"

    def revive(self) -> None:
        self.state, self.delay_seconds = "up", 0.01

    def slow_down(self, seconds: float) -> None:
        self.state, self.delay_seconds = "slow", seconds


def shop() -> tuple[dict[str, Clerk], Traffic]:
    clerks = {name: Clerk() for name in "abc"}
    chooser = Random(3)

    async def call() -> None:
        await chooser.choice(list(clerks.values())).answer()

    return clerks, Traffic(clerks, call, rate=90, rng=Random(1))


async def test_traffic_leaves_at_the_asked_rate_and_is_counted_where_it_arrives():
    clerks, traffic = shop()
    for _ in range(100):
        await traffic.frame()
    assert traffic.seconds == pytest.approx(20)
    assert sum(clerk.served for clerk in clerks.values()) == pytest.approx(1800, rel=0.1)
    assert sum(traffic.samples[-1].answered.values()) == pytest.approx(90, rel=0.35)
    assert traffic.samples[-1].failed_percent == 0


async def test_the_time_between_two_frames_counts_and_what_came_due_in_it_is_sent():
    clerks, traffic = shop()
    for _ in range(50):
        await traffic.frame()
        await asyncio.sleep(0.3)  # a picture is drawn
    assert traffic.seconds == pytest.approx(50 * 0.5, abs=0.31)
    assert sum(clerk.served for clerk in clerks.values()) == pytest.approx(90 * 25, rel=0.1)
    assert sum(traffic.samples[-1].answered.values()) == pytest.approx(90, rel=0.35)


async def test_what_came_due_while_the_machine_slept_is_not_sent_all_at_once():
    _, traffic = shop()
    await traffic.frame()
    await asyncio.sleep(3600)
    await traffic.frame()
    assert sum(traffic.outcomes.values()) < 3 * 90


async def test_a_killed_instance_stands_still_while_the_others_go_on():
    clerks, traffic = shop()
    await traffic.frame()
    clerks["b"].kill()
    served = clerks["b"].served
    for _ in range(20):
        await traffic.frame()
    assert clerks["b"].served == served
    assert traffic.samples[-1].answered["b"] == 0
    assert traffic.samples[-1].answered["a"] > 10
    assert 15 < traffic.samples[-1].failed_percent < 55
    assert set(traffic.outcomes) == {"ok", "Unavailable"}


async def test_calls_that_hang_are_given_up_and_do_not_pile_up_without_end():
    clerks, traffic = shop()
    traffic.most_at_once = 30
    for clerk in clerks.values():
        clerk.slow_down(3600)
    for _ in range(30):
        await traffic.frame()
    assert traffic.outcomes["TimeoutError (no answer within 2 s)"] > 0
    assert traffic.outcomes["not sent, too many in flight"] > 0
    await traffic.stop()


async def test_a_load_of_nothing_sends_nothing():
    _, traffic = shop()
    traffic.rate = 0
    await traffic.frame()
    assert not traffic.outcomes


async def test_without_a_front_end_twenty_frames_run_and_the_panel_ends():
    clerks, traffic = shop()
    panel = await control_panel(clerks, traffic.call, rate=50)
    assert len(panel.traffic.samples) == FRAMES_WITHOUT_FRONT_END
    assert panel.traffic.outcomes["ok"] > 0.5 * 50 * panel.traffic.seconds > 20
    assert "stopped" in panel.controls.status.value
    assert (
        repr(panel)
        == ("Control panel for a, b, c: kill, revive, slow; load in requests/s.")
        == repr(panel.controls.box)
    )


async def test_buttons_act_and_the_rows_say_so_in_words():
    clerks, traffic = shop()
    panel = await control_panel(clerks, traffic.call, slow_seconds=0.5)
    buttons = panel.controls.buttons
    buttons["kill a"].click()
    buttons["slow b"].click()
    assert [clerk.state for clerk in clerks.values()] == ["down", "slow", "up"]
    assert "down" in panel.controls.state["a"].value and "slow" in panel.controls.state["b"].value
    buttons["revive a"].click()
    assert "up" in panel.controls.state["a"].value
    assert f'data-served="{clerks["c"].served}"' in panel.controls.served["c"].value


async def test_of_several_calls_the_one_chosen_from_the_menu_is_sent():
    clerks, _ = shop()
    calls = {"to a": clerks["a"].answer, "to b": clerks["b"].answer}
    panel = await control_panel(clerks, calls)
    panel.controls.choice.value = "to b"
    served = clerks["a"].served
    await panel.frame()
    assert clerks["a"].served == served > 0
    assert clerks["b"].served > 0
    assert repr(panel).endswith("a menu of to a, to b.")


async def test_what_goes_wrong_in_a_button_is_said_in_the_panel():
    clerks, traffic = shop()
    panel = await control_panel(clerks, traffic.call)
    panel.controls.act("kill a", lambda: 1 / 0)
    assert "kill a: ZeroDivisionError: division by zero" in panel.controls.status.value


IN_A_KERNEL = """
import asyncio
from types import SimpleNamespace
from course_lib.lab.widgets import control_panel
clerk = SimpleNamespace(state="up", served=0, kill=None, revive=None, slow_down=None)
async def call():
    clerk.served += 1
panel = await control_panel({"a": clerk}, call, rate=100)
"""


@pytest.mark.leaves("the client's context of zmq lives as long as the process")
def test_with_a_front_end_traffic_flows_only_while_no_cell_runs():
    from jupyter_client.manager import run_kernel

    said: list[str] = []

    def hear(message: dict) -> None:
        said.append(message["content"].get("text", ""))

    with run_kernel(kernel_name="python3") as client:

        def cell(code: str) -> str:
            said.clear()
            reply = client.execute_interactive(code, allow_stdin=True, output_hook=hear, timeout=60)
            assert reply["content"]["status"] == "ok", reply["content"]
            return "".join(said).strip()

        cell(IN_A_KERNEL)
        end = time.monotonic() + 30
        while cell("print(clerk.served > 20)") == "False" and time.monotonic() < end:
            client.get_iopub_msg(timeout=10)  # the panel speaks whenever no cell runs
        assert cell("print(clerk.served > 20)") == "True"
        busy = "await asyncio.sleep(0.5); n = clerk.served; await asyncio.sleep(1)"
        assert cell(f"{busy}; print(clerk.served == n)") == "True"
        cell("clerk.served += 10_000")  # by a cell, while a frame of the panel is under way
        fastest = "print(max((s.answered['a'] for s in panel.traffic.samples), default=0))"
        answered = 0.0
        while not answered and time.monotonic() < end:
            time.sleep(0.5)  # a frame that a cell has disturbed is none
            answered = float(cell(fastest))
        assert 0 < answered < 1000
        again = "other = await control_panel({'a': clerk}, call)"
        said = cell(f"{again}; print(panel.controls.status.value)")
        assert "another panel has taken over" in said


class Held(Clerk):
    """An instance that can be held and cannot be slowed down, as a process of its own."""

    slow_down = property()  # type: ignore[assignment]

    def pause(self) -> None:
        self.state = "paused"

    def resume(self) -> None:
        self.state = "up"


def test_what_cannot_be_slow_can_be_paused_and_goes_on_when_it_is_revived():
    instance = Held()
    traffic = Traffic({"a": instance}, instance.answer, rate=1, rng=Random(1))
    controls = Controls(traffic, {}, max_rate=100, slow_seconds=0.2, menu="")
    panel = Panel(traffic, controls, "title")
    assert repr(panel) == "Control panel for a: kill, revive, pause; load in requests/s."
    controls.buttons["pause a"].click()
    assert instance.state == "paused"
    controls.buttons["revive a"].click()
    assert instance.state == "up"
