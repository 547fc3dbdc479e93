"""`$validate`: check a resource by the same rules that the gateway's own resources must pass before they are served.

https://hl7.org/fhir/R4/resource-operation-validate.html, decision D2. The answer is 200 with an OperationOutcome, even
if the resource has faults. An invalid request is refused like any other. The worker for long computations parses and
judges: the worst body takes seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.fetching import current
from gateway.fhir_api.http.body import check_media_type, parsed, whole_body
from gateway.fhir_api.http.headers import fhir_answer, negotiated
from gateway.fhir_api.http.outcome import MAPPING_ISSUES, Issue, Severity, canonical_of, outcome
from gateway.fhir_api.http.query import FORMATS, Parameters, parameters
from gateway.fhir_api.operations.operation_input import formats
from gateway.fhir_api.served import BY_TYPE, Operation
from gateway.runtime.computing import computed_apart
from gateway.runtime.request_errors import BadRequest, NotSupported
from mappings.fhir.datatypes import json_bytes
from mappings.fhir.judge import judge
from mappings.issues import MappingIssue

MOST_BYTES: Final = 2**20
MOST_ISSUES: Final = 100
_R4: Final = "http://hl7.org/fhir/StructureDefinition/"
_MODES: Final = ("create", "update", "delete", "profile")
# Fault -> issue type; https://hl7.org/fhir/R4/valueset-issue-type.html
_ISSUE_TYPES: Final = {
    "fhir-structure": "structure",
    "fhir-empty": "structure",
    "fhir-mandatory": "required",
    "fhir-binding": "code-invalid",
    "fhir-base64": "value",
    "fhir-reference": "value",
    "fhir-string": "value",
    "fhir-uri": "value",
}
# The judge raises these when a value has another JSON type than its element
_OTHER_KIND: Final = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
_OF_SERVERS: Final = frozenset({"versionId", "lastUpdated"})
_NO_ID: Final = MappingIssue("fhir-mandatory", "error", "/id", "the resource breaks this rule")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Inputs of `$validate`; `resource` is None to validate the stored one in the path."""

    resource: Mapping[str, Any] | None
    mode: str
    profile: str


