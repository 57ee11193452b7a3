"""Whatever comes in, the decoders answer or refuse; they never break."""

from dataclasses import asdict
from typing import Any

import orjson
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.errors import InvalidRequest
from course_lib.lab import virtual_time
from course_lib.shop import shop_pb2 as pb
from course_lib.shop import users_grpc
from course_lib.shop.orders import Item, PlaceOrder
from course_lib.shop.users import CreateUser
from course_lib.transport.decoding import json_converter, parse_json, text_converter
from tests.transport.asgi import call
from tests.transport.test_bad_input import users_app

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
PLACE = st.fixed_dictionaries({}, optional={"user_id": JSON, "items": JSON, "x": JSON})
APP = users_app()
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(st.binary(max_size=60) | JSON.map(lambda value: repr(value).encode()))
def test_any_bytes_are_json_or_refused(body: bytes):
    try:
        parse_json(body)
    except InvalidRequest as error:
        assert ": " in error.message


@few
@given(PLACE | JSON)
def test_any_json_is_a_request_or_refused_by_field(document: Any):
    try:
        request = json_converter(PlaceOrder)(document, "body")
    except InvalidRequest as error:
        assert ": " in error.message
    else:
        assert isinstance(request, PlaceOrder)


@few
@given(st.builds(Item, st.text(max_size=5), st.integers(-(2**63), 2**63 - 1)))
def test_what_is_encoded_is_decoded_to_the_same(item: Item):
    try:
        body = orjson.dumps(item)
    except TypeError:  # a lone surrogate is no text
        return
    assert json_converter(Item)(parse_json(body), "body") == item


@few
@given(st.text(max_size=30), st.sampled_from([int, float, bool, str, int | None]))
def test_any_text_is_a_value_or_refused(text: str, wanted: Any):
    try:
        text_converter(wanted)(text, "field")
    except InvalidRequest as error:
        assert error.message.startswith("field: must be ")


@few
@given(st.binary(max_size=60))
def test_any_bytes_are_protobuf_or_refused(body: bytes):
    decoders = [
        (pb.CreateUserRequest, users_grpc.create_from_pb),
        (pb.ListUsersRequest, users_grpc.list_from_pb),
    ]
    for message_class, decode in decoders:
        try:
            message = message_class.FromString(body)
        except DecodeError:
            continue
        assert asdict(decode(message))


@few
@given(st.builds(CreateUser, st.text(), st.integers(-(2**31), 2**31 - 1)))
def test_protobuf_carries_every_user(request: CreateUser):
    try:
        message = users_grpc.create_to_pb(request)
    except UnicodeEncodeError:  # a lone surrogate is no text
        return
    parsed = pb.CreateUserRequest.FromString(message.SerializeToString())
    assert users_grpc.create_from_pb(parsed) == request


@few
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "BREW"]),
    st.sampled_from(["/users", "/users/", "/users/1"]) | st.text().map("/users/{}".format),
    st.binary(max_size=30),
    st.binary(max_size=30),
    st.lists(
        st.tuples(
            st.sampled_from([b"x-timeout-seconds", b"traceparent", b"content-length", b"x"]),
            st.binary(max_size=20),
        ),
        max_size=3,
    ),
)
def test_any_request_gets_an_answer_below_500(
    method: str, path: str, query: bytes, body: bytes, headers: list[tuple[bytes, bytes]]
):
    request = call(APP, method, path, body, query=query, headers=headers)
    answer = virtual_time.run(request)
    expired = answer.status == 504 and answer.headers[b"x-error"] == b"DeadlineExceeded"
    assert answer.status < 500 or expired
    assert answer.envelope["code"] == answer.status


schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")


def shop_schema() -> Any:
    from course_lib.shop.catalogue import with_demo_products
    from course_lib.shop.catalogue_endpoints import catalogue_endpoints
    from course_lib.shop.catalogue_http import catalogue_routes
    from course_lib.shop.endpoints import user_endpoints
    from course_lib.shop.order_endpoints import order_endpoints
    from course_lib.shop.orders import Order, Orders
    from course_lib.shop.orders_http import order_routes
    from course_lib.shop.storage import MemoryTable
    from course_lib.shop.users import with_demo_users
    from course_lib.shop.users_http import user_routes
    from course_lib.transport.http_server import http_app

    users, catalogue = with_demo_users(), with_demo_products()
    orders = Orders(MemoryTable(Order), users, catalogue)
    routes = [
        *user_routes(user_endpoints(users)),
        *catalogue_routes(catalogue_endpoints(catalogue)),
        *order_routes(order_endpoints(orders)),
    ]
    return schemathesis.openapi.from_asgi("/openapi.json", http_app("shop", routes))


@pytest.mark.leaves("schemathesis keeps its test client")
def test_the_shop_keeps_the_promises_of_its_openapi_document():
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        negative_data_rejection,
        response_schema_conformance,
        status_code_conformance,
        unsupported_method,
    )

    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        negative_data_rejection,
        unsupported_method,
    ]
    schema = shop_schema()
    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def conforms(case: Any) -> None:
            case.call_and_validate(checks=checks)

        conforms()
