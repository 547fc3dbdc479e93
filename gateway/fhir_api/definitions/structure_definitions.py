"""Build the StructureDefinition resources of the gateway's own extensions, without snapshots.

https://hl7.org/fhir/R4/structuredefinition.html, https://hl7.org/fhir/R4/defining-extensions.html, decision D44.
Proved by tests/gateway/fhir_api/definitions/test_defined.py.
"""

from __future__ import annotations

from typing import Any

from gateway.fhir_api.definitions.naming import pascal
from mappings.fhir.extensions import OWN_EXTENSIONS, OwnExtension, extension_url


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
