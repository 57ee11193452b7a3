"""A pod in virtual time: what its probes say is done, and every instant is known."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from course_lib.platform.container import Container
from course_lib.platform.pod import Pod, RestartDelay
from course_lib.telemetry.health import Health
from course_lib.telemetry.probes import Probe


async def after(seconds: float, pod: Pod, *acts: tuple[float, Callable[[], Any]]) -> Pod:
    """Run the pod so long; each act is done at its instant."""
    running = asyncio.create_task(pod.run())
    for at, act in acts:
        asyncio.get_running_loop().call_at(at, act)
    await asyncio.sleep(seconds)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    return pod


def healthy(**options: Any) -> Callable[[], Container]:
    return lambda: Container(Health(), **options)


def hang(pod: Pod) -> Callable[[], None]:
    return lambda: pod.container.hang()  # type: ignore[union-attr]


def crash(pod: Pod) -> Callable[[], None]:
    return lambda: pod.container.crash()  # type: ignore[union-attr]


async def test_without_probes_it_is_ready_when_it_runs_whether_it_listens_or_not():
    pod = await after(5, Pod(healthy(start_seconds=60)))
    assert pod.spans(5) == [(0, 5, "ready")]


async def test_readiness_is_asked_at_once_and_then_every_period():
    pod = await after(30, Pod(healthy(start_seconds=15), readiness=Probe()))
    assert pod.spans(30) == [(0, 20, "starting"), (20, 30, "ready")]
    assert pod.events[1] == (0, "Unhealthy: readiness probe failed: connection refused")


async def test_a_process_that_hangs_is_killed_after_its_grace_and_starts_again():
    pod = Pod(healthy(), liveness=Probe(), readiness=Probe())
    await after(100, pod, (10.5, hang(pod)))
    assert pod.spans(100) == [
        *((0, 41, "ready"), (41, 71, "terminating"), (71, 100, "ready")),
    ]
    assert pod.restarts == 1
    assert (71, "Killing: did not end within 30 s") in pod.events


async def test_one_that_hears_sigterm_ends_as_soon_as_it_likes():
    said = Health()
    said.liveness("pool", lambda: False)

    async def finish() -> None:
        await asyncio.sleep(4)

    pod = await after(40, Pod(lambda: Container(said, on_term=finish), liveness=Probe()))
    assert pod.spans(40) == [
        *((0, 30, "ready"), (30, 34, "terminating"), (34, 40, "ready")),
    ]


async def test_looking_after_it_no_more_ends_it_also_while_it_finishes():
    said, ended = Health(), []
    said.liveness("pool", lambda: False)

    async def finish() -> None:
        await asyncio.sleep(4)
        ended.append("in order")

    await after(32, Pod(lambda: Container(said, on_term=finish), liveness=Probe()))
    await asyncio.sleep(10)
    assert ended == []


async def test_a_process_that_ends_by_itself_is_restarted_without_any_probe():
    pod = Pod(healthy())
    await after(60, pod, (5, crash(pod)), (7, crash(pod)))
    assert pod.spans(60) == [
        *((0, 5, "ready"), (5, 7, "ready"), (7, 17, "back-off"), (17, 60, "ready")),
    ]
    assert pod.restarts == 2


async def test_the_delay_doubles_from_ten_seconds_to_three_hundred():
    def dies() -> Container:
        container = Container(Health())
        asyncio.get_running_loop().call_soon(container.crash)
        return container

    pod = await after(1300, Pod(dies))
    assert [at for at, text in pod.events if text == "Started"] == [
        *(0, 0, 10, 30, 70, 150, 310, 610, 910, 1210),
    ]


def test_the_delay_begins_anew_after_ten_minutes_without_an_end():
    delay = RestartDelay()
    for at in (0, 10, 30):
        delay.restarted(at)
    assert delay.after(630) == 40
    assert delay.after(631) == 0
    delay.restarted(631)
    assert delay.after(640) == 10


async def test_a_slow_start_without_a_startup_probe_is_restarted_for_ever():
    pod = await after(300, Pod(healthy(start_seconds=45), liveness=Probe(), readiness=Probe()))
    assert pod.restarts >= 4
    assert "ready" not in [state for *_, state in pod.spans(300)]


async def test_with_a_startup_probe_the_others_wait_for_it():
    pod = Pod(
        healthy(start_seconds=45),
        startup=Probe(failure_threshold=30),
        liveness=Probe(),
        readiness=Probe(),
    )
    await after(100, pod)
    assert pod.spans(100) == [(0, 50, "starting"), (50, 100, "ready")]
    assert pod.restarts == 0
    assert not [text for _, text in pod.events if "liveness" in text or "readiness" in text]


async def test_a_startup_that_takes_longer_than_its_threshold_is_a_restart():
    pod = await after(75, Pod(healthy(start_seconds=45), startup=Probe(failure_threshold=3)))
    assert pod.restarts == 2
    assert [text for at, text in pod.events if at == 30] == [
        "Unhealthy: startup probe failed: connection refused",
        "Killing: startup probe failed, will be restarted",
        "Ended",
        "Started",
    ]


async def test_a_failing_readiness_restarts_nothing():
    away = False
    health = Health()
    health.readiness("database", lambda: not away)

    def go_away() -> None:
        nonlocal away
        away = True

    pod = Pod(lambda: Container(health), readiness=Probe(), liveness=Probe())
    await after(300, pod, (15, go_away))
    assert pod.spans(300) == [(0, 40, "ready"), (40, 300, "not ready")]
    assert pod.restarts == 0


async def test_after_a_restart_the_verdicts_are_the_initial_ones_again():
    pod = Pod(healthy(start_seconds=3), readiness=Probe(), liveness=Probe())
    await after(40, pod, (15, crash(pod)))
    assert pod.spans(40) == [
        *((0, 10, "starting"), (10, 15, "ready"), (15, 25, "starting"), (25, 40, "ready")),
    ]


async def test_a_liveness_success_threshold_is_refused():
    with pytest.raises(ValueError, match="must be 1 for liveness"):
        Pod(healthy(), liveness=Probe(success_threshold=2))
