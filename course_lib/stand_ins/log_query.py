"""The part of LogQL the store speaks: a stream selector, then line filters.

`{service="users", level!~"debug|info"} |= "timeout" !~ "user [0-9]+"`. Leaves out parsers
(`| json`), label filters after them, formatting and metric queries: they are refused, with the
place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from course_lib.stand_ins.log_regex import Pattern
from course_lib.stand_ins.log_values import Refused, shortened

LONGEST_QUERY = 5_000
MOST_PARTS = 50

_SPACE = re.compile(r"(?:\s|#[^\n]*)*")
NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|([0-3][0-7]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
)
_SIMPLE = dict(zip('abfnrtv\\"', '\a\b\f\n\r\t\v\\"', strict=True))
_MATCH = ("=~", "!~", "!=", "=")
_FILTER = ("|=", "|~", "!=", "!~")


@dataclass(frozen=True)
class Test:
    """A comparison with a text: `operator` is one of = != =~ !~, or for lines |= != |~ !~."""

    operator: str
    text: str
    whole: bool

    def __post_init__(self) -> None:
        if self.operator.endswith("~"):
            assert self._pattern

    @cached_property
    def _pattern(self) -> Pattern:
        return Pattern(self.text, whole=self.whole)

    def holds(self, value: str) -> bool:
        """Labels are compared as a whole, lines are searched."""
        if self.operator.endswith("~"):
            found = self._pattern.found_in(value)
        else:
            found = self.text == value if self.whole else self.text in value
        return found is not self.operator.startswith("!")


@dataclass(frozen=True)
class Query:
    """What a query asks of the labels of a stream, by label, and of a line."""

    labels: tuple[tuple[str, Test], ...]
    lines: tuple[Test, ...] = ()

    def chooses(self, labels: Mapping[str, str]) -> bool:
        """Whether the stream is asked for; a label that is not there counts as empty."""
        return all(test.holds(labels.get(name, "")) for name, test in self.labels)

    def keeps(self, line: str) -> bool:
        return all(test.holds(line) for test in self.lines)


def parse(text: str) -> Query:
    """Read a query; `Refused` (400) says where it went wrong and what was expected there."""
    if len(text) > LONGEST_QUERY:
        raise Refused(400, f"query: at most {LONGEST_QUERY} characters, got {len(text)}")
    return _Reader(text).query()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def query(self) -> Query:
        labels = self._selector()
        lines: list[Test] = []
        while self._more():
            operator = self._one_of(_FILTER, "one of |= != |~ !~ or the end of the query")
            lines.append(self._test(operator, whole=False))
            if len(lines) > MOST_PARTS:
                raise self._error(f"at most {MOST_PARTS} line filters")
        return Query(labels, tuple(lines))

    def _selector(self) -> tuple[tuple[str, Test], ...]:
        self._one_of(("{",), '"{"')
        found: list[tuple[str, Test]] = []
        while not self._accept("}"):
            if found:
                self._one_of((",",), '"," or "}"')
            name = self._name()
            operator = self._one_of(_MATCH, "one of = != =~ !~")
            found.append((name, self._test(operator, whole=True)))
            if len(found) > MOST_PARTS:
                raise self._error(f"at most {MOST_PARTS} matchers")
        if not any(not test.holds("") for _, test in found):
            words = "queries require at least one regexp or equality matcher that does not have an"
            example = 'empty-compatible value, for instance {service=~".+"}'
            raise Refused(400, f"parse error : {words} {example}")
        return tuple(found)

    def _test(self, operator: str, *, whole: bool) -> Test:
        text = self._string()
        started = self.at
        try:
            return Test(operator, text, whole)
        except Refused as refused:
            raise Refused(400, f"parse error at {self._place(started)}: {refused.words}") from None

    def _more(self) -> bool:
        space = _SPACE.match(self.text, self.at)
        self.at = space.end() if space else self.at
        return self.at < len(self.text)

    def _accept(self, token: str) -> bool:
        found = self._more() and self.text.startswith(token, self.at)
        self.at += len(token) if found else 0
        return found

    def _one_of(self, tokens: tuple[str, ...], wanted: str) -> str:
        for token in tokens:
            if self._accept(token):
                return token
        raise self._error(f"expected {wanted}")

    def _name(self) -> str:
        self._more()
        match = NAME.match(self.text, self.at)
        if match is None:
            raise self._error("expected a label name")
        self.at = match.end()
        return match.group()

    def _string(self) -> str:
        self._more()
        quote = self.text[self.at : self.at + 1]
        if quote not in ('"', "`") or not quote:
            raise self._error("expected a string in double quotes or backticks")
        started, self.at = self.at, self.at + 1
        pieces: list[bytes] = []
        while not self.text.startswith(quote, self.at):
            if self.at >= len(self.text) or (quote == '"' and self.text[self.at] == "\n"):
                self.at = started
                raise self._error("this string is not closed")
            pieces.append(self._escape() if quote == '"' else self._character())
        try:
            text = b"".join(pieces).decode()
        except UnicodeDecodeError:
            self.at = started
            raise self._error("expected UTF-8 (\\xe9 is a byte, \\u00e9 a character)") from None
        self.at += 1
        return text

    def _character(self) -> bytes:
        self.at += 1
        return self.text[self.at - 1].encode("utf-8", "surrogatepass")

    def _escape(self) -> bytes:
        """One character, or one byte of one: as in Go, `\\xc3\\xa9` and `\\303\\251` are an é."""
        if self.text[self.at] != "\\":
            return self._character()
        match = _ESCAPE.match(self.text, self.at)
        simple, byte, octal, short, long = match.groups() if match else (None,) * 5
        code = int(short or long or "0", 16) if match else 0xD800
        if match is None or 0xD800 <= code < 0xE000 or code > 0x10FFFF:
            raise self._error('expected an escape Go knows, such as \\n \\" \\\\ \\u00e9')
        self.at = match.end()
        if byte:
            return bytes.fromhex(byte)
        if octal:
            return bytes([int(octal, 8)])
        return (_SIMPLE[simple] if simple else chr(code)).encode()

    def _error(self, wanted: str) -> Refused:
        there = self.text[self.at : self.at + 12]
        got = shortened(there) if there else "the end of the query"
        return Refused(400, f"parse error at {self._place(self.at)}: {wanted}, got {got}")

    def _place(self, at: int) -> str:
        before = self.text[:at]
        return f"line {before.count(chr(10)) + 1}, col {at - before.rfind(chr(10))}"
