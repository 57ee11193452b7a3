"""What the W3C specification says about incoming headers, as data: one table for every wire.

The cases of the public suite (w3c/trace-context, strict) that concern one request are among
them. A case is its name, the headers as sent, and the trace that arrives (None: a new one).
"""

from course_lib.context import TraceContext

Headers = list[tuple[str, str]]

ID, SPAN = "12345678901234567890123456789012", "1234567890123456"
GOOD = f"00-{ID}-{SPAN}-01"
LEGAL_KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
LEGAL_VALUE = "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in ",=")


def _one(value: str) -> Headers:
    return [("traceparent", value)]


def _trace(state: str = "", *, sampled: bool = True) -> TraceContext:
    return TraceContext(ID, SPAN, sampled, state)


def _states(*values: str) -> Headers:
    return [("traceparent", GOOD), *(("tracestate", value) for value in values)]


def _members(first: int, last: int) -> str:
    return ",".join(f"bar{n:02}={n:02}" for n in range(first, last + 1))


ACCEPTED: list[tuple[str, Headers, TraceContext]] = [
    ("only a traceparent", _one(GOOD), _trace()),
    ("name in mixed case", [("TraceParent", GOOD)], _trace()),
    ("name in capitals", [("TRACEPARENT", GOOD)], _trace()),
    ("not sampled", _one(GOOD[:-2] + "00"), _trace(sampled=False)),
    ("only the lowest flag counts: 02", _one(GOOD[:-2] + "02"), _trace(sampled=False)),
    ("only the lowest flag counts: ff", _one(GOOD[:-2] + "ff"), _trace()),
    ("space before", _one(" " + GOOD), _trace()),
    ("tab before", _one("\t" + GOOD), _trace()),
    ("space after", _one(GOOD + " "), _trace()),
    ("tab after", _one(GOOD + "\t"), _trace()),
    ("space all around", _one("\t " + GOOD + " \t"), _trace()),
    ("future version", _one("cc" + GOOD[2:]), _trace()),
    ("future version that says more", _one("cc" + GOOD[2:] + "-what-the-future-brings"), _trace()),
    ("future version that ends in a dash", _one("cc" + GOOD[2:] + "-"), _trace()),
]
RESTARTED: list[tuple[str, Headers, TraceContext | None]] = [
    (name, headers, None)
    for name, headers in [
        ("nothing sent", []),
        ("empty", _one("")),
        ("nonsense", _one("hello")),
        ("two traceparents", [*_one(GOOD[:-4] + "1-01"), *_one(GOOD)]),
        ("the same traceparent twice", [*_one(GOOD), *_one(GOOD)]),
        ("twice, of a future version", [*_one("cc" + GOOD[2:] + "-x"), *_one("cc" + GOOD[2:])]),
        ("two joined by a proxy", _one(f"{GOOD}, {GOOD}")),
        ("another name", [("trace-parent", GOOD)]),
        ("version 00 that says more", _one(GOOD + "-what-the-future-brings")),
        ("version 00 with a dot", _one(GOOD + ".")),
        ("future version with a dot", _one("cc" + GOOD[2:] + ".what-the-future-brings")),
        ("version ff", _one("ff" + GOOD[2:])),
        ("version with a dot before", _one("." + GOOD[1:])),
        ("version with a dot after", _one("0." + GOOD[2:])),
        ("version in capitals", _one("CC" + GOOD[2:])),
        ("version too long", _one("0" + GOOD)),
        ("version too short", _one(GOOD[1:])),
        ("trace id of zeros", _one(f"00-{'0' * 32}-{SPAN}-01")),
        ("trace id with a dot before", _one(f"00-.{ID[1:]}-{SPAN}-01")),
        ("trace id with a dot after", _one(f"00-{ID[:-1]}.-{SPAN}-01")),
        ("trace id in capitals", _one(f"00-{'A' * 32}-{SPAN}-01")),
        ("trace id too long", _one(f"00-{ID}3-{SPAN}-01")),
        ("trace id too short", _one(f"00-{ID[:-1]}-{SPAN}-01")),
        ("parent id of zeros", _one(f"00-{ID}-{'0' * 16}-01")),
        ("parent id with a dot before", _one(f"00-{ID}-.{SPAN[1:]}-01")),
        ("parent id with a dot after", _one(f"00-{ID}-{SPAN[:-1]}.-01")),
        ("parent id in capitals", _one(f"00-{ID}-{'B' * 16}-01")),
        ("parent id too long", _one(f"00-{ID}-{SPAN}7-01")),
        ("parent id too short", _one(f"00-{ID}-{SPAN[:-1]}-01")),
        ("flags with a dot before", _one(GOOD[:-2] + ".0")),
        ("flags with a dot after", _one(GOOD[:-2] + "0.")),
        ("flags in capitals", _one(GOOD[:-2] + "0A")),
        ("flags too long", _one(GOOD[:-2] + "001")),
        ("flags too short", _one(GOOD[:-2] + "1")),
        ("other dashes", _one(GOOD.replace("-", "_"))),
        ("a tracestate alone", [("tracestate", "foo=1")]),
        ("a tracestate beside an invalid traceparent", [*_one("hello"), ("tracestate", "foo=1")]),
    ]
]
STATES: list[tuple[str, Headers, TraceContext]] = [
    (name, headers, _trace(state))
    for name, headers, state in [
        ("inherited", _states("foo=1,bar=2"), "foo=1,bar=2"),
        ("name of tracestate in capitals", [*_one(GOOD), ("TRACESTATE", "foo=1")], "foo=1"),
        ("another name than tracestate", [*_one(GOOD), ("trace-state", "foo=1")], ""),
        ("empty tracestate", _states(""), ""),
        ("empty after", _states("foo=1", ""), "foo=1"),
        ("empty before", _states("", "foo=1"), "foo=1"),
        ("empty members", _states("foo=1,, ,bar=2,"), "foo=1,bar=2"),
        (
            "several headers in order",
            _states("foo=1,bar=2", "rojo=1,congo=2", "baz=3"),
            "foo=1,bar=2,rojo=1,congo=2,baz=3",
        ),
        ("space around members", _states("foo=1 , bar=2,  baz=3"), "foo=1,bar=2,baz=3"),
        ("tabs around members", _states("foo=1\t \t,\t \tbar=2"), "foo=1,bar=2"),
        ("space around the header", _states(" foo=1 "), "foo=1"),
        ("a space leads a value", _states("foo= 1"), "foo= 1"),
        (
            "every legal character",
            _states(f"{LEGAL_KEY}={LEGAL_VALUE}"),
            f"{LEGAL_KEY}={LEGAL_VALUE}",
        ),
        (
            "every legal character with a tenant",
            _states(f"{LEGAL_KEY}@a-z0-9_-*/={LEGAL_VALUE}"),
            f"{LEGAL_KEY}@a-z0-9_-*/={LEGAL_VALUE}",
        ),
        ("a key of a digit", _states("1a=1"), "1a=1"),
        ("the same key twice", _states("foo=1,foo=1"), ""),
        ("the same key, another value", _states("foo=1,foo=2"), ""),
        ("the same key in two headers", _states("foo=1", "foo=2"), ""),
        ("a space in a key", _states("foo =1"), ""),
        ("a key in capitals", _states("FOO=1"), ""),
        ("a key with a dot", _states("foo.bar=1"), ""),
        ("a key of nothing", _states("=1,bar=2"), ""),
        ("tenant without a system", _states("foo@=1,bar=2"), ""),
        ("system without a tenant", _states("@foo=1,bar=2"), ""),
        ("two at signs", _states("foo@@bar=1,bar=2"), ""),
        ("three parts", _states("foo@bar@baz=1,bar=2"), ""),
        ("no value", _states("foo=,bar=3"), ""),
        ("no equals sign", _states("foo,bar=3"), ""),
        ("two equals signs", _states("foo=bar=baz"), ""),
        ("32 members", _states(_members(1, 20), _members(21, 32)), _members(1, 32)),
        ("33 members", _states(_members(1, 20), _members(21, 33)), ""),
        ("key of 256", _states("foo=1", "z" * 256 + "=1"), "foo=1," + "z" * 256 + "=1"),
        ("key of 257", _states("foo=1", "z" * 257 + "=1"), ""),
        ("tenant of 241", _states(f"{'t' * 241}@{'v' * 14}=1"), f"{'t' * 241}@{'v' * 14}=1"),
        ("tenant of 242", _states("foo=1", "t" * 242 + "@v=1"), ""),
        ("system of 15", _states("foo=1", "t@" + "v" * 15 + "=1"), ""),
        ("value of 256", _states("foo=" + "v" * 256), "foo=" + "v" * 256),
        ("value of 257", _states("foo=" + "v" * 257), ""),
    ]
]
CASES: list[tuple[str, Headers, TraceContext | None]] = [*ACCEPTED, *RESTARTED, *STATES]
