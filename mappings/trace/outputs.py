"""Map a study for the trace, and compare the FHIR elements and HL7 v2 fields of two outputs.

Carries out no clause of a standard; decision D6.
Proved by tests/mappings/trace/test_trace.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Final, Literal

from mappings.fhir import to_fhir
from mappings.hl7v2.messages import renderings_of_all
from mappings.hl7v2.oru_r01 import oru_of
from mappings.hl7v2.place import AskedMessage
from mappings.issues import MappingIssue
from mappings.life.changes import changes
from mappings.model import Cause, Facts, Study
from mappings.profile import Receiver, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.autoscribe import decode
from mappings.trace.parts import Part, part_of
from mappings.values.text import normal_form

Json = Mapping[str, Any]
Language = Literal["FHIR", "HL7 v2"]
LANGUAGES: Final[tuple[Language, ...]] = ("FHIR", "HL7 v2")
MESSAGE: Final = "ORU^R01"
_AT: Final = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
_HEX: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Outputs:
    """Resources and messages of a study by names that do not depend on ids; `named` has the names by address."""

    study: Study = field(repr=False)
    resources: Mapping[str, Part] = field(default_factory=dict, repr=False)
    messages: Mapping[str, Part] = field(default_factory=dict, repr=False)
    issues: tuple[MappingIssue, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict, repr=False)

    def types(self) -> frozenset[str]:
        """Names of the resource types."""
        return frozenset(map(_kind, self.resources))

    def fhir_targets(self) -> Iterator[str]:
        """Yield every FHIR element that has a value."""
        return (target for target, _ in _values(self.resources))

    def hl7v2_targets(self) -> Iterator[str]:
        """Yield every HL7 v2 field that has a value."""
        return (target for target, _ in _values(self.messages))

    def differences(self, other: Outputs) -> Iterator[str]:
        """Yield the targets whose values differ; for a part in only one of the two, the name of its kind."""
        for mine, theirs in ((self.resources, other.resources), (self.messages, other.messages)):
            yield from map(_kind, mine.keys() ^ theirs.keys())
            for part in mine.keys() & theirs.keys():
                if mine[part] is not theirs[part]:
                    yield from _differences(mine[part], theirs[part])

    def holds(self, value: Any, targets: AbstractSet[str]) -> bool:
        """True if one of these targets has the value unchanged."""
        normal = normal_form(value).strip() if isinstance(value, str) else value
        wanted = {normal, str(normal)} if not isinstance(normal, bool) else {normal}
        every = chain(_values(self.resources), _values(self.messages))
        return any(target in targets and wanted & values for target, values in every)


def decoded(document: Json, reuse: Reuse = NO_REUSE) -> Study:
    """Decode a study document.

    Raises:
        WireError: the document violates the upstream contract.
    """
    head = {key: value for key, value in document.items() if key not in ("reports", "users")}
    reports, users = document.get("reports", ()), document.get("users", ())
    is_study = "studyReportStatus" in head or "reportMetadata" in head
    return decode(head if is_study else None, reports, users, reuse)


def outputs(  # noqa: PLR0913 (all that outputs depend on, and three means to save work)
    document: Json,
    site: Site,
    receiver: Receiver,
    facts: Facts,
    *,
    like: Outputs | None = None,
    languages: Collection[Language] = LANGUAGES,
    reuse: Reuse = NO_REUSE,
) -> Outputs:
    """Map a study document. What is the same in `like`, of the same settings, is taken from there.

    So is a language that is not asked for, even if it is not the same.

    Raises:
        WireError: the document violates the upstream contract.
    """
    study = decoded(document, reuse)
    if like is not None and like.study == study:
        return like
    known = Outputs(study) if like is None else like
    resources, named, messages, issues = known.resources, known.named, known.messages, list(study.issues)
    if "FHIR" in languages:
        mapped = to_fhir(study, site, facts, reuse)
        named = _names(mapped.output)
        resources = _resources(mapped.output, named, known)
        issues += mapped.issues
    if "HL7 v2" in languages:
        written, doubts = _written(study, site, receiver, facts, reuse)
        messages = {part: _read(one, named, known.messages.get(part)) for part, one in written.items()}
        issues += doubts
    return Outputs(study, resources, messages, tuple(issues), named)


def _resources(made: Iterable[Json], named: Mapping[str, str], known: Outputs) -> dict[str, Part]:
    # All references lead to resources of their own output: an address in one of the two stands in no equal piece
    are_alike = all(known.named.get(address, name) == name for address, name in named.items())
    parts = ((named[_address(one)], one) for one in made)
    return {part: _read(one, named, known.resources.get(part) if are_alike else None) for part, one in parts}


def _written(
    study: Study, site: Site, receiver: Receiver, facts: Facts, reuse: Reuse
) -> tuple[dict[str, bytes], list[MappingIssue]]:
    """Write the messages of a new study, with their issues."""
    causes = _causes(study, site, reuse)
    written: dict[str, bytes] = {}
    issues: list[MappingIssue] = []
    for number, queued in enumerate(renderings_of_all(study, causes, site, receiver, facts, reuse=reuse)):
        asked = AskedMessage(study, queued.cause, site, receiver, facts)
        sent = oru_of(queued.made, asked, control_id="TRACE", at=_AT, reuse=reuse)
        issues += sent.issues
        if sent.output is not None:
            written[f"{MESSAGE}/{number}"] = sent.output
    return written, issues


def _causes(study: Study, site: Site, reuse: Reuse) -> tuple[Cause, ...]:
    """Return the causes of a new study's messages. Their version is not given: it stands in MSH-10 alone."""
    of_reports = [(one.report_id, one.status, one.is_addendum, one.text) for one in study.reports]
    given = site, study.study_type, study.is_cancelled, of_reports
    return reuse.of(changes, given, lambda: changes(None, study, site).causes)


def _read(made: Json | bytes, named: Mapping[str, str], before: Part | None) -> Part:
    return before if before is not None and before.made == made else part_of(made, named, before)


def _values(parts: Mapping[str, Part]) -> Iterator[tuple[str, frozenset[Any]]]:
    return (one for part in parts.values() for piece in part.targets.values() for one in piece.items())


def _differences(mine: Part, theirs: Part) -> Iterator[str]:
    for piece in mine.targets.keys() | theirs.targets.keys():
        before, after = mine.targets.get(piece, {}), theirs.targets.get(piece, {})
        if before is not after:
            yield from (target for target in before.keys() | after.keys() if before.get(target) != after.get(target))


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
