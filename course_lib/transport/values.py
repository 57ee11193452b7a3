"""Single values from JSON, where types are taken as they are, and from text, which is parsed.

"7" is a number in a path, and not in JSON.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, NoReturn

from course_lib.errors import InvalidRequest
from course_lib.transport.codes import decimal

Convert = Callable[[Any, str], Any]
"""Takes a value and the name of its field; returns the value as the type wants it."""

_INTEGER = re.compile(r"-?[0-9]{1,19}")  # what may fit; int() of thousands of digits is slow
_DIGITS = re.compile(r"-?[0-9]+")
_WHOLE = "an integer of at most 64 bits"
_BOOLEANS = {"true": True, "false": False}


def refuse(field: str, wanted: str, got: Any) -> NoReturn:
    """Raise InvalidRequest in the one form that all decoders use."""
    shown = json.dumps(got, ensure_ascii=False, default=repr)
    raise InvalidRequest(f"{field}: must be {wanted}, got {shown[:40]}")


def _integer(value: Any, field: str) -> int:
    if type(value) is not int:
        refuse(field, "an integer", value)
    if not -(2**63) <= value < 2**63:
        refuse(field, _WHOLE, value)
    return value


def _number(value: Any, field: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        refuse(field, "a number", value)
    return float(value)


def _string(value: Any, field: str) -> str:
    if type(value) is not str:
        refuse(field, "a string", value)
    return value


def _boolean(value: Any, field: str) -> bool:
    if type(value) is not bool:
        refuse(field, "true or false", value)
    return value


def _text_integer(text: str, field: str) -> int:
    if not _INTEGER.fullmatch(text):
        refuse(field, _WHOLE if _DIGITS.fullmatch(text) else "an integer", text)
    return _integer(int(text), field)


def _text_number(text: str, field: str) -> float:
    number = decimal(text)
    if not math.isfinite(number):
        refuse(field, "a number", text)
    return number


def _text_boolean(text: str, field: str) -> bool:
    if text not in _BOOLEANS:
        refuse(field, "true or false", text)
    return _BOOLEANS[text]


FROM_JSON: dict[Any, Convert] = {
    int: _integer,
    float: _number,
    str: _string,
    bool: _boolean,
    Any: lambda value, field: value,
}
FROM_TEXT: dict[Any, Convert] = {
    int: _text_integer,
    float: _text_number,
    str: _string,
    bool: _text_boolean,
}
