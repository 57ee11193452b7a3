"""The log store asked directly: fields, words, counts; whatever the lines hold."""

import json
import sqlite3
import threading
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.lab import virtual_time
from course_lib.stand_ins import LogStore, log_table
from course_lib.stand_ins.log_values import Refused
from course_lib.telemetry.logs import json_logger

DAY = 1_735_689_600


def line(second: float, /, **fields: object) -> str:
    whole, micro = divmod(round(second * 1e6), 1_000_000)
    stamp = f"2025-01-01T00:{whole // 60:02}:{whole % 60:02}.{micro:06}Z"
    return json.dumps({"service": "users", "level": "info", "timestamp": stamp, **fields})


def store_of(*lines: str) -> LogStore:
    store = LogStore()
    store.ingest(lines)
    return store


def test_a_field_is_found_by_its_exact_value_whatever_its_type():
    store = store_of(
        line(1, user_id=7),
        line(2, user_id=70),
        line(3, price=7),
        line(4, user_id="7", a={"b": True}),
    )
    assert [found.line for found in store.search(user_id=7)] == [
        found.line for found in store.search(user_id="7")
    ]
    assert [found.at_seconds - DAY for found in store.search(user_id=7)] == [4, 1]
    assert len(store.search(a_b=True)) == 1
    assert store.search(user_id=7, price=7) == []


def test_words_are_found_in_any_order_and_case_also_behind_an_escape():
    store = store_of(line(1, error="Connection refused\nby users"), line(2, error="refused"))
    assert len(store.search(text="REFUSED connection")) == 1
    assert len(store.search(text="by users refused")) == 1
    assert len(store.search(text="refuse")) == 0
    assert len(store_of(line(1, city="Größe \u2028日本")).search(text="größe 日本")) == 1


def test_words_are_divided_by_whatever_is_no_letter_and_metadata_has_words_too():
    """To FTS5 itself a combining accent is part of a word, and so is a private character."""
    said = "cafe\u0301 \ue000till\ue000"
    store = store_of(line(1, said=said))
    assert [len(store.search(text=word)) for word in (said, "till")] == [1, 1]
    metadata = {"trace_id": "0123456789abcdef", "who": "Ada Lovelace"}
    value = [f"{DAY}000000000", "x0123456789abcdefx", metadata]
    store.push(json.dumps({"streams": [{"stream": {"a": "b"}, "values": [value]}]}).encode())
    assert len(store.search(text="lovelace")) == 1
    assert len(store.search(trace_id="0123456789abcdef")) == 1


def test_a_line_nested_out_of_all_proportion_is_kept_as_it_is():
    deep = '{"a":' * 990 + "1" + "}" * 990
    long = json.dumps({"k" * 2000: {"a": 7}, "b": 8})
    store = store_of(deep, long)
    assert [found.line for found in store.search('{service=~".+"}')] == [*(long, deep)]
    (found,) = store.search(b=8)
    assert found.fields == {"b": "8"}


def test_steps_of_no_time_or_without_number_are_refused():
    store = store_of(line(1), '{"timestamp": "1970-01-01T00:00:00Z"}')
    for step in (0, 1e-12, 1):
        with pytest.raises(ValueError, match="step: "):
            store.over_time(step=step)
    assert len(store.over_time(step=1, start=DAY)[""]) == 1


def test_counts_over_time_by_field_fill_the_gaps_and_add_what_sampled_lines_stand_for():
    store = store_of(
        line(0.5, outcome="ok"),
        line(0.7, outcome="ok", stands_for=10),
        line(2.1, outcome="Unavailable"),
    )
    assert store.over_time(step=1, by="outcome") == {
        "Unavailable": [(DAY, 0), (DAY + 1, 0), (DAY + 2, 1)],
        "ok": [(DAY, 11), (DAY + 1, 0), (DAY + 2, 0)],
    }
    assert store.count(by="outcome") == {"ok": 11, "Unavailable": 1}
    assert store.count(outcome="ok", start=DAY + 0.6) == {"": 10}
    assert store.over_time(step=1, outcome="nothing") == {}
    with pytest.raises(TypeError, match="search"):
        store.count(outcome="ok", newest_first=True)


@pytest.mark.parametrize("step", [1 / 3, 1 / 7, 1 / 30, 0.1])
def test_steps_lie_where_their_events_lie(step):
    store = store_of(*[line(second) for second in (0.0, 0.5, 1.23)])
    (instants,) = ([at - DAY for at, _ in points] for points in store.over_time(step=step).values())
    assert instants[0] <= 0 < instants[0] + step * 1.001
    assert instants[-1] <= 1.23 < instants[-1] + step * 1.001


