"""The HTTP routes: a few lines each, from request to state and back."""

import random
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from course_lib.stand_ins.consul_definitions import STATUSES, read_check, read_service
from course_lib.stand_ins.consul_filter import compile_filter
from course_lib.stand_ins.consul_http import (
    answers,
    as_json,
    block,
    done,
    index_headers,
    read_json,
)
from course_lib.stand_ins.consul_queries import (
    CHECK_EXAMPLE,
    QUERIES,
    SERVICE_EXAMPLE,
    Query,
    Question,
)
from course_lib.stand_ins.consul_records import agent_service_view, check_view
from course_lib.stand_ins.consul_state import State, StateOf
from course_lib.stand_ins.consul_values import Fields, Refused, boolean

_WAITING = ("index", "wait")
_CACHED_ANSWERS = 64


def catalogue_routes(state_of: StateOf, rng: random.Random) -> list[BaseRoute]:
    """Catalogue and health: every one of them can be waited on."""
    return [_query_route(query, state_of, rng) for query in QUERIES]


def _query_route(query: Query, state_of: StateOf, rng: random.Random) -> Route:
    """One query; an answer is encoded once for all who ask the same before the next change."""
    cached: dict[tuple[Any, ...], tuple[int, bytes]] = {}

    async def ask(request: Request) -> Response:
        subject, params = request.path_params.get("subject", ""), request.query_params
        if query.missing and not subject:
            raise Refused(400, query.missing)
        state = state_of(params.get("dc", ""))
        expression = params.get("filter", "")
        keep = compile_filter(expression, query.example) if expression else None
        question = Question(subject, params, keep)
        await block(request, state.changes, query.topics_of(subject), rng)
        asked = [item for item in params.multi_items() if item[0] not in _WAITING]
        key = (state.node, subject, *asked)
        revision, body = cached.get(key, (-1, b""))
        if revision != state.changes.revision:
            body = bytes(as_json(query.answer(state, question)).body)
            if len(cached) >= _CACHED_ANSWERS:
                cached.clear()
            cached[key] = (state.changes.revision, body)
        headers = index_headers(state.changes)
        return Response(body, 200, headers, "application/json")

    path = query.path + "{subject:path}" if query.path.endswith("/") else query.path
    return Route(path, answers(ask), methods=["GET"])


def service_routes(state: State) -> list[BaseRoute]:
    """`/v1/agent/service...`: what runs on this node."""

    async def register(request: Request) -> Response:
        definition = read_service(await read_json(request))
        replace = request.query_params.get("replace-existing-checks", "false") in ("", "true")
        state.catalogue.register(definition, replace_checks=replace)
        return done()

    async def deregister(request: Request) -> Response:
        state.catalogue.deregister(request.path_params["id"])
        return done()

    async def maintenance(request: Request) -> Response:
        service_id = request.path_params.get("id")
        if service_id == "":
            raise Refused(400, "Missing service ID")
        reason = request.query_params.get("reason", "")
        state.catalogue.maintain(service_id, enable=_enable(request), reason=reason)
        return done()

    async def services(request: Request) -> Response:
        known = state.catalogue.services.items()
        views = {key: agent_service_view(state.node, service) for key, service in known}
        return _filtered(request, views, {**SERVICE_EXAMPLE, "Datacenter": ""})

    async def service(request: Request) -> Response:
        service_id = request.path_params["id"]
        if service_id not in state.catalogue.services:
            raise Refused(404, f"unknown service ID: {service_id}")
        return as_json(agent_service_view(state.node, state.catalogue.services[service_id]))

    return [
        Route("/v1/agent/service/register", answers(register), methods=["PUT"]),
        Route("/v1/agent/service/deregister/{id:path}", answers(deregister), methods=["PUT"]),
        Route("/v1/agent/service/maintenance/{id:path}", answers(maintenance), methods=["PUT"]),
        Route("/v1/agent/maintenance", answers(maintenance), methods=["PUT"]),
        Route("/v1/agent/services", answers(services), methods=["GET"]),
        Route("/v1/agent/service/{id:path}", answers(service), methods=["GET"]),
    ]


def check_routes(state: State) -> list[BaseRoute]:
    """`/v1/agent/check...`: registering checks, and the heartbeats of TTL checks."""

    async def register(request: Request) -> Response:
        state.catalogue.add_check(read_check(await read_json(request)))
        return done()

    async def deregister(request: Request) -> Response:
        state.catalogue.remove_check(request.path_params["id"])
        return done()

    def heartbeat(status: str) -> Route:
        async def beat(request: Request) -> Response:
            note = request.query_params.get("note", "")
            state.runner.heartbeat(request.path_params["id"], status, note)
            return done()

        verb = {"passing": "pass", "warning": "warn", "critical": "fail"}[status]
        return Route(f"/v1/agent/check/{verb}/{{id:path}}", answers(beat), methods=["PUT"])

    async def update(request: Request) -> Response:
        fields = Fields(await read_json(request), "checkUpdate")
        status = fields.text("Status")
        if status not in STATUSES:
            raise Refused(400, f"Invalid check status: '{status}'")
        state.runner.heartbeat(request.path_params["id"], status, fields.text("Output"))
        return done()

    async def checks(request: Request) -> Response:
        known = state.catalogue.checks.items()
        views = {key: check_view(state.node, check) for key, check in known}
        return _filtered(request, views, CHECK_EXAMPLE)

    return [
        Route("/v1/agent/check/register", answers(register), methods=["PUT"]),
        Route("/v1/agent/check/deregister/{id:path}", answers(deregister), methods=["PUT"]),
        *(heartbeat(status) for status in STATUSES),
        Route("/v1/agent/check/update/{id:path}", answers(update), methods=["PUT"]),
        Route("/v1/agent/checks", answers(checks), methods=["GET"]),
    ]


def _filtered(request: Request, views: dict[str, Any], example: Any) -> Response:
    expression = request.query_params.get("filter", "")
    if expression:
        keep = compile_filter(expression, example)
        views = {key: view for key, view in views.items() if keep(view)}
    return as_json(views)


def _enable(request: Request) -> bool:
    if "enable" not in request.query_params:
        raise Refused(400, "Missing value for enable")
    raw = request.query_params["enable"]
    try:
        return boolean(raw)
    except ValueError:
        raise Refused(400, f'Invalid value for enable: "{raw}"') from None
