"""The documentation page of a service, drawn from its OpenAPI document, without any network.

Leaves out: trying calls from the page; each operation shows the line for curl instead.
"""

from collections.abc import Iterator
from html import escape
from typing import Any

import orjson

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
summary { cursor: pointer; padding: .3rem 0 } code, pre { font-family: ui-monospace, monospace }
pre { background: #8881; padding: .6rem; overflow-x: auto } .method { font-weight: bold }
td, th { text-align: left; padding: .1rem 1rem .1rem 0 }
"""


def docs_page(openapi: dict[str, Any]) -> str:
    """One HTML page: every operation with its parameters, its body and its answer."""
    title = escape(openapi["info"]["title"])
    operations = "".join(_operation(openapi, *found) for found in _operations(openapi))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>"
        f'<p>The same as a document for machines: <a href="openapi.json">openapi.json</a></p>'
        f"{operations}</html>"
    )


def _operations(openapi: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in openapi.get("paths", {}).items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _operation(openapi: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [_parameters(operation.get("parameters", []))]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        parts.append("<h4>Body</h4>" + _schema(openapi, body["schema"]))
    for status, response in operation["responses"].items():
        for media, content in response.get("content", {}).items():
            parts.append(f"<h4>{escape(status)} {escape(media)}</h4>")
            parts.append(_schema(openapi, content.get("schema", {})))
    curl = f"curl -X {method} {path}" + (" -d '...'" if body else "")
    return (
        f'<details><summary><span class="method">{method}</span> <code>{escape(path)}</code> '
        f"{escape(operation.get('summary', ''))}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p><pre>{escape(curl)}</pre>"
        f"{''.join(parts)}</details>"
    )


def _parameters(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{p['in']}</td>"
        f"<td>{escape(str(p['schema'].get('type', '')))}</td>"
        f"<td>{'required' if p.get('required') else 'optional'}</td></tr>"
        for p in parameters
    )
    return f"<table>{rows}</table>"


def _schema(openapi: dict[str, Any], schema: dict[str, Any]) -> str:
    resolved = orjson.dumps(_resolve(openapi, schema), option=orjson.OPT_INDENT_2).decode()
    return f"<pre>{escape(resolved)}</pre>"


def _resolve(openapi: dict[str, Any], node: Any) -> Any:
    if isinstance(node, list):
        return [_resolve(openapi, one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        return _resolve(openapi, openapi["components"]["schemas"][name])
    return {key: _resolve(openapi, value) for key, value in node.items() if key != "title"}
