"""Look up and check codes: those that the gateway defines, and those of others that its resources have.

https://hl7.org/fhir/R4/valueset-operation-expand.html, https://hl7.org/fhir/R4/codesystem-operation-lookup.html,
https://hl7.org/fhir/R4/codesystem-operation-validate-code.html,
https://hl7.org/fhir/R4/valueset-operation-validate-code.html. Of the systems of others only the codes that the mappings
use are known: that another one is wrong is never said.
Proved by tests/gateway/fhir_api/definitions/test_terminology.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.definitions.defined import code_systems, value_sets
from gateway.fhir_api.facade import facade
from gateway.fhir_api.http.headers import fhir_answer, negotiated
from gateway.fhir_api.http.query import Parameters, value_of
from gateway.fhir_api.operations.operation_input import inputs
from gateway.fhir_api.served import Operation
from gateway.index.escaping import token
from gateway.runtime import clock
from gateway.runtime.request_errors import BadRequest, NotSupported, ResourceNotFound
from mappings.codes import (
    DIAGNOSTIC_IMAGING_STUDY,
    DICOM_DCM,
    DICOM_MODALITY,
    HL70074,
    LOINC,
    OBSERVATION_CATEGORY,
    RADIOLOGY_CATEGORY,
    RADIOLOGY_OBSERVATION,
    SECTION_LOINC,
    V2_0074,
)
from mappings.fhir.datatypes import json_bytes
from mappings.values.dates import fhir_instant

Json = dict[str, Any]
Handler = Callable[[Request], Awaitable[Response]]
_MOST: Final = 1_000
_LOINC: Final = (DIAGNOSTIC_IMAGING_STUDY, RADIOLOGY_CATEGORY, RADIOLOGY_OBSERVATION, *SECTION_LOINC.values())


class _System(NamedTuple):
    """Code system: its name, and code -> display and definition. `is_whole`: there are no other codes."""

    name: str
    is_whole: bool
    codes: Mapping[str, tuple[str, str]]


_OF_OTHERS: Final = {
    LOINC: _System("LOINC", False, {code: (said, "") for code, said in _LOINC}),
    DICOM_DCM: _System("DCM", False, {code: (code, "") for code in DICOM_MODALITY.values()}),
    V2_0074: _System("V2_0074", False, {code: (code, "") for code in ("RAD", *HL70074.values())}),
    OBSERVATION_CATEGORY: _System(
        "ObservationCategory", False, {"imaging": ("Imaging", ""), "vital-signs": ("Vital Signs", "")}
    ),
}


@lru_cache(maxsize=8)
def _systems(canonical: str) -> Mapping[str, _System]:
    """Return every code system by its URL; `canonical` is the base of the site's own definitions."""
    own = {
        one["url"]: _System(
            one["name"],
            one["content"] == "complete",
            {row["code"]: (row.get("display", row["code"]), row.get("definition", "")) for row in one["concept"]},
        )
        for one in code_systems(canonical)
    }
    return {**own, **_OF_OTHERS}


def expand(row: Operation, resource_type: str) -> Handler:
    """Make the handler of `ValueSet/$expand` and `ValueSet/[id]/$expand`: all codes, or those that a filter finds."""

    async def handle(request: Request) -> Response:
        given = await inputs(request, row)
        value_set = _value_set(request, given)
        url = value_set["compose"]["include"][0]["system"]
        wanted = (value_of(given, "filter") or "").casefold()
        found = [
            {"system": url, "code": code, "display": display}
            for code, (display, meaning) in _systems(_canonical(request))[url].codes.items()
            if any(wanted in text.casefold() for text in (code, display, meaning))
        ]
        offset, count = _number(given, "offset", 0), _number(given, "count", _MOST)
        expansion: Json = {"timestamp": fhir_instant(clock.now()), "total": len(found), "offset": offset}
        if page := found[offset : offset + count]:
            expansion["contains"] = page
        return await _answer(request, given, {**value_set, "expansion": expansion})

    return handle


