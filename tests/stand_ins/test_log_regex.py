"""Regular expressions from outside: the same answers as Python's, and never a hang."""

import random
import re
import time

import pytest

from course_lib.stand_ins.log_regex import Pattern
from course_lib.stand_ins.log_values import Refused

ATOMS = [*"abc1_ ", ".", r"\d", r"\w", r"\W", r"\s", "[ab]", "[^a]", "[a-c1]", r"\b", "^", "$"]


def a_pattern(rng: random.Random, depth: int = 0) -> str:
    kind = rng.randrange(8 if depth < 3 else 3)
    if kind < 3:
        return rng.choice(ATOMS)
    inner = a_pattern(rng, depth + 1)
    if kind == 3:
        return f"(?:{inner}|{a_pattern(rng, depth + 1)})"
    if kind == 4:
        return f"(?:{inner}){rng.choice(['*', '+', '?', '{1,2}', '{2}', '*?'])}"
    if kind == 5:
        return f"(?i:{inner})"
    return inner + a_pattern(rng, depth + 1)


def test_it_finds_what_pythons_own_engine_finds():
    rng = random.Random(1)
    for _ in range(500):
        source = a_pattern(rng)
        anywhere, whole = Pattern(source), Pattern(source, whole=True)
        for _ in range(10):
            text = "".join(rng.choice("abcAB1_ ") for _ in range(rng.randrange(8)))
            assert anywhere.found_in(text) is bool(re.search(source, text, re.A)), (source, text)
            assert whole.found_in(text) is bool(re.fullmatch(source, text, re.A)), (source, text)


@pytest.mark.parametrize(
    ("source", "text", "found"),
    [
        ("error$", "an error\nin two lines", False),  # RE2: without (?m) only the end of the text
        ("(?m)error$", "an error\nin two lines", True),
        ("(?m)^in", "an error\nin two lines", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("(?i)größe", "GRÖSSE", False),
        ("(?i)größe", "GRÖßE", True),
        ("\x00", "a\x00b", True),
        ("", "", True),
        ("x{3,}", "xx", False),
        (r"^\pL+$", "Größe", True),
        ("[[:alpha:]]", "1a", True),
        ("\ud800", "a\ud800b", True),
    ],
)
def test_flags_line_ends_and_letters_beyond_ascii(source, text, found):
    assert Pattern(source).found_in(text) is found


@pytest.mark.parametrize("source", ["(a*)*c", "(a|a)*c", "(a|aa)+c", "a*a*a*a*a*c", "(.*)*c"])
def test_a_pattern_that_makes_backtracking_engines_hang_takes_milliseconds(source):
    started = time.process_time()
    assert Pattern(source).found_in("a" * 20_000 + "b" + "a" * 20_000 + "c" * 0) is False
    assert Pattern(source.replace("c", "[cd]")).found_in("a" * 40_000 + "b") is False
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator"),
        ("(?<!a)b", "invalid perl operator"),
        ("(", "missing"),
        ("[", "missing"),
        ("*", "no argument"),
        ("(?:(?:a{90}){90}){90}", "invalid repetition"),
        ("a" * 1001, "at most 1000"),
    ],
)
def test_what_cannot_be_matched_in_linear_time_is_refused_with_the_reason(source, reason):
    with pytest.raises(Refused, match=reason) as refused:
        Pattern(source)
    assert refused.value.status == 400
