"""The CapabilityStatement, made from the very tables the facade runs on.

https://hl7.org/fhir/R4/capabilitystatement.html, https://hl7.org/fhir/R4/http.html#capabilities.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from importlib.metadata import distributions
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.facade import base, facade
from gateway.fhir_api.headers import conditional, etag, pretty, require_json
from gateway.fhir_api.query import parameters
from gateway.fhir_api.search_params import INCLUDES, OF_REPORTS, PARAMETERS, RESULT_PARAMETERS
from gateway.fhir_api.served import NOTHING_STORED, OPERATIONS, RESOURCES, Served
from mappings.dates import fhir_instant
from mappings.fhir.rendering import json_bytes

_NAME: Final = "autoscribe-gateway"
FHIR_VERSION: Final = "4.0.1"
NOT_SUPPORTED: Final = (
    "Not supported, for now: search by patient, category or date (AutoScribe lists reports by study only, and there is "
    "no index yet), search of other types than DiagnosticReport, POST _search, paging, _sort, _count, _summary, "
    "_elements, _revinclude, chaining but for imagingStudy.identifier, vread, history, XML, batch, create, update, "
    "patch, delete, and authentication: the gateway listens on this machine only. A parameter that is not known is "
    "left out and named in an OperationOutcome; with Prefer: handling=strict it is refused."
)


async def capability(request: Request) -> Response:
    """GET [base]/metadata."""
    given = parameters(request)
    require_json(request, given)
    body = json_bytes(statement(base(request), facade(request).started))
    return conditional(request, pretty(body, given), etag(hashlib.sha256(body).hexdigest()[:32]))


def statement(fhir_base: str, started: datetime) -> dict[str, Any]:
    """The CapabilityStatement of the facade at that base; `started` is when it took up its work."""
    return {
        "resourceType": "CapabilityStatement",
        "name": "AutoscribeGateway",
        "title": _NAME,
        "status": "active",
        "date": fhir_instant(started.replace(microsecond=0)),
        "description": f"Radiology reports signed in AutoScribe, read through. {NOTHING_STORED}",
        "kind": "instance",
        "software": _software(),
        "implementation": {"description": "FHIR R4 facade in front of AutoScribe", "url": fhir_base},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "documentation": f"{NOT_SUPPORTED} meta.lastUpdated is the instant the gateway first saw that content.",
                "resource": [_resource(row) for row in RESOURCES],
            }
        ],
    }


def _software() -> dict[str, str]:
    """Name and version; a checkout that was never installed has no version to say."""
    installed = next(iter(distributions(name=_NAME)), None)
    return {"name": _NAME, "version": installed.version} if installed else {"name": _NAME}


def _resource(row: Served) -> dict[str, Any]:
    made: dict[str, Any] = {"type": row.resource_type}
    if row.profiles:
        made["supportedProfile"] = list(row.profiles)
    made["documentation"] = f"Ids: {row.ids}. {row.documentation}"
    made["interaction"] = [{"code": "read"}]
    made["versioning"] = "no-version" if row.source == "binary" else "versioned"
    made["readHistory"] = False
    if row.resource_type == OF_REPORTS:
        made["interaction"].append({"code": "search-type"})
        made["searchInclude"] = [f"{OF_REPORTS}:{name}" for name in INCLUDES]
        made["searchParam"] = [
            {"name": one.name, "definition": one.clause, "type": one.type, "documentation": one.documentation}
            for one in PARAMETERS
        ]
        made["documentation"] += " Result parameters: " + " ".join(
            f"{name}: {documentation}" for name, documentation in RESULT_PARAMETERS.items()
        )
        made["operation"] = [
            {
                "name": one.name,
                "definition": f"urn:autoscribe-gateway:OperationDefinition:{one.name}",
                "documentation": one.documentation,
            }
            for one in OPERATIONS
        ]
    return made
