"""The table of errors is complete, and reads the same in both directions."""

import math

import pytest

from course_lib import errors
from course_lib.errors import CallError, ComeBackLater
from course_lib.transport import codes

TABLE = [
    (errors.InvalidRequest, 400, "INVALID_ARGUMENT"),
    (errors.PayloadTooLarge, 413, "INVALID_ARGUMENT"),
    (errors.NotFound, 404, "NOT_FOUND"),
    (errors.Conflict, 409, "ALREADY_EXISTS"),
    (errors.Unauthenticated, 401, "UNAUTHENTICATED"),
    (errors.PermissionDenied, 403, "PERMISSION_DENIED"),
    (errors.Unimplemented, 501, "UNIMPLEMENTED"),
    (errors.RateLimited, 429, "RESOURCE_EXHAUSTED"),
    (errors.Overloaded, 503, "UNAVAILABLE"),
    (errors.CircuitOpen, 503, "UNAVAILABLE"),
    (errors.DeadlineExceeded, 504, "DEADLINE_EXCEEDED"),
    (errors.Unavailable, 503, "UNAVAILABLE"),
    (errors.NoInstances, 503, "UNAVAILABLE"),
    (errors.Internal, 500, "INTERNAL"),
]


@pytest.mark.parametrize(("error", "http", "grpc"), TABLE)
def test_every_error_has_one_status_on_each_wire(error: type[CallError], http: int, grpc: str):
    assert (codes.http_status(error("x")), codes.grpc_status(error("x"))) == (http, grpc)


@pytest.mark.parametrize(("error", "http", "grpc"), TABLE)
def test_the_name_decides_and_without_it_the_status(error: type[CallError], http: int, grpc: str):
    assert type(codes.error_from(error.__name__, "x", http_status=500)) is error
    by_status = codes.error_from(None, "x", http_status=http)
    assert type(by_status) is type(codes.error_from("NoSuchError", "x", http_status=http))
    assert codes.http_status(by_status) == http and by_status.remote
    assert codes.grpc_status(codes.error_from(None, "x", grpc_status=grpc)) == grpc


def test_every_other_status_of_grpc_is_an_error_too():
    import grpc

    for status in set(grpc.StatusCode) - {grpc.StatusCode.OK}:
        error = codes.error_from(None, "x", grpc_status=status.name)
        assert error.remote and isinstance(error, errors.Answer | errors.Failure)


@pytest.mark.parametrize(
    ("seconds", "header"),
    [(0.25, "1"), (0.0, "0"), (2.0, "2"), (2.001, "3"), (1e6, "1000000")],
)
def test_everybody_may_read_when_to_come_back_in_whole_seconds(seconds: float, header: str):
    headers = codes.wire_headers(errors.RateLimited("x", retry_after_seconds=seconds))
    assert headers["retry-after"] == header
    assert codes.come_back_after(headers) == seconds
    assert codes.come_back_after({"retry-after": header}) == float(header)


@pytest.mark.parametrize("seconds", [None, math.inf, math.nan, -1.0])
def test_when_nobody_can_come_back_nothing_is_said(seconds: float | None):
    headers = codes.wire_headers(errors.RateLimited("x", retry_after_seconds=seconds))
    assert headers == {"x-error": "RateLimited"}
    assert codes.come_back_after(headers) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("1.5", 1.5),
        ("0", 0.0),
        (None, None),
        ("soon", None),
        ("nan", None),
        ("-1", None),
        ("1_0", None),
    ],
)
def test_when_to_come_back_is_read_as_seconds_or_not_at_all(
    header: str | None, seconds: float | None
):
    assert codes.retry_after_seconds(header) == seconds
    error = codes.error_from("RateLimited", "x", retry_after_seconds=seconds)
    assert isinstance(error, ComeBackLater) and error.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "text", ["1_000", " 5 ", "\u0661", "0x10", "inf", "nan", "", "1.", ".5", "+1"]
)
def test_what_python_alone_takes_for_a_number_is_none(text: str):
    assert math.isnan(codes.decimal(text))


@pytest.mark.parametrize("number", [0.0, -1.5, 1e-05, 1e300, 12.0, 5e-324])
def test_what_python_writes_of_a_number_is_read_again(number: float):
    assert codes.decimal(str(number)) == number
