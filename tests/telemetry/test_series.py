"""`rate`, `increase` and `histogram_quantile` give promtool's own numbers.

promtool is asked by a test that must fail: it then prints what it got, in full precision. Series
and buckets are drawn from seeds.
"""

import json
import math
import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

import pytest

from course_lib.lab.series_memory import Series
from course_lib.telemetry import metrics
from course_lib.telemetry.series import Sample, histogram_quantile, increase, rate

LENGTH = 240  # instants of a series
VALUE = re.compile(r'\{(?:[^{}]*, )?n="(\d+)"\} (\S+?)(?:, |$)')

needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool") and not os.environ.get("CI"),
    reason="promtool is not installed (apt-get install prometheus)",
)


def promtool(
    folder: Path, series: dict[str, str], asked: Iterable[tuple[str, int]], milliseconds: int = 1000
) -> list[dict[int, float]]:
    """What promtool gets for each (expression, milliseconds): its value for each label `n`."""
    never = [{"labels": '{never="this"}', "value": 0}]
    tests = [
        {"expr": expression, "eval_time": f"{at}ms", "exp_samples": never}
        for expression, at in asked
    ]
    test = {
        "interval": f"{milliseconds}ms",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": tests,
    }
    file = folder / "test.yml"
    file.write_text(json.dumps({"evaluation_interval": "100ms", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True)
    got = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith("got: ")]
    assert len(got) == len(tests), done.stderr[-2000:]
    return [{int(n): float(value) for n, value in VALUE.findall(line)} for line in got]


def counter(random: Random) -> list[Sample]:
    """A counter with gaps, resets and stale ends; some begin at zero, some have few samples."""
    begin, gap = random.choice([0, random.randrange(LENGTH)]), random.choice([0.0, 0.3, 0.9, 0.98])
    step, resets = random.choice([0, 1, 0.37, 1000]), random.choice([0.0, 0.02, 0.3])
    value = random.choice([0.0, 0.0, 5.0, 1e6 * random.random(), -3.0])
    samples: list[Sample] = []
    for second in range(begin, LENGTH):
        value = random.choice([0.0, step]) if random.random() < resets else value
        value += step * random.random() * random.choice([0, 1])
        if random.random() >= gap:
            samples.append((float(second), None if random.random() < 0.01 else value))
    return samples


def written(samples: list[Sample]) -> str:
    by_second = dict(samples)
    values = (by_second.get(float(second), "_") for second in range(LENGTH))
    return " ".join("stale" if value is None else str(value) for value in values)


@needs_promtool
@pytest.mark.parametrize("milliseconds", [1000, 137])
@pytest.mark.parametrize(("name", "ours"), [("rate", rate), ("increase", increase)])
def test_growth_equals_promtools(
    name: str,
    ours: Callable[[list[Sample], float, float], float | None],
    milliseconds: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    random = Random(f"{name} {milliseconds}")
    counters = [counter(random) for _ in range(150)]
    windows = [random.randint(2, 120 * milliseconds) for _ in range(30)]
    windows += [n * milliseconds for n in (1, 2, 10, 60, 300)] * 3
    asked = [(window, random.randint(0, 250 * milliseconds)) for window in windows]
    asked += [(60 * milliseconds, n * milliseconds) for n in (59, 60, 120, 239)]
    got = promtool(
        tmp_path,
        {f'c{{n="{n}"}}': written(samples) for n, samples in enumerate(counters)},
        [(f"{name}(c[{window}ms])", at) for window, at in asked],
        milliseconds,
    )
    step = milliseconds / 1000
    timed = [[(t * step, value) for t, value in samples] for samples in counters]
    compared = 0
    for (window, at), theirs in zip(asked, got, strict=True):
        start, end = (at - window) / 1000, at / 1000
        mine = {n: ours(samples, start, end) for n, samples in enumerate(timed)}
        assert {n: value for n, value in mine.items() if value is not None} == pytest.approx(
            theirs, rel=1e-12, nan_ok=True
        )
        compared += len(theirs)
    assert compared > 3000
    with capsys.disabled():
        print(f"[{compared:,} values of {name} compared with promtool's]", end=" ")


def buckets(random: Random) -> list[tuple[float, float]]:
    """Cumulative buckets; some empty, some falling or NaN, some without the infinite one."""
    bounds = sorted({round(random.uniform(-0.3, 3), 3) for _ in range(random.randint(0, 8))})
    if random.random() < 0.6:
        bounds = [bound for bound in bounds if bound > 0]
    if random.random() < 0.95 or not bounds:
        bounds.append(math.inf)
    most, total, falls = random.choice([0, 1, 5, 1000]), 0.0, random.random() < 0.1
    unknown = random.choice([0.0, 0.0, 0.3])
    found = []
    for bound in bounds:
        total += random.choice([0, random.randint(0, most), random.random() * most])
        count = total * (random.random() if falls else 1)
        found.append((bound, math.nan if random.random() < unknown else count))
    return found


@needs_promtool
def test_the_quantile_of_a_histogram_equals_promtools(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    random = Random(2)
    histograms = [buckets(random) for _ in range(400)]
    quantiles = [
        0,
        0.01,
        0.25,
        0.5,
        0.9,
        0.95,
        0.99,
        1,
        -0.5,
        1.5,
        *(random.random() for _ in "123"),
    ]
    series = {
        f'b{{le="{"+Inf" if bound == math.inf else bound}",n="{n}"}}': str(count)
        for n, histogram in enumerate(histograms)
        for bound, count in histogram
    }
    got = promtool(tmp_path, series, [(f"histogram_quantile({q}, b)", 0) for q in quantiles])
    compared = 0
    for q, theirs in zip(quantiles, got, strict=True):
        mine = {n: histogram_quantile(q, histogram) for n, histogram in enumerate(histograms)}
        assert mine == pytest.approx(theirs, rel=1e-12, nan_ok=True), q
        compared += len(theirs)
    assert compared == len(histograms) * len(quantiles)
    with capsys.disabled():
        print(f"[{compared:,} quantiles compared with promtool's]", end=" ")


@pytest.mark.parametrize(
    ("q", "given", "expected"),
    [
        (0.5, [(0.1, 0), (0.2, 10), (math.inf, 10)], 0.15),
        (0.5, [(0.1, 10), (math.inf, 10)], 0.05),
        (0.99, [(0.1, 1), (0.5, 2), (math.inf, 100)], 0.5),
        (0.5, [(math.inf, 0), (0.1, 0)], math.nan),
        (0.5, [], math.nan),
        (-1, [(0.1, 1), (math.inf, 1)], -math.inf),
        (2, [(0.1, 1), (math.inf, 1)], math.inf),
        (math.nan, [(0.1, 1), (math.inf, 1)], math.nan),
        (0.25, [(0.5, 10), (1, math.nan), (10, 12), (math.inf, 20)], math.nan),
    ],
)
def test_the_rules_of_the_quantile(q: float, given: list[tuple[float, float]], expected: float):
    assert metrics.histogram_quantile(q, given) == pytest.approx(expected, nan_ok=True)


@needs_promtool
def test_a_sample_is_the_value_now_for_as_long_as_it_is_in_promtool(tmp_path: Path):
    series = Series("x", {}, deque([(0.0, 1.0)]))
    instants = [0, 299_999, 300_000, 300_001]
    got = promtool(tmp_path, {'x{n="0"}': "1"}, [("x", at) for at in instants])
    assert [series.at(at / 1000) for at in instants] == [found.get(0) for found in got]


def test_a_reset_counts_from_zero_and_three_requests_are_not_an_increase_of_three():
    samples: list[Sample] = [(0, 5.0), (15, 8.0), (30, 1.0), (45, 2.0)]
    assert increase(samples, 0, 45) == 5.0
    late: list[Sample] = [(10, 100.0), (25, 101.0), (40, 103.0)]
    assert metrics.increase(late, 0, 45) == pytest.approx(4.5)
    assert metrics.rate(late, 0, 45) == pytest.approx(0.1)


def test_one_sample_has_no_rate_and_two_at_one_instant_have_none():
    assert rate([(3, 1.0)], 0, 10) is None
    assert rate([(3, 1.0), (3, 2.0)], 0, 10) is None
    assert increase([(3, 1.0), (4, None)], 0, 10) is None


def test_the_time_of_day_does_not_blur_a_rate():
    """So many seconds after 1970 a float cannot tell the length of a window to the nanosecond."""
    now = 1_700_000_225.017
    samples: list[Sample] = [(now - 30, 0.0), (now, 3.0)]
    window = 37.123  # the counter began at zero: nothing is extrapolated
    assert rate(samples, now - window, now) == 3.0 / window
