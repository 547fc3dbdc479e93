"""Map a `Study` to FHIR R4 resources in a fixed order; each type's module builds its elements, such as performer.

https://hl7.org/fhir/R4/resourcelist.html; US Core profiles where a resource satisfies them.
Proved by tests/mappings/fhir/test_to_fhir.py and tests/mappings/fhir/test_diagnostic_report.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mappings.fhir.datatypes import Json, reference
from mappings.fhir.diagnostic_report import diagnostic_report
from mappings.fhir.document_reference import document_reference
from mappings.fhir.encounter import encounters
from mappings.fhir.imaging_study import imaging_study
from mappings.fhir.observation import section_observations, vital_observations
from mappings.fhir.organization import organization
from mappings.fhir.patient import patient, replaced_patients
from mappings.fhir.practitioner import radiologists
from mappings.fhir.practitioner_role import practitioner_roles
from mappings.fhir.provenance import patient_provenance, provenance
from mappings.fhir.report_parts import ReportParts, parts_as_before
from mappings.fhir.scene import Scene, scene
from mappings.fhir.service_request import service_requests
from mappings.life.status import has_addenda, refusal
from mappings.model import Facts, Mapped, Study
from mappings.profile import Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.newest_word import is_followed, newest_first

__all__ = ["to_fhir"]

_NOTHING_KNOWN = Facts()


def to_fhir(
    study: Study, site: Site, facts: Facts = _NOTHING_KNOWN, reuse: Reuse = NO_REUSE
) -> Mapped[tuple[Json, ...]]:
    """Map a study to all its resources as plain FHIR R4 JSON, with the mapping issues.

    Patients, those that a merge replaced after the others; Organizations, Practitioners, PractitionerRoles, Encounters,
    ServiceRequests, the ImagingStudy, the Provenance of each Patient; then for each report in reading order its
    DiagnosticReport, Observations, DocumentReference and Provenance.
    Every relative reference leads to a resource of the same output, or to a Binary. Inner objects may be shared, also
    with other studies: copy before changing one. An external study is not AutoScribe's to report and gives no resources
    (D25). Issues of `study.issues` are not repeated.
    """
    if issue := refusal(study):
        return Mapped((), (issue,))
    made = scene(study, site, facts, reuse)
    signers = radiologists(made)
    reports = [parts_as_before(made, report, signers[report.user_id]) for report in study.reports]
    patients = [(one, patient(one, made)) for one in made.patients]
    resources = [resource for _, resource in patients]
    resources += [old for one, resource in patients for old in replaced_patients(resource, one.identity)]
    snapshots = {one.facility_name: one for one in (made.snapshot, *(report.snapshot for report in study.reports))}
    organizations = [found for one in snapshots.values() if (found := organization(one, site))]
    resources += {one["id"]: one for one in organizations}.values()
    resources += [one.resource for one in signers.values() if one.resource]
    resources += practitioner_roles(made, signers)
    resources += encounters(made)
    requests = service_requests(made, reports)
    orders = _references(requests)
    resources += [*requests, imaging_study(made, reports, orders)]
    resources += [found for one in made.patients if (found := patient_provenance(made, one, reports))]
    for parts in reports:
        resources += _report_resources(made, parts, reports, orders)
    return Mapped(tuple(resources), tuple(dict.fromkeys(made.issues)))


def _report_resources(
    made: Scene, parts: ReportParts, reports: Sequence[ReportParts], orders: Sequence[Json]
) -> list[Json]:
    """Build the resources of one report, or reuse those of an equal input.

    An original shows the signed addenda of its patient, newest first; an older addendum shows all newer reports:
    addenda, and an original that changed since (D12, D17).
    """
    known = {one.report.report_id: one for one in reports if one.report.is_completed and one.subject is parts.subject}
    ordered = [known[one.report_id] for one in newest_first([one.report for one in known.values()])]
    addenda: list[ReportParts] = []
    if is_followed(parts.report, parts.subject.reports):
        addenda = ordered[: ordered.index(parts)]
    elif has_addenda(parts.report, parts.subject.reports):
        addenda = [one for one in ordered if one.report.is_addendum]

    def resources() -> list[Json]:
        results, vitals = section_observations(made, parts, addenda), vital_observations(made, parts)
        document = document_reference(parts, addenda)
        documents = [document] if document else []
        listed = _references(results)
        report = diagnostic_report(made, parts, addenda, listed, orders)
        targets = [*_references([report]), *listed, *_references([*vitals, *documents])]
        source = provenance(made, parts, targets)
        return [report, *results, *vitals, *documents, *([source] if source else [])]

    return made.as_before((_report_resources, parts.report.report_id), _given(made, parts, addenda, orders), resources)


def _given(made: Scene, parts: ReportParts, addenda: Sequence[ReportParts], orders: Sequence[Json]) -> tuple[Any, ...]:
    """Return everything that a report's resources depend on, to compare with an earlier input."""
    subject, study = parts.subject, made.study
    of_patient = subject is made.subject, subject.number, subject.snapshot.date_of_birth, subject.snapshot.sex
    of_study = study.study_id, study.modality, made.snapshot.referring_physician_name
    of_orders = made.orders, made.visit, made.facility, orders
    # an addendum leaves out height and weight that an original has
    originals = [one.snapshot for one in subject.reports if parts.report.is_addendum and not one.is_addendum]
    measured = [(one.height, one.weight, one.study_date) for one in originals]
    return made.site, parts, addenda, of_patient, of_study, of_orders, measured


def _references(resources: Sequence[Json]) -> list[Json]:
    return [reference(one["resourceType"], one["id"]) for one in resources]
