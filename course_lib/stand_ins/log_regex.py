"""Regular expressions that cannot hang: matched in time linear in the text, as RE2 does it.

Python's own engine backtracks, and a pattern from outside may make it backtrack for ever. Here
the states of a Thompson automaton are followed all at once and remembered as a table (a lazy DFA).
Leaves out what needs backtracking (back references, look-around), as RE2 does; what Python's
syntax does not know (`\\pL`, `[[:alpha:]]`) is refused too. `\\d \\s \\w` are ASCII.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from course_lib.stand_ins.log_values import Refused, shortened

_syntax: Any = re._parser  # type: ignore[attr-defined]
_op: Any = re._constants  # type: ignore[attr-defined]

LONGEST_PATTERN = 1000
MOST_NODES = 2000
MOST_STATES = 5000
MOST_WORK = 3_000_000
"""Steps of making states a pattern may take in all, about two seconds."""

START, WORD, OTHER, END = 0, 1, 2, 3
_SPACES, _DIGITS = frozenset(" \t\n\r\f\v"), frozenset("0123456789")
_WORDS = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_CATEGORIES = {
    _op.CATEGORY_DIGIT: (_DIGITS, True),
    _op.CATEGORY_NOT_DIGIT: (_DIGITS, False),
    _op.CATEGORY_SPACE: (_SPACES, True),
    _op.CATEGORY_NOT_SPACE: (_SPACES, False),
    _op.CATEGORY_WORD: (_WORDS, True),
    _op.CATEGORY_NOT_WORD: (_WORDS, False),
}

Node = tuple[Any, ...]  # ("char", test, next) | ("split", nexts) | ("at", kind, next) | ("match",)


class Pattern:
    """A compiled pattern: `found_in(text)` is anywhere in it, with `whole` all of it.

    `Refused` (400) for a pattern it does not know or that is too large, and while matching when
    the pattern takes too much work.
    """

    def __init__(self, source: str, *, whole: bool = False) -> None:
        self.source, self._whole = source, whole
        self._nodes: list[Node] = [("match",)]
        self._work = 0
        self._first = self._compile(_parsed(source), 0, re.DOTALL if whole else 0)
        self._states: dict[tuple[frozenset[int], int], dict[str, Any]] = {}
        self._start = self._state(frozenset([self._first]), START)
        self._literals = _literals(source)

    def found_in(self, text: str) -> bool:
        """Whether the pattern matches the text (anywhere in it, unless made with `whole`)."""
        for literal in self._literals:
            if literal not in text:
                return False
        state = self._start
        for character in text:
            following = state.get(character)
            if following is None:
                following = self._step(state, character)
            if following is True:
                return True
            state = following
        return self._ends(state)

    def _state(self, nodes: frozenset[int], before: int) -> dict[str, Any]:
        key = (nodes, before)
        state = self._states.get(key)
        if state is None:
            if len(self._states) >= MOST_STATES:
                self._states.clear()
                self._start = self._states[frozenset([self._first]), START] = {}
                self._start["key"] = (frozenset([self._first]), START)
                return self._state(nodes, before)
            state = self._states[key] = {"key": key}
        return state

    def _step(self, state: dict[str, Any], character: str) -> Any:
        nodes, before = state["key"]
        after = WORD if character in _WORDS else OTHER
        reached = self._closure(nodes, before, after, character)
        if not self._whole and 0 in reached:
            state[character] = True
            return True
        following = {
            self._nodes[n][2]
            for n in reached
            if self._nodes[n][0] == "char" and self._nodes[n][1](character)
        }
        if not self._whole:
            following.add(self._first)
        newline = 4 if character == "\n" else 0
        result = state[character] = self._state(frozenset(following), after | newline)
        return result

    def _ends(self, state: dict[str, Any]) -> bool:
        nodes, before = state["key"]
        return 0 in self._closure(nodes, before, END, "")

    def _closure(self, nodes: Iterable[int], before: int, after: int, character: str) -> set[int]:
        """All nodes reached without reading, between what stands before and what comes."""
        reached: set[int] = set()
        waiting = list(nodes)
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            node = self._nodes[number]
            if node[0] == "split":
                waiting.extend(node[1])
            elif node[0] == "at" and _holds(node[1], before, after, character):
                waiting.append(node[2])
        self._work += len(reached)
        if self._work > MOST_WORK:
            raise Refused(400, f"the regular expression {shortened(self.source)} takes too long")
        return reached

    def _add(self, *node: Any) -> int:
        if len(self._nodes) >= MOST_NODES:
            words = f"the regular expression {shortened(self.source)} is too large"
            raise Refused(400, f"{words}, at most {MOST_NODES} parts once repeats are written out")
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _compile(self, tree: Any, following: int, flags: int) -> int:
        """Add nodes for the tree, back to front; return where they begin."""
        for operator, argument in reversed(list(tree)):
            following = self._one(operator, argument, following, flags)
        return following

    def _one(self, operator: Any, argument: Any, following: int, flags: int) -> int:
        if operator in (_op.LITERAL, _op.NOT_LITERAL, _op.IN, _op.ANY):
            return self._add("char", partial(_accepts, operator, argument, flags), following)
        if operator is _op.BRANCH:
            ways = [self._compile(way, following, flags) for way in argument[1]]
            return self._add("split", ways)
        if operator is _op.SUBPATTERN:
            _, add, remove, inner = argument
            return self._compile(inner, following, (flags | add) & ~remove)
        if operator in (_op.MAX_REPEAT, _op.MIN_REPEAT):
            least, most, inner = argument
            return self._repeat(least, most, inner, following, flags)
        if operator is _op.AT:
            kind = (argument, bool(flags & re.MULTILINE))
            return self._add("at", kind, following)
        name = str(operator).lower().replace("_", " ")
        words = f"the regular expression {shortened(self.source)} uses a {name}"
        raise Refused(400, f"{words}, which cannot be matched in linear time (RE2 syntax)")

    def _repeat(self, least: int, most: Any, inner: Any, following: int, flags: int) -> int:
        if most is _op.MAXREPEAT:
            ways: list[int] = []
            loop = self._add("split", ways)
            ways += [self._compile(inner, loop, flags), following]
            following = loop
        else:
            end = following
            for _ in range(most - least):
                following = self._add("split", [self._compile(inner, following, flags), end])
        for _ in range(least):
            following = self._compile(inner, following, flags)
        return following


def _parsed(source: str) -> Any:
    if len(source) > LONGEST_PATTERN:
        raise Refused(400, f"a regular expression has at most {LONGEST_PATTERN} characters")
    try:
        tree = _syntax.parse(source)
    except (re.error, OverflowError, RecursionError) as error:
        words = f"error parsing regexp: {error}: {shortened(source)}"
        raise Refused(400, words) from None
    flags = tree.state.flags & (re.IGNORECASE | re.DOTALL | re.MULTILINE)
    return [(_op.SUBPATTERN, (None, flags, 0, tree))]


def _literals(source: str) -> list[str]:
    """Texts that stand in whatever the pattern matches: most lines are done with by them."""
    tree = _syntax.parse(source)
    runs = [""]
    for operator, argument in () if tree.state.flags & re.IGNORECASE else tree:
        if operator is _op.LITERAL:
            runs[-1] += chr(argument)
        else:
            runs.append("")
    return sorted(filter(None, runs), key=len, reverse=True)


def _accepts(operator: Any, argument: Any, flags: int, character: str) -> bool:
    if operator is _op.ANY:
        return bool(flags & re.DOTALL) or character != "\n"
    spellings = {character}
    if flags & re.IGNORECASE:
        spellings |= {character.lower(), character.upper()}
    if operator is _op.LITERAL:
        return any(spelling == chr(argument) for spelling in spellings)
    if operator is _op.NOT_LITERAL:
        return all(spelling != chr(argument) for spelling in spellings)
    negated = bool(argument) and argument[0][0] is _op.NEGATE
    return negated != any(_in_set(argument, spelling) for spelling in spellings)


def _in_set(members: Any, spelling: str) -> bool:
    return any(_is_member(kind, value, spelling) for kind, value in members)


def _is_member(kind: Any, value: Any, spelling: str) -> bool:
    if kind is _op.LITERAL:
        return spelling == chr(value)
    if kind is _op.RANGE:
        return len(spelling) == 1 and value[0] <= ord(spelling) <= value[1]
    if kind is _op.CATEGORY:
        characters, wanted = _CATEGORIES[value]
        return (spelling in characters) is wanted
    return False


def _holds(kind: tuple[Any, bool], before: int, after: int, character: str) -> bool:
    at, lines = kind
    if at in (_op.AT_BEGINNING, _op.AT_BEGINNING_STRING):
        return before == START or (lines and at is _op.AT_BEGINNING and before >= 4)
    if at in (_op.AT_END, _op.AT_END_STRING):
        return after == END or (lines and at is _op.AT_END and character == "\n")
    at_boundary = (before == WORD) != (after == WORD)
    return at_boundary is (at is _op.AT_BOUNDARY)