def test_an_event_is_found_from_its_own_instant_on_and_not_before_it():
    values = [[str(DAY * 10**9 + n * 1_237_001), f"line {n}"] for n in range(200)]
    store = LogStore()
    store.push(json.dumps({"streams": [{"stream": {"a": "b"}, "values": values}]}).encode())
    for found in store.search(limit=None):
        (first,) = store.search(start=found.at_seconds, newest_first=False, limit=1)
        assert first == found
        before = store.search(end=found.at_seconds, limit=1)
        assert [event.at_seconds < found.at_seconds for event in before] in ([True], [])


def test_a_limit_of_nothing_finds_nothing():
    assert store_of(line(1)).search(limit=0) == []


@pytest.mark.parametrize(
    "stamp",
    [
        *("2300-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"),
        "2025-13-01T00:00:00Z",
    ],
)
def test_a_line_with_an_instant_nobody_can_store_is_kept_under_the_present(stamp):
    store = LogStore()
    virtual_time.run(ingest(store, [line(1), json.dumps({"event": "odd", "timestamp": stamp})]))
    assert len(store) == 2
    assert [found.at_seconds for found in store.search(event="odd")] == [DAY]


def test_an_event_from_before_1970_is_found():
    assert len(store_of('{"event": "moon", "timestamp": "1969-07-20T20:17:40Z"}').search()) == 1


def test_late_lines_come_back_in_the_order_of_time():
    store = store_of(*[line(second, n=second) for second in (5, 1, 9, 3)])
    assert [found["n"] for found in store.search()] == ["9", "5", "3", "1"]
    assert [found["n"] for found in store.search(newest_first=False, limit=2)] == ["1", "3"]
    assert [found["n"] for found in store.search(start=DAY + 3, end=DAY + 9)] == ["5", "3"]


def test_a_field_with_many_hits_and_one_with_few_give_the_same_answer(monkeypatch):
    lines = [line(n % 50, user_id=n % 7, n=n) for n in range(300)]
    few = store_of(*lines).search(user_id=3, limit=None)
    monkeypatch.setattr(log_table, "FEW", 5)
    assert store_of(*lines).search(user_id=3, limit=None) == few
    assert len(few) == len([n for n in range(300) if n % 7 == 3])


VALUES = st.one_of(st.text(max_size=20), st.integers(), st.booleans(), st.none())
NAMES = st.text(min_size=1, max_size=8).filter(
    lambda name: name not in ("service", "level", "timestamp", "event", "trace_id", "span_id")
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.booleans())
def test_whatever_is_logged_is_found_again_by_each_of_its_fields(values, ascii_only):
    values = {name: value for name, value in values.items() if encodable(name, value)}
    store = store_of(json.dumps({**values, "event": "x"}, ensure_ascii=ascii_only), line(1))
    for name, value in values.items():
        assert len(store.search(**{"event": "x", name: value}, limit=1)) == 1, (name, value)
    store.close()


def encodable(name: str, value: object) -> bool:
    if name in ("query", "text", "limit", "start", "end", "newest_first", "self"):
        return False
    small = not isinstance(value, int) or abs(value) < 2**63
    return small and all(text.isprintable() or text.isascii() for text in (name, str(value)))


HOSTILE = [
    *("two\nlines", 'a "quote"', "it's; drop table events; --", "\u2028\u2029\x85", "a\x00b"),
    *("\ud800", "x" * 100_000, '{"service":"admin"}', '","level":"error', "%_*", "zq1q1", "AND OR"),
]


@pytest.mark.parametrize("value", HOSTILE)
def test_values_from_outside_break_no_line_and_no_query(value):
    lines: list[str] = []
    log = json_logger("users", "a", lines)
    log("before")
    log("login", name=value, nested={value[:50]: value})
    log("after")
    store = store_of(*lines)
    assert [found["event"] for found in store.search(newest_first=False)] == [
        *("before", "login", "after")
    ]
    (found,) = store.search(event="login")
    assert found["service"] == "users" and found["level"] == "info"
    assert store.search(event="login", name=found["name"])[0].line == found.line
    assert len(store.search(name=value)) == (0 if value == "\ud800" else 1)
    store.search(text=value)
    assert len(store) == 3


