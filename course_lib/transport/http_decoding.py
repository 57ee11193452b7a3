"""From the three places of an HTTP request, path, query and body, to a request dataclass."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from course_lib.errors import InvalidRequest, PayloadTooLarge, Unavailable
from course_lib.transport.decoding import (
    fields_of,
    fill,
    json_converter,
    parse_json,
    require,
    text_converter,
    without_duplicates,
)

_LINGER_SECONDS = 2.0

Decode = Callable[[Mapping[str, str], bytes, bytes], Any]
"""From path parameters, query string and body to the request."""


def request_decoder(request: type, path_names: frozenset[str], has_body: bool) -> Decode:
    """A decoder for one route; it raises InvalidRequest with the name of the field."""
    texts, required = fields_of(
        request, lambda hint: text_converter(hint) if not has_body else json_converter(hint)
    )
    hints = fields_of(request, lambda hint: hint)[0]
    in_path = {name: text_converter(hints[name]) for name in path_names}
    elsewhere = {name: convert for name, convert in texts.items() if name not in path_names}

    def decode(path_params: Mapping[str, str], query: bytes, body: bytes) -> Any:
        filled = {name: convert(path_params[name], name) for name, convert in in_path.items()}
        if has_body and (body or elsewhere):  # what asks for nothing may be empty
            document = parse_json(body)
            if type(document) is not dict:
                raise InvalidRequest("body: must be a JSON object")
            filled |= fill(document, elsewhere)
        elif query:
            filled |= fill(_parse_query(query), elsewhere)
        require(filled, required)
        return request(**filled)

    return decode


def _parse_query(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise InvalidRequest(f"query: must be UTF-8, percent-encoded: {error}") from None
    return without_duplicates(pairs)


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read no more than the limit; what is declared larger is not read at all."""
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    size, body, more = int(declared[:19]) if declared.isdigit() else 0, b"", True
    while more and size <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Unavailable("the caller left before the request was read")
        body += message.get("body", b"")
        size, more = max(size, len(body)), message.get("more_body", False)
    if size > limit:
        raise PayloadTooLarge(f"body: must be at most {limit} bytes")
    return body


async def linger(scope: Scope, receive: Receive) -> None:
    """Read on for a moment without looking, until the caller has sent all or has gone.

    Closing on a caller who still sends resets the connection, and the answer with it (RFC 9112,
    9.6). A stop of the server need not wait for it.
    """
    scope.setdefault("state", {})["watching"] = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            while (await receive()).get("more_body", False):
                pass