def validate(row: Operation, resource_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of POST [base]/[type]/$validate and POST [base]/[type]/[id]/$validate."""

    async def handle(request: Request) -> Response:
        given = parameters(request)
        negotiated(request, given)
        body = await whole_body(request, MOST_BYTES)
        check_media_type(request, body)
        resource_id = request.path_params.get("id", "")
        found: _Asked | list[Issue]
        if body:
            found = await computed_apart(_found, row, given, body, resource_type, resource_id)
        else:
            found = _read_inputs(row, given, None)
        if isinstance(found, _Asked):
            if not resource_id:
                raise BadRequest("there is no resource to look at, neither in the body nor at the address")
            _check(found, resource_type)
            resource = (await current(request, resource_type, resource_id)).version.resource
            found = await computed_apart(_issues, found, resource, resource_id)
        reported = found or [Issue("information", "informational", "no faults were found", "no-faults")]
        return await fhir_answer(request, formats(given), json_bytes(outcome(reported, canonical_of(request.scope))))

    return handle


def _found(
    row: Operation, given: Parameters, body: bytes, resource_type: str, resource_id: str
) -> _Asked | list[Issue]:
    """Return the issues of the resource in the body; without a body, those of the stored resource."""
    asked = _read_inputs(row, given, parsed(body))
    if asked.resource is None:
        return asked
    _check(asked, resource_type)
    return _issues(asked, asked.resource, resource_id)


def _issues(asked: _Asked, resource: Mapping[str, Any], resource_id: str) -> list[Issue]:
    """Return the issues of a resource, up to the limit."""
    issues = [*_mode_issues(asked.mode), *_id_issues(resource, resource_id), *_profile_issues(resource, asked.profile)]
    if len(issues) <= MOST_ISSUES:
        return issues
    more = Issue("information", "informational", f"{len(issues) - MOST_ISSUES} more are not shown", "cut")
    return [*issues[:MOST_ISSUES], more]


def _read_inputs(row: Operation, given: Parameters, body: Any) -> _Asked:
    """Parse the resource and the inputs from the query string and the body.

    Raises:
        BadRequest: the body is neither a resource nor Parameters with one.
        NotSupported: an input is unknown.
    """
    texts = {name: value for name, value in given if name not in FORMATS}
    resource = body
    if isinstance(body, dict) and body.get("resourceType") == "Parameters":
        resource = None
        for number, parameter in enumerate(_rows(body)):
            if parameter["name"] == "resource":
                resource = parameter.get("resource")
            else:
                texts[parameter["name"]] = _text(parameter, number)
    unknown = texts.keys() - {one.name for one in row.inputs if one.type != "Resource"}
    if unknown:
        raise NotSupported(f"${row.name} has a parameter that it does not take")
    if resource is not None and not isinstance(resource, dict):
        raise BadRequest("the body: expected a resource, or Parameters with one")
    return _Asked(resource, texts.get("mode", ""), texts.get("profile", ""))


def _rows(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = body.get("parameter", [])
    are_named = isinstance(rows, list) and all(
        isinstance(one, dict) and isinstance(one.get("name"), str) for one in rows
    )
    if not are_named:
        raise BadRequest("expected parameters with a name each", expression="Parameters.parameter")
    return list(rows)


def _text(row: Mapping[str, Any], number: int) -> str:
    values = [value for key, value in row.items() if key.startswith("value")]
    if len(values) != 1 or not isinstance(values[0], str):
        raise BadRequest("expected one value, a text", expression=f"Parameters.parameter[{number}]")
    return str(values[0])


def _check(asked: _Asked, resource_type: str) -> None:
    """Refuse a request with a bad mode, an unknown profile, or another resource type."""
    if asked.mode not in {"", *_MODES}:
        raise BadRequest(f"mode: expected one of {', '.join(_MODES)}", expression="http.mode")
    if asked.mode == "profile" and not asked.profile:
        raise BadRequest("mode=profile needs a profile", expression="http.profile")
    offered = (_R4 + resource_type, *BY_TYPE[resource_type].profiles)
    if asked.profile and asked.profile not in offered:
        raise NotSupported(f"profile: those of this type are {', '.join(offered)}", expression="http.profile")
    if asked.resource is not None and asked.resource.get("resourceType") != resource_type:
        raise BadRequest(f"expected a {resource_type}", expression="resourceType")


def _mode_issues(mode: str) -> Iterator[Issue]:
    """Yield an issue for create, update and delete: the gateway does not offer them."""
    if mode not in {"", "profile"}:
        yield Issue("error", "not-supported", f"{mode} is not offered: resources are made in AutoScribe", "no-writes")


def _id_issues(resource: Mapping[str, Any], resource_id: str) -> Iterator[Issue]:
    if resource_id and resource.get("id", resource_id) != resource_id:
        kind = resource["resourceType"]
        yield Issue("error", "invalid", "not the id of the address", "other-id", expression=f"{kind}.id")


def _profile_issues(resource: Mapping[str, Any], profile: str) -> list[Issue]:
    """Validate the resource as one that claims the profile; a missing id is no fault, since a server assigns it."""
    try:
        faults = judge(_claiming(resource, profile))
    except _OTHER_KIND:
        return [Issue("error", "structure", "a value is of another kind than its element", "fhir-kind")]
    kind = str(resource["resourceType"])
    return [_issue(one, kind) for one in dict.fromkeys(faults) if one != _NO_ID]


def _claiming(resource: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """Add the profile to `meta.profile`, and remove the `meta` elements that a server sets."""
    meta = {key: value for key, value in resource.get("meta", {}).items() if key not in _OF_SERVERS}
    if profile and not profile.startswith(_R4):
        meta["profile"] = list(dict.fromkeys([*meta.get("profile", ()), profile]))
    bare = {key: value for key, value in resource.items() if key != "meta"}
    return {**bare, "meta": meta} if meta else bare


def _issue(fault: MappingIssue, kind: str) -> Issue:
    is_narrative = (fault.code, fault.pointer) == ("fhir-mandatory", "/text")
    severity: Severity = "warning" if is_narrative else "error"
    code = _ISSUE_TYPES.get(fault.code, "invariant")
    place = _expression(kind, fault.pointer)
    return Issue(severity, code, fault.action, fault.code, expression=place, system=MAPPING_ISSUES)


def _expression(kind: str, pointer: str) -> str:
    """Convert a JSON pointer to FHIRPath, up to the first step that is no index or element name."""
    made = kind
    for step in pointer.split("/")[1:]:
        if step.isdigit():
            made += f"[{step}]"
        elif step.isidentifier():
            made += f".{step.removeprefix('_')}"
        else:
            break
    return made
