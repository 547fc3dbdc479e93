"""Serve OperationDefinition and SearchParameter resources for the gateway's own operations and search parameters.

https://hl7.org/fhir/R4/operationdefinition.html, https://hl7.org/fhir/R4/searchparameter.html. A client reads them by
id or searches them by `url` and `_id`. They have no versions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.facade import base
from gateway.fhir_api.http.bundle import searchset
from gateway.fhir_api.http.headers import etag, fhir_answer, fhir_conditional, is_strict
from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.http.query import parameters
from gateway.fhir_api.operations.operation_input import FORMATS
from gateway.fhir_api.served import OPERATIONS, Operation
from gateway.index.escaping import alternatives, unescaped
from gateway.index.parameter import Parameter
from gateway.index.parameters import PARAMETERS
from gateway.runtime.request_errors import NotSupported, ResourceNotFound
from gateway.store.studies.search import Version
from mappings.fhir.rendering import json_bytes

Handler = Callable[[Request], Awaitable[Response]]
_OWN: Final = "urn:autoscribe-gateway:"
_CHOICE: Final = re.compile(r"\.value[A-Z]\w*")  # FHIRPath names a choice of types `value`, without the type
# https://hl7.org/fhir/R4/valueset-search-comparator.html
_COMPARATORS: Final = ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap")
# Search parameter -> element of the definitions
SEARCHED: Final = {"_id": "id", "url": "url"}


def operation_definition(row: Operation) -> dict[str, Any]:
    """Build the OperationDefinition of one of the gateway's own operations."""
    inputs = [
        {
            "name": one.name,
            "use": "in",
            "min": int(one.is_needed),
            "max": one.most,
            "documentation": one.documentation,
            "type": one.type,
        }
        for one in row.inputs
    ]
    return {
        "resourceType": "OperationDefinition",
        "id": row.name,
        "url": row.definition,
        "name": _pascal(row.name),
        "title": f"${row.name}",
        "status": "active",
        "kind": "operation",
        "description": row.documentation,
        "affectsState": row.affects_state,
        "code": row.name,
        "resource": list(row.resource_types),
        "system": False,
        "type": "type" in row.levels,
        "instance": "instance" in row.levels,
        "parameter": [*inputs, {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"}],
    }


def search_parameter(row: Parameter) -> dict[str, Any]:
    """Build the SearchParameter of one of the gateway's own search parameters."""
    made: dict[str, Any] = {
        "resourceType": "SearchParameter",
        "id": row.definition.rpartition(":")[2],
        "url": row.definition,
        "name": _pascal(f"{row.resource_type}-{row.name}"),
        "status": "active",
        "description": row.documentation,
        "code": row.name,
        "base": [row.resource_type],
        "type": row.type,
        "expression": " | ".join(f"{row.resource_type}.{_CHOICE.sub('.value', path)}" for path in row.paths),
        "comparator": list(_COMPARATORS) if row.type == "date" else [],
        "modifier": list(row.modifiers),
    }
    return {key: value for key, value in made.items() if value not in ("", [])}


def _pascal(name: str) -> str:
    """Turn a hyphenated name into PascalCase, a valid identifier (opd-0, spd-0)."""
    return "".join(part[0].upper() + part[1:] for part in name.split("-"))


_ALL: Final[Mapping[str, list[dict[str, Any]]]] = {
    "OperationDefinition": [operation_definition(one) for one in OPERATIONS if one.is_own],
    "SearchParameter": [search_parameter(one) for one in PARAMETERS if one.definition.startswith(_OWN)],
}


def definition(resource_type: str) -> Handler:
    """Make the handler of GET [base]/OperationDefinition/[id] and [base]/SearchParameter/[id]."""

    async def handle(request: Request) -> Response:
        given, wanted = parameters(request), request.path_params["id"]
        resource = next((one for one in _ALL[resource_type] if one["id"] == wanted), None)
        if resource is None:
            raise ResourceNotFound(f"this gateway defines no such {resource_type}")
        body = json_bytes(resource)
        return await fhir_conditional(request, given, body, etag(hashlib.sha256(body).hexdigest()[:32]))

    return handle


def definitions(resource_type: str) -> Handler:
    """Make the handler of GET [base]/OperationDefinition?… and [base]/SearchParameter?…: a searchset of the matches."""

    async def handle(request: Request) -> Response:
        given, resources, ignored = parameters(request), _ALL[resource_type], []
        for name, value in given:
            plain = name.partition(":")[0]
            if plain in SEARCHED and name != plain:
                raise NotSupported(f"{plain}: this modifier is not offered", expression=f"http.{plain}")
            if name in SEARCHED:
                wanted = {unescaped(one) for one in alternatives(value)}
                resources = [one for one in resources if one[SEARCHED[name]] in wanted]
            elif name not in FORMATS:
                diagnostics = "this parameter is not known here and is not used"
                ignored.append(
                    Issue("warning", "not-supported", diagnostics, "parameter-ignored", expression=f"http.{plain}")
                )
        if ignored and is_strict(request):
            raise NotSupported(ignored[0].diagnostics, expression=ignored[0].expression)
        used = [pair for pair in given if pair[0] in SEARCHED]
        here = f"{base(request)}/{resource_type}"
        links = {"self": f"{here}?{urlencode(used, safe=':')}" if used else here}
        matches = [Version(f"{resource_type}/{one['id']}", 1, 0, json_bytes(one)) for one in resources]
        return await fhir_answer(
            request, given, searchset(base(request), links, matches, (), ignored, total=len(matches))
        )

    return handle
