"""What the full-text index (FTS5) gets of a line, and how a question is put to it.

The index holds the words of a line and, for each field of a JSON line, a made-up word that
stands for "this field with this value". The index only narrows a search down: what it finds is
compared with the line itself, so a word too many costs time and never gives a wrong answer.
"""

import re
from collections.abc import Iterable, Mapping
from zlib import crc32

from course_lib.stand_ins.log_query import Test

_WORD = re.compile(r"[^\W_]+")
_ASCII_WORD = re.compile(r"[0-9A-Za-z]+")
_NEVER_INDEXED = ("timestamp",)
_PLAIN_WORD = 12


def document(line: str, fields: Mapping[str, str], metadata: Mapping[str, str]) -> str:
    """The text to index: the line, its metadata, and made-up words for the fields in need of one.

    Beyond ASCII the index divides words in other places than we do (a combining accent is part
    of a word to it), so there it gets ours as well.
    """
    more = [
        _made_up(name, value)
        for name, value in fields.items()
        if name not in _NEVER_INDEXED
        and not (len(value) > _PLAIN_WORD and _is_rare(value) and value in line)
    ]
    if "\\" in line:  # an escape hides where a word begins: "\\nfoo"
        more += fields.values()
    more += metadata.values()
    text = f"{line} {' '.join(more)}" if more else line
    return text if text.isascii() else f"{text} {' '.join(_WORD.findall(text))}"


def of_field(name: str, value: str) -> list[str]:
    """What every line with this field and value has, as terms of FTS5."""
    if name in _NEVER_INDEXED:
        return []
    made_up = f'"{_made_up(name, value)}"'
    return [f'("{value}" OR {made_up})' if _is_rare(value) else made_up]


def of_text(text: str) -> list[str]:
    """Every word of the text; a line must have them all, in any order."""
    return [f'"{word}"' for word in words(text) if word.isascii()]


def words(*texts: str) -> set[str]:
    """The words in these texts, in lower case."""
    return {word.lower() for text in texts for word in _WORD.findall(text)}


def of_filters(tests: Iterable[Test]) -> list[str]:
    """Words of every line in which these filters find their text.

    Only words with a boundary on both sides, inside the text searched for, are sure to be words
    of the line as well.
    """
    return [
        f'"{match.group()}"'
        for test in tests
        if test.operator == "|=" and test.text.isascii()
        for match in _ASCII_WORD.finditer(test.text)
        if match.start() > 0 and match.end() < len(test.text)
    ]


def _made_up(name: str, value: str) -> str:
    return f"zq{_hash(name):x}q{_hash(value):x}"


def _hash(text: str) -> int:
    return crc32(text.encode("utf-8", "surrogatepass"))


def _is_rare(value: str) -> bool:
    """A long word (a trace id) is found as a word of the line and needs none of its own."""
    return len(value) > _PLAIN_WORD and value.isascii() and value.isalnum()
