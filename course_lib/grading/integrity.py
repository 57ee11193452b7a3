"""Notices when a learner's cell has replaced a function the checks rely on.

It compares functions and classes of `builtins`, pytest and the course's own rooms with a
photograph taken before. It is no wall against somebody determined: code that is graded in
the same process can always find a way. It tells a learner who patched something, and keeps
a forged `isinstance` or `expect` from passing.
"""

import builtins
import sys
import types
from typing import Any

_ROOMS = ("builtins", "pytest", "_pytest", "pluggy", "course_lib", "inspect", "asyncio", "json")
_KINDS = (
    types.FunctionType,
    types.BuiltinFunctionType,
    type,
    property,
    classmethod,
    staticmethod,
)

Photograph = list[tuple[str, dict[str, Any] | types.MappingProxyType[str, Any], dict[str, Any]]]


def photograph() -> Photograph:
    """The functions and classes as they are now, room by room and class by class."""
    taken: Photograph = []
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] not in _ROOMS or not isinstance(module, types.ModuleType):
            continue
        kept = _keep(vars(module))
        taken.append((name, vars(module), kept))
        if module is builtins:
            continue
        for title, value in kept.items():
            if isinstance(value, type) and value.__module__ == name:
                taken.append((f"{name}.{title}", value.__dict__, _keep(value.__dict__)))
    return taken


def _keep(names: Any) -> dict[str, Any]:
    return {name: value for name, value in names.items() if isinstance(value, _KINDS)}


def changed(taken: Photograph) -> str:
    """The first name that is no longer what it was, or an empty string; builtins are put back.

    It uses no builtin itself.
    """
    found = ""
    for where, names, kept in taken:
        for name, value in kept.items():
            if name not in names or names[name] is not value:
                found = found or f"{where}.{name}"
                if where == "builtins":
                    names[name] = value  # type: ignore[index]  # the one that is a plain dict
    return found
