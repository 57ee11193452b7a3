"""The workspace: laid once, brought up to date, and never at the learner's cost."""

import json
import os
import shutil
from pathlib import Path

import pytest

from course_lib.grading import notebooks, places, resetting, tasks, workspace

NAME = "exercises/9.1-sample.ipynb"


@pytest.fixture
def course(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sample course that a test may change."""
    copy = tmp_path / "course"
    shutil.copytree(sample, copy)
    monkeypatch.setenv("COURSE_ROOT", str(copy))
    return copy


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_it_holds_lessons_and_exercises_without_outputs(course: Path):
    book = json.loads((course / "notebooks/9.1-sample.ipynb").read_text())
    book["cells"][1] |= {
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}],
        "execution_count": 1,
    }
    (course / "notebooks/9.1-sample.ipynb").write_text(json.dumps(book))
    assert (
        workspace.lay().new == [f"exercises/{Path(NAME).name}", "notebooks/9.1-sample.ipynb"][::-1]
    )
    laid = json.loads((places.workspace() / "notebooks/9.1-sample.ipynb").read_text())
    assert laid["cells"][1]["outputs"] == [] and laid["cells"][1]["execution_count"] is None


def test_a_course_below_a_hidden_folder_is_laid_too(
    course: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.move(course, tmp_path / ".hidden")
    monkeypatch.setenv("COURSE_ROOT", str(tmp_path / ".hidden"))
    assert NAME in workspace.lay().new


def test_laying_again_changes_nothing(course: Path):
    workspace.lay()
    again = workspace.lay()
    assert (again.new, again.updated, again.beside) == ([], [], [])


def test_an_update_replaces_what_the_learner_only_ran(course: Path):
    workspace.lay()
    mine = places.workspace() / NAME
    edit(mine, '"outputs": []', '"outputs": [{"output_type": "stream", "text": "ran"}]')
    edit(course / NAME, "# Sample", "# Sample, better")
    assert workspace.lay().updated == [NAME]
    assert "better" in mine.read_text()
    assert len(list((places.workspace() / ".backup").iterdir())) == 1


def test_an_update_never_overwrites_what_the_learner_changed(course: Path):
    workspace.lay()
    mine = places.workspace() / NAME
    edit(mine, "your code here", "my own words")
    before = mine.read_bytes()
    assert workspace.lay().beside == []
    edit(course / NAME, "# Sample", "# Sample, better")
    laid = workspace.lay()
    assert laid.beside == [NAME] and "9.1-sample.new.ipynb" in str(laid)
    assert mine.read_bytes() == before
    assert "better" in (places.workspace() / "exercises/9.1-sample.new.ipynb").read_text()
    assert workspace.lay().beside == [], "said once"
    assert places.notebook(places.workspace() / "exercises", "9.1") == mine


def test_a_second_update_keeps_what_was_written_into_the_new_version(course: Path):
    workspace.lay()
    edit(places.workspace() / NAME, "your code here", "my own words")
    edit(course / NAME, "# Sample", "# Sample, better")
    workspace.lay()
    beside = places.workspace() / "exercises/9.1-sample.new.ipynb"
    edit(beside, "your code here", "my second thoughts")
    edit(course / NAME, "# Sample, better", "# Sample, best")
    workspace.lay()
    assert "best" in beside.read_text()
    (kept,) = (places.workspace() / ".backup").iterdir()
    assert "my second thoughts" in kept.read_text()


def test_a_lesson_that_was_renamed_is_laid_anew(course: Path):
    assert "laid 2 files" in str(workspace.lay())
    lesson = places.workspace() / "notebooks/9.1-sample.ipynb"
    lesson.rename(lesson.with_name("mine.ipynb"))
    assert "laid notebooks/9.1-sample.ipynb in" in str(workspace.lay())
    assert lesson.exists() and lesson.with_name("mine.ipynb").exists()


def test_a_copy_the_learner_made_is_not_graded_in_place_of_the_notebook(course: Path):
    workspace.lay()
    mine = places.workspace() / NAME
    shutil.copy(mine, mine.with_name("9.1-sample-Copy1.ipynb"))
    assert places.notebook(mine.parent, "9.1") == mine


def test_a_notebook_saved_half_way_counts_as_changed(course: Path):
    workspace.lay()
    mine = places.workspace() / NAME
    mine.write_text(mine.read_text()[:100])
    edit(course / NAME, "# Sample", "# Sample, better")
    assert workspace.lay().beside == [NAME]
    assert len(mine.read_text()) == 100


def test_a_lost_manifest_loses_nothing(course: Path):
    workspace.lay()
    edit(places.workspace() / NAME, "your code here", "my own words")
    (places.workspace() / ".laid.json").write_text("{half")
    workspace.lay()
    assert "my own words" in (places.workspace() / NAME).read_text()


def test_a_task_is_brought_back_and_the_learners_version_kept(course: Path):
    workspace.lay()
    mine = places.workspace() / NAME
    edit(mine, "%%task double", "%%task dubble")
    task = tasks.find("double")
    assert task is not None
    kept = resetting.reset_task(task)
    assert "dubble" in kept.read_text()
    assert notebooks.read(mine).only("double") == notebooks.read(course / NAME).only("double")


def test_doubled_cells_are_one_again_after_a_reset(course: Path):
    workspace.lay()
    mine = places.workspace() / NAME
    book = json.loads(mine.read_text())
    book["cells"].append(book["cells"][2])
    mine.write_text(json.dumps(book))
    task = tasks.find("double")
    assert task is not None
    resetting.reset_task(task)
    assert len(notebooks.read(mine).cells["double"]) == 1


def test_a_damaged_notebook_of_the_course_is_left_out_and_named(course: Path):
    workspace.lay()
    (course / "exercises" / "9.2-broken.ipynb").write_text("")
    assert "git restore exercises/9.2-broken.ipynb" in str(workspace.lay())
    assert not (places.workspace() / "exercises" / "9.2-broken.ipynb").exists()


def test_a_damaged_exercise_of_the_course_is_not_taken_for_the_learners(course: Path):
    workspace.lay()
    (course / NAME).write_text("{half")
    task = tasks.find("double")
    assert task is not None
    for reset in (lambda: resetting.reset_task(task), lambda: resetting.reset_lesson("9.1")):
        with pytest.raises(notebooks.NotebookUnreadable, match=f"`git restore {NAME}`"):
            reset()
    assert not (places.workspace() / ".backup").exists(), "nothing was begun"


def test_a_task_is_brought_back_in_a_notebook_that_was_renamed(course: Path):
    workspace.lay()
    mine = places.workspace() / NAME
    renamed = mine.rename(mine.with_name("my answers.ipynb"))
    edit(renamed, "your code here", "my own words")
    task = tasks.find("double")
    assert task is not None
    resetting.reset_task(task)
    assert "your code here" in notebooks.read(renamed).only("double")
    assert not mine.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_said_in_words(course: Path):
    places.workspace().chmod(0o500)
    with pytest.raises(workspace.WorkspaceError, match="COURSE_WORKSPACE"):
        workspace.lay()
    places.workspace().chmod(0o700)


def test_a_file_in_the_way_is_said_in_words(course: Path, monkeypatch: pytest.MonkeyPatch):
    (course / "in_the_way").write_text("")
    monkeypatch.setenv("COURSE_WORKSPACE", str(course / "in_the_way" / "workspace"))
    with pytest.raises(workspace.WorkspaceError, match=r"Not a directory .*in_the_way"):
        workspace.lay()
