"""Redaction: no secret in a log, as far as one can tell by its name or its looks.

A field whose name sounds like a secret is redacted at any depth, and so are credentials inside a
text. What neither sounds nor looks like one gets through.
"""

import dataclasses
import re
from collections.abc import MutableMapping
from typing import Any

import orjson

Fields = MutableMapping[str, Any]

_NAMES = (
    r"pass(?:word|wd|phrase)|pwd|secret|token|authorization|credential|cookie|session.?id"
    r"|(?:api|private).?key"
)
_SECRET_NAME = re.compile(_NAMES, re.IGNORECASE)
# password=x, "password": "x", {'password': b'x'}, also where a text is quoted once more: \"x\"
_NAMED = rf"((?:{_NAMES})\w{{0,64}}\\*[\"']?\s*(?:[=:]+|%3D)\s*)"
_QUOTED = r"b?(\\*[\"']).*?(?:(?<!\\)\2|\Z)"
_SECRET_TEXT = tuple(
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [\w ]*PRIVATE KEY-----.*?(?:-----END [\w ]*-----|\Z)", "[redacted]"),
        (r"((?:cookie|authorization)\s*:\s*)[^\r\n]+", r"\1[redacted]"),
        (r"\b(basic|bearer)(\s+)[\w.~+/=-]+", r"\1\2[redacted]"),
        (r"(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*", "[redacted]"),  # a JSON web token
        (rf"{_NAMED}(?:{_QUOTED}|[^\s,;&)]+)", r"\1\2[redacted]\2"),
        (r"(://[^\s/:@]{0,200}:)[^\s/]{1,200}@", r"\1[redacted]@"),  # a URL's password
        (r"(://)[^\s/:@]{20,200}@", r"\1[redacted]@"),  # a token in the user's place
    )
)
_HINTS = (
    *("pass", "pwd", "secret", "token", "authorization", "credential", "cookie", "session", "key"),
    *("basic", "bearer", "eyj", "@"),
)
_PLAIN = frozenset((int, float, bool, type(None)))
_SHORT, _MOST_REMEMBERED = 64, 10_000
_harmless: set[str] = set()
_DEEPEST = 20
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS


def redact(fields: Fields) -> Fields:
    """Look for what sounds like a secret first: hardly an event has one, so only that one pays."""
    names_known = _harmless.issuperset(fields)
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            if value not in _harmless and _sounds_secret(value):
                return redacted(fields)
        elif kind not in _PLAIN:
            return redacted(fields) if _sounds_secret(_dumped(fields)) else fields
        if not names_known and _sounds_secret(name):
            return redacted(fields)
    return fields


def redacted(value: Any, within: tuple[int, ...] = ()) -> Any:
    """A copy without its secrets, made of what JSON knows; `within` are the ids it stands in."""
    if isinstance(value, int | float) or value is None:
        return value
    if id(value) in within or len(within) > _DEEPEST:
        return "[too deep]"
    within += (id(value),)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        value = dict(zip(value._fields, value, strict=False))
    if isinstance(value, dict):
        named = [(text_of(name), item) for name, item in list(value.items())]
        return {name: _field(name, item, within) for name, item in named}
    if isinstance(value, list | tuple) and len(value) == 2 and isinstance(value[0], str | bytes):
        return [redacted(value[0], within), _field(text_of(value[0]), value[1], within)]
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item, within) for item in list(value)]
    text = text_of(value)
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def text_of(value: Any) -> str:
    """The text of anything, also of what cannot be printed."""
    try:
        return str(value)
    except Exception:
        return f"[a {type(value).__name__} that cannot be printed]"


def _field(name: str, item: Any, within: tuple[int, ...]) -> Any:
    return "[redacted]" if _SECRET_NAME.search(name) else redacted(item, within)


def _sounds_secret(text: str) -> bool:
    """Whether the text has a hint of a secret; short ones that have none are remembered."""
    lowered = text.lower()
    for hint in _HINTS:
        if hint in lowered:
            return True
    if len(text) <= _SHORT:
        if len(_harmless) >= _MOST_REMEMBERED:
            _harmless.clear()
        _harmless.add(text)
    return False


def _dumped(fields: Fields) -> str:
    try:
        return orjson.dumps(fields, redacted, _OPTIONS).decode()
    except orjson.JSONEncodeError:
        return _HINTS[0]  # nobody can tell: look closely
