"""Map a study for the trace, and compare the FHIR elements and HL7 v2 fields of two outputs.

Carries out no clause of a standard; decision D6.
Proved by tests/mappings/trace/test_trace.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final

from mappings.fhir import to_fhir
from mappings.hl7v2.messages import renderings_of_all
from mappings.hl7v2.oru_r01 import oru_of
from mappings.hl7v2.place import AskedMessage
from mappings.issues import MappingIssue
from mappings.life.changes import changes
from mappings.model import Facts, Study
from mappings.profile import Receiver, Site
from mappings.study.autoscribe import decode
from mappings.trace.parts import Part, part_of
from mappings.values.text import normal_form

Json = Mapping[str, Any]
MESSAGE: Final = "ORU^R01"
_AT: Final = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
_HEX: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Parts (a resource, a message) by names that do not depend on ids; `named` has the names by address."""

    parts: Mapping[str, Part] = field(repr=False)
    issues: tuple[MappingIssue, ...]
    study: Study = field(repr=False)
    named: Mapping[str, str] = field(repr=False)

    def types(self) -> frozenset[str]:
        """Names of the resource types."""
        return frozenset(kind for kind in map(_kind, self.parts) if kind != MESSAGE)

    def fhir_targets(self) -> Iterator[str]:
        """Yield every FHIR element that has a value."""
        return (target for part, one in self.parts.items() if _kind(part) != MESSAGE for target in _targets(one))

    def hl7v2_targets(self) -> Iterator[str]:
        """Yield every HL7 v2 field that has a value."""
        return (target for part, one in self.parts.items() if _kind(part) == MESSAGE for target in _targets(one))

    def differences(self, other: Outputs) -> Iterator[str]:
        """Yield the targets whose values differ; for a part in only one of the two, the name of its kind."""
        for part in self.parts.keys() ^ other.parts.keys():
            yield _kind(part)
        for part in self.parts.keys() & other.parts.keys():
            mine, theirs = self.parts[part].targets, other.parts[part].targets
            for piece in mine.keys() | theirs.keys() if mine is not theirs else ():
                before, after = mine.get(piece, {}), theirs.get(piece, {})
                if before is not after:
                    yield from (one for one in before.keys() | after.keys() if before.get(one) != after.get(one))

    def holds(self, value: Any, targets: AbstractSet[str]) -> bool:
        """True if one of these targets has the value unchanged."""
        normal = normal_form(value).strip() if isinstance(value, str) else value
        wanted = {normal, str(normal)} if not isinstance(normal, bool) else {normal}
        return any(
            wanted & values
            for part in self.parts.values()
            for piece in part.targets.values()
            for target, values in piece.items()
            if target in targets
        )


def decoded(document: Json) -> Study:
    """Decode a study document.

    Raises:
        WireError: the document violates the upstream contract.
    """
    head = {key: value for key, value in document.items() if key not in ("reports", "users")}
    reports, users = document.get("reports", ()), document.get("users", ())
    is_study = "studyReportStatus" in head or "reportMetadata" in head
    return decode(head if is_study else None, reports, users)


def outputs(document: Json, site: Site, receiver: Receiver, facts: Facts, like: Outputs | None = None) -> Outputs:
    """Map a study document into both languages. What is the same in `like`, of the same settings, is taken from there.

    Raises:
        WireError: the document violates the upstream contract.
    """
    study = decoded(document)
    if like is not None and like.study == study:
        return like
    mapped = to_fhir(study, site, facts)
    named = _names(mapped.output)
    made: dict[str, Json | bytes] = {named[_address(one)]: one for one in mapped.output}
    issues = [*study.issues, *mapped.issues]
    causes = changes(None, study, site).causes
    for number, queued in enumerate(renderings_of_all(study, causes, site, receiver, facts)):
        asked = AskedMessage(study, queued.cause, site, receiver, facts)
        sent = oru_of(queued.made, asked, control_id="TRACE", at=_AT)
        issues += sent.issues
        if sent.output is not None:
            made[f"{MESSAGE}/{number}"] = sent.output
    # Both lead all their references to resources of their own: an address in one of the two stands in no equal piece
    is_named_alike = like is not None and all(like.named.get(address, name) == name for address, name in named.items())
    parts: dict[str, Part] = {}
    for part, one in made.items():
        before = like.parts.get(part) if like is not None and (isinstance(one, bytes) or is_named_alike) else None
        parts[part] = before if before is not None and before.made == one else part_of(one, named, before)
    return Outputs(parts, tuple(issues), study, named)


def _targets(part: Part) -> Iterator[str]:
    return chain.from_iterable(part.targets.values())


def _kind(part: str) -> str:
    return part.split("/", 1)[0]


def _address(resource: Json) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def _names(resources: Iterable[Json]) -> dict[str, str]:
    """Name each resource by type, the ending of its id, and its index among equal ones."""
    seen: Counter[str] = Counter()
    names: dict[str, str] = {}
    for resource in resources:
        name = f"{resource['resourceType']}/{_HEX.sub('', resource['id'])}"
        names[_address(resource)] = f"{name}/{seen[name]}"
        seen[name] += 1
    return names
