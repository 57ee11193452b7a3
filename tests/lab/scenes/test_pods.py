"""What probes make of a database's hiccup, in virtual time."""

from course_lib.lab import virtual_time
from course_lib.lab.scenes.pods import hiccup, live, mostly_failing
from course_lib.platform.container import Container
from course_lib.platform.pod import Pod
from course_lib.telemetry.health import Health
from course_lib.telemetry.probes import Probe


def run(checks, **options):
    return virtual_time.run(hiccup(checks, **options))


def test_a_liveness_that_asks_the_database_makes_minutes_of_half_a_minute():
    neither, _ = run(lambda health, database: None)
    asked, pods = run(lambda health, database: health.liveness("database", database.query))
    assert mostly_failing(neither) == 0
    assert mostly_failing(asked) > 70
    assert all(any(state == "back-off" for *_, state in spans) for spans in pods.values())


def test_a_readiness_that_asks_the_database_takes_all_out_at_once_and_restarts_none():
    result, pods = run(lambda health, database: health.readiness("database", database.query))
    assert result.outcomes["NoInstances"] > 50
    assert all("back-off" not in [state for *_, state in spans] for spans in pods.values())


def test_it_is_the_same_every_time():
    one, other = (run(lambda health, database: None, until=120) for _ in range(2))
    assert one[0].calls == other[0].calls
    assert one[1] == other[1]


async def test_a_pod_lives():
    pod = Pod(lambda: Container(Health()), liveness=Probe())
    assert await live(pod, 50) == [(0, 50, "ready")]


async def test_a_pod_that_hangs_is_ready_until_the_verdict_counted_from_when_it_hung():
    pod = Pod(lambda: Container(Health()), liveness=Probe(), grace_seconds=30)
    assert await live(pod, 50, hang_at=5) == [
        (-5, 0, "ready"),
        (0, 26, "ready, hangs"),
        (26, 45, "terminating"),
    ]
