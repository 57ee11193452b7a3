"""Authentication: who is let in, who is refused, and what the refusal does not tell."""

import base64
import contextlib
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import context
from course_lib.errors import Unauthenticated
from course_lib.lab import virtual_time
from course_lib.middleware import authentication
from course_lib.middleware.authentication import basic, jwt_bearer

KEY = "a key that is long enough for HS256"
PEM = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n"
START = 1735689600  # 2025-01-01T00:00:00Z, where virtual time begins


async def who_calls(_: object) -> str | None:
    return context.caller.get()


def encoded(user_and_password: str) -> str:
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


async def call(middleware: Any, credentials: str | None) -> str | None:
    context.authorization.set(credentials)
    return await middleware(who_calls)(None)


people = basic({"ada": "love:lace", "grace": "hopper", "zoë": "pässword"})


@pytest.mark.parametrize("pair", ["ada:love:lace", "grace:hopper", "zoë:pässword"])
async def test_the_right_password_lets_the_caller_in_under_their_name(pair):
    assert await call(people, encoded(pair)) == pair.partition(":")[0]


async def test_the_scheme_may_be_written_in_any_case():
    assert await call(people, encoded("grace:hopper").replace("Basic", "bAsIc")) == "grace"


@pytest.mark.parametrize(
    ("credentials", "why"),
    [
        (None, "no credentials"),
        ("", "no credentials"),
        (encoded("ada:wrong"), "wrong user or password"),
        (encoded("ada:"), "wrong user or password"),
        (encoded("ada"), "wrong user or password"),
        (encoded("nobody:love:lace"), "wrong user or password"),
        (encoded(""), "wrong user or password"),
        ("Basic", "wrong user or password"),
        ("Basic %%%", "not base64"),
        ("Basic é", "not base64"),
        ("Bearer abc", "credentials of another scheme"),
    ],
)
async def test_everybody_else_is_refused_and_told_what_to_send(credentials, why):
    with pytest.raises(
        Unauthenticated, match=f"{why}.*; send `authorization` with the scheme Basic"
    ) as refusal:
        await call(people, credentials)
    assert refusal.value.challenge == 'Basic realm="shop"'
    assert "love" not in refusal.value.message
    assert context.caller.get() is None


async def test_a_refused_call_does_not_keep_the_name_of_the_one_before():
    await call(people, encoded("grace:hopper"))
    assert context.caller.get() == "grace"
    with pytest.raises(Unauthenticated):
        await call(people, None)
    assert context.caller.get() is None


async def test_an_unknown_user_costs_a_comparison_too(monkeypatch):
    compared = []

    def compare_digest(given: bytes, known: bytes) -> bool:
        compared.append((len(given), len(known)))
        return hmac.compare_digest(given, known)

    monkeypatch.setattr(authentication.secrets, "compare_digest", compare_digest)
    checked = basic({"grace": "hopper"})
    for pair, times in {"grace:hopper": 1, "grace:no": 2, "nobody:hopper": 2, "nobody": 2}.items():
        for _ in range(2):  # what passed once is remembered, what failed is not
            with contextlib.suppress(Unauthenticated):
                await call(checked, encoded(pair))
        assert compared == [(32, 32)] * times, pair
        compared.clear()


def test_a_user_name_with_a_colon_is_refused_when_it_is_set_up():
    with pytest.raises(ValueError, match="colon"):
        basic({"a:b": "c"})


def token(key: str = KEY, algorithm: str = "HS256", **changed: Any) -> str:
    claims = {"sub": "ada", "exp": START + 60} | changed
    claims = {name: value for name, value in claims.items() if value is not None}
    return "Bearer " + jwt.encode(claims, key, algorithm)


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def forged(header: dict[str, Any], claims: dict[str, Any], key: bytes = b"") -> str:
    signed = part(json.dumps(header).encode()) + "." + part(json.dumps(claims).encode())
    signature = hmac.digest(key, signed.encode(), hashlib.sha256) if key else b""
    return f"Bearer {signed}.{part(signature)}"


GOOD = {"sub": "mallory", "exp": START + 60}


async def test_a_token_signed_with_the_key_lets_its_subject_in():
    assert await call(jwt_bearer(KEY), token()) == "ada"