def test_a_line_that_is_no_json_is_kept_as_text():
    store = LogStore()
    with_text = ["Traceback (most recent call last):", "{broken", "[1, 2]", "", b"\xff\xfe"]
    virtual_time.run(ingest(store, with_text))
    assert len(store) == 5
    (found,) = store.search(text="traceback")
    assert (found.labels, found.at_seconds) == ({"service": "unknown"}, DAY)


async def ingest(store: LogStore, lines: list[str | bytes]) -> None:
    store.ingest(lines)


def test_a_batch_is_stored_wholly_or_not_at_all():
    store = LogStore(most_events=3, most_streams=2)
    store.ingest([line(1), line(2)])
    with pytest.raises(Refused, match="full") as refused:
        store.ingest([line(3), line(4)])
    assert refused.value.status == 429
    with pytest.raises(Refused, match=r"lines\[1\]"):
        store.ingest([line(3), "x" * 300_000])
    store.ingest([line(3)])
    assert [len(store), len(store.search())] == [3, 3]
    with pytest.raises(Refused, match="streams"):
        LogStore(most_streams=2).ingest([line(1, service=name) for name in "abc"])


def test_a_database_that_fails_in_the_middle_leaves_nothing_of_the_batch(monkeypatch):
    store = store_of(line(1))
    monkeypatch.setattr(log_table.log_words, "document", lambda *_: object())
    with pytest.raises(sqlite3.Error):
        store.ingest([line(2, service="orders"), line(3)])
    monkeypatch.undo()
    assert len(store) == len(store.search()) == 1
    store.ingest([line(4, service="orders")])
    assert [found.labels["service"] for found in store.search()] == ["orders", "users"]


def test_a_search_goes_on_while_a_batch_fails_and_others_write(monkeypatch):
    store = store_of(*[line(n % 60, n=n) for n in range(1500)])
    slices = store._table.slices([1], 0, 2**62, newest_first=True, terms=[])
    found = len(next(slices))
    monkeypatch.setattr(log_table.log_words, "document", lambda *_: object())
    with pytest.raises(sqlite3.Error):
        store.ingest([line(1)])
    monkeypatch.undo()
    store.ingest([line(59, n=-1)])
    assert found + sum(map(len, slices)) in (1500, 1501)


def test_threads_may_write_and_search_at_once():
    store, errors = LogStore(), []

    def work(number: int) -> None:
        try:
            for n in range(30):
                store.ingest([line(n, service=f"s{number}", n=n)] * 10)
                store.count(n=n, by="service")
        except Exception as error:  # shown by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.count(by="service") == {f"s{number}": 300 for number in range(4)}


def test_a_file_keeps_what_was_stored(tmp_path):
    first = LogStore(str(tmp_path / "logs.db"))
    first.ingest([line(1, user_id=7), line(2, service="orders")])
    first.close()
    again = LogStore(str(tmp_path / "logs.db"))
    again.ingest([line(3, user_id=7)])
    assert len(again.search(user_id=7)) == 2
    assert [len(again), len(again.search('{service="orders"}'))] == [3, 1]
    again.close()


def test_a_file_belongs_to_one_store_at_a_time(tmp_path):
    path = str(tmp_path / "logs.db")
    first = LogStore(path)
    with pytest.raises(ValueError, match="one store may have open"):
        LogStore(path)
    first.ingest([line(1)])
    first.close()
    LogStore(path).close()


def test_the_values_of_lines_are_not_kept_in_memory():
    store = LogStore()
    tracemalloc.start()
    try:
        store.ingest([line(0, stack="frame 0 " * 10_000)])
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 20):
            store.ingest([line(0, stack=f"frame {number} " * 10_000)])
        assert tracemalloc.get_traced_memory()[0] - before < 80_000
    finally:
        tracemalloc.stop()


def test_logql_and_fields_go_together():
    store = store_of(line(1, user_id=7, level="error"), line(2, user_id=7), line(3, user_id=8))
    assert len(store.search('{level="error"}', user_id=7)) == 1
    assert store.count('{service="users"} |~ "user_id.: [78]"', by="level") == {
        "error": 1,
        "info": 2,
    }


def test_instants_far_beyond_the_years_that_fit_are_taken_as_the_last_of_them():
    store = LogStore()
    store.ingest([line(1)])
    assert len(store.search(start=-1e12, end=1e12)) == 1
    assert not store.search(start=1e12) and not store.search(end=-1e300)
