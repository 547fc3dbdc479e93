"""Routes of the OpenAPI description: `/openapi.json` for programs, and `/docs` for people.

https://spec.openapis.org/oas/v3.1.1.html#openapi-object, https://html.spec.whatwg.org/multipage/,
https://www.w3.org/TR/CSP3/: the page has no scripts or external files, and the policy allows the style by its hash
only.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from html import escape
from typing import Any, Final, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gateway.fhir_api.facade import MOUNT, base
from gateway.fhir_api.openapi.examples import Examples, examples
from gateway.fhir_api.openapi.fhir_paths import Json, fhir_paths
from gateway.fhir_api.ops.routes import Ops
from gateway.runtime.metrics import ROUTE

_TITLE: Final = "autoscribe-gateway"
_DESCRIPTION: Final = (
    "Radiology reports signed in AutoScribe, as FHIR R4. Every error is an OperationOutcome. GET /fhir/metadata says "
    "the same as a CapabilityStatement."
)
_JSON: Final = "application/json"
# Path -> method, summary, media type of the answer
BESIDE: Final = {
    "/livez": ("get", "Whether the process is alive.", _JSON),
    "/readyz": ("get", "Whether it can serve, how complete its index is and how old.", _JSON),
    "/metrics": ("get", "Metrics for Prometheus.", "text/plain"),
    "/openapi.json": ("get", "This document.", _JSON),
    "/docs": ("get", "The same to be read by people.", "text/html"),
    "/webhooks/autoscribe": ("post", "What AutoScribe tells, signed as Standard Webhooks has it.", _JSON),
}


def document(server: str, version: str, examples: Examples) -> Json:
    """Build the document for a gateway at URL `server` (without a trailing slash)."""
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": version, "description": _DESCRIPTION},
        "servers": [{"url": server}],
        "paths": {**fhir_paths(examples), **{path: {row[0]: _path_item(path, row)} for path, row in BESIDE.items()}},
        "components": {"schemas": {name: _schema(name) for name in ("Resource", "Bundle", "OperationOutcome")}},
    }


def _path_item(path: str, row: tuple[str, str, str]) -> Json:
    method, summary, media_type = row
    answers: dict[str, Any] = {"200": {"description": summary, "content": {media_type: {}}}}
    if method != "get":
        answers["default"] = {"description": "Refused, with a code of ours.", "content": {media_type: {}}}
        body = {"required": True, "content": {_JSON: {"schema": {"type": "object"}}}}
        return {"tags": ["beside"], "summary": summary, "requestBody": body, "responses": answers}
    return {"tags": ["beside"], "summary": summary, "responses": answers, "x-examples": [path]}


def _schema(name: str) -> Json:
    """Build the schema of a FHIR resource; its content is left to the FHIR specification."""
    kind = {"type": "string"} if name == "Resource" else {"const": name}
    return {"type": "object", "required": ["resourceType"], "properties": {"resourceType": kind}}


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:.5em 0}td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0;"
    "border-top:1px solid #ccc}code{font-family:ui-monospace,monospace}summary{cursor:pointer;padding:.2em 0}"
    "details{margin-left:1em}a{overflow-wrap:anywhere}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


def page(document: Mapping[str, Any]) -> str:
    """Render the document as an HTML page."""
    info = document["info"]
    tags: dict[str, list[str]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tags.setdefault(operation["tags"][0], []).append(_request(method, path, operation))
    sections = "".join(f"<h2>{escape(tag)}</h2>{''.join(shown)}" for tag, shown in tags.items())
    title = escape(f"{info['title']} {info['version']}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1><p>{escape(info['description'])}</p>"
        f'<p>For programs: <a href="/openapi.json">/openapi.json</a></p>{sections}</body></html>'
    )


def _request(method: str, path: str, one: Mapping[str, Any]) -> str:
    head = f"<summary><code>{method.upper()} {escape(path)}</code></summary><p>{escape(one['summary'])}</p>"
    return f"<details>{head}{_links(one)}{''.join(_parameters(one))}</details>"


def _links(one: Mapping[str, Any]) -> str:
    """Render the example requests as links."""
    rows = "".join(
        f'<li><a href="{escape(example)}">{escape(example)}</a></li>' for example in one.get("x-examples", ())
    )
    return f"<p>Try:</p><ul>{rows}</ul>" if rows else ""


def _parameters(one: Mapping[str, Any]) -> Iterator[str]:
    rows = one.get("parameters", ())
    if not rows:
        return
    yield "<table><tr><th>parameter</th><th>in</th><th>means</th><th>example</th></tr>"
    for row in rows:
        cells = (
            f"<code>{escape(row['name'])}</code>",
            row["in"],
            escape(row.get("description", "")),
            f"<code>{escape(str(row.get('example', '')))}</code>",
        )
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table>"


def openapi_routes() -> list[Route]:
    """Build the two routes; `app.state` must have `facade` and `ops`."""
    return [Route(path, _handler(path, answer)) for path, answer in _ANSWERS.items()]


def _handler(path: str, answer: Callable[[Json], Response]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        request.scope[ROUTE] = path
        ops = cast(Ops, request.app.state.ops)
        return answer(document(_server(request), ops.version, await examples(request)))

    return handle


def _server(request: Request) -> str:
    """Return the server URL as clients see it: the FHIR base without `/fhir`, else from the request."""
    fhir_base = base(request)
    return (
        fhir_base.removesuffix(MOUNT) if fhir_base.endswith(MOUNT) else f"{request.url.scheme}://{request.url.netloc}"
    )


_ANSWERS: Final[dict[str, Callable[[Json], Response]]] = {
    "/openapi.json": JSONResponse,
    "/docs": lambda made: HTMLResponse(page(made), headers=HEADERS),
}
