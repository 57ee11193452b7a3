"""Why a verb of the `course` command cannot do what was asked."""

from course_lib.grading import tasks


class Refused(Exception):
    """Nothing was done; the message says why, and the command ends with status 2."""


def task_named(what: str) -> tasks.Task:
    """The task with this name; raises Refused, with the names that may have been meant."""
    task = tasks.find(what)
    if task is not None:
        return task
    lesson = tasks.lesson_of(what)
    if lesson is None or not lesson.tasks:
        raise unknown(what)
    names = ", ".join(each.name for each in lesson.tasks)
    raise Refused(f"{what} is a lesson; name one of its tasks: {names}.")


def unknown(what: str) -> Refused:
    """No lesson and no task has this name."""
    near = tasks.nearest(what)
    asked = f" Did you mean {near}?" if near else ""
    return Refused(f"No lesson or task is called {what!r}; `course progress` lists them.{asked}")
