"""How Consul reads values: Go durations, Go booleans, JSON objects whose keys come in any case.

Everything that is refused is refused with `Refused`, which carries Consul's status and words.
"""

import re
from typing import Any

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LONGEST_SECONDS = 2**63 / 1e9
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
_KINDS = {str: "string", bool: "bool", list: "array", dict: "object", type(None): "null"}


class Refused(Exception):
    """The agent's answer is an error: an HTTP status and a line of plain text."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def duration(text: str) -> float:
    """Read a Go duration ("1m30s", "100ms", "-2s") as seconds; ValueError in Go's words."""
    digits = text[1:] if text[:1] in ("-", "+") else text
    sign = -1.0 if text.startswith("-") else 1.0
    if digits == "0":
        return 0.0
    if not digits or _PART.sub("", digits):
        raise ValueError(f'time: invalid duration "{text}"')
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(digits))
    if seconds >= _LONGEST_SECONDS:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * seconds


def boolean(text: str) -> bool:
    """Read what Go's strconv.ParseBool reads; ValueError otherwise."""
    if text not in _BOOLEANS:
        raise ValueError(f'invalid syntax: "{text}"')
    return _BOOLEANS[text]


def unsigned(text: str) -> int:
    """Read an unsigned 64-bit decimal number; ValueError otherwise."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) >= 2**64:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


class Fields:
    """A JSON object read field by field; keys in any case, with or without underscores."""

    def __init__(self, raw: object, struct: str) -> None:
        if not isinstance(raw, dict):
            raise _mismatch(raw, f"value of type structs.{struct}")
        self._struct = struct
        self._values = {key.lower().replace("_", ""): value for key, value in raw.items()}

    def value(self, *names: str) -> Any:
        """The first of these fields that is there and not null, or None."""
        found = (self._values.get(name.lower()) for name in names)
        return next((value for value in found if value is not None), None)

    def text(self, *names: str) -> str:
        value = self.value(*names)
        if value is not None and not isinstance(value, str):
            raise self._wrong(value, names[0], "string")
        return value or ""

    def integer(self, name: str, default: int = 0) -> int:
        value = self.value(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(value, name, "int")
        return value

    def flag(self, name: str) -> bool:
        value = self.value(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(value, name, "bool")
        return bool(value)

    def seconds(self, *names: str) -> float:
        """A duration: a Go duration as text, or a number of nanoseconds."""
        value = self.value(*names)
        if value is None or value == "":
            return 0.0
        if isinstance(value, str):
            try:
                return duration(value)
            except ValueError as error:
                raise Refused(400, f"Request decode failed: {error}") from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(value, names[0], "time.Duration")
        return value / 1e9

    def items(self, name: str) -> list[Any]:
        value = self.value(name)
        if value is not None and not isinstance(value, list):
            raise self._wrong(value, name, "slice")
        return value or []

    def texts(self, name: str) -> tuple[str, ...]:
        for item in self.items(name):
            if not isinstance(item, str):
                raise self._wrong(item, name, "string")
        return tuple(self.items(name))

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.value(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(value, name, "map")
        return value or {}

    def text_mapping(self, name: str) -> dict[str, str]:
        for item in self.mapping(name).values():
            if not isinstance(item, str):
                raise self._wrong(item, name, "string")
        return dict(self.mapping(name))

    def _wrong(self, value: object, name: str, wanted: str) -> Refused:
        return _mismatch(value, f"struct field {self._struct}.{name} of type {wanted}")


def _mismatch(value: object, place: str) -> Refused:
    kind = _KINDS.get(type(value), "number")
    return Refused(400, f"Request decode failed: json: cannot unmarshal {kind} into Go {place}")
