"""OTLP/HTTP bodies: protobuf or JSON, plain or gzip, to one message; what is wrong gets 4xx.

JSON is protobuf's own mapping, but for the ids, which OTLP writes in hexadecimal.
"""

import base64
import zlib
from collections.abc import Iterable
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PROTOBUF, JSON = "application/x-protobuf", "application/json"
LARGEST_BODY_BYTES = 16 * 1024 * 1024
"""The limit of a body, packed or not."""

_WAY_TO_SPANS = (("resourceSpans", "resource_spans"), ("scopeSpans", "scope_spans"), ("spans",))
_IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


class Refused(Exception):
    """A request that will not do, with the HTTP status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def media_type(content_type: str) -> str:
    """`PROTOBUF` or `JSON`; anything else is refused with 415."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (PROTOBUF, JSON):
        raise Refused(415, f"content-type must be {PROTOBUF} or {JSON}, got {kind[:80]!r}")
    return kind


def unpacked(body: bytes, encoding: str) -> bytes:
    """The body without its content encoding; a bomb is refused before it has grown."""
    if encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise Refused(415, f"content-encoding must be gzip or none, got {encoding[:80]!r}")
    packed = zlib.decompressobj(wbits=31)
    try:
        data = packed.decompress(body, LARGEST_BODY_BYTES + 1)
    except zlib.error as error:
        raise Refused(400, f"the body is not gzip: {error}") from None
    if len(data) > LARGEST_BODY_BYTES:
        raise Refused(413, f"the body unpacks to more than {LARGEST_BODY_BYTES} bytes")
    if not packed.eof or packed.unused_data:
        raise Refused(400, "the body is not gzip: it ends too early or goes on after its end")
    return data


def parsed(body: bytes, kind: str) -> Any:
    """The body as an ExportTraceServiceRequest."""
    try:
        if kind == PROTOBUF:
            return ExportTraceServiceRequest.FromString(body)
        told = orjson.loads(body)
        if not isinstance(told, dict):
            raise Refused(400, "the body must be a JSON object")
        _ids_as_base64(told)
        return json_format.ParseDict(told, ExportTraceServiceRequest(), ignore_unknown_fields=True)
    except DecodeError:
        raise Refused(400, "the body is not an ExportTraceServiceRequest in protobuf") from None
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    except (json_format.ParseError, RecursionError) as error:
        raise Refused(400, f"not an ExportTraceServiceRequest: {str(error)[:300]}") from None


def accepted(kind: str, refused_spans: int) -> bytes:
    """The answer to a body that was read; spans without proper ids are told as refused."""
    response = ExportTraceServiceResponse()
    if refused_spans:
        response.partial_success.rejected_spans = refused_spans
        response.partial_success.error_message = "trace and span ids must be 16 and 8 bytes, not 0"
    return _encoded(response, kind)


def refusal(refused: Refused, kind: str) -> bytes:
    """The answer to a body that was not: a google.rpc.Status, as OTLP asks for."""
    invalid_argument = 3
    return _encoded(Status(code=invalid_argument, message=refused.reason), kind)


def _encoded(message: Any, kind: str) -> bytes:
    if kind == PROTOBUF:
        return bytes(message.SerializeToString())
    return orjson.dumps(json_format.MessageToDict(message))


def _ids_as_base64(told: dict[str, Any]) -> None:
    """Rewrite the ids of spans and links, in place, to what protobuf's JSON expects for bytes."""
    nodes = [told]
    for names in _WAY_TO_SPANS:
        nodes = _objects(nodes, *names)
    for node in nodes + _objects(nodes, "links"):
        for name in _IDS:
            if node.get(name) is not None:
                node[name] = _base64(name, node[name])


def _objects(nodes: Iterable[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The objects in the lists of these names; protobuf refuses what has another shape."""
    lists = [node.get(name) for node in nodes for name in names]
    return [
        item for held in lists if isinstance(held, list) for item in held if isinstance(item, dict)
    ]


def _base64(name: str, text: object) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise Refused(400, f"{name}: must be hexadecimal, got {str(text)[:40]!r}") from None
