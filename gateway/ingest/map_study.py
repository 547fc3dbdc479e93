"""Map one study: decode the fetched JSON, compare it with the stored study, and map it to FHIR. Pure.

AutoScribe REST API: `GET /v1/autoScribe/studies/{studyId}`, `/reports`, `/users/{userId}`; decisions D2, D7, D20, D25.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from gateway.ingest.verdicts import Judged, is_judged_beside, judged, people
from gateway.store.database.statements import Row
from gateway.store.studies.coverage import digest_of
from gateway.store.studies.kept import Kept
from mappings import decode, to_fhir
from mappings.fhir.patient import person_of, renamed, taken_patient_ids
from mappings.issues import MappingIssue
from mappings.life.changes import Change, Known, changes
from mappings.model import CauseKind, Facts, PdfFacts
from mappings.patient.subjects import subjects
from mappings.profile import Site
from mappings.values.dates import study_dates_after

Json = Mapping[str, Any]
Resource = dict[str, Any]
# Causes after which a report may have another text, and so another PDF
NEW_TEXT: Final[frozenset[CauseKind]] = frozenset({"signed", "addendum_signed", "text_changed", "reinstated"})
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fetched:
    """Study as fetched from AutoScribe. `asked` is the instant before the request, in microseconds.

    `users_asked` is that instant for each user, who may have been requested earlier. `doubts` are issues for parts that
    could not be fetched.
    """

    study: Json
    reports: Json | Sequence[Json]
    users: Sequence[Json]
    asked: int
    users_asked: Mapping[str, int] = field(default_factory=dict)
    doubts: tuple[MappingIssue, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownStudy:
    """State of a study in the store before an ingest; `revision` is 0 if it is not stored.

    `verdicts` maps a patient id to an operator's verdict (`link`, `separate`), `judged` to digests of the persons
    judged; `pdf` is by report id. `told` maps a destination's name to the ids of the reports sent there, or about to
    be.
    """

    revision: int = 0
    digest: str = ""
    kept: Kept | None = None
    accession_number: str | None = None
    verdicts: Mapping[str, str] = field(default_factory=dict)
    judged: Mapping[str, str] = field(default_factory=dict)
    pdf: Mapping[str, PdfFacts] = field(default_factory=dict)
    told: Mapping[str, AbstractSet[str]] = field(default_factory=dict)

    @property
    def facts(self) -> Facts:
        """Facts that are known before the mapping."""
        return Facts(pdf=self.pdf, accession_number=self.accession_number)


@dataclass(frozen=True, slots=True)
class Look:
    """Mapping of a fetched study: the change, the facts used, its resources by type and id, and its issues.

    `doubts` are the issues found before the mapping. `judged` tells, by patient id, whether each verdict still counts.
    """

    change: Change
    facts: Facts
    resources: Mapping[Key, Resource]
    doubts: tuple[MappingIssue, ...]
    mapping_issues: tuple[MappingIssue, ...]
    judged: Mapping[str, Judged] = field(default_factory=dict)

    @property
    def issues(self) -> tuple[MappingIssue, ...]:
        """Issues of the study, each once."""
        return tuple(dict.fromkeys((*self.doubts, *self.mapping_issues)))

    @property
    def patient_ids(self) -> list[str]:
        """Ids of its Patients."""
        return [resource_id for kind, resource_id in self.resources if kind == "Patient"]


def digest(fetched: Fetched, standing: KnownStudy) -> str:
    """Return a digest of everything that a mapping depends on, except the site and the mapping rules."""
    rows = fetched.reports["reports"] if isinstance(fetched.reports, Mapping) else fetched.reports
    ordered = sorted(rows, key=lambda row: str(row.get("reportId")))
    pdf = {report_id: (one.size, one.sha1.hex()) for report_id, one in standing.pdf.items()}
    inputs = [fetched.study, ordered, list(fetched.users), standing.accession_number, dict(standing.verdicts), pdf]
    return digest_of(inputs)


def look(fetched: Fetched, standing: KnownStudy, site: Site) -> Look:
    """Decode the fetched study, compare it with the stored one, and map it.

    Raises:
        WireError: the fetched JSON does not follow the contract.
    """
    decoded = decode(fetched.study, fetched.reports, fetched.users)
    before = standing.kept
    known = Known()
    if before is not None:
        facts = before.facts
        known = Known(facts.corrected, version=before.version, seen=facts.seen, gone=facts.gone)
    change = changes(before.study if before else None, decoded, site, known)
    other_text = {one.report_id for one in change.causes if one.kind in NEW_TEXT}
    pdf = {report_id: one for report_id, one in standing.pdf.items() if report_id not in other_text}
    facts = replace(standing.facts, pdf=pdf, corrected=change.corrected, seen=change.seen, gone=change.gone)
    return _mapped(change, facts, site, (*decoded.issues, *fetched.doubts, *change.issues))


def beside(mapped: Look, others: Sequence[Row], site: Site) -> dict[str, list[Json]]:
    """Collect the claims of other studies about each patient, without those that a verdict links to this study."""
    study, claims = mapped.change.study, dict[str, list[Json]]()
    own = people(study, site, mapped.facts, frozenset()) if any(digests for *_, digests in others) else {}
    for patient_id, _, body, digests in others:
        if not is_judged_beside(str(digests), own.get(str(patient_id)), site.site_key):
            claims.setdefault(str(patient_id), []).append(json.loads(bytes(body)))
    return claims


def apart(mapped: Look, others: Mapping[str, Sequence[Json]], standing: KnownStudy, site: Site) -> Look:
    """Separate patients that other studies describe as another person or a verdict separates; map again (D12)."""
    resources = mapped.resources.values()
    taken = taken_patient_ids(resources, lambda patient_id: others.get(patient_id, ()))
    verdicts = standing.verdicts
    separated = {one for one in mapped.patient_ids if verdicts.get(one) == "separate"}
    mapped = replace(mapped, judged=_judged(mapped, others, standing, site, taken | separated))
    counting = frozenset(patient_id for patient_id, one in mapped.judged.items() if one.counts)
    linked = {one for one in counting if verdicts[one] == "link"}
    facts = replace(mapped.facts, taken_patient_ids=(taken - linked) | separated, decided_patient_ids=counting)
    if others:
        about = subjects(mapped.change.study, mapped.change.study.reports, site, facts).values()
        notes = renamed(about, resources, lambda patient_id: others.get(patient_id, ()))
        mapped = replace(mapped, doubts=(*mapped.doubts, *notes))
    if facts == mapped.facts:
        return mapped
    return replace(_mapped(mapped.change, facts, site, mapped.doubts), judged=mapped.judged)


def _judged(
    mapped: Look, others: Mapping[str, Sequence[Json]], standing: KnownStudy, site: Site, held: frozenset[str]
) -> Mapping[str, Judged]:
    """Determine whether each verdict still counts."""
    if not standing.verdicts:
        return {}
    before = standing.kept
    return judged(
        standing.verdicts,
        standing.judged,
        people(before.study, site, before.facts, held) if before else {},
        people(mapped.change.study, site, mapped.facts, held),
        {one["id"]: person_of(one) for (kind, _), one in mapped.resources.items() if kind == "Patient"},
        others,
        site.site_key,
    )


def as_of(mapped: Look, at: datetime) -> Look:
    """Add an issue for each study date after `at`, the present (D12)."""
    late = tuple(study_dates_after(mapped.change.study.reports, at))
    return replace(mapped, doubts=(*mapped.doubts, *late)) if late else mapped


def remapped(kept: Kept, site: Site) -> Mapping[Key, Resource]:
    """Map a stored study again with the present mapping rules (D7)."""
    return {(one["resourceType"], one["id"]): one for one in to_fhir(kept.study, site, kept.facts).output}


def _mapped(change: Change, facts: Facts, site: Site, doubts: tuple[MappingIssue, ...]) -> Look:
    mapped = to_fhir(change.study, site, facts)
    resources = {(one["resourceType"], one["id"]): one for one in mapped.output}
    return Look(change, facts, resources, doubts, mapped.issues)
