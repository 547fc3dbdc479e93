"""Collect all that the gateway defines itself, as FHIR resources below a canonical base.

https://hl7.org/fhir/R4/operationdefinition.html, https://hl7.org/fhir/R4/searchparameter.html, decision D44.
Proved by tests/gateway/fhir_api/definitions/test_defined.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from gateway.fhir_api.definitions.code_systems import code_systems, value_sets
from gateway.fhir_api.definitions.naming import pascal
from gateway.fhir_api.definitions.naming_systems import naming_systems
from gateway.fhir_api.definitions.structure_definitions import structure_definitions
from gateway.fhir_api.served import OPERATIONS, Operation
from gateway.index.parameter import Parameter
from gateway.index.parameters import PARAMETERS
from mappings.fhir.extensions import extension_url

Json = dict[str, Any]
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
