"""Prepare FHIR resources for the database: validate, encode as bytes, and build the rows of the search index.

https://hl7.org/fhir/R4/resource.html#Meta, decisions D2 and D7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gateway.index.extract import Moment, Seen, Term, rows
from gateway.store.compression.stored_bytes import stored_version
from gateway.store.studies.shared_terms import TermSet, divided
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
# Of those, the types whose resources come again and again with studies of other patients
_REPEATED: Final = frozenset(types_at("referred", "apart"))
_META: Final = b'"meta":{'


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
    seen: Seen = {}
    return [
        _made(resource, faults, zone, owner, as_of.get(resource["id"], asked), signed.get(resource["id"]), seen)
        for resource, faults in zip(resources, judge_all(resources, shapes), strict=True)
    ]


class _Rendering(NamedTuple):
    """All that is stored of a resource's content."""

    stored: bytes
    terms: Sequence[Term]
    term_set: TermSet | None
    moments: frozenset[Moment]


def _made(  # noqa: PLR0913, PLR0917
    resource: Json,
    faults: Sequence[MappingIssue],
    zone: tzinfo,
    owner: str,
    as_of: int,
    signed: str | None,
    seen: Seen,
) -> RenderedVersion:
    kind, resource_id = resource["resourceType"], resource["id"]
    data = json_bytes({"resourceType": kind, "id": resource_id, "meta": {}, **resource})
    rendering = _again(data, zone) if kind in _REPEATED else _rendering(resource, data, zone, signed, seen)
    return RenderedVersion(
        f"{kind}/{resource_id}",
        "" if kind in SHARED else owner,
        as_of,
        stored=rendering.stored,
        faults=said_of(faults) if faults else None,
        terms=rendering.terms,
        moments=rendering.moments,
        term_set=rendering.term_set,
    )


@lru_cache(maxsize=1024)
def _again(data: bytes, zone: tzinfo) -> _Rendering:
    """Return the rendering of a resource that is the same in many studies, such as an Organization."""
    return _rendering(json.loads(data), data, zone, None, {})


def _rendering(resource: Json, data: bytes, zone: tzinfo, signed: str | None, seen: Seen) -> _Rendering:
    """Return the rendering of a resource; `data` is its JSON, which begins with type, id and meta."""
    before, _, behind = data.partition(_META)
    index_rows = rows(resource, zone, signed=signed, seen=seen)
    terms, term_set = divided((key, short_value(key, value)) for key, value in index_rows.terms)
    tail = behind if behind.startswith(b"}") else b"," + behind
    stored = stored_version(resource["resourceType"], before + _META, tail)
    return _Rendering(stored, terms, term_set, index_rows.moments)


def said_of(faults: Sequence[MappingIssue]) -> str:
    """Return the faults of a suppressed resource as JSON: codes and places, never values."""
    return json.dumps([{"pointer": one.pointer, "code": one.code} for one in faults])
