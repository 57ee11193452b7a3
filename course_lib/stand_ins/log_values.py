"""How Loki reads instants and durations, and how it refuses: a status and a line of plain text."""

import re
from datetime import UTC, datetime

_UNITS_NS = {
    **{"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9},
    **{"h": 3600 * 10**9, "d": 86_400 * 10**9, "w": 604_800 * 10**9, "y": 31_536_000 * 10**9},
}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|ms|s|m|h|d|w|y)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,12}(?:\.\d{1,18})?", re.ASCII)
_NANOSECONDS = re.compile(r"-?\d{1,19}", re.ASCII)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
LARGEST_NS = 2**63 - 1


class Refused(Exception):
    """The store's answer is an error: an HTTP status and a line of plain text."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.words = words


def nanoseconds(text: str, name: str) -> int:
    """Read an instant as nanoseconds since 1970; `Refused` names the parameter.

    Digits are nanoseconds (seconds when there are at most ten of them), a number with a point is
    seconds, anything else must be RFC 3339.
    """
    if _NANOSECONDS.fullmatch(text):
        return _held(int(text) * (10**9 if len(text.lstrip("-")) <= 10 else 1), text, name)
    if _NUMBER.fullmatch(text):
        return _held(_scaled(text, 10**9), text, name)
    return rfc3339(text, name)


def rfc3339(text: str, name: str) -> int:
    """Read `2025-01-01T00:00:00.123456789Z` to the nanosecond; `Refused` otherwise."""
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, clock, fraction, zone = match.groups()
        instant = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError:
        wanted = "nanoseconds since 1970, seconds with a decimal point, or RFC 3339"
        raise Refused(400, f"{name}: expected {wanted}, got {shortened(text)}") from None
    whole = instant - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = whole.days * 86_400 + whole.seconds
    return _held(seconds * 10**9 + int((fraction or "0").ljust(9, "0")), text, name)


def _held(value: int, text: str, name: str) -> int:
    if abs(value) > LARGEST_NS:
        raise Refused(400, f"{name}: {shortened(text)} is beyond what 64 bits of nanoseconds hold")
    return value


def duration_ns(text: str, name: str) -> int:
    """Read "1h30m", "5m", "250ms" or a number of seconds; `Refused` unless it is positive."""
    if _NUMBER.fullmatch(text):
        value = _scaled(text, 10**9)
    elif _WHOLE.fullmatch(text):
        value = sum(_scaled(number, _UNITS_NS[unit]) for number, unit in _PART.findall(text))
    else:
        wanted = "a duration such as 30s or 1h30m, or a number of seconds"
        raise Refused(400, f"{name}: expected {wanted}, got {shortened(text)}")
    if not 0 < value <= LARGEST_NS:
        raise Refused(400, f"{name}: must be greater than zero, got {shortened(text)}")
    return value


def shortened(text: str) -> str:
    """The text in quotes, at most 60 characters of it, on one line."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def _scaled(number: str, factor: int) -> int:
    """Exact: a float would lose nanoseconds."""
    whole, _, fraction = number.lstrip("-").partition(".")
    value = int(whole) * factor + (int(fraction) * factor // 10 ** len(fraction) if fraction else 0)
    return -value if number.startswith("-") else value
