"""The filter language against a model, and against nonsense."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.stand_ins.consul_filter import compile_filter
from course_lib.stand_ins.consul_queries import QUERIES
from course_lib.stand_ins.consul_values import Refused

ENTRY = next(query.example for query in QUERIES if query.path == "/v1/health/service/")
RECORD = {
    "Node": {**ENTRY["Node"], "Node": "n1"},
    "Service": {
        **ENTRY["Service"],
        "ID": "u1",
        "Port": 8001,
        "Tags": ["v1", "blue"],
        "Meta": {"zone": "a", "my-key": "x"},
    },
    "Checks": [{**ENTRY["Checks"][0], "Status": status} for status in ("passing", "critical")],
}


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("Service.Port == 8001", True),
        ("Service.Port != 8001", False),
        ('Service.ID == "u1"', True),
        ("Service.ID == u1", True),
        ("Service.ID == `u1`", True),
        ('"v1" in Service.Tags', True),
        ("v2 in Service.Tags", False),
        ('"v2" not in Service.Tags', True),
        ("zone in Service.Meta", True),
        ("Service.Meta.zone == a", True),
        ('Service.Meta["my-key"] == x', True),
        ("Service.Meta.nothing == a", False),
        ("Service.Meta.nothing != a", True),
        ("Service.Weights.Passing == 1", True),
        ("Service.EnableTagOverride == false", True),
        ("Checks.Status == critical", True),
        ("Checks.Status == warning", False),
        ("Node.Node == n1 and Service.Port == 1", False),
        ("Node.Node == n2 or Service.Port == 8001", True),
        ("not Node.Node == n2", True),
        ("not not Node.Node == n2", False),
        ("Node.Node == n1 or Node.Node == n1 and Node.Node == n2", True),
        ("(Node.Node == n1 or Node.Node == n1) and Node.Node == n2", False),
        ('u in "Service.ID"', None),
        ("", None),
        ("Service.Port", None),
        ("Service.Port == ", None),
        ("Service.Port == x", None),
        ("Service.Port > 1", None),
        ("Service.Tags == v1", None),
        ("v1 in Service.Port", None),
        ("Service.Tags contains v1", None),
        ("Service.Tags is empty", None),
        ("Service.ID matches `u.*`", None),
        ("Service.Nothing == 1", None),
        ("Service == 1", None),
        ("Checks == 1", None),
        ('Service.ID == "u1', None),
        ("(Service.Port == 1", None),
        ("Service.Port == 1)", None),
        ("Service.Port == 1 Service.Port == 2", None),
        ("Service.ID.x == 1", None),
        ("(" * 5000 + "Service.Port == 1" + ")" * 5000, None),
    ],
)
def test_an_expression_matches_or_is_refused(expression: str, matches: bool | None) -> None:
    if matches is not None:
        assert compile_filter(expression, ENTRY)(RECORD) is matches
        return
    with pytest.raises(Refused) as refused:
        compile_filter(expression, ENTRY)
    assert refused.value.status == 400
    assert refused.value.words.startswith("Failed to create boolean expression evaluator: ")


MATCHES = st.sampled_from(
    [
        ("Service.Port == 8001", True),
        ("Service.ID == u2", False),
        ("blue in Service.Tags", True),
        ("red in Service.Tags", False),
    ]
)


def composed(inner: st.SearchStrategy[tuple[str, bool]]) -> st.SearchStrategy[tuple[str, bool]]:
    def both(sides: tuple[tuple[str, bool], tuple[str, bool]], word: str) -> tuple[str, bool]:
        (a, x), (b, y) = sides
        return f"({a}) {word} ({b})", (x and y) if word == "and" else (x or y)

    pairs = st.builds(both, st.tuples(inner, inner), st.sampled_from(["and", "or"]))
    return st.one_of(pairs, inner.map(lambda side: (f"not ({side[0]})", not side[1])))


@settings(max_examples=150, deadline=None)
@given(st.recursive(MATCHES, composed, max_leaves=12))
def test_and_or_not_mean_what_they_mean_in_python(expression: tuple[str, bool]) -> None:
    text, value = expression
    assert compile_filter(text, ENTRY)(RECORD) is value


WORDS = ["Service.Port", "Service.Tags", "Checks", "==", "!=", "in", "not", "and", "or", "(", ")"]
WORDS += ['"v1"', "8001", "Service.Meta.zone", "`", '"', ".", "[", "-", "\x00", "é"]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.text(max_size=60)))
def test_whatever_is_written_is_a_filter_or_a_bad_request(expression: str) -> None:
    try:
        keep: Any = compile_filter(expression, ENTRY)
    except Refused as refused:
        assert refused.status == 400
    else:
        assert keep(RECORD) in (True, False)
