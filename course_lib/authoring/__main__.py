"""`python -m course_lib.authoring new|execute|normalise|generate|check PATH...`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from course_lib.authoring.checks import problems
from course_lib.authoring.execution import execute
from course_lib.authoring.generation import exercise_path, generate
from course_lib.authoring.normal import normalise, read, write
from course_lib.authoring.skeleton import skeleton


def _new(path: Path) -> str:
    if path.suffix != ".ipynb":
        raise ValueError("a notebook's name ends with .ipynb")
    if path.exists():
        raise FileExistsError(f"{path} is there already; choose another name or delete it")
    write(skeleton(path), path)
    return f"{path}: a skeleton"


def _execute(path: Path) -> str:
    write(normalise(execute(read(path), path), path.stem), path)
    return f"{path}: executed"


def _normalise(path: Path) -> str:
    write(normalise(read(path), path.stem), path)
    return f"{path}: in normal form"


def _generate(path: Path) -> str:
    if path.resolve().parent.name != "solutions":
        raise ValueError("an exercise is made from a notebook in solutions/")
    target = exercise_path(path)
    write(generate(read(path), path.stem), target)
    return f"{target}: generated"


VERBS: dict[str, Callable[[Path], str]] = {
    "new": _new,
    "execute": _execute,
    "normalise": _normalise,
    "generate": _generate,
}


def main(arguments: list[str] | None = None) -> int:
    """Do one verb to every path; 1 when a notebook failed or breaks the contract."""
    parser = argparse.ArgumentParser(prog="python -m course_lib.authoring")
    parser.add_argument("verb", choices=[*VERBS, "check"])
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    asked = parser.parse_args(arguments)
    failed = False
    for path in asked.paths:
        if asked.verb == "check":
            found = problems(path)
            failed |= bool(found)
            print("\n".join(f"{path}: {problem}" for problem in found) or f"{path}: well done")
            continue
        try:
            print(VERBS[asked.verb](path))
        except (OSError, ValueError, RuntimeError) as error:
            failed = True
            print(f"{path}: {error}", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
