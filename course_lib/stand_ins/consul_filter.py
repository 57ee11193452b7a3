"""The filter language of Consul: `Service.Tags`, `Meta.zone`, `==`, `!=`, `in`, `and`, `or`, `not`.

A filter is compiled against an example record, so a field that does not exist is refused even when
there is nothing to filter. Leaves out `matches`, `contains` and `is empty`, which are refused too.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from course_lib.stand_ins.consul_values import Refused, boolean

Predicate = Callable[[Any], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"[^"]*"|`[^`]*`)|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))"""
    r"""|(?P<selector>[A-Za-z][\w/]*(?:\.[A-Za-z][\w/]*|\.\d+|\[\s*(?:"[^"]*"|`[^`]*`)\s*\])*)"""
    r"""|(?P<sign>==|!=|\(|\)))""",
    re.ASCII,
)
_STEP = re.compile(r"""[A-Za-z][\w/]*|\d+|\[\s*["`]([^"`]*)["`]\s*\]""", re.ASCII)
_MAPS = {"Meta", "NodeMeta", "ServiceMeta", "TaggedAddresses", "ServiceTaggedAddresses"}
_DEEPEST = 50


class Token(NamedTuple):
    kind: str
    text: str


def compile_filter(expression: str, example: Any) -> Predicate:
    """Turn an expression into a predicate over records shaped like `example`; `Refused` (400)."""
    return _Parser(_tokens(expression), example).whole()


def _refuse(reason: str) -> Refused:
    return Refused(400, f"Failed to create boolean expression evaluator: {reason}")


def _tokens(expression: str) -> list[Token]:
    expression = expression.rstrip()
    tokens, at = [], 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise _refuse(f"no match found at {at + 1}")
        tokens.append(Token(match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return tokens


class _Parser:
    """Recursive descent: `or` binds loosest, then `and`, then `not`."""

    def __init__(self, tokens: list[Token], example: Any) -> None:
        self._tokens = [*tokens, Token("end", "")]
        self._example = example
        self._depth = 0

    def whole(self) -> Predicate:
        predicate = self._or()
        if self._tokens[0].kind != "end":
            raise _refuse(f"unexpected {self._tokens[0].text!r}")
        return predicate

    def _take(self, *texts: str) -> bool:
        head = self._tokens[0]
        if head.kind in ("sign", "selector") and head.text in texts:
            self._tokens.pop(0)
            return True
        return False

    def _or(self) -> Predicate:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _refuse(f"nested deeper than {_DEEPEST}")
        sides = [self._and()]
        while self._take("or"):
            sides.append(self._and())
        self._depth -= 1
        return sides[0] if len(sides) == 1 else lambda record: any(side(record) for side in sides)

    def _and(self) -> Predicate:
        sides = [self._not()]
        while self._take("and"):
            sides.append(self._not())
        return sides[0] if len(sides) == 1 else lambda record: all(side(record) for side in sides)

    def _not(self) -> Predicate:
        negated = False
        while self._take("not"):
            negated = not negated
        inner = self._group()
        return (lambda record: not inner(record)) if negated else inner

    def _group(self) -> Predicate:
        if not self._take("("):
            return self._match()
        inner = self._or()
        if not self._take(")"):
            raise _refuse("Unmatched parentheses")
        return inner

    def _match(self) -> Predicate:
        left = self._operand()
        if self._take("=="):
            return self._comparison(left, self._operand(), equal=True)
        if self._take("!="):
            return self._comparison(left, self._operand(), equal=False)
        absent = self._take("not")
        if not self._take("in"):
            raise _refuse(f"expected ==, != or in after {left.text!r}")
        return self._membership(left, self._operand(), absent=absent)

    def _operand(self) -> Token:
        token = self._tokens.pop(0)
        if token.kind not in ("string", "number", "selector"):
            raise _refuse(f"expected a field or a value, found {token.text or 'the end'!r}")
        return token

    def _comparison(self, field: Token, value: Token, *, equal: bool) -> Predicate:
        path, kind = self._selector(field)
        if kind not in (str, int, bool):
            raise _refuse(f'Invalid match operator "==" for selector: "{field.text}"')
        wanted = _literal(value, kind)
        return lambda record: _any(
            record, path, lambda found: (found == wanted) is equal, not equal
        )

    def _membership(self, value: Token, field: Token, *, absent: bool) -> Predicate:
        path, kind = self._selector(field)
        if kind not in (str, list, dict):
            raise _refuse(f'Invalid match operator "in" for selector: "{field.text}"')
        wanted = _literal(value, str)
        return lambda record: _any(
            record, path, lambda found: (wanted in (found or ())) is not absent, absent
        )

    def _selector(self, token: Token) -> tuple[list[str], type]:
        if token.kind != "selector":
            raise _refuse(f"{token.text} is not a field")
        path = [step[1] if step[1] is not None else step[0] for step in _STEP.finditer(token.text)]
        at, last = self._example, ""
        for step in path:
            if isinstance(at, list) and at and isinstance(at[0], dict):
                at = at[0]
            if last in _MAPS:
                at = ""
            elif isinstance(at, dict) and step in at:
                at = at[step]
            else:
                raise _refuse(f'Selector "{token.text}" is not valid')
            last = step
        if isinstance(at, list) and at and isinstance(at[0], dict):
            raise _refuse(f'Selector "{token.text}" is not valid')
        return path, dict if last in _MAPS else type(at)


def _literal(token: Token, kind: type) -> Any:
    text = token.text[1:-1] if token.kind == "string" else token.text
    try:
        return boolean(text) if kind is bool else kind(text)
    except ValueError:
        raise _refuse(f"{token.text} is not of type {kind.__name__}") from None


def _any(record: Any, path: list[str], test: Predicate, when_missing: bool) -> bool:
    """Test the value at `path`; in a list of records one that passes is enough."""
    for position, step in enumerate(path):
        if isinstance(record, list):
            return any(_any(item, path[position:], test, when_missing) for item in record)
        if step not in record:
            return when_missing
        record = record[step]
    return test(record)
