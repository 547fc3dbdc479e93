"""The rules of R4 and US Core that the resource classes do not check, for the resources that we make.

https://hl7.org/fhir/R4/datatypes.html, https://hl7.org/fhir/R4/terminologies.html#strength (required bindings),
https://hl7.org/fhir/R4/references.html, https://hl7.org/fhir/R4/narrative.html, US Core 6.1.0 and 8.0.0 profiles.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable
from math import isfinite
from typing import Any, Final

from mappings.codes import DATA_ABSENT_REASON_EXTENSION
from mappings.fhir.datatypes import STRING_LIMIT, Json, base64_of
from mappings.fhir.resource_rules import RULES
from mappings.issues import MappingIssue

# What a string must be, and the fault if it is not
Check = tuple[Callable[[str], Any], str]
Fault = tuple[str, str]

_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_YEAR: Final = r"([1-9]\d{3}|0\d\d[1-9]|0\d[1-9]0|0[1-9]00)"
_DAY: Final = r"(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+\-]((0\d|1[0-3]):[0-5]\d|14:00))"
_ROOT: Final = 'div xmlns="http://www.w3.org/1999/xhtml"'
_OPENING: Final = {_ROOT: "/div", "p": "/p", "b": "/b", "pre": "/pre"}
_ENTITIES: Final = ("&amp;", "&lt;", "&gt;")


def _is_string(value: str) -> bool:
    """A FHIR string: not empty, not white space alone, nothing that XML cannot hold, within the limit."""
    return len(value) <= STRING_LIMIT and bool(value.strip()) and (value.isprintable() or _is_xml(value))


def _is_xml(value: str) -> bool:
    """No character that XML 1.0 cannot hold; printable lines, the common case, need no search."""
    return value.replace("\n", "").isprintable() or not _NOT_XML.search(value)


def _is_uri(value: str) -> bool:
    return bool(value) and value.isprintable() and " " not in value


def _is_code(value: str) -> bool:
    """No white space at the ends, single blanks inside."""
    return bool(value) and " ".join(value.split()) == value


def _one_of(codes: str) -> Check:
    return frozenset(codes.split()).__contains__, "fhir-binding"


def _reference(types: str) -> Check:
    """A relative address of one of these types: no other server, no fragment, no version."""
    return re.compile(rf"({types})/[A-Za-z0-9.-]{{1,64}}").fullmatch, "fhir-reference"


def _is_base64(value: str) -> bool:
    return _bytes(value) is not None


def _bytes(value: str) -> bytes | None:
    """The bytes of a base64Binary, or None unless they are written exactly so (no white space, no spare bits)."""
    try:
        data = b64decode(value)
    except ValueError:
        return None
    return data if data and base64_of(data) == value else None


def _is_narrative(value: str) -> bool:
    """Well-formed XHTML of the few elements we write, without attributes, scripts, links or images (txt-1, txt-2)."""
    before, *pieces = value.split("<")
    if before or not _is_xml(value) or value.count(">") != len(pieces):
        return False
    if value.count("&") != sum(map(value.count, _ENTITIES)):
        return False
    awaited: list[str] = []
    is_text = False
    for index, piece in enumerate(pieces):
        tag, closes, text = piece.partition(">")
        if tag in _OPENING and (tag == _ROOT) == (index == 0):
            awaited.append(_OPENING[tag])
        elif not closes or (tag != "br/" and not (awaited and awaited.pop() == tag)):
            return False
        is_text = is_text or bool(text.strip())
        if text and not awaited:
            return False
    return is_text and not awaited and pieces[-1] == "/div>"


_STRING: Final[Check] = (_is_string, "fhir-string")
_CODE: Final[Check] = (_is_code, "fhir-code")
_URI: Final[Check] = (_is_uri, "fhir-uri")
_DATE_TIME: Final[Check] = (
    re.compile(rf"{_YEAR}(-(0[1-9]|1[0-2]|{_DAY}(T{_CLOCK})?))?", re.ASCII).fullmatch,
    "fhir-date-time",
)
_INSTANT: Final[Check] = (re.compile(rf"{_YEAR}-{_DAY}T{_CLOCK}", re.ASCII).fullmatch, "fhir-instant")
_BASE64: Final[Check] = (_is_base64, "fhir-base64")

# Element name -> check, wherever it stands; any other string is a FHIR string
_ANYWHERE: Final[dict[str, Check]] = {
    "birthDate": (re.compile(rf"{_YEAR}(-(0[1-9]|1[0-2]|{_DAY}))?", re.ASCII).fullmatch, "fhir-date"),
    "code": _CODE,
    "contentType": _CODE,
    "creation": _DATE_TIME,
    "div": (_is_narrative, "fhir-narrative"),
    "effectiveDateTime": _DATE_TIME,
    "end": _DATE_TIME,
    "hash": _BASE64,
    "id": (re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch, "fhir-id"),
    "issued": _INSTANT,
    "recorded": _INSTANT,
    "reference": _reference("Patient|Organization|Practitioner|ImagingStudy|DiagnosticReport|Observation"),
    "start": _DATE_TIME,
    "started": _DATE_TIME,
    "system": _URI,
    "url": _URI,
    "valueCode": _CODE,
    "valueInstant": _INSTANT,
}
# (resource type or parent element) -> element -> check: required bindings, and where a name means another type.
# https://hl7.org/fhir/R4/valueset-<name>.html: diagnostic-report-status, observation-status, imagingstudy-status,
# administrative-gender, narrative-status, contact-point-system, provenance-entity-role, identifier-use, name-use
_STATUS: Final = "registered preliminary final amended corrected cancelled entered-in-error unknown"
_IN: Final[dict[str, dict[str, Check]]] = {
    "DiagnosticReport": {"status": _one_of(f"{_STATUS} partial appended")},
    "Observation": {"status": _one_of(_STATUS)},
    "ImagingStudy": {"status": _one_of("registered available cancelled entered-in-error unknown")},
    "Patient": {"gender": _one_of("male female other unknown")},
    "text": {"status": _one_of("generated extensions additional empty")},
    "telecom": {"system": _one_of("phone fax email pager url sms other")},
    "entity": {"role": _one_of("derivation revision quotation source removal")},
    "identifier": {"use": _one_of("usual official temp secondary old")},
    "name": {"use": _one_of("usual official temp nickname anonymous old maiden")},
    "presentedForm": {"url": _reference("Binary")},
    "subject": {"reference": _reference("Patient")},
    "managingOrganization": {"reference": _reference("Organization")},
    "onBehalfOf": {"reference": _reference("Organization")},
    "imagingStudy": {"reference": _reference("ImagingStudy")},
    "result": {"reference": _reference("Observation")},
    "resultsInterpreter": {"reference": _reference("Practitioner")},
    "target": {"reference": _reference("DiagnosticReport")},
}
_CHECKS: Final = {parent: {**_ANYWHERE, **checks} for parent, checks in _IN.items()}
# https://hl7.org/fhir/R4/valueset-data-absent-reason.html
_ABSENT: Final = frozenset(
    {
        *("unknown", "asked-unknown", "temp-unknown", "not-asked", "asked-declined", "masked", "not-applicable"),
        *("unsupported", "as-text", "error", "not-a-number", "negative-infinity", "positive-infinity"),
        *("not-performed", "not-permitted"),
    }
)


def faults(resource: Json) -> tuple[MappingIssue, ...]:
    """Every rule the resource breaks, as an error with a JSON pointer into the resource; never a value."""
    kind = resource.get("resourceType", "")
    if kind not in RULES:
        return (_issue("fhir-resource-type", "/resourceType"),)
    return tuple(_issue(code, pointer) for code, pointer in (*_walk(resource, kind), *RULES[kind](resource)))


def _issue(code: str, pointer: str) -> MappingIssue:
    return MappingIssue(code, "error", pointer, "the resource breaks this rule")


def _walk(node: Json, parent: str) -> list[Fault]:
    """Faults of a node and below, with pointers from there: no pointer is made where nothing is wrong."""
    found = _ELEMENTS[parent](node) if parent in _ELEMENTS else []
    if not node:
        found.append(("fhir-empty", ""))
    checks = _CHECKS.get(parent, _ANYWHERE)
    for key, value in node.items():
        kind = type(value)
        if kind is str:
            is_good, fault = checks.get(key, _STRING)
            if not is_good(value):
                found.append((fault, f"/{key}"))
        elif kind is dict:
            if below := _walk(value, key):
                found += [(code, f"/{key}{place}") for code, place in below]
        elif kind is list:
            if below := _items(value, key):
                found += [(code, f"/{key}{place}") for code, place in below]
        elif value is None or (kind is float and not isfinite(value)):
            found.append(("fhir-empty", f"/{key}"))
    return found


def _items(items: list[Any], key: str) -> list[Fault]:
    found: list[Fault] = [] if items else [("fhir-empty", "")]
    for index, item in enumerate(items):
        if type(item) is dict:
            if below := _walk(item, key):
                found += [(code, f"/{index}{place}") for code, place in below]
        elif type(item) is not str or not _is_string(item):
            found.append(("fhir-string", f"/{index}"))
    return found


def _contained(_: Json) -> list[Fault]:
    """US Core: resources are referred to, not contained."""
    return [("fhir-contained", "")]


def _extension(value: Json) -> list[Fault]:
    """ext-1: an address and one value (we nest no extensions); a data-absent-reason is of its value set."""
    found = []
    if len(value) != 2 or "url" not in value or not any(key.startswith("value") for key in value):
        found.append(("fhir-ext-1", ""))
    if value.get("url") == DATA_ABSENT_REASON_EXTENSION and value.get("valueCode") not in _ABSENT:
        found.append(("fhir-binding", "/valueCode"))
    return found


def _attachment(value: Json) -> list[Fault]:
    """att-1, and size and hash that are those of the data (https://hl7.org/fhir/R4/datatypes.html#Attachment)."""
    if "data" not in value:
        return []
    found = [] if "contentType" in value else [("fhir-att-1", "")]
    data = _bytes(value["data"])
    if data is None:
        return [*found, ("fhir-base64", "/data")]
    if value.get("size", len(data)) != len(data):
        found.append(("fhir-attachment-size", "/size"))
    if "hash" in value and value["hash"] != base64_of(hashlib.sha1(data, usedforsecurity=False).digest()):
        found.append(("fhir-attachment-hash", "/hash"))
    return found


_ELEMENTS: Final = {"extension": _extension, "presentedForm": _attachment, "contained": _contained}
