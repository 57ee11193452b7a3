"""When a rule would wake somebody: promtool plays series to it and says at which instant."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from course_lib.lab.servers.prometheus import promtool

STEP_SECONDS = 15

_UNEXPECTED = re.compile(r"alertname: ?\S+, time: (\S+?),")
_PART = re.compile(r"(\d+)([ywdhms])")
_SECONDS = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}


def fires_at(
    rules: Path, alert: str, series: Mapping[str, str], *, until_seconds: int
) -> float | None:
    """The first instant, in seconds, at which the alert fires; None if it does not until then.

    `series` are in promtool's notation, a value every fifteen seconds: `{"up": "1+0x4 0+0x9"}`.
    The rules are evaluated as often.
    """
    instants = range(0, until_seconds + 1, STEP_SECONDS)
    expected = [{"alertname": alert, "eval_time": f"{at}s", "exp_alerts": []} for at in instants]
    step = f"{STEP_SECONDS}s"
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": step, "input_series": inputs, "alert_rule_test": expected}
    whole = {"rule_files": [str(rules.resolve())], "evaluation_interval": step, "tests": [test]}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(json.dumps(whole))
        file.flush()
        try:
            promtool("test", "rules", file.name)
        except RuntimeError as error:
            found = _UNEXPECTED.findall(str(error))
            if not found:
                raise
            return min(_seconds(text) for text in found)
    return None


def minutes_until(rules: Path, alert: str, *, failing: float) -> float | None:
    """How many minutes after the first failure the alert fires, if this share of the calls fails.

    Thirty calls of the users service end every fifteen seconds, for an hour without a failure.
    """
    name = 'requests_total{service="users", operation="get_user", outcome="%s"}'
    good, bad = 30 * (1 - failing), 30 * failing
    began = 240 * STEP_SECONDS
    series = {
        name % "ok": f"0+30x240 {7200 + good}+{good}x80",
        name % "Unavailable": f"0+0x240 {bad}+{bad}x80",
    }
    at = fires_at(rules, alert, series, until_seconds=began + 80 * STEP_SECONDS)
    return None if at is None else (at - began) / 60


def _seconds(text: str) -> float:
    return float(sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
