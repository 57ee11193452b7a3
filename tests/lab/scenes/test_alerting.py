"""When an alert fires, asked of promtool itself."""

import os
import re
from pathlib import Path
from textwrap import dedent

import nbformat
import pytest

from course_lib.lab.scenes.alerting import fires_at, minutes_until
from course_lib.lab.servers.prometheus import HOW_TO_INSTALL, installed

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
RULES = "groups: [{name: a, rules: [{alert: Down, expr: up == 0, for: 1m}]}]"

pytestmark = pytest.mark.skipif(not installed() and not os.environ.get("CI"), reason=HOW_TO_INSTALL)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yml"
    path.write_text(RULES)
    return path


@pytest.mark.parametrize(
    ("values", "expected"),
    [("1x4 0x20", 135), ("0x20", 60), ("1x4 0x2 1 0x20", 195), ("1x20", None)],
)
def test_an_alert_fires_when_its_condition_has_held_for_so_long(rules, values, expected):
    assert fires_at(rules, "Down", {"up": values}, until_seconds=300) == expected


def test_an_alert_after_the_first_hour_is_found_too(rules):
    assert fires_at(rules, "Down", {"up": "1x260 0x20"}, until_seconds=4200) == 261 * 15 + 60


def test_an_alert_after_the_first_day_is_found_too(rules):
    assert fires_at(rules, "Down", {"up": "1x5760 0x20"}, until_seconds=86_700) == 5761 * 15 + 60


@pytest.mark.parametrize(("failing", "minutes"), [(0.5, 0.5), (0.1, 2.5), (0.0, None)])
def test_after_a_good_hour_the_minutes_count_from_the_first_failure(rules, failing, minutes):
    thirty = RULES.replace("up == 0, for: 1m", "'requests_total{outcome=\"Unavailable\"} >= 30'")
    rules.write_text(thirty)
    assert minutes_until(rules, "Down", failing=failing) == minutes


def test_a_rule_that_cannot_be_read_is_said_in_promtools_words(tmp_path):
    (tmp_path / "bad.yml").write_text(RULES.replace("up == 0", "up =="))
    with pytest.raises(RuntimeError, match="parse error"):
        fires_at(tmp_path / "bad.yml", "Down", {"up": "1x4"}, until_seconds=60)


def test_the_rules_that_the_lesson_quotes_stand_in_the_file():
    book = nbformat.read(NOTEBOOKS / "4.2-metrics.ipynb", as_version=4)
    prose = "".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    (quoted,) = re.findall(r"```yaml\n(.*?)```", prose, re.DOTALL)
    rules = re.split(r"^(?=- )", quoted, flags=re.MULTILINE)[1:]
    file = (NOTEBOOKS / "files" / "shop-rules.yml").read_text().split("    rules:\n")[1]
    assert len(rules) == 2
    assert [rule for rule in rules if rule not in dedent(file)] == []
