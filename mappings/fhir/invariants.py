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
_MARKUP: Final = re.compile(r"<[^<>]*>|&[^;&<\s]*;?|[<>]")
_ROOT: Final = '<div xmlns="http://www.w3.org/1999/xhtml">'
_OPENING: Final = {_ROOT: "</div>", "<p>": "</p>", "<b>": "</b>", "<pre>": "</pre>"}
_ALONE: Final = frozenset({"<br/>", "&amp;", "&lt;", "&gt;"})


def _is_string(value: str) -> bool:
    """A FHIR string: not empty, not white space alone, nothing that XML cannot hold, within the limit."""
    if value.isprintable():
        return bool(value) and not value.isspace()
    return not value.isspace() and len(value) <= STRING_LIMIT and not _NOT_XML.search(value)


def _one_of(codes: str) -> Check:
    return frozenset(codes.split()).__contains__, "fhir-binding"


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
    if not value.startswith(_ROOT) or not value.endswith("</div>") or _NOT_XML.search(value):
        return False
    awaited: list[str] = []
    for token in _MARKUP.findall(value):
        if token in _OPENING:
            awaited.append(_OPENING[token])
        elif token not in _ALONE and not (awaited and awaited.pop() == token):
            return False
    return not awaited and bool(_MARKUP.sub("", value).strip())


_STRING: Final[Check] = (_is_string, "fhir-string")
_CODE: Final[Check] = (re.compile(r"\S+(\s\S+)*").fullmatch, "fhir-code")
_URI: Final[Check] = (re.compile(r"\S+").fullmatch, "fhir-uri")
_DATE_TIME: Final[Check] = (
    re.compile(rf"{_YEAR}(-(0[1-9]|1[0-2]|{_DAY}(T{_CLOCK})?))?", re.ASCII).fullmatch,
    "fhir-date-time",
)
_INSTANT: Final[Check] = (re.compile(rf"{_YEAR}-{_DAY}T{_CLOCK}", re.ASCII).fullmatch, "fhir-instant")
_BASE64: Final[Check] = (_is_base64, "fhir-base64")
_BINARY: Final[Check] = (re.compile(r"Binary/[A-Za-z0-9\-.]{1,64}").fullmatch, "fhir-reference")

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
    "reference": (
        re.compile(
            "(Patient|Organization|Practitioner|ImagingStudy|DiagnosticReport|Observation)/[A-Za-z0-9.-]{1,64}"
        ).fullmatch,
        "fhir-reference",
    ),
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
    "presentedForm": {"url": _BINARY},
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
# Element -> what it may refer to
_TARGETS: Final = {
    "subject": "Patient/",
    "managingOrganization": "Organization/",
    "onBehalfOf": "Organization/",
    "imagingStudy": "ImagingStudy/",
    "result": "Observation/",
    "target": "DiagnosticReport/",
    "resultsInterpreter": "Practitioner/",
}


def faults(resource: Json) -> tuple[MappingIssue, ...]:
    """Every rule the resource breaks, as an error with a JSON pointer into the resource; never a value."""
    kind = resource.get("resourceType", "")
    if kind not in RULES:
        return (_issue("fhir-resource-type", "/resourceType"),)
    return tuple(_issue(code, pointer) for code, pointer in (*_walk(resource, kind), *RULES[kind](resource)))


def _issue(code: str, pointer: str) -> MappingIssue:
    return MappingIssue(code, "error", pointer, "the resource breaks this rule")


def _walk(node: Json, parent: str) -> list[Fault]:
    """Faults below a node, with pointers from there: no pointer is made where nothing is wrong."""
    found: list[Fault] = []
    checks = _CHECKS.get(parent, _ANYWHERE)
    for key, value in node.items():
        kind = type(value)
        if kind is str:
            is_good, fault = checks.get(key, _STRING)
            if not is_good(value):
                found.append((fault, f"/{key}"))
        elif kind is dict or kind is list:
            below = _element(value, key) if kind is dict else _items(value, key)
            if below:
                found += [(code, f"/{key}{place}") for code, place in below]
        elif value is None or (kind is float and not isfinite(value)):
            found.append(("fhir-empty", f"/{key}"))
    return found


def _items(items: list[Any], key: str) -> list[Fault]:
    found: list[Fault] = [] if items else [("fhir-empty", "")]
    for index, item in enumerate(items):
        if type(item) is dict:
            below = _element(item, key)
            if below:
                found += [(code, f"/{index}{place}") for code, place in below]
        elif type(item) is not str or not _is_string(item):
            found.append(("fhir-string", f"/{index}"))
    return found


def _element(value: Json, key: str) -> list[Fault]:
    found = _walk(value, key) if value else [("fhir-empty", "")]
    if key in _ELEMENTS:
        found += _ELEMENTS[key](value)
    elif key in _TARGETS and not value.get("reference", _TARGETS[key]).startswith(_TARGETS[key]):
        found.append(("fhir-reference-target", ""))
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
