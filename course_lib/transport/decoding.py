"""From JSON, path and query to request dataclasses, with errors that name the field.

The converters are prepared once for each type. Text (path, query) is parsed, JSON is taken
as it is: "7" is not a number there. Leaves out: dates, enums, unions other than `X | None`.
"""

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from course_lib.errors import InvalidRequest

Convert = Callable[[Any, str], Any]
"""Takes a value and the name of its field; returns the value as the type wants it."""

_INTEGER = re.compile(r"-?[0-9]{1,19}")  # what may fit; int() of thousands of digits is slow
_DIGITS = re.compile(r"-?[0-9]+")
_WHOLE = "an integer of at most 64 bits"
_BOOLEANS = {"true": True, "false": False}


def refuse(field: str, wanted: str, got: Any) -> typing.NoReturn:
    """Raise InvalidRequest in the one form that all decoders use."""
    shown = json.dumps(got, ensure_ascii=False, default=repr)
    raise InvalidRequest(f"{field}: must be {wanted}, got {shown[:40]}")


def parse_json(body: bytes) -> Any:
    """Parse strictly: UTF-8, no NaN, no key twice in an object; raises InvalidRequest."""
    try:
        value = orjson.loads(body)
        json.loads(body, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"body: must be JSON: {str(error)[:100]}") from None
    return value


def json_converter(wanted: Any, *, ignore_unknown: bool = False) -> Convert:
    """A converter from parsed JSON; `ignore_unknown` lets a newer server send more fields."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted in _JSON:
        return _JSON[wanted]
    if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
        return _object(wanted, ignore_unknown)
    if origin in (list, tuple):
        return _sequence(json_converter(arguments[0], ignore_unknown=ignore_unknown), origin)
    if origin in (types.UnionType, typing.Union) and len(arguments) == 2:
        some = next(argument for argument in arguments if argument is not types.NoneType)
        return _optional(json_converter(some, ignore_unknown=ignore_unknown))
    raise TypeError(f"no decoder for {wanted!r}")


def text_converter(wanted: Any) -> Convert:
    """A converter from the text of a path or a query."""
    if typing.get_origin(wanted) in (types.UnionType, typing.Union):
        wanted = next(a for a in typing.get_args(wanted) if a is not types.NoneType)
    if wanted not in _TEXT:
        raise TypeError(f"{wanted!r} cannot stand in a path or a query")
    return _TEXT[wanted]


def fields_of(
    request: type, converter: Callable[[Any], Convert]
) -> tuple[dict[str, Convert], frozenset[str]]:
    """The converters of a dataclass by field name, and the names that have no default."""
    hints = typing.get_type_hints(request)
    fields = dataclasses.fields(request)
    missing = dataclasses.MISSING
    required = (f.name for f in fields if f.default is missing and f.default_factory is missing)
    return {field.name: converter(hints[field.name]) for field in fields}, frozenset(required)


def fill(
    values: Mapping[str, Any], converters: Mapping[str, Convert], prefix: str = ""
) -> dict[str, Any]:
    """Convert all values by name; an unknown name raises InvalidRequest."""
    filled = {}
    for name, value in values.items():
        convert = converters.get(name)
        if convert is None:
            known = ", ".join(converters)
            there = f" (there is: {known})" if known else "; none may be given here"
            raise InvalidRequest(f"{prefix}{str(name)[:40]}: unknown field{there}")
        filled[name] = convert(value, prefix + name)
    return filled


def require(filled: Mapping[str, Any], required: frozenset[str], prefix: str = "") -> None:
    """Raise InvalidRequest for the first required field, by name, that was not given."""
    if not required <= filled.keys():
        raise InvalidRequest(f"{prefix}{min(required - filled.keys())}: is required")


def _object(wanted: type, ignore_unknown: bool) -> Convert:
    converters, required = fields_of(
        wanted, lambda hint: json_converter(hint, ignore_unknown=ignore_unknown)
    )

    def convert(value: Any, field: str) -> Any:
        if type(value) is not dict:
            refuse(field, "an object", value)
        prefix = f"{field}." if field != "body" else ""
        if ignore_unknown:
            value = {name: value[name] for name in value if name in converters}
        filled = fill(value, converters, prefix)
        require(filled, required, prefix)
        return wanted(**filled)

    return convert


def _sequence(convert_one: Convert, make: type) -> Convert:
    def convert(value: Any, field: str) -> Any:
        if type(value) is not list:
            refuse(field, "a list", value)
        return make([convert_one(one, f"{field}[{n}]") for n, one in enumerate(value)])

    return convert


def _optional(convert_some: Convert) -> Convert:
    return lambda value, field: None if value is None else convert_some(value, field)


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
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        refuse(field, "a number", text)
    return number


def _text_boolean(text: str, field: str) -> bool:
    if text not in _BOOLEANS:
        refuse(field, "true or false", text)
    return _BOOLEANS[text]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidRequest(f"{twice[:40]}: given twice")
    return value


_JSON: dict[Any, Convert] = {
    int: _integer,
    float: _number,
    str: _string,
    bool: _boolean,
    Any: lambda value, field: value,
}
_TEXT: dict[Any, Convert] = {
    int: _text_integer,
    float: _text_number,
    str: _string,
    bool: _text_boolean,
}
