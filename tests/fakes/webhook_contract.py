"""JSON schemas of the replies that AutoScribe's contract defines for its soft questions, and a check against them.

AutoScribe REST API, webhooks `patient_study.enrichment_requested`, `clinical_context.enrichment_requested`, with the
limits of `POST /v1/autoScribe/studies`. Made from the vendor's pages by hand, apart from the code that they judge.
"""

from __future__ import annotations

import re
from typing import Any

_DATE = {"type": "string", "pattern": r"\d{4}-\d{2}-\d{2}"}
_TEXT = {"type": "string", "minLength": 1}


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": most}


def _measure(*units: str) -> dict[str, Any]:
    value = {"type": "number", "minimum": 0}
    return {
        "type": "object",
        "required": ["unit", "value"],
        "additionalProperties": False,
        "properties": {"unit": {"type": "string", "enum": list(units)}, "value": value},
    }


ENRICHMENT_REPLY = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "dateOfBirth": _DATE,
        "expressCustomerId": {"type": "string", "pattern": "cus_[0-9a-f]{32}"},
        "externalPatientId": _TEXT,
        "facilityName": _TEXT,
        "height": _measure("in", "cm"),
        "mrn": _TEXT,
        "patientName": _TEXT,
        "procedure": _TEXT,
        "referringPhysicianName": _TEXT,
        "severity": {"type": "string", "enum": ["normal", "high", "stat"]},
        "sex": {"type": "string", "enum": ["male", "female", "other"]},
        "studyDate": _DATE,
        "studyDescription": _TEXT,
        "studyTime": {"type": "string", "pattern": r"\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?"},
        "weight": _measure("lbs", "kg"),
    },
}
_PRIOR = {
    "type": "object",
    "required": ["reportText"],
    "additionalProperties": False,
    "properties": {
        "reportText": _text(50_000),
        "externalStudyId": _text(256),
        "modality": _text(100),
        "studyDate": _DATE,
        "studyDescription": _text(1000),
    },
}
_DOCUMENT = {
    "type": "object",
    "required": ["content", "fileName"],
    "additionalProperties": False,
    "properties": {"content": {"type": "array", "items": {"type": "string"}}, "fileName": _TEXT},
}
CONTEXT_REPLY = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "clinicalIndication": _TEXT,
        "documents": {"type": "array", "items": _DOCUMENT},
        "priorReports": {"type": "array", "maxItems": 50, "items": _PRIOR},
        "technologistNotes": {"type": "array", "maxItems": 50, "items": _text(1000)},
        "technologistTechnique": _TEXT,
    },
}
_TYPES = {"object": dict, "array": list, "string": str, "number": (int, float)}


def faults(value: Any, schema: dict[str, Any], place: str = "") -> list[str]:
    """Return where a value breaks a schema; only the keywords above are known."""
    if not isinstance(value, _TYPES[schema["type"]]):
        return [f"{place}: no {schema['type']}"]
    if isinstance(value, dict):
        return _object_faults(value, schema, place)
    if isinstance(value, list):
        many = [f"{place}: too many"] if len(value) > schema.get("maxItems", len(value)) else []
        return many + [one for n, item in enumerate(value) for one in faults(item, schema["items"], f"{place}/{n}")]
    return _scalar_faults(value, schema, place)


def _object_faults(value: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    known = schema["properties"]
    found = [f"{place}/{key}: missing" for key in schema.get("required", ()) if key not in value]
    found += [f"{place}/{key}: unknown" for key in value if key not in known]
    return found + [
        one for key, item in value.items() if key in known for one in faults(item, known[key], f"{place}/{key}")
    ]


def _scalar_faults(value: Any, schema: dict[str, Any], place: str) -> list[str]:
    found = []
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            found.append(f"{place}: length")
        if "pattern" in schema and not re.fullmatch(schema["pattern"], value):
            found.append(f"{place}: form")
    if value not in schema.get("enum", [value]):
        found.append(f"{place}: code")
    if isinstance(value, (int, float)) and value < schema.get("minimum", value):
        found.append(f"{place}: too small")
    return found
