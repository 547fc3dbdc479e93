"""A `Study` as FHIR R4 resources: their order, and who refers to whom.

https://hl7.org/fhir/R4/resourcelist.html; US Core profiles where a resource satisfies them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mappings.fhir.datatypes import Json
from mappings.fhir.diagnostic_report import diagnostic_report
from mappings.fhir.imaging_study import imaging_study
from mappings.fhir.observation import section_observations, vital_observations
from mappings.fhir.organization import organization
from mappings.fhir.patient import patient
from mappings.fhir.practitioner import practitioner
from mappings.fhir.provenance import provenance
from mappings.fhir.report_parts import ReportParts, report_parts
from mappings.fhir.scene import Scene, scene
from mappings.fhir.subject import Subject, subjects
from mappings.issues import MappingIssue
from mappings.model import Facts, Mapped, Study
from mappings.profile import Site

__all__ = ["to_fhir"]

_NOTHING_KNOWN = Facts()


def to_fhir(study: Study, site: Site, facts: Facts = _NOTHING_KNOWN) -> Mapped[tuple[Json, ...]]:
    """All resources of a study as plain FHIR R4 JSON, with what could not be mapped as it came.

    Patients, Organizations, Practitioners, the ImagingStudy, then for each report in reading order its
    DiagnosticReport, Observations and Provenance. Every relative reference leads to a resource of the same output
    (or to the PDF's Binary). Inner objects may be shared between resources: copy before changing one. An external
    study is not AutoScribe's to report and gives nothing (D25). Issues of `study.issues` are not repeated.
    """
    if study.study_type == "external":
        issue = MappingIssue("external-study", "warning", "/studyType", "not an AutoScribe report: nothing is made")
        return Mapped((), (issue,))
    made = scene(study, site, facts)
    people = subjects(made)
    reports = [report_parts(made, report, people[report.report_id]) for report in study.reports]
    resources = (
        *_shared(made, people),
        *(resource for parts in reports for resource in _of_report(made, parts, reports)),
    )
    return Mapped(resources, tuple(dict.fromkeys(made.issues)))


def _shared(made: Scene, people: Mapping[str, Subject]) -> Iterator[Json]:
    """What several reports may refer to, each once."""
    for subject in {one.identity.patient_id: one for one in people.values()}.values():
        yield patient(subject, made)
    snapshots = [one.snapshot for one in people.values()] + [one.snapshot for one in made.study.reports]
    organizations = [found for snapshot in snapshots if (found := organization(snapshot, made.site))]
    yield from {one["id"]: one for one in organizations}.values()
    for user_id in dict.fromkeys(report.user_id for report in made.study.reports):
        if (user := made.study.users.get(user_id)) and (found := practitioner(user, made)):
            yield found
    yield imaging_study(made, people[made.study.study_id])


def _of_report(made: Scene, parts: ReportParts, reports: Sequence[ReportParts]) -> Iterator[Json]:
    """The resources of one report; an original shows the study's signed addenda, newest first (D17)."""
    results = section_observations(made, parts)
    addenda = [
        one
        for one in reversed(reports)
        if one.report.is_addendum and one.report.is_completed and parts.status.diagnostic_report == "appended"
    ]
    yield diagnostic_report(made, parts, addenda, results)
    yield from results
    yield from vital_observations(made, parts)
    if (found := provenance(made, parts)) is not None:
        yield found
