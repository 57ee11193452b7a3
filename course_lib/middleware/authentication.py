"""Authentication finds out who is calling, and refuses with `Unauthenticated` who does not say.

It reads the credentials from `context.authorization` and puts the name into `context.caller`,
where it stays for who stands further out and wants to log it. What a caller *may* do is for the
service to decide (`PermissionDenied`).
"""

import binascii
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NoReturn

import jwt

from course_lib.context import authorization, caller, wall_clock
from course_lib.endpoint import Endpoint, Middleware
from course_lib.errors import Unauthenticated

_BROKEN = (jwt.InvalidTokenError, TypeError, ValueError, ArithmeticError, RecursionError)
_SHARED_SECRET, _KEY_PAIR = ("HS",), ("RS", "PS", "ES", "Ed")


def basic(passwords: Mapping[str, str], *, realm: str = "shop") -> Middleware:
    """Check user and password (RFC 7617) in constant time, for unknown users too.

    Credentials that passed are remembered: nobody learns from them how far a guess was right.
    """
    if any(":" in user for user in passwords):
        raise ValueError("a user name must not contain a colon (RFC 7617)")
    expected = {user.encode(): _digest(password.encode()) for user, password in passwords.items()}
    nobody = secrets.token_bytes(32)
    scheme = f'Basic realm="{realm}"'

    @lru_cache(maxsize=1024)
    def check(header: str) -> str:
        credentials = _credentials(header, "basic", scheme)
        try:
            decoded = binascii.a2b_base64(credentials, strict_mode=True)
        except ValueError:
            _refuse("the credentials are not base64", scheme)
        user, colon, password = decoded.partition(b":")
        known = expected.get(user, nobody)
        if not secrets.compare_digest(_digest(password), known) or not colon:
            _refuse("wrong user or password", scheme)
        return user.decode()

    return _authenticated(check)


def jwt_bearer(
    key: str | bytes,
    algorithms: Sequence[str] = ("HS256",),
    *,
    audience: str | None = None,
    issuer: str | None = None,
    remembered: int = 1024,
) -> Middleware:
    """Check a signed token (RFC 7519, RFC 8725) that names its caller in `sub` and ends at `exp`.

    The algorithms are the server's choice, never the token's: `none` is not among them, and one
    key serves one family. The last `remembered` tokens that passed are not verified again, only
    their times are; the key is fixed, so a signature that was good stays good.
    """
    _check_key(key, algorithms)
    options: Any = {
        "require": ["exp", "sub"],
        # PyJWT reads a clock of its own; ours may be virtual
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
    }
    verified: dict[str, tuple[str, float, float]] = {}

    def verify(token: str) -> tuple[str, float, float]:
        try:
            claims = jwt.decode(
                token, key, list(algorithms), options, audience=audience, issuer=issuer
            )
            times = float(claims.get("nbf", 0)), float(claims["exp"])
            if not claims["sub"]:
                raise ValueError("its `sub` names nobody")
        except (
            jwt.InvalidTokenError,
            TypeError,
            ValueError,
            ArithmeticError,
            RecursionError,
        ) as error:
            _refuse(f"the token is not valid: {error}", "Bearer")
        if len(verified) >= remembered:
            verified.pop(next(iter(verified)), None)
        verified[token] = claims["sub"], *times
        return verified[token]

    def check(header: str) -> str:
        token = _credentials(header, "bearer", "Bearer")
        name, not_before, expires = verified.get(token) or verify(token)
        if not not_before <= (now := wall_clock.get()()) < expires:
            verified.pop(token, None)
            _refuse("the token has expired" if now >= expires else "it is not valid yet", "Bearer")
        return name

    return _authenticated(check)


def _authenticated(check: Callable[[str], str]) -> Middleware:
    def wrap(inner: Endpoint) -> Endpoint:
        async def endpoint(request: Any) -> Any:
            try:
                who = check(authorization.get() or "")
            except Unauthenticated:
                caller.set(None)  # whoever it was further out
                raise
            caller.set(who)
            return await inner(request)

        return endpoint

    return wrap


def _credentials(header: str, name: str, scheme: str) -> str:
    given, _, credentials = header.partition(" ")
    if given.lower() != name:
        _refuse("credentials of another scheme" if given else "no credentials", scheme)
    return credentials.strip()


def _refuse(why: str, scheme: str) -> NoReturn:
    error = Unauthenticated(f"{why}; send `authorization` with the scheme {scheme.split()[0]}")
    error.challenge = scheme
    raise error


def _digest(password: bytes) -> bytes:
    return blake2b(password, digest_size=32).digest()


def _check_key(key: str | bytes, algorithms: Sequence[str]) -> None:
    if isinstance(algorithms, str):
        raise ValueError(f"algorithms: expected a list such as [{algorithms!r}], not a text")
    for family in (_SHARED_SECRET, _KEY_PAIR):
        if algorithms and all(name.startswith(family) for name in algorithms):
            break
    else:
        raise ValueError(f"algorithms of one family, without `none`, expected: {algorithms}")
    try:
        for name in algorithms:
            algorithm = jwt.get_algorithm_by_name(name)
            if weakness := algorithm.check_key_length(algorithm.prepare_key(key)):
                raise ValueError(weakness)
    except jwt.InvalidKeyError as error:
        raise ValueError(str(error)) from None
