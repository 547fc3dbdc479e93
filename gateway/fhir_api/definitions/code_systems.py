"""Build the CodeSystem and the ValueSet resources of the gateway's own codes.

https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/valueset.html, decision D44.
Proved by tests/gateway/fhir_api/definitions/test_defined.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.audit.audit_event import COMMANDS as NOTED_COMMANDS
from gateway.fhir_api.definitions.own_codes import COMMANDS, MAPPING_CODES, error_codes
from gateway.fhir_api.http.outcome import ERRORS, MAPPING_ISSUES
from mappings.fhir.extensions import code_system_url

Json = dict[str, Any]
# Id -> (name, title, description, content). A site's own rules add codes of mapping issues: `rule-` and their name
_SYSTEMS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    ERRORS: ("GatewayError", "Codes of answers", "Why a request failed, or what to know of its answer.", "complete"),
    MAPPING_ISSUES: (
        "GatewayMappingIssue",
        "Codes of mapping issues",
        "What could not be mapped as it came. Rules of receivers have codes of their own beside these: rule- and the "
        "name of the rule.",
        "fragment",
    ),
    NOTED_COMMANDS: (
        "GatewayCommand",
        "Commands in the audit",
        "Commands of an operator that the audit notes, with hyphens for blanks.",
        "complete",
    ),
}


def _concepts() -> dict[str, list[Json]]:
    def defined(codes: Mapping[str, str]) -> list[Json]:
        return [{"code": code, "definition": meaning} for code, meaning in codes.items()]

    return {
        ERRORS: defined(error_codes()),
        MAPPING_ISSUES: defined(MAPPING_CODES),
        NOTED_COMMANDS: [{"code": one.replace(" ", "-"), "display": one} for one in COMMANDS],
    }


def code_systems(canonical: str) -> list[Json]:
    """Build every CodeSystem of the gateway; `canonical` is the base of the site's own definitions."""
    concepts = _concepts()
    return [
        {
            "resourceType": "CodeSystem",
            "id": name,
            "url": code_system_url(canonical, name),
            "name": row[0],
            "title": row[1],
            "status": "active",
            "description": row[2],
            "caseSensitive": True,
            "valueSet": _value_set_url(canonical, name),
            "content": row[3],
            "concept": concepts[name],
        }
        for name, row in _SYSTEMS.items()
    ]


def value_sets(canonical: str) -> list[Json]:
    """Build the ValueSet of all codes of each CodeSystem of the gateway."""
    return [
        {
            "resourceType": "ValueSet",
            "id": name,
            "url": _value_set_url(canonical, name),
            "name": f"{row[0]}Codes",
            "title": row[1],
            "status": "active",
            "description": row[2],
            "compose": {"include": [{"system": code_system_url(canonical, name)}]},
        }
        for name, row in _SYSTEMS.items()
    ]


def _value_set_url(canonical: str, name: str) -> str:
    return f"{canonical}/ValueSet/{name}"