@pytest.mark.parametrize(
    "credentials",
    [
        None,
        "Bearer",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer é.é.é",
        token()[:-3] + "abc",
        token(key="another key that is long enough too"),
        token(algorithm="HS512", key=KEY * 2),
        token(exp=None),
        token(sub=None),
        token(sub=""),
        token(exp="soon"),
        token(exp=True, sub=""),
        token(nbf="later"),
        token(aud="orders"),
        forged({"alg": "none", "typ": "JWT"}, GOOD),
        forged({"alg": "None"}, GOOD),
        forged({"alg": ""}, GOOD),
        forged({}, GOOD),
        forged({"alg": "RS256"}, GOOD, KEY.encode()),
        forged({"alg": "HS256"}, {**GOOD, "sub": 7}, KEY.encode()),
        forged({"alg": "HS256"}, {**GOOD, "exp": float("inf")}, b"not the key"),
        forged({"alg": "HS256"}, {**GOOD, "exp": float("nan")}, KEY.encode()),
        "Basic " + token()[7:],
    ],
)
async def test_a_token_that_is_missing_broken_or_forged_is_refused(credentials):
    checks = jwt_bearer(KEY)
    for _ in range(2):  # what was refused once is not remembered as good
        with pytest.raises(Unauthenticated, match="send `authorization` with the scheme Bearer"):
            await call(checks, credentials)


def test_a_public_key_cannot_be_set_up_as_a_secret():
    with pytest.raises(ValueError, match="asymmetric key"):
        jwt_bearer(PEM, algorithms=("HS256",))


@pytest.mark.parametrize(
    "algorithms", [("none",), ("HS256", "none"), ("HS256", "RS256"), (), ("XY256",)]
)
def test_a_list_with_none_or_with_two_families_cannot_be_set_up(algorithms):
    with pytest.raises(ValueError, match="one family"):
        jwt_bearer(KEY, algorithms)


def test_one_algorithm_as_a_text_is_told_how_to_be_written():
    with pytest.raises(ValueError, match=r"expected a list such as \['HS256'\]"):
        jwt_bearer(KEY, "HS256")


def test_a_key_that_is_too_short_cannot_be_set_up():
    with pytest.raises(ValueError, match="below the minimum"):
        jwt_bearer("secret")


async def test_a_token_ends_on_the_clock_of_the_call_remembered_or_not():
    checks = jwt_bearer(KEY)
    credentials = token(nbf=START + 10)
    seen = []
    for at in (0, 9.9, 10, 59.9, 60, 10):
        context.wall_clock.set(lambda at=at: START + at)
        try:
            seen.append(await call(checks, credentials))
        except Unauthenticated as refusal:
            seen.append(refusal.message.partition(";")[0])
    early, late = "it is not valid yet", "the token has expired"
    assert seen == [early, early, "ada", "ada", late, "ada"]


async def test_audience_and_issuer_are_checked_when_asked_for():
    checks = jwt_bearer(KEY, audience="users", issuer="shop")
    assert await call(checks, token(aud=["users", "orders"], iss="shop")) == "ada"
    for claims in ({}, {"aud": "users"}, {"aud": "orders", "iss": "shop"}, {"iss": "shop"}):
        with pytest.raises(Unauthenticated):
            await call(checks, token(**claims))


async def test_a_remembered_token_is_verified_once_and_the_memory_is_bounded(monkeypatch):
    verified = []
    decode = jwt.decode

    def counted(token: str, *args: Any, **options: Any) -> Any:
        verified.append(token)
        return decode(token, *args, **options)

    monkeypatch.setattr(authentication.jwt, "decode", counted)
    checks = jwt_bearer(KEY, remembered=2)
    one, two, three = token(sub="1"), token(sub="2"), token(sub="3")
    for credentials in (one, one, two, two, three, one, three):
        await call(checks, credentials)
    assert [verified.count(each[7:]) for each in (one, two, three)] == [2, 1, 1]


HEADERS = {"alg": st.sampled_from(["HS256", "HS512", "none", "RS256", 7, None])}
JSON = st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
CLAIMS = st.dictionaries(st.sampled_from(["sub", "exp", "nbf", "aud", "iss", "jti"]), JSON)
TOKENS = st.builds(forged, st.fixed_dictionaries(HEADERS), CLAIMS, st.just(KEY.encode()))


@given(st.text() | st.text().map("Basic ".__add__) | st.text().map("Bearer ".__add__) | TOKENS)
def test_whatever_is_sent_the_refusal_is_the_only_error(credentials):
    for middleware in (people, jwt_bearer(KEY)):
        with contextlib.suppress(Unauthenticated):
            assert virtual_time.run(call(middleware, credentials)) is not None
