"""Files of tasks: what is wrong with one is said with file, task and field."""

from pathlib import Path

import pytest

from course_lib.grading import tasks

TASK = """
lesson = "2.1"
[[task]]
name = "double"
title = "Double"
minutes = 2
hints = ["a", "b", "c"]
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lesson = ", "2.1.toml"),
        ("", "`lesson` must be str, found None"),
        (TASK.replace("minutes = 2", "minutes = 'two'"), "task double: `minutes` must be int"),
        (TASK.replace('"c"', ""), "three hints are needed, found ("),
        (TASK.replace('"double"', '"not a name"'), "letters, digits and underscores"),
        (TASK.replace('"c"', "3"), "three hints are needed, found ('a', 'b', 3)"),
        ('lesson = "2.1"\ntask = "double"', "2.1.toml: write [[task]] above each task"),
        ('lesson = "2.1"\nquiz = ["why"]', "2.1.toml: write [[quiz]] above each quiz"),
        (TASK + "timeout_seconds = 'x'", "`timeout_seconds` must be int | float, found 'x'"),
        (TASK + "memory_mb = 0.5", "`memory_mb` must be int, found 0.5"),
        (TASK + "[[task.wrong]]\ncode = ''", "task double, wrong: `fails` must be str"),
        (
            TASK + '[[quiz]]\nquestion = "?"\noptions = ["a"]\nanswer = 1\nexplain = ["b"]',
            "an answer among them",
        ),
    ],
)
def test_a_damaged_file_is_told_with_task_and_field(tmp_path: Path, text: str, words: str):
    path = tmp_path / "2.1.toml"
    path.write_text(text)
    with pytest.raises(tasks.TasksMalformed) as told:
        tasks.read(path)
    assert words in str(told.value)


def test_a_task_has_ten_seconds_unless_it_says_otherwise(tmp_path: Path):
    path = tmp_path / "2.1.toml"
    path.write_text(TASK)
    (task,) = tasks.read(path).tasks
    assert (task.timeout_seconds, task.grader.name) == (10, "test_2_1.py")


def test_lessons_stand_in_reading_order():
    numbers = ["2.10", "2.4b", "10.1", "2.4"]
    assert sorted(numbers, key=tasks.reading_order) == ["2.4", "2.4b", "2.10", "10.1"]
