"""Prepare FHIR resources for the database: validate, encode as bytes, and build the rows of the search index.

https://hl7.org/fhir/R4/resource.html#Meta, decisions D2 and D7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

from gateway.index.extract import rows
from gateway.store.compression.stored_bytes import stored_version
from gateway.store.studies.shared_terms import divided
from gateway.store.studies.short_values import short_value
from gateway.store.studies.versions import RenderedVersion
from mappings.fhir.judge import judge_all
from mappings.fhir.rendering import json_bytes
from mappings.fhir.resource_types import types_at
from mappings.fhir.shapes import Shapes
from mappings.issues import MappingIssue

Json = dict[str, Any]
# Shared by several studies, so that no study owns them
SHARED: Final = frozenset(types_at("patient", "referred", "apart"))
_HEAD: Final = frozenset({"resourceType", "id", "meta"})


def rendered(  # noqa: PLR0913
    resources: Sequence[Json],
    zone: tzinfo,
    *,
    owner: str,
    as_of: Mapping[str, int],
    asked: int,
    signed: Mapping[str, str | None],
    shapes: Shapes | None = None,
) -> list[RenderedVersion]:
    """Return the resources as versions to be stored.

    `owner` is their study, `asked` the time it was read; `as_of` has the time of resources read at another time, by id.
    `signed` has the signing instant of a report by the id of its DiagnosticReport. `shapes` are those accepted before.
    """
    return [
        _made(resource, faults, zone, owner, as_of.get(resource["id"], asked), signed.get(resource["id"]))
        for resource, faults in zip(resources, judge_all(resources, shapes), strict=True)
    ]


def _made(  # noqa: PLR0913, PLR0917
    resource: Json, faults: Sequence[MappingIssue], zone: tzinfo, owner: str, as_of: int, signed: str | None
) -> RenderedVersion:
    kind, resource_id = resource["resourceType"], resource["id"]
    head = json_bytes({"resourceType": kind, "id": resource_id})[:-1] + b',"meta":{'
    meta = json_bytes(resource.get("meta", {}))
    rest = json_bytes({key: value for key, value in resource.items() if key not in _HEAD})
    index_rows = rows(resource, zone, signed=signed)
    terms, term_set = divided((key, short_value(key, value)) for key, value in index_rows.terms)
    return RenderedVersion(
        address=f"{kind}/{resource_id}",
        owner="" if kind in SHARED else owner,
        as_of=as_of,
        stored=stored_version(kind, head, _behind(meta) + _behind(rest)),
        faults=said_of(faults) if faults else None,
        terms=terms,
        term_set=term_set,
        moments=index_rows.moments,
    )


def _behind(encoded: bytes) -> bytes:
    """Return an encoded object as the rest of an object that is already open."""
    return encoded[1:] if encoded == b"{}" else b"," + encoded[1:]


def said_of(faults: Sequence[MappingIssue]) -> str:
    """Return the faults of a suppressed resource as JSON: codes and places, never values."""
    return json.dumps([{"pointer": one.pointer, "code": one.code} for one in faults])
