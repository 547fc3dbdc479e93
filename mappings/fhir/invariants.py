"""Check our FHIR resources by rules of R4 and US Core that the library's R4B classes do not check.

https://hl7.org/fhir/R4/datatypes.html, https://hl7.org/fhir/R4/terminologies.html#strength (required bindings),
https://hl7.org/fhir/R4/references.html, https://hl7.org/fhir/R4/narrative.html, US Core 6.1.0 and 8.0.0 profiles.
Proved by tests/mappings/fhir/test_judge.py.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from mappings.codes import DATA_ABSENT_REASON_EXTENSION
from mappings.fhir.datatypes import STRING_LIMIT, Json, base64_of
from mappings.fhir.resource_types import CODES, RESOURCE_TYPES, ResourceType
from mappings.issues import MappingIssue

# Test of a string, and the fault if it fails
Check = tuple[Callable[[str], Any], str]
Fault = tuple[str, str]
Rule = Callable[[Json], list[Fault]]

_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT: Final = "[^<>&]*(?:&(?:amp|lt|gt);[^<>&]*)*"
_NARRATIVE: Final = re.compile(
    rf'<div xmlns="http://www\.w3\.org/1999/xhtml">(?:<p><b>(?=\s*[^<\s]){_TEXT}</b></p>){{1,2}}'
    rf'(?:<p>{_TEXT}(?:<br/>{_TEXT})*</p>)?(?:<pre style="white-space: pre-wrap">{_TEXT}</pre>)?</div>'
)


def _is_string(value: str) -> bool:
    """True for a FHIR string: not blank, no character that XML cannot hold, within the limit."""
    return len(value) <= STRING_LIMIT and bool(value.strip()) and (value.isprintable() or _is_xml(value))


def _is_xml(value: str) -> bool:
    """True if XML 1.0 can hold every character; printable lines, the common case, need no search."""
    return value.replace("\n", "").isprintable() or not _NOT_XML.search(value)


@lru_cache(maxsize=256)
def _is_uri(value: str) -> bool:
    return bool(value) and value.isprintable() and " " not in value


def _code_check(codes: str) -> Check:
    return frozenset(codes.split()).__contains__, "fhir-binding"


def _reference(types: str) -> Check:
    """Check for a relative address of one of these types: no other server, no fragment, no version."""
    return re.compile(rf"({types})/[A-Za-z0-9.-]{{1,64}}").fullmatch, "fhir-reference"


def _is_base64(value: str) -> bool:
    return _bytes(value) is not None


def _bytes(value: str) -> bytes | None:
    """Decode a base64Binary; None unless it is in canonical form (no white space, no spare bits)."""
    try:
        data = b64decode(value)
    except ValueError:
        return None
    return data if data and base64_of(data) == value else None


def _is_narrative(value: str) -> bool:
    """True for XHTML of exactly our form: alert, title, lines, text; no script, link or image (txt-1, txt-2)."""
    return _NARRATIVE.fullmatch(value) is not None and _is_xml(value)


STRING: Final[Check] = (_is_string, "fhir-string")
_URI: Final[Check] = (_is_uri, "fhir-uri")
# The classes check ids, codes, dates and instants: no further check is needed
CLASS: Final[Check] = (len, "fhir-string")

# Element name -> check, in any place; any other string is a FHIR string
_ANYWHERE: Final[dict[str, Check]] = {
    "authoredOn": CLASS,
    "birthDate": CLASS,
    "code": CLASS,
    "contentType": CLASS,
    "creation": CLASS,
    "data": CLASS,
    "date": CLASS,
    "div": (_is_narrative, "fhir-narrative"),
    "effectiveDateTime": CLASS,
    "end": CLASS,
    "hash": (_is_base64, "fhir-base64"),
    "id": CLASS,
    "issued": CLASS,
    "occurrenceDateTime": CLASS,
    "recorded": CLASS,
    "reference": _reference("|".join(RESOURCE_TYPES)),
    "resourceType": CLASS,
    "start": CLASS,
    "started": CLASS,
    "system": _URI,
    "url": _URI,
    "valueCode": CLASS,
    "valueInstant": CLASS,
}
# Parent element -> element -> check: required bindings, and names with another type in that place.
# https://hl7.org/fhir/R4/valueset-<name>.html: narrative-status, contact-point-system, provenance-entity-role,
# identifier-use, name-use, document-relationship-type, link-type
_IN: Final[dict[str, dict[str, Check]]] = {
    "relatesTo": {"code": _code_check("replaces transforms signs appends")},
    "text": {"status": _code_check("generated extensions additional empty")},
    "telecom": {"system": _code_check("phone fax email pager url sms other")},
    "entity": {"role": _code_check("derivation revision quotation source removal")},
    "identifier": {"use": _code_check("usual official temp secondary old")},
    "link": {"type": _code_check("replaced-by replaces refer seealso")},
    "other": {"reference": _reference("Patient")},
    "name": {"use": _code_check("usual official temp nickname anonymous old maiden")},
    "presentedForm": {"url": _reference("Binary")},
    "attachment": {"url": _reference("Binary")},
    "author": {"reference": _reference("Practitioner")},
    "basedOn": {"reference": _reference("ServiceRequest")},
    "encounter": {"reference": _reference("Encounter")},
    "contained": {"address": _URI, "status": _code_check("active suspended error off entered-in-error test")},
    "endpoint": {"reference": (re.compile("#(dicomweb|viewer)").fullmatch, "fhir-reference")},
    "custodian": {"reference": _reference("Organization")},
    "subject": {"reference": _reference("Patient")},
    "managingOrganization": {"reference": _reference("Organization")},
    "onBehalfOf": {"reference": _reference("Organization")},
    "organization": {"reference": _reference("Organization")},
    "practitioner": {"reference": _reference("Practitioner")},
    "imagingStudy": {"reference": _reference("ImagingStudy")},
    "result": {"reference": _reference("Observation")},
    "resultsInterpreter": {"reference": _reference("Practitioner")},
    "target": {"reference": _reference("DiagnosticReport|Observation|DocumentReference|Patient")},
}
# https://hl7.org/fhir/R4/valueset-data-absent-reason.html
_ABSENT: Final = frozenset(
    {
        *("unknown", "asked-unknown", "temp-unknown", "not-asked", "asked-declined", "masked", "not-applicable"),
        *("unsupported", "as-text", "error", "not-a-number", "negative-infinity", "positive-infinity"),
        *("not-performed", "not-permitted"),
    }
)


def faults(resource: Json, part: Json) -> tuple[MappingIssue, ...]:
    """Find every rule the resource breaks, as an error with a JSON pointer into the resource; never a value.

    `part` has the elements to check: all, or those that no earlier resource shares.
    """
    kind = resource.get("resourceType", "")
    row = RESOURCE_TYPES.get(kind)
    if row is None:
        return (_issue("fhir-resource-type", "/resourceType"),)
    broken = [*_walk(part, kind), *_of_whole(resource, row)]
    return tuple([_issue(code, pointer) for code, pointer in broken]) if broken else ()


def is_whole(resource: Json) -> bool:
    """True if the resource breaks no rule of its own type; `faults` checks the rest one object at a time."""
    row = RESOURCE_TYPES.get(resource.get("resourceType", ""))
    return row is not None and not any(_of_whole(resource, row))


def checks_of(parent: str) -> tuple[Rule | None, Mapping[str, Check]]:
    """Return the rule for objects in an element or resource of that name, and the checks of the strings in them."""
    return _PARENTS.get(parent, _PLAIN)


def _of_whole(resource: Json, row: ResourceType) -> Iterator[Fault]:
    if not resource.keys() >= _MANDATORY[row.name]:
        yield from (("fhir-mandatory", f"/{name}") for name in sorted(_MANDATORY[row.name] - resource.keys()))
    yield from row.rules(resource)


def _issue(code: str, pointer: str) -> MappingIssue:
    return MappingIssue(code, "error", pointer, "the resource breaks this rule")


def _walk(node: Json, parent: str) -> list[Fault]:
    """Find the faults of a node and below, with relative pointers: none is built if nothing is wrong."""
    rule, checks = checks_of(parent)
    broken = rule(node) if rule else []
    if not node:
        broken.append(("fhir-empty", ""))
    for key, value in node.items():
        kind = type(value)
        if kind is str:
            is_good, fault = checks.get(key, STRING)
            if not is_good(value):
                broken.append((fault, f"/{key}"))
        elif kind is dict:
            if below := _walk(value, key):
                broken += [(code, f"/{key}{place}") for code, place in below]
        elif kind is list:
            broken += _items(value, key)
        elif value is None:
            broken.append(("fhir-empty", f"/{key}"))
    return broken


def _items(items: list[Any], key: str) -> list[Fault]:
    broken: list[Fault] = [] if items else [("fhir-empty", f"/{key}")]
    for index, item in enumerate(items):
        if type(item) is dict:
            if below := _walk(item, key):
                broken += [(code, f"/{key}/{index}{place}") for code, place in below]
        elif type(item) is not str or not _is_string(item):
            broken.append(("fhir-string", f"/{key}/{index}"))
    return broken


def _contained(value: Json) -> list[Fault]:
    """Fault by US Core: resources are referred to, not contained; but for Endpoints, which the site's settings say."""
    return [] if value.get("resourceType") == "Endpoint" else [("fhir-contained", "")]


