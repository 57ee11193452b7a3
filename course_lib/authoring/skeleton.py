"""What `new` writes: every section a notebook needs, waiting for its words."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.authoring.normal import normalise

_LESSON = """\
# {number} {topic}
**The question.** One sentence.

**You will be able to** do three things. **Minutes:** 40. **Before this:** a lesson.
---
## A first look
What we run, and why.

**Predict:** a number or a choice.
---
## Break it
Kill, slow down, cut off, overload: with the controls below.
---
## In production
The real server in place of the embedded one.
---
## Mistakes people make
Facts from issue trackers.
---
## On Monday
At most 25 lines of off-the-shelf packages, in a fenced block.
---
## Recap
What stays. Then the quiz, and the exercise of the same number."""


def skeleton(path: Path) -> nbformat.NotebookNode:
    """A lesson, or an exercise's source when `path` lies in a folder named solutions."""
    number, _, topic = path.stem.partition("-")
    title = topic.replace("-", " ").capitalize()
    if path.resolve().parent.name == "solutions":
        intro = f"# {number} {title}: exercise\nWhat you will write, and how long it takes."
        setup = new_code_cell("%load_ext course_lib.grading", metadata={"tags": ["setup"]})
        task = (
            "%%task NAME\ndef name() -> None:\n"
            "    ### BEGIN SOLUTION\n    return None\n    ### END SOLUTION"
        )
        cells = [new_markdown_cell(intro), setup, new_markdown_cell("## Task"), new_code_cell(task)]
    else:
        text = _LESSON.format(number=number, topic=title)
        cells = [new_markdown_cell(part.strip()) for part in text.split("---\n")]
        cells.insert(1, new_code_cell("from course_lib.grading import predict, quiz"))
        cells.insert(3, new_code_cell('guess = predict("p95 in ms", 12)'))
        cells.append(new_code_cell(f'quiz("{number}")'))
    return normalise(new_notebook(cells=cells), path.stem)