def lookup(row: Operation, resource_type: str) -> Handler:
    """Make the handler of `CodeSystem/$lookup`: the display and the definition of a code."""

    async def handle(request: Request) -> Response:
        given = await inputs(request, row)
        url, code = _coding(given, value_of(given, "system"))
        system = _systems(_canonical(request)).get(url)
        if system is None or code not in system.codes:
            raise ResourceNotFound("the gateway neither defines nor uses such a code")
        display, meaning = system.codes[code]
        said = [_parameter("name", system.name), _parameter("display", display)]
        if meaning:
            parts = [{"name": "code", "valueCode": "definition"}, _parameter("value", meaning)]
            said.append({"name": "property", "part": parts})
        return await _parameters(request, given, said)

    return handle


def validate_code(row: Operation, resource_type: str) -> Handler:
    """Make the handler of `$validate-code` of a CodeSystem or a ValueSet, by its URL or its id."""

    async def handle(request: Request) -> Response:
        given, canonical = await inputs(request, row), _canonical(request)
        if resource_type == "ValueSet":
            url = _value_set(request, given)["compose"]["include"][0]["system"]
        else:
            url = _own(request, given, code_systems(canonical), is_other=True)["url"]
        (of, code), system = _coding(given, value_of(given, "system") or url), _systems(canonical)[url]
        known, display = system.codes.get(code), value_of(given, "display")
        if of != url:
            return await _parameters(request, given, _refused("the code is of another system"))
        if known is None and not system.is_whole:
            raise ResourceNotFound("the gateway does not know all codes of this system, and not this one")
        if known is None:
            return await _parameters(request, given, _refused("the system has no such code"))
        if display is not None and display.casefold() != known[0].casefold():
            said = [*_refused("the code has another display"), _parameter("display", known[0])]
            return await _parameters(request, given, said)
        return await _parameters(
            request, given, [{"name": "result", "valueBoolean": True}, _parameter("display", known[0])]
        )

    return handle


def _canonical(request: Request) -> str:
    return facade(request).site.canonical


def _value_set(request: Request, given: Parameters) -> Json:
    return _own(request, given, value_sets(_canonical(request)))


def _own(request: Request, given: Parameters, every: list[Json], *, is_other: bool = False) -> Json:
    """Return the definition that the path or `url` names; with `is_other`, also a system of others.

    Raises:
        BadRequest: nothing is named.
        ResourceNotFound: there is none.
    """
    by_id, url = request.path_params.get("id"), (value_of(given, "url") or "").partition("|")[0]
    if by_id is None and not url:
        coded, bar, _ = (value_of(given, "coding") or "").partition("|")
        url = coded if bar and is_other else ""
    if by_id is None and not url:
        raise BadRequest("url is needed", expression="http.url")
    if is_other and url in _OF_OTHERS:
        return {"url": url}
    found = next((one for one in every if by_id == one["id"] or (by_id is None and url == one["url"])), None)
    if found is None:
        raise ResourceNotFound("it is neither of this gateway, nor has the gateway a code of it")
    return found


def _coding(given: Parameters, url: str | None) -> tuple[str, str]:
    """Return the system and the code that `coding`, or `code` and a system, name.

    Raises:
        BadRequest: one of them is missing.
    """
    coding, code = value_of(given, "coding"), value_of(given, "code")
    if coding is not None:
        url, code = token(coding)
    if not code or not url:
        raise BadRequest("a code with its system is needed: code and system, or coding", expression="http.code")
    return url, code


def _number(given: Parameters, name: str, usual: int) -> int:
    text = value_of(given, name)
    if text is None:
        return usual
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_MOST)):
        raise NotSupported(f"{name}: a whole number up to {_MOST}", expression=f"http.{name}")
    return int(text)


def _parameter(name: str, text: str) -> Json:
    return {"name": name, "valueString": text}


def _refused(reason: str) -> list[Json]:
    return [{"name": "result", "valueBoolean": False}, _parameter("message", reason)]


async def _parameters(request: Request, given: Parameters, said: list[Json]) -> Response:
    return await _answer(request, given, {"resourceType": "Parameters", "parameter": said})


async def _answer(request: Request, given: Parameters, resource: Json) -> Response:
    negotiated(request, given)
    return await fhir_answer(request, given, json_bytes(resource))
