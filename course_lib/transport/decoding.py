"""From JSON, path and query to request dataclasses, with errors that name the field.

The converters are prepared once for each type. Leaves out: dates, enums, unions other than
`X | None`.
"""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from course_lib.errors import InvalidRequest
from course_lib.transport.values import FROM_JSON, FROM_TEXT, Convert, refuse


def parse_json(body: bytes) -> Any:
    """Parse strictly: UTF-8, no NaN, no key twice in an object; raises InvalidRequest."""
    try:
        value = orjson.loads(body)
        json.loads(body, object_pairs_hook=without_duplicates)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"body: must be JSON: {str(error)[:100]}") from None
    return value


def json_converter(wanted: Any, *, ignore_unknown: bool = False) -> Convert:
    """A converter from parsed JSON; `ignore_unknown` lets a newer server send more fields."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted in FROM_JSON:
        return FROM_JSON[wanted]
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
    if wanted not in FROM_TEXT:
        raise TypeError(f"{wanted!r} cannot stand in a path or a query")
    return FROM_TEXT[wanted]


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


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a mapping; a name that stands there twice raises InvalidRequest."""
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidRequest(f"{twice[:40]}: given twice")
    return value
