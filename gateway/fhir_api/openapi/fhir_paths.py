"""OpenAPI path items (methods, parameters, examples) for all paths of the FHIR API.

https://spec.openapis.org/oas/v3.1.1.html#path-item-object, https://hl7.org/fhir/R4/http.html. `x-examples` lists
requests that work as they are, as paths below the server.
Proved by tests/gateway/fhir_api/openapi/test_document.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.fhir_api.audit.events import AUDIT_EVENT
from gateway.fhir_api.audit.events import SEARCHED as AUDIT_SEARCHED
from gateway.fhir_api.batch_entries import MOST_ENTRIES
from gateway.fhir_api.definitions.interactions import SEARCHED
from gateway.fhir_api.facade import MOUNT
from gateway.fhir_api.http.query import FORM, MAX_NAME_LENGTH, NAME, PAGE, RESULT_PARAMETERS
from gateway.fhir_api.http.summary import SUMMARIES
from gateway.fhir_api.openapi.examples import RECEIVER, SINCE, Examples
from gateway.fhir_api.operations.addendum_steps import ACTS
from gateway.fhir_api.operations.hl7v2 import ER7
from gateway.fhir_api.operations.idempotency import HEADER
from gateway.fhir_api.search.result_parameters import VALUES
from gateway.fhir_api.served import (
    BY_TYPE,
    DEFINITIONS,
    IN_COMPARTMENT,
    OF_DEFINITIONS,
    OPERATIONS,
    RESOURCES,
    Input,
    Operation,
    Served,
)
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import offered_of, parameters_of

Json = dict[str, Any]
FHIR_TYPES: Final = ("application/fhir+json", "application/fhir+xml")
# Operation -> media types of its answer beside those of FHIR
_OTHER_TYPES: Final = {"trace": ("text/plain",), "hl7v2": (ER7,)}
_SCHEMAS: Final = {"boolean": "boolean", "integer": "integer"}
# Result parameter -> all its values, where they can be listed
_LISTED: Final = {**VALUES, "_summary": SUMMARIES}
# Parameter names with a modifier or a chain, which the form schema does not list one by one
_OTHER_NAMES: Final = {
    "additionalProperties": {"type": "string"},
    "propertyNames": {"pattern": f"^{NAME.pattern}$", "maxLength": MAX_NAME_LENGTH},
}
_READS: Final = ("_format", "_pretty", "_summary", "_elements")
_PAGES: Final = ("_count", PAGE, "_format", "_pretty")


def fhir_paths(examples: Examples) -> Json:
    """Build every path below the server, with its methods."""
    paths: Json = {MOUNT: {"post": _batch(examples)}, f"{MOUNT}/metadata": {"get": _metadata()}}
    paths[f"{MOUNT}/_history"] = {"get": _history("The versions of all resources, the newest first.", "server", MOUNT)}
    for row in RESOURCES:
        paths |= _type_paths(row, examples)
    for kind in IN_COMPARTMENT:
        paths[f"{MOUNT}/Patient/{{id}}/{kind}"] = {"get": _of_patient(kind, examples)}
    for operation in OPERATIONS:
        for resource_type, address in operation.addresses():
            paths[MOUNT + address] = _operation_item(operation, resource_type, address, examples)
    for row in DEFINITIONS:
        paths |= _definition_paths(row)
    return paths | _audit_paths()


def request(summary: str, tag: str, parameters: Sequence[Json], answers: Json, **more: Any) -> Json:
    """Build an operation object; every other status than those in `answers` is an OperationOutcome."""
    failed = {"description": "What is wrong, and what to do about it.", "content": content("OperationOutcome")}
    shown = {"parameters": list(parameters)} if parameters else {}
    return {"tags": [tag], "summary": summary, **shown, **more, "responses": {**answers, "default": failed}}


def content(schema: str, others: Sequence[str] = ()) -> Json:
    """Build a content object: a resource in the FHIR formats, and other text media types."""
    of_fhir = {kind: {"schema": {"$ref": f"#/components/schemas/{schema}"}} for kind in FHIR_TYPES}
    return of_fhir | {kind: {"schema": {"type": "string"}} for kind in others}


def _ok_answer(schema: str, others: Sequence[str] = ()) -> Json:
    return {"200": {"description": schema, "content": content(schema, others)}}


def _metadata() -> Json:
    summary = "The CapabilityStatement, made from the tables the code runs on."
    examples = {"x-examples": [f"{MOUNT}/metadata", f"{MOUNT}/metadata?_format=xml"]}
    return request(summary, "server", _results(("_format", "_pretty")), _ok_answer("Resource"), **examples)


def _batch(examples: Examples) -> Json:
    urls = ["metadata", *(f"{kind}/{one}" for kind, one in examples.ids.items() if kind != "Binary")]
    rows = [{"request": {"method": "GET", "url": url}} for url in urls]
    example = {"resourceType": "Bundle", "type": "batch", "entry": rows}
    summary = f"A batch of at most {MOST_ENTRIES} GETs, each answered as if it came alone."
    return request(
        summary, "server", _results(("_format", "_pretty")), _ok_answer("Bundle"), requestBody=_body(example)
    )


def _body(example: Json | None, *, is_needed: bool = True) -> Json:
    shown = {"example": example} if example else {}
    schema = {"schema": {"$ref": "#/components/schemas/Resource"}}
    return {"required": is_needed, "content": {"application/fhir+json": {**schema, **shown}}}


def _type_paths(row: Served, examples: Examples) -> Json:
    kind = row.resource_type
    here, example_id = f"{MOUNT}/{kind}", examples.ids.get(kind)
    instance, by_id = f"{here}/{{id}}", _id(row.ids, example_id)
    shown = {"x-examples": [f"{here}/{example_id}"]} if example_id else {}
    if row.is_binary:
        others = ("application/pdf", "text/plain")
        summary = f"Read. Ids: {row.ids}. {row.documentation}"
        return {instance: {"get": request(summary, kind, [by_id], _ok_answer("Resource", others), **shown)}}
    history, version = f"{instance}/_history", f"{instance}/_history/{{version}}"
    number = {"name": "version", "in": "path", "required": True, "schema": {"type": "string"}, "example": "1"}
    of_history = {"x-examples": [f"{here}/{example_id}/_history"]} if example_id else {}
    of_version = {"x-examples": [f"{here}/{example_id}/_history/1"]} if example_id else {}
    since = [
        query("_since", "Only what was stored then or later.", example=SINCE[2:]),
        query("_at", "Only what was current then.", example="2100-01-01"),
    ]
    reads, searches = _results(_READS), _example_searches(row, examples)
    parameters = [*_searches(kind, examples), *_all_results(kind, examples)]
    return {
        f"{here}/_history": {
            "get": _history("The versions of all resources of the type, the newest first.", kind, here)
        },
        here: {"get": request(f"Search. {row.documentation}", kind, parameters, _ok_answer("Bundle"), **searches)},
        f"{here}/_search": {"post": _form_search(row, examples)},
        instance: {"get": request(f"Read. Ids: {row.ids}.", kind, [by_id, *reads], _ok_answer("Resource"), **shown)},
        history: {
            "get": request(
                "Its versions, the newest first.",
                kind,
                [by_id, *since, *_results(_PAGES)],
                _ok_answer("Bundle"),
                **of_history,
            )
        },
        version: {"get": request("A version.", kind, [by_id, number, *reads], _ok_answer("Resource"), **of_version)},
    }


def _history(summary: str, tag: str, place: str) -> Json:
    """Describe the history of a type, or of all types."""
    since = query("_since", "Only what was stored then or later.", example=SINCE[2:])
    shown = {"x-examples": [f"{place}/_history?_count=5"]}
    return request(summary, tag, [since, *_results(_PAGES)], _ok_answer("Bundle"), **shown)


def _of_patient(kind: str, examples: Examples) -> Json:
    """Describe the search of a type within the compartment of a patient."""
    patient = examples.ids.get("Patient")
    shown = {"x-examples": [f"{MOUNT}/Patient/{patient}/{kind}"]} if patient else {}
    by_id = _id(BY_TYPE["Patient"].ids, patient)
    parameters = [
        by_id,
        *_searches(kind, examples),
        *(one for one in _all_results(kind, examples) if one["name"] != PAGE),
    ]
    return request("Search within the compartment of a patient.", kind, parameters, _ok_answer("Bundle"), **shown)


def _example_searches(row: Served, examples: Examples) -> Json:
    """Return example searches that find something."""
    kind = row.resource_type
    here, patient = f"{MOUNT}/{kind}", examples.ids.get("Patient")
    made = [f"{here}?_lastUpdated={SINCE}&_count=5"]
    if own := examples.ids.get(kind):
        made.append(f"{here}?_id={own}")
    if patient and any(one.name == "patient" and not one.shares for one in parameters_of(kind)):
        made.append(f"{here}?patient={patient}&_total=accurate")
    if patient and kind == "DiagnosticReport":
        made.append(f"{here}?patient={patient}&category=http://loinc.org|LP29684-5&date={SINCE}&_sort=-date")
        made.append(f"{here}?patient={patient}&_include=DiagnosticReport:result&_revinclude=Provenance:target")
    return {"x-examples": made}


def _form_search(row: Served, examples: Examples) -> Json:
    kind = row.resource_type
    rows = [*_searches(kind, examples), *_all_results(kind, examples)]
    properties = {one["name"]: {**one["schema"], "description": one["description"]} for one in rows}
    schema = {"type": "object", "properties": properties, **_OTHER_NAMES}
    form = {"schema": schema, "example": {"_lastUpdated": SINCE, "_count": "5"}}
    body = {"required": False, "content": {FORM: form}}
    return request("The same search, its parameters in a form.", kind, [], _ok_answer("Bundle"), requestBody=body)


def query(name: str, description: str, *, example: str | None, kind: str = "string", needed: bool = False) -> Json:
    """Describe a query parameter."""
    shown = {} if example is None else {"example": example}
    needs = {"required": True} if needed else {}
    return {"name": name, "in": "query", "description": description, **needs, "schema": {"type": kind}, **shown}


def _id(ids: str, example_id: str | None) -> Json:
    shown = {"example": example_id} if example_id else {}
    schema = {"type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$"}
    return {"name": "id", "in": "path", "required": True, "description": ids, "schema": schema, **shown}


def _searches(kind: str, examples: Examples) -> Iterator[Json]:
    for one in offered_of(kind, has_words=examples.has_words):
        yield query(one.name, _parameter_text(one), example=examples.parameter(one))


def _parameter_text(one: Parameter) -> str:
    modifiers = f" Modifiers: {', '.join(one.modifiers)}." if one.modifiers else ""
    chains = f" Chains: {', '.join(one.chains)}." if one.chains else ""
    return f"({one.type}) {one.documentation}{modifiers}{chains}"


def _all_results(kind: str, examples: Examples) -> Iterator[Json]:
    for name, description in RESULT_PARAMETERS.items():
        yield _result(name, description, examples.result(kind, name))


def _results(names: Sequence[str]) -> list[Json]:
    """Describe result parameters, with examples that suit any resource type."""
    return [_result(name, RESULT_PARAMETERS[name], Examples().result("", name)) for name in names]


def _result(name: str, description: str, example: str | None) -> Json:
    """Describe a result parameter, listing its values if they are known."""
    schema = {"type": "string", **({"enum": sorted(_LISTED[name])} if name in _LISTED else {})}
    return {**query(name, description, example=example), "schema": schema}


def _operation_item(row: Operation, resource_type: str, address: str, examples: Examples) -> Json:
    """Build the path item of an operation, with all its methods."""
    example_id = examples.ids.get(resource_type)
    at = [_id((BY_TYPE | OF_DEFINITIONS)[resource_type].ids, example_id)] if "{id}" in address else []
    taken = [_input(one, examples) for one in row.inputs if one.type != "Resource"]
    answers = _ok_answer("Resource", _OTHER_TYPES.get(row.name, ()))
    if row.name in ACTS:
        at += [_header(HEADER, is_needed=True), _header("If-Match", is_needed=False)]
        answers |= dict.fromkeys(("201", "202"), answers["200"])
    made: Json = {}
    for method in row.methods:
        more: Json = {}
        if method == "GET":
            more = _example_request(row, address, example_id, examples)
        elif "GET" in row.methods or row.name == "validate":
            more["requestBody"] = _body(_EXAMPLES.get((row.name, resource_type)), is_needed=False)
        parameters = [*at, *(taken if method == "GET" or row.name == "validate" else ())]
        made[method.lower()] = request(row.documentation, resource_type, parameters, answers, **more)
    return made


# Inputs that are an alternative to another input, so that an example must name one
_ONE_OF: Final = frozenset({"receiver"})
# Example bodies that any gateway can answer
_EXAMPLES: Final[Mapping[tuple[str, str], Json]] = {
    ("validate", "Organization"): {"resourceType": "Organization", "id": "example", "active": True, "name": "Example"}
}


def _input(one: Input, examples: Examples) -> Json:
    patient = examples.ids.get("Patient")
    values = {"receiver": RECEIVER, "patient": patient, "_since": SINCE[2:], "_count": "10", "start": SINCE[2:]}
    kind = _SCHEMAS.get(one.type, "string")
    return query(one.name, one.documentation, example=values.get(one.name), kind=kind, needed=one.is_needed)


def _example_request(row: Operation, address: str, example_id: str | None, examples: Examples) -> Json:
    """Build an example request of an operation with its needed inputs; empty if there is no example id."""
    if example_id is None:
        return {}
    here = MOUNT + address.replace("{id}", example_id)
    needed = [_input(one, examples) for one in row.inputs if one.is_needed or one.name in _ONE_OF]
    asked = "&".join(f"{one['name']}={one['example']}" for one in needed if "example" in one)
    return {"x-examples": [f"{here}?{asked}" if asked else here]}


def _header(name: str, *, is_needed: bool) -> Json:
    return {"name": name, "in": "header", "required": is_needed, "schema": {"type": "string"}}


def _definition_paths(row: Served) -> Json:
    kind = row.resource_type
    here = f"{MOUNT}/{kind}"
    searched = [query(name, f"The {found} of one.", example=None) for name, (_, _, found) in SEARCHED[kind].items()]
    formats = _results(("_format", "_pretty"))
    every = request(row.documentation, "server", [*searched, *formats], _ok_answer("Bundle"), **{"x-examples": [here]})
    one = request(f"Ids: {row.ids}.", "server", [_id(row.ids, None), *formats], _ok_answer("Resource"))
    return {here: {"get": every}, f"{here}/{{id}}": {"get": one}}


def _audit_paths() -> Json:
    here, formats = f"{MOUNT}/{AUDIT_EVENT}", _results(("_format", "_pretty"))
    named = {"agent": "agent:identifier"}
    searched = [query(named.get(name, name), meaning, example=None) for name, (_, meaning) in AUDIT_SEARCHED.items()]
    summary = "Search the audit, newest first: who saw which data of which patient. It needs a scope of its own."
    every = request(summary, AUDIT_EVENT, [*searched, *_results(("_count", PAGE)), *formats], _ok_answer("Bundle"))
    by_id = _id("aud-<microseconds since 1970>-<16 hex>", None)
    one = request("Read an event of the audit.", AUDIT_EVENT, [by_id, *formats], _ok_answer("Resource"))
    return {here: {"get": every}, f"{here}/{{id}}": {"get": one}}
