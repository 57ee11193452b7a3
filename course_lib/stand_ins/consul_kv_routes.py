"""The routes of the key/value store: get, put, delete; recurse, keys, raw, cas and flags."""

import random

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from course_lib.stand_ins.consul_http import answers, as_json, block, index_headers, read_body
from course_lib.stand_ins.consul_state import StateOf
from course_lib.stand_ins.consul_values import Refused, unsigned


def kv_routes(state_of: StateOf, rng: random.Random) -> list[BaseRoute]:
    """`/v1/kv/...`: get, put, delete; recurse, keys, raw, cas and flags."""

    async def get(request: Request) -> Response:
        key, params = request.path_params["key"], request.query_params
        state = state_of(params.get("dc", ""))
        many = "recurse" in params or "keys" in params
        if not key and not many:
            raise Refused(400, "Missing key name")
        await block(request, state.changes, ("kv" if many else f"kv:{key}",), rng)
        headers = index_headers(state.changes)
        if "keys" in params:
            found = state.kv.keys(key, params.get("separator", ""))
            missing = not found and key != ""
            return Response(b"", 404, headers) if missing else as_json(found, headers=headers)
        entries = state.kv.under(key) if "recurse" in params else state.kv.get(key)
        if not entries:
            return Response(b"", 404, headers)
        if "raw" in params and not many:
            return Response(entries[0].value, 200, headers, "text/plain")
        return as_json([entry.view() for entry in entries], headers=headers)

    async def put(request: Request) -> Response:
        key, params = request.path_params["key"], request.query_params
        state = state_of(params.get("dc", ""))
        if not key:
            raise Refused(400, "Missing key name")
        _refuse_together(request, "cas", "acquire", "release")
        cas, flags = _number(request, "cas"), _number(request, "flags")
        for lock in ("acquire", "release"):
            if lock in params:
                raise Refused(500, f'invalid session "{params[lock]}"')
        value = await read_body(request)
        return as_json(state.kv.put(key, value, flags or 0, cas))

    async def delete(request: Request) -> Response:
        key, params = request.path_params["key"], request.query_params
        state = state_of(params.get("dc", ""))
        _refuse_together(request, "recurse", "cas")
        if "recurse" in params:
            return as_json(state.kv.delete_under(key))
        if not key:
            raise Refused(400, "Missing key name")
        return as_json(state.kv.delete(key, _number(request, "cas")))

    path = "/v1/kv/{key:path}"
    return [
        Route(path, answers(get), methods=["GET"]),
        Route(path, answers(put), methods=["PUT"]),
        Route(path, answers(delete), methods=["DELETE"]),
    ]


def _number(request: Request, name: str) -> int | None:
    if name not in request.query_params:
        return None
    try:
        return unsigned(request.query_params[name])
    except ValueError as error:
        raise Refused(400, str(error)) from None


def _refuse_together(request: Request, *names: str) -> None:
    if sum(name in request.query_params for name in names) > 1:
        raise Refused(400, f"Conflicting flags: {request.url.query}")
