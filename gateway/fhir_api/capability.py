"""The CapabilityStatement, built from the same tables that routes and searches use.

https://hl7.org/fhir/R4/capabilitystatement.html, https://hl7.org/fhir/R4/http.html#capabilities.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from importlib.metadata import distributions
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.authentication import Authentication, authentication_of
from gateway.auth.smart_configuration import Endpoints
from gateway.fhir_api.audit.audited import trail_of
from gateway.fhir_api.audit.events import AUDIT_EVENT, SEARCHED
from gateway.fhir_api.batch_entries import MOST_ENTRIES
from gateway.fhir_api.definitions.ig_package import guide_url
from gateway.fhir_api.definitions.interactions import SEARCHED as SEARCHED_DEFINITIONS
from gateway.fhir_api.facade import Facade, base, facade
from gateway.fhir_api.http.headers import (
    answer,
    converted,
    etag,
    is_indented,
    is_unchanged,
    negotiated,
    not_modified,
)
from gateway.fhir_api.http.query import RESULT_PARAMETERS, parameters, value_of
from gateway.fhir_api.search.result_parameters import includes_of, revincludes_of
from gateway.fhir_api.served import DEFINITIONS, OPERATIONS, RESOURCES, Served
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import offered_of
from gateway.index.sorting import sort_keys_of
from gateway.runtime.request_errors import NotSupported
from mappings.fhir.datatypes import json_bytes
from mappings.values.dates import fhir_instant

_NAME: Final = "autoscribe-gateway"
FHIR_VERSION: Final = "4.0.1"
US_CORE_SERVER: Final = "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server"
_US_CORE_GUIDE: Final = "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|6.1.0"
NOT_SUPPORTED: Final = (
    "Not supported: create, update, patch and delete (reports are made in AutoScribe; US Core asks for create of "
    "DiagnosticReport and DocumentReference), transactions, search across types, "
    "addresses, race, ethnicity and death of patients (AutoScribe does not have them){}. XML is written, "
    "and not read: bodies are JSON. A parameter that is not known is left out and named in an OperationOutcome; with "
    "Prefer: handling=strict it is refused. A parameter, modifier or chain of FHIR that is not offered is always "
    "refused. A search that nothing narrows is refused."
)
NO_LOGIN: Final = ", and authentication: the gateway listens on this machine only"
_MOST_KEPT: Final = 16
_COMPARTMENT: Final = "http://hl7.org/fhir/CompartmentDefinition/patient"
_SECURITY_SERVICES: Final = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_R4: Final = "http://hl7.org/fhir/SearchParameter/"
_BATCH: Final = (
    f"GETs, each answered as if it came alone: reads, searches, and operations that change nothing; at most "
    f"{MOST_ENTRIES}. Any other method is answered 405 in its place."
)
_MEANINGS: Final = (
    "meta.lastUpdated is the instant at which the gateway stored a version, strictly increasing in the order of "
    "storing: who asks for _lastUpdated=gt the last one seen misses nothing. A date without a zone is of {zone}. "
    "Until all of AutoScribe was looked at once, and when that is too long ago, an answer says incomplete; Age says "
    "how old it is; Cache-Control: no-cache in a request asks AutoScribe. A chain follows up to two references, and "
    "_has goes back by any reference that is listed here. The case of a code counts, except in LOINC. The history of a "
    "type and of the system has _since and _count, that of a resource _at, too; "
    "any other parameter of a history is refused."
)


class Metadata:
    """Handler of GET [base]/metadata; keeps what it made, since everybody may ask for it without a token (D40)."""

    def __init__(self) -> None:
        self._serving: Facade | None = None
        self._statements: dict[Hashable, bytes] = {}
        self._forms: dict[Hashable, bytes] = {}

    async def __call__(self, request: Request) -> Response:
        """Answer with the CapabilityStatement; the only `mode` offered is `full`.

        Raises:
            NotSupported: another `mode` is asked for.
        """
        given = parameters(request)
        if value_of(given, "mode") not in {None, "full"}:
            raise NotSupported("mode: only full is offered", expression="http.mode")
        login, has_audit = authentication_of(request.app.state), trail_of(request.scope) is not None
        if (serving := facade(request)) is not self._serving:
            self._serving, self._statements = serving, {}
        key = (base(request), login is None, login and login.endpoints, has_audit)
        body = self._statements.get(key)
        if body is None:
            whole = statement(base(request), serving, login, has_audit=has_audit)
            body = _kept(self._statements, key, json_bytes(whole))
        tag = etag(hashlib.sha256(body).hexdigest()[:32])
        if is_unchanged(request, tag):
            return not_modified(tag)
        form = negotiated(request, given)
        wanted = (body, form, is_indented(given))
        made = self._forms.get(wanted) or _kept(self._forms, wanted, bytes(await converted(*wanted)))
        return answer(request, made, headers=tag, media_type=form.value)


def _kept(made: dict[Hashable, bytes], key: Hashable, body: bytes) -> bytes:
    """Keep a rendered body; without a public URL there is one for each Host header, so only the last few stay."""
    if len(made) >= _MOST_KEPT:
        made.clear()
    made[key] = body
    return body


def statement(
    fhir_base: str, serving: Facade, login: Authentication | None = None, *, has_audit: bool = False
) -> dict[str, Any]:
    """Build the CapabilityStatement of the facade at a FHIR base; without `login`, it has no authentication."""
    documentation = f"{NOT_SUPPORTED.format('' if login else NO_LOGIN)} {_MEANINGS.format(zone=serving.zone)}"
    audit = [_audit()] if has_audit else []
    resources = [_resource(row, serving.site.canonical, has_words=serving.has_words) for row in RESOURCES]
    claims = {"instantiates": [US_CORE_SERVER]} if serving.claims_us_core else {}
    named = software()
    own_guide = "|".join([guide_url(serving.site.canonical), *([named["version"]] if "version" in named else [])])
    return {
        "resourceType": "CapabilityStatement",
        "url": f"{fhir_base}/metadata",
        **({"version": named["version"]} if "version" in named else {}),
        "name": "AutoscribeGateway",
        "title": _NAME,
        "status": "active",
        "date": fhir_instant(serving.started.replace(microsecond=0)),
        "description": "Radiology reports signed in AutoScribe.",
        "kind": "instance",
        **claims,
        "software": named,
        "implementation": {"description": "FHIR R4 facade in front of AutoScribe", "url": fhir_base},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json", "json", "application/fhir+xml", "xml"],
        "implementationGuide": [_US_CORE_GUIDE, own_guide],
        "rest": [
            {
                "mode": "server",
                "documentation": documentation,
                **({"security": _security(login.endpoints)} if login else {}),
                "resource": [*resources, *map(_definitions, DEFINITIONS), *audit],
                "interaction": [{"code": "batch", "documentation": _BATCH}, {"code": "history-system"}],
                "compartment": [_COMPARTMENT],
            }
        ],
    }


def _security(endpoints: Endpoints | None) -> dict[str, Any]:
    """Build `rest.security` as SMART App Launch names it, with the login addresses that are known."""
    coding = {"system": _SECURITY_SERVICES, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}
    urls = {"token": endpoints.token, "authorize": endpoints.authorize} if endpoints else {}
    parts = [{"url": name, "valueUri": url} for name, url in urls.items() if url]
    return {
        **({"extension": [{"url": _OAUTH_URIS, "extension": parts}]} if parts else {}),
        "service": [{"coding": [coding]}],
    }


def software() -> dict[str, str]:
    """Name and version of the gateway; a checkout that is not installed has no version."""
    installed = next(iter(distributions(name=_NAME)), None)
    return {"name": _NAME, "version": installed.version} if installed else {"name": _NAME}


def _resource(row: Served, canonical: str, *, has_words: bool) -> dict[str, Any]:
    kind = row.resource_type
    made: dict[str, Any] = {"type": kind}
    if row.profiles:
        made["supportedProfile"] = list(row.profiles)
    made["documentation"] = f"Ids: {row.ids}. {row.documentation}"
    if row.is_binary:
        return {**made, "interaction": [{"code": "read"}], "versioning": "no-version", "readHistory": False}
    made["interaction"] = [
        {"code": code} for code in ("read", "vread", "history-instance", "history-type", "search-type")
    ]
    made |= {"versioning": "versioned", "readHistory": True, "updateCreate": False}
    made["conditionalRead"] = "full-support"
    made["searchInclude"] = list(includes_of(kind))
    made["searchRevInclude"] = list(revincludes_of(kind))
    made["searchParam"] = [_parameter(one, canonical) for one in offered_of(kind, has_words=has_words)]
    made["documentation"] += " Result parameters: " + " ".join(
        f"{name}: {documentation}" for name, documentation in RESULT_PARAMETERS.items()
    )
    made["documentation"] += f" Keys of _sort: {', '.join(sort_keys_of(kind))}."
    made["operation"] = _operations(kind, canonical)
    return {key: value for key, value in made.items() if value != []}


def _operations(kind: str, canonical: str) -> list[dict[str, str]]:
    return [
        {"name": one.name, "definition": one.url(canonical), "documentation": one.documentation}
        for one in OPERATIONS
        if kind in one.resource_types
    ]


def _definitions(row: Served) -> dict[str, Any]:
    """Build the entry of a definition type, such as CodeSystem: read and search, without versions."""
    operations = _operations(row.resource_type, "")  # which are R4's
    return {
        "type": row.resource_type,
        "documentation": f"Ids: {row.ids}. {row.documentation}",
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "readHistory": False,
        "searchParam": [
            {"name": name, "type": kind, "definition": _R4 + end}
            for name, (kind, end, _) in SEARCHED_DEFINITIONS[row.resource_type].items()
        ],
        **({"operation": operations} if operations else {}),
    }


def _audit() -> dict[str, Any]:
    """Build the entry of AuditEvent: read and search, for clients with its scope."""
    return {
        "type": AUDIT_EVENT,
        "documentation": "Who saw which data of which patient, newest first. It needs a scope that names the type.",
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "no-version",
        "readHistory": False,
        "searchParam": [
            {
                "name": name,
                "definition": _R4 + ("Resource-id" if name == "_id" else f"AuditEvent-{name}"),
                "type": kind,
                "documentation": meaning,
            }
            for name, (kind, meaning) in SEARCHED.items()
        ],
    }


def _parameter(row: Parameter, canonical: str) -> dict[str, str]:
    offered = [*row.modifiers, *row.targets] if row.type == "reference" else list(row.modifiers)
    details = f" Modifiers: {', '.join(offered)}." if offered else ""
    details += f" Chains: {', '.join(row.chains)}." if row.chains else ""
    return {
        "name": row.name,
        "definition": row.url(canonical),
        "type": row.type,
        "documentation": row.documentation + details,
    }
