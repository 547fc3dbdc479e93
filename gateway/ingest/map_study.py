"""One look at a study: what came, decoded, compared with the look before, and mapped. Pure; it runs in a worker thread.

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
from mappings.changes import Change, Known, changes
from mappings.dates import study_dates_after
from mappings.fhir.patient import person_of, renamed, taken_patient_ids
from mappings.issues import MappingIssue
from mappings.model import CauseKind, Facts, PdfFacts
from mappings.profile import Site
from mappings.subjects import subjects

Json = Mapping[str, Any]
Resource = dict[str, Any]
# After these the text of a report may be another, and so its PDF
NEW_TEXT: Final[frozenset[CauseKind]] = frozenset({"signed", "addendum_signed", "text_changed", "reinstated"})
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What AutoScribe said of a study; `asked` is the instant before it was asked, in microseconds.

    `users_asked` is that of each user, who may have been asked for earlier; `doubts` is what could not be had.
    """

    study: Json
    reports: Json | Sequence[Json]
    users: Sequence[Json]
    asked: int
    users_asked: Mapping[str, int] = field(default_factory=dict)
    doubts: tuple[MappingIssue, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownStudy:
    """What the store knows of a study before it is looked at; `revision` is 0 where it knows nothing.

    `verdicts` by patient id is what an operator decided (`link`, `separate`), `judged` digests of whom; `pdf` by report
    id; `told` by name of a destination the ids of the reports that it was, or is about to be, told of.
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
        """The facts that are known without the look."""
        return Facts(pdf=self.pdf, accession_number=self.accession_number)


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found: the change, the facts it is mapped with, its resources by type and id, and its issues.

    `doubts` are the issues that were there before the mapping, `judged` how each verdict stands by patient id.
    """

    change: Change
    facts: Facts
    resources: Mapping[Key, Resource]
    doubts: tuple[MappingIssue, ...]
    mapping_issues: tuple[MappingIssue, ...]
    judged: Mapping[str, Judged] = field(default_factory=dict)

    @property
    def issues(self) -> tuple[MappingIssue, ...]:
        """All of its issues, each once."""
        return tuple(dict.fromkeys((*self.doubts, *self.mapping_issues)))

    @property
    def patient_ids(self) -> list[str]:
        """The ids of its Patients."""
        return [resource_id for kind, resource_id in self.resources if kind == "Patient"]


def digest(fetched: Fetched, standing: KnownStudy) -> str:
    """A digest of all that a look depends on but the site and the mapping."""
    rows = fetched.reports["reports"] if isinstance(fetched.reports, Mapping) else fetched.reports
    ordered = sorted(rows, key=lambda row: str(row.get("reportId")))
    pdf = {report_id: (one.size, one.sha1.hex()) for report_id, one in standing.pdf.items()}
    said = [fetched.study, ordered, list(fetched.users), standing.accession_number, dict(standing.verdicts), pdf]
    return digest_of(said)


def look(fetched: Fetched, standing: KnownStudy, site: Site) -> Look:
    """Decode, compare and map.

    Raises:
        WireError: what came is not what the contract says.
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


def beside(found: Look, others: Sequence[Row], site: Site) -> dict[str, list[Json]]:
    """Collect what other studies say of each patient, without those that a verdict links against this study's words."""
    study, made = found.change.study, dict[str, list[Json]]()
    own = people(study, site, found.facts, frozenset()) if any(digests for *_, digests in others) else {}
    for patient_id, _, body, digests in others:
        if not is_judged_beside(str(digests), own.get(str(patient_id)), site.site_key):
            made.setdefault(str(patient_id), []).append(json.loads(bytes(body)))
    return made


def apart(found: Look, others: Mapping[str, Sequence[Json]], standing: KnownStudy, site: Site) -> Look:
    """The look with patients of its own where other studies speak of somebody else, or an operator says so (D12)."""
    resources = found.resources.values()
    taken = taken_patient_ids(resources, lambda patient_id: others.get(patient_id, ()))
    verdicts = standing.verdicts
    separated = {one for one in found.patient_ids if verdicts.get(one) == "separate"}
    found = replace(found, judged=_judged(found, others, standing, site, taken | separated))
    counting = frozenset(patient_id for patient_id, one in found.judged.items() if one.counts)
    linked = {one for one in counting if verdicts[one] == "link"}
    facts = replace(found.facts, taken_patient_ids=(taken - linked) | separated, decided_patient_ids=counting)
    if others:
        about = subjects(found.change.study, found.change.study.reports, site, facts).values()
        notes = renamed(about, resources, lambda patient_id: others.get(patient_id, ()))
        found = replace(found, doubts=(*found.doubts, *notes))
    if facts == found.facts:
        return found
    return replace(_mapped(found.change, facts, site, found.doubts), judged=found.judged)


def _judged(
    found: Look, others: Mapping[str, Sequence[Json]], standing: KnownStudy, site: Site, held: frozenset[str]
) -> Mapping[str, Judged]:
    """Judge each verdict that there is."""
    if not standing.verdicts:
        return {}
    before = standing.kept
    return judged(
        standing.verdicts,
        standing.judged,
        people(before.study, site, before.facts, held) if before else {},
        people(found.change.study, site, found.facts, held),
        {one["id"]: person_of(one) for (kind, _), one in found.resources.items() if kind == "Patient"},
        others,
        site.site_key,
    )


def as_of(found: Look, at: datetime) -> Look:
    """The look with an issue for each study date that has not been by `at`, the present (D12)."""
    late = tuple(study_dates_after(found.change.study.reports, at))
    return replace(found, doubts=(*found.doubts, *late)) if late else found


def remapped(kept: Kept, site: Site) -> Mapping[Key, Resource]:
    """What the study was when it was looked at last, under the mapping that runs here (D7)."""
    return {(one["resourceType"], one["id"]): one for one in to_fhir(kept.study, site, kept.facts).output}


def _mapped(change: Change, facts: Facts, site: Site, doubts: tuple[MappingIssue, ...]) -> Look:
    mapped = to_fhir(change.study, site, facts)
    resources = {(one["resourceType"], one["id"]): one for one in mapped.output}
    return Look(change, facts, resources, doubts, mapped.issues)
