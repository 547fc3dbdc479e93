"""Build the gateway's own definitions (codes, systems, extensions, parameters) as FHIR resources below one base URL.

https://hl7.org/fhir/R4/operationdefinition.html, https://hl7.org/fhir/R4/searchparameter.html,
https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/valueset.html,
https://hl7.org/fhir/R4/structuredefinition.html (sdf-0: a name is an identifier of a programming language),
https://hl7.org/fhir/R4/defining-extensions.html, https://hl7.org/fhir/R4/namingsystem.html; decision D44. A
NamingSystem has no canonical URL; it is found by the system's own URI. These URIs stand in stored resources, searches
and HL7 v2, so they stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from gateway.audit.audit_event import CLIENTS, MESSAGES, REQUESTS
from gateway.audit.audit_event import COMMANDS as NOTED_COMMANDS
from gateway.audit.syslog_message import LINES
from gateway.fhir_api.definitions.own_codes import COMMANDS, MAPPING_CODES, error_codes
from gateway.fhir_api.http.outcome import ERRORS, MAPPING_ISSUES
from gateway.fhir_api.served import OPERATIONS, Operation
from gateway.index.parameter import Parameter
from gateway.index.parameter_lookup import PARAMETERS
from mappings import codes
from mappings.fhir.extensions import OWN_EXTENSIONS, OwnExtension, code_system_url, extension_url

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


def pascal(name: str) -> str:
    """Turn a hyphenated name into PascalCase, a valid identifier (opd-0, spd-0, sdf-0)."""
    return "".join(part[0].upper() + part[1:] for part in name.split("-"))


# A NamingSystem must have the date on which it was defined
_DEFINED: Final = "2026-11-28"
_HASHED: Final = " A colon and a hash of where the number comes from follow."
# URI -> what the identifiers are
SYSTEMS: Final[Mapping[str, str]] = {
    codes.SID_REPORT: "Ids of reports in AutoScribe.",
    codes.SID_STUDY: "Ids of studies in AutoScribe.",
    codes.SID_USER: "Ids of users in AutoScribe.",
    codes.SID_FACILITY: "Names of facilities in AutoScribe.",
    codes.SID_EXPRESS_CUSTOMER: "Ids of express customers in AutoScribe.",
    codes.SID_FILLER_ORDER: "Filler order numbers that this gateway gives to reports, as in OBR-3.",
    codes.SID_ACCESSION: "Accession numbers whose issuer the site's settings do not name.",
    codes.SID_PLACER_ORDER: "Placer order numbers whose issuer the site's settings do not name.",
    codes.SID_STUDY_PATIENT: "Patients who are known by one study alone.",
    codes.SID_MRN_UNASSIGNED: f"MRNs whose issuer is not known, or that are in doubt.{_HASHED}",
    codes.SID_EXTERNAL_UNASSIGNED: f"External patient ids whose issuer is not known, or in doubt.{_HASHED}",
    codes.SID_HOSPITAL: "Numbers of a hospital whose namespace has no URI. A colon and a hash of the namespace follow.",
    codes.SID_STUDY_UID_ODD: "Study instance UIDs that are no OIDs.",
    codes.SID_NPI_UNVERIFIED: "Numbers given as NPI that have a wrong check digit.",
    codes.SID_GATEWAY: "Names of this gateway as a device.",
    CLIENTS: "Ids of the clients of this gateway, in its audit.",
    LINES: "Lines of the audit journal that a copy is of: segment, sequence, and SHA-256 digest.",
    REQUESTS: "Ids of requests to this gateway, in its audit and its log.",
    MESSAGES: "Control ids (MSH-10) of HL7 v2 messages of this gateway.",
}


def naming_systems() -> list[dict[str, Any]]:
    """Build the NamingSystem of every identifier system."""
    return [_naming_system(uri, meaning) for uri, meaning in SYSTEMS.items()]


def _naming_system(uri: str, meaning: str) -> dict[str, Any]:
    name = uri.removeprefix("urn:autoscribe-gateway:").replace(":", "-")
    return {
        "resourceType": "NamingSystem",
        "id": name,
        "name": pascal(name),
        "status": "active",
        "kind": "identifier",
        "date": _DEFINED,
        "description": meaning,
        "uniqueId": [{"type": "uri", "value": uri}],
    }


def structure_definitions(canonical: str) -> list[dict[str, Any]]:
    """Build the definition of every extension; `canonical` is the base of the site's own definitions."""
    return [_definition(row, extension_url(canonical, row.name)) for row in OWN_EXTENSIONS.values()]


