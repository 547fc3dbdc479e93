"""Build a FHIR Bundle of type `collection` of mapped resources, for the `convert` command; the FHIR API has its own.

https://hl7.org/fhir/R4/bundle.html, type `collection`.
"""

from __future__ import annotations

from collections.abc import Iterable

from mappings.fhir.datatypes import Json


def collection(resources: Iterable[Json], base_url: str) -> Json:
    """Build a `collection` Bundle; each `fullUrl` is the resource's address under the FHIR base `base_url`."""
    base = base_url.rstrip("/")
    entries = [
        {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}
        for resource in resources
    ]
    bundle: Json = {"resourceType": "Bundle", "type": "collection"}
    if entries:
        bundle["entry"] = entries
    return bundle