def _extension(value: Json) -> list[Fault]:
    """Check ext-1: a URL and one value (we nest no extensions); a data-absent-reason is of its value set."""
    broken = []
    if len(value) != 2 or "url" not in value or not any(key.startswith("value") for key in value):
        broken.append(("fhir-ext-1", ""))
    if value.get("url") == DATA_ABSENT_REASON_EXTENSION and value.get("valueCode") not in _ABSENT:
        broken.append(("fhir-binding", "/valueCode"))
    return broken


def _attachment(value: Json) -> list[Fault]:
    """Check att-1, and that size and hash match the data (https://hl7.org/fhir/R4/datatypes.html#Attachment)."""
    if "data" not in value:
        return []
    broken = [] if "contentType" in value else [("fhir-att-1", "")]
    data = _bytes(value["data"])
    if data is None:
        return [*broken, ("fhir-base64", "/data")]
    if value.get("size", len(data)) != len(data):
        broken.append(("fhir-attachment-size", "/size"))
    if "hash" in value and value["hash"] != base64_of(hashlib.sha1(data, usedforsecurity=False).digest()):
        broken.append(("fhir-attachment-hash", "/hash"))
    return broken


_ELEMENTS: Final = {
    "extension": _extension,
    "presentedForm": _attachment,
    "attachment": _attachment,
    "contained": _contained,
}
# Element -> its rule, and the checks of its children
_PLAIN: Final[tuple[Rule | None, dict[str, Check]]] = (None, _ANYWHERE)
_MANDATORY: Final = {name: frozenset({"id", "text", *row.mandatory.split()}) for name, row in RESOURCE_TYPES.items()}
_BINDINGS: Final = {
    kind: {element: _code_check(codes) for (owner, element), codes in CODES.items() if owner == kind}
    for kind in RESOURCE_TYPES
}
_PARENTS: Final = {
    parent: (_ELEMENTS.get(parent), {**_ANYWHERE, **_IN.get(parent, {}), **_BINDINGS.get(parent, {})})
    for parent in (*_IN, *_BINDINGS, *_ELEMENTS)
}
