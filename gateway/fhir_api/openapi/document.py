"""The OpenAPI document: the FHIR paths, the other endpoints, and a minimal schema of resources.

https://spec.openapis.org/oas/v3.1.1.html#openapi-object.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.fhir_api.openapi.examples import Examples
from gateway.fhir_api.openapi.fhir_paths import Json, fhir_paths

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