def _definition(row: OwnExtension, url: str) -> dict[str, Any]:
    return {
        "resourceType": "StructureDefinition",
        "id": row.name,
        "url": url,
        "name": pascal(row.name),
        "title": row.name,
        "status": "active",
        "description": row.meaning,
        "fhirVersion": "4.0.1",
        "kind": "complex-type",
        "abstract": False,
        "context": [{"type": "element", "expression": one} for one in row.contexts],
        "type": "Extension",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Extension",
        "derivation": "constraint",
        "differential": {
            "element": [
                {"id": "Extension", "path": "Extension", "definition": row.meaning, "max": "1"},
                {"id": "Extension.extension", "path": "Extension.extension", "max": "0"},
                {"id": "Extension.url", "path": "Extension.url", "fixedUri": url},
                {
                    "id": "Extension.value[x]",
                    "path": "Extension.value[x]",
                    "min": 1,
                    "type": [{"code": one} for one in row.types],
                },
            ]
        },
    }


_CHOICE: Final = re.compile(r"\.value[A-Z]\w*")  # FHIRPath names a choice of types `value`, without the type
_EXTENSION: Final = re.compile(r"(?<=extension\(')\w+")
# https://hl7.org/fhir/R4/valueset-search-comparator.html
_COMPARATORS: Final = ("eq", "ne", "gt", "ge", "lt", "le", "sa", "eb", "ap")

_NOWHERE: Final = "There is no expression: no element of the resource has this value in every version."


@lru_cache(maxsize=8)
def defined(canonical: str) -> Mapping[str, Sequence[Json]]:
    """Return every definition by resource type; `canonical` is the base of the site's own definitions."""
    return {
        "OperationDefinition": [_operation(one, canonical) for one in OPERATIONS if one.is_own],
        "SearchParameter": [_search_parameter(one, canonical) for one in PARAMETERS if one.is_own],
        "StructureDefinition": structure_definitions(canonical),
        "CodeSystem": code_systems(canonical),
        "ValueSet": value_sets(canonical),
        "NamingSystem": naming_systems(),
    }


def _operation(row: Operation, canonical: str) -> Json:
    """Build the OperationDefinition of one of the gateway's own operations."""
    inputs = [
        {
            "name": one.name,
            "use": "in",
            "min": int(one.is_needed),
            "max": one.most,
            "documentation": one.documentation,
            "type": one.type,
        }
        for one in row.inputs
    ]
    return {
        "resourceType": "OperationDefinition",
        "id": row.name,
        "url": row.url(canonical),
        "name": pascal(row.name),
        "title": f"${row.name}",
        "status": "active",
        "kind": "operation",
        "description": row.documentation,
        "affectsState": row.affects_state,
        "code": row.name,
        "resource": list(row.resource_types),
        "system": False,
        "type": "type" in row.levels,
        "instance": "instance" in row.levels,
        "parameter": [*inputs, {"name": "return", "use": "out", "min": 1, "max": "1", "type": "Parameters"}],
    }


def _search_parameter(row: Parameter, canonical: str) -> Json:
    """Build the SearchParameter of one of the gateway's own search parameters."""
    made: Json = {
        "resourceType": "SearchParameter",
        "id": row.definition.rpartition("/")[2],
        "url": row.url(canonical),
        "name": pascal(f"{row.resource_type}-{row.name}"),
        "status": "active",
        "description": row.documentation if row.paths else f"{row.documentation} {_NOWHERE}",
        "code": row.name,
        "base": [row.resource_type],
        "type": row.type,
        "expression": " | ".join(f"{row.resource_type}.{_fhir_path(path, canonical)}" for path in row.paths),
        "target": list(row.targets),
        "comparator": list(_COMPARATORS) if row.type == "date" else [],
        "modifier": list(row.modifiers),
    }
    return {key: value for key, value in made.items() if value not in ("", [])}


def _fhir_path(path: str, canonical: str) -> str:
    """Return the FHIRPath of an element in JSON; an extension of our own is named by its URL."""
    return _EXTENSION.sub(lambda name: extension_url(canonical, name[0]), _CHOICE.sub(".value", path))
