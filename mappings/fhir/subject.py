"""Which patient each report of a study is about, and whose snapshot speaks for that patient.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.subject, decisions D11, D12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from mappings.fhir.scene import Scene
from mappings.identifiers import Identity, PatientIdentifier, identify, report_alone
from mappings.model import Report, Snapshot, Study

# Snapshot fields that tell two people apart, with their names in the upstream
_TELLING: Final = {"mrn": "mrn", "date_of_birth": "dateOfBirth", "sex": "sex"}


@dataclass(frozen=True, slots=True)
class Subject:
    """One patient of a study: identity, and the snapshot at `pointer` that speaks for it (the newest original's)."""

    identity: Identity
    snapshot: Snapshot
    pointer: str


def subjects(scene: Scene) -> Mapping[str, Subject]:
    """The subject of every report by report id, and the study's own under the study id.

    Reports of one linked identity share a subject. A report without a linked identity is about the study's patient
    unless its snapshot speaks against that; then it has a Patient of its own.
    """
    study = scene.study
    main = Subject(scene.identity, scene.snapshot, scene.pointer)
    claims: dict[str, Subject] = {study.study_id: main}
    unlinked = None if main.identity.is_linked else main
    for report in study.reports:
        claim = _claim(scene, report, unlinked)
        claims[report.report_id] = claim
        unlinked = unlinked or (None if claim.identity.is_linked else claim)
        if claim.identity.patient_id != main.identity.patient_id:
            action = "not the patient of the study's newest original: a Patient of its own"
            scene.warn("patient-differs", claim.pointer, action)
    if not study.reports:
        scene.issues.extend(main.identity.issues)
    shared = _speakers(study, claims, main)
    return {key: shared[claim.identity.patient_id] for key, claim in claims.items()}


def differing(snapshot: Snapshot, other: Snapshot) -> tuple[str, ...]:
    """Upstream names of the fields that tell people apart and are said by both, but not the same."""
    return tuple(
        key
        for name, key in _TELLING.items()
        if (mine := (getattr(snapshot, name) or "").strip())
        and (theirs := (getattr(other, name) or "").strip())
        and mine != theirs
    )


def _claim(scene: Scene, report: Report, unlinked: Subject | None) -> Subject:
    """Who a report is about; `unlinked` is the subject that holds the identity of the study alone."""
    pointer = f"{report.pointer}/snapshotMetadata"
    identity = scene.identity if report.snapshot is scene.snapshot else None
    own = Subject(identity or identify(scene.study, report.snapshot, scene.site, pointer), report.snapshot, pointer)
    if own.identity.is_linked:
        scene.issues.extend(own.identity.issues)
        return own
    if scene.identity.is_linked and not differing(report.snapshot, scene.snapshot):
        action = "says no identity of its own: the patient of the study's newest original stands"
        scene.inform("patient-from-study", pointer, action)
        typed = tuple(one for one in own.identity.identifiers if one.type)
        return replace(own, identity=replace(scene.identity, identifiers=typed))
    scene.issues.extend(own.identity.issues)
    if unlinked is not None and differing(report.snapshot, unlinked.snapshot):
        return replace(own, identity=report_alone(own.identity, report, scene.site))
    return own


def _speakers(study: Study, claims: Mapping[str, Subject], main: Subject) -> dict[str, Subject]:
    """For each patient the newest original's snapshot, else the newest addendum's, with the identifiers of all."""
    ranked = [claims[report.report_id] for report in reversed(study.reports) if not report.is_addendum]
    ranked += [claims[report.report_id] for report in reversed(study.reports) if report.is_addendum]
    found: dict[str, Subject] = {}
    shown: dict[str, list[PatientIdentifier]] = {}
    for claim in (main, *ranked):
        patient_id = claim.identity.patient_id
        found.setdefault(patient_id, claim)
        known = shown.setdefault(patient_id, [])
        taken = {(one.type, one.value) for one in known}
        known += [one for one in claim.identity.identifiers if (one.type, one.value) not in taken]
    return {
        patient_id: replace(subject, identity=replace(subject.identity, identifiers=tuple(shown[patient_id])))
        for patient_id, subject in found.items()
    }
