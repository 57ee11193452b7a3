"""The selector parser: what it reads, and what it says about everything else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.stand_ins.log_query import Query, parse
from course_lib.stand_ins.log_values import Refused, duration_ns, nanoseconds

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
TEXTS = st.text(st.characters(blacklist_categories=["Cs"]))
SPACE = st.sampled_from(["", " ", "\n", "\t", " # a comment } |=\n"])


def spelled(text: str, raw: bool) -> str:
    return f"`{text}`" if raw and "`" not in text else json.dumps(text, ensure_ascii=len(text) % 2)


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(["=", "!="]), TEXTS), min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from(["|=", "!="]), TEXTS), max_size=4),
    st.booleans(),
    SPACE,
)
def test_whatever_is_written_is_read_back(matchers, filters, raw, space):
    matchers = [("service", "=", "users"), *matchers]
    inside = f"{space},{space}".join(
        f"{name}{space}{operator}{space}{spelled(text, raw)}" for name, operator, text in matchers
    )
    after = "".join(f"{space}{operator}{space}{spelled(text, raw)}" for operator, text in filters)
    source = f"{space}{{{inside}{space}}}{after}"
    if "\\ud" in source.lower():  # json.dumps writes pairs of surrogates, which Go does not know
        return
    query = parse(source)
    assert [(name, test.operator, test.text) for name, test in query.labels] == matchers
    assert [(test.operator, test.text) for test in query.lines] == filters


@given(st.text(st.sampled_from('{}=~!|"`\\, \nabu0#('), max_size=30) | st.text(max_size=30))
def test_any_text_is_a_query_or_is_refused_in_words(source):
    try:
        assert isinstance(parse(source), Query)
    except Refused as refused:
        assert refused.status == 400
        assert refused.words.startswith("parse error")
        assert len(refused.words.splitlines()) == 1


@given(TEXTS, TEXTS)
def test_a_text_from_outside_is_only_ever_a_text(label, line):
    query = parse("{service=" + json.dumps("x") + ', by!=""} |= "y"')
    assert query.chooses({"service": label, "by": line}) is (label == "x" and line != "")
    assert query.keeps(line) is ("y" in line)


@pytest.mark.parametrize(
    ("source", "place", "wanted"),
    [
        ("", "line 1, col 1", 'expected "{"'),
        ("users", "line 1, col 1", 'expected "{"'),
        ('{service="users"', "line 1, col 17", 'expected "," or "}", got the end of the query'),
        ("{service=users}", "line 1, col 10", "expected a string"),
        ('{service=="users"}', "line 1, col 10", "expected a string"),
        ('{service>"users"}', "line 1, col 9", "expected one of = != =~ !~"),
        ('{"service"="users"}', "line 1, col 2", "expected a label name"),
        ('{service="users" level="x"}', "line 1, col 18", 'expected "," or "}"'),
        ('{service="users",}', "line 1, col 18", "expected a label name, got '}'"),
        ('{service="users}', "line 1, col 10", "not closed"),
        ('{service="a\\q"}', "line 1, col 12", "expected an escape"),
        ('{service="\\ud800"}', "line 1, col 11", "expected an escape"),
        ('{service="\\\'"}', "line 1, col 11", "expected an escape"),
        ('{service="\\400"}', "line 1, col 11", "expected an escape"),
        ('{service="a\\xf6"}', "line 1, col 10", "expected UTF-8"),
        ('{service="x"} | json', "line 1, col 15", "expected one of |= != |~ !~"),
        ('{service="x"} |= "a" or "b"', "line 1, col 22", "expected one of |= != |~ !~"),
        ('{service="x"}\n  |> "a"', "line 2, col 3", "expected one of |= != |~ !~"),
        ('{service="x"} |= ip("::1")', "line 1, col 18", "expected a string"),
        ('{service="x"} | user_id = 7', "line 1, col 15", "expected one of |= != |~ !~"),
        ('count_over_time({service="x"}[1m])', "line 1, col 1", 'expected "{"'),
        ('{service="x"}[5m]', "line 1, col 14", "expected one of"),
        ('{service=~"("}', "line 1, col 14", "missing )"),
        ('{service="x"} |~ "(?=a)"', "line 1, col 25", "perl operator"),
    ],
)
def test_a_mistake_is_said_with_its_place_and_what_was_expected(source, place, wanted):
    with pytest.raises(Refused) as refused:
        parse(source)
    assert place in refused.value.words
    assert wanted in refused.value.words


@given(TEXTS)
def test_the_bytes_of_a_text_may_be_written_as_escapes(text):
    for form in ("\\x{:02x}", "\\{:03o}"):
        source = "".join(map(form.format, text.encode()))
        assert parse(f'{{service="x"}} |= "{source}"').lines[0].text == text


@pytest.mark.parametrize("source", ["{}", '{a=""}', '{a=~".*"}', '{a!="x"}', '{a!~"x"}'])
def test_a_selector_must_choose_something(source):
    with pytest.raises(Refused, match="empty-compatible"):
        parse(source)


@pytest.mark.parametrize(
    ("source", "chosen"),
    [
        ('{level="error"}', [True, False, False]),
        ('{service="users",level!="error"}', [False, True, True]),
        ('{service=~".+", level=~"err.*|info"}', [True, True, False]),
        ('{service=~"users", level!~"e"}', [True, True, True]),  # anchored: "e" is not "error"
        ('{service="users",level=""}', [False, False, True]),
    ],
)
def test_labels_are_compared_as_a_whole_and_a_missing_one_is_empty(source, chosen):
    streams = [{"level": "error"}, {"level": "info"}, {}]
    query = parse(source)
    assert [query.chooses({"service": "users", **labels}) for labels in streams] == chosen


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1735689600000000001", 1735689600000000001),
        ("1735689600", 1735689600 * 10**9),
        ("1735689600.000000001", 1735689600000000001),
        ("2025-01-01T00:00:00.000000001Z", 1735689600000000001),
        ("2025-01-01T01:00:00+01:00", 1735689600 * 10**9),
    ],
)
def test_instants_are_read_to_the_nanosecond(text, ns):
    assert nanoseconds(text, "start") == ns


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30m", 5400), ("250ms", 0.25), ("15", 15), ("0.5", 0.5), ("1d", 86400)]
)
def test_durations(text, seconds):
    assert duration_ns(text, "step") == seconds * 1e9


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "0", "1e3", "5 m", "nan", "inf", "1m5", "9" * 30, "٣"]
)
def test_a_bad_duration_is_refused_by_name(text):
    with pytest.raises(Refused, match=r"^step: "):
        duration_ns(text, "step")


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2025-13-01T00:00:00Z", "2025-01-01", "9" * 19, "1e9", "nan", "٣"]
)
def test_a_bad_instant_is_refused_by_name(text):
    with pytest.raises(Refused, match=r"^start: "):
        nanoseconds(text, "start")
