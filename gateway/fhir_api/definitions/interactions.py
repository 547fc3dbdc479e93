"""Serve the gateway's own definitions: read by id, and search by the parameters of a table.

https://hl7.org/fhir/R4/http.html#read, https://hl7.org/fhir/R4/resource.html#canonical. Definitions have no versions.
Proved by tests/gateway/fhir_api/definitions/test_interactions.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.definitions.defined import defined
from gateway.fhir_api.facade import base, facade, seal, unseal
from gateway.fhir_api.http.bundle import searchset
from gateway.fhir_api.http.headers import etag, fhir_answer, fhir_conditional, is_strict
from gateway.fhir_api.http.outcome import Issue
from gateway.fhir_api.http.query import COUNT, FORMATS, PAGE, Parameters, count_of, parameters, value_of
from gateway.fhir_api.served import DEFINITIONS
from gateway.index.escaping import alternatives, unescaped
from gateway.index.standard import is_standard
from gateway.runtime.request_errors import BadRequest, NotSupported, ResourceNotFound
from gateway.store.studies.search import Version
from mappings.fhir.datatypes import json_bytes

Handler = Callable[[Request], Awaitable[Response]]
# Search parameter -> its kind, the end of the URL of R4's definition, and what it finds
_OF_EVERY_TYPE: Final = {
    "_id": ("token", "Resource-id", "id"),
    "name": ("string", "conformance-name", "name"),
    "status": ("token", "conformance-status", "status"),
}
_CANONICAL: Final = {
    "url": ("uri", "conformance-url", "url"),
    "version": ("token", "conformance-version", "version"),
}
_OF_TYPE: Final = {
    "OperationDefinition": {**_CANONICAL, "code": ("token", "OperationDefinition-code", "code")},
    "SearchParameter": {
        **_CANONICAL,
        "base": ("token", "SearchParameter-base", "resource type"),
        "code": ("token", "SearchParameter-code", "code"),
        "type": ("token", "SearchParameter-type", "type"),
    },
    "StructureDefinition": {**_CANONICAL, "type": ("uri", "StructureDefinition-type", "type")},
    "CodeSystem": _CANONICAL,
    "ValueSet": _CANONICAL,
    "NamingSystem": {
        "kind": ("token", "NamingSystem-kind", "kind"),
        "value": ("string", "NamingSystem-value", "URI"),
    },
}
SEARCHED: Final[Mapping[str, Mapping[str, tuple[str, str, str]]]] = {
    row.resource_type: _OF_EVERY_TYPE | _OF_TYPE[row.resource_type] for row in DEFINITIONS
}


def definition(resource_type: str) -> Handler:
    """Make the handler of GET [base]/[type]/[id] for a type of definitions."""

    async def handle(request: Request) -> Response:
        given, wanted = parameters(request), request.path_params["id"]
        resource = next((one for one in _all(request, resource_type) if one["id"] == wanted), None)
        if resource is None:
            raise ResourceNotFound(f"this gateway defines no such {resource_type}")
        body = json_bytes(resource)
        return await fhir_conditional(request, given, body, etag(hashlib.sha256(body).hexdigest()[:32]))

    return handle


def definitions(resource_type: str) -> Handler:
    """Make the handler of GET [base]/[type]?… for a type of definitions: a searchset of the matches, in pages."""

    async def handle(request: Request) -> Response:
        given = parameters(request)
        asked, start = _asked(request, resource_type, given)
        resources, ignored = _matches(request, resource_type, asked)
        if ignored and is_strict(request):
            raise NotSupported(ignored[0].diagnostics, expression=ignored[0].expression)
        count, total = count_of(asked), len(resources)
        page = resources[start : start + count]
        links = {"self": _address(request, resource_type, given)}
        if count and start + count < total:
            state = {"q": _used(resource_type, asked), "n": start + count}
            sealed = (PAGE, seal(request, state, resource_type))
            links["next"] = _address(request, resource_type, (*(one for one in given if one[0] in FORMATS), sealed))
        matches = [Version(f"{resource_type}/{one['id']}", 1, 0, json_bytes(one)) for one in page]
        canonical = facade(request).site.canonical
        body = searchset(base(request), links, matches, (), ignored, total=total, canonical=canonical)
        return await fhir_answer(request, given, body)

    return handle


def _asked(request: Request, resource_type: str, given: Parameters) -> tuple[Parameters, int]:
    """Return the parameters of a search (from its page token, if any), and how many matches come before the page.

    Raises:
        NotSupported: beside the token of a page stands anything but the size of the page and the format.
    """
    token = value_of(given, PAGE)
    if token is None:
        return given, 0
    for name, _ in given:
        if name not in {PAGE, COUNT, *FORMATS}:
            raise NotSupported(f"{name}: a page is one of the search that it was given out for")
    state = unseal(request, token, resource_type)
    return (*((name, value) for name, value in state["q"]), *given), state["n"]


def _used(resource_type: str, asked: Parameters) -> Parameters:
    """Return the parameters that decide which matches a page has."""
    return tuple(pair for pair in asked if pair[0] in {*SEARCHED[resource_type], COUNT})


def _address(request: Request, resource_type: str, given: Parameters) -> str:
    """Return the address of a page, with the parameters that are used, or with its token."""
    shown = [pair for pair in given if pair[0] in {*SEARCHED[resource_type], COUNT, PAGE, *FORMATS}]
    here = f"{base(request)}/{resource_type}"
    return f"{here}?{urlencode(shown, safe=':')}" if shown else here


def _matches(request: Request, resource_type: str, asked: Parameters) -> tuple[Sequence[dict[str, Any]], list[Issue]]:
    """Return the definitions that a search finds, and a warning for each ignored parameter.

    Raises:
        NotSupported: R4 defines the parameter or the modifier, and it is not offered.
        BadRequest: a value is malformed.
    """
    searched, resources, ignored = SEARCHED[resource_type], _all(request, resource_type), []
    for name, value in asked:
        plain = name.partition(":")[0]
        if plain in searched and name != plain:
            raise NotSupported(f"{plain}: this modifier is not offered", expression=f"http.{plain}")
        if name in searched:
            wanted = _wanted(name, searched[name][0], value)
            resources = [one for one in resources if _is_found(one, name, searched[name][0], wanted)]
        elif is_standard(resource_type, plain):
            problem = f"{plain}: not offered here for {resource_type}; offered: {', '.join(searched)}"
            raise NotSupported(problem, expression=f"http.{plain}")
        elif name not in {COUNT, PAGE, *FORMATS}:
            diagnostics = "this parameter is not known here and is not used"
            ignored.append(
                Issue("warning", "not-supported", diagnostics, "parameter-ignored", expression=f"http.{plain}")
            )
    return resources, ignored


def _all(request: Request, resource_type: str) -> Sequence[dict[str, Any]]:
    return defined(facade(request).site.canonical)[resource_type]


def _wanted(name: str, kind: str, value: str) -> Sequence[str]:
    """Split a search value at its commas.

    Raises:
        BadRequest: a code has its system before it.
    """
    if kind == "token" and "|" in value:
        raise BadRequest(f"{name}: expected a code without its system", expression=f"http.{name}")
    return [unescaped(one) for one in alternatives(value)]


def _is_found(resource: Mapping[str, Any], name: str, kind: str, wanted: Sequence[str]) -> bool:
    """True if a definition matches a search parameter: a string by its start in any case, all else exactly."""
    value = resource.get(name.removeprefix("_"), ())
    values = [value] if isinstance(value, str) else value
    if name == "value":
        values = [one["value"] for one in resource["uniqueId"]]
    if kind == "string":
        starts = tuple(one.casefold() for one in wanted)
        return any(one.casefold().startswith(starts) for one in values)
    return not set(wanted).isdisjoint(values)
