"""What all resources of one study are made from: the study, the site, the facts, and the issues found on the way.

Carries out no clause of a standard: it is only the bundle of arguments that the resource modules share.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mappings.identifiers import identify, subject_snapshot
from mappings.issues import MappingIssue
from mappings.model import Facts, Snapshot, Study
from mappings.profile import Site
from mappings.text import character_issues

_SNAPSHOT_TEXTS = {
    "age": "age",
    "date_of_birth": "dateOfBirth",
    "facility_name": "facilityName",
    "mrn": "mrn",
    "patient_name": "patientName",
    "procedure": "procedure",
    "referring_physician_name": "referringPhysicianName",
    "sex": "sex",
    "study_date": "studyDate",
    "study_time": "studyTime",
}
_STUDY_TEXTS = {
    "study_description": "studyDescription",
    "external_patient_id": "externalPatientId",
    "modality": "modality",
    "clinical_history": "clinicalHistory",
    "clinical_indication": "clinicalIndication",
    "technologist_technique": "technologistTechnique",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One study to be mapped; `snapshot` at `pointer` speaks for the study as a whole; `issues` grows as it is."""

    study: Study
    site: Site
    facts: Facts
    snapshot: Snapshot
    pointer: str
    issues: list[MappingIssue] = field(default_factory=list)

    def warn(self, code: str, pointer: str, action: str) -> None:
        """Add a warning."""
        self.issues.append(MappingIssue(code, "warning", pointer, action))

    def inform(self, code: str, pointer: str, action: str) -> None:
        """Add an information."""
        self.issues.append(MappingIssue(code, "information", pointer, action))


def scene(study: Study, site: Site, facts: Facts) -> Scene:
    """The scene of a study, with the characters that N takes out of its short texts reported."""
    snapshot, pointer = _speaker(study, site)
    made = Scene(study, site, facts, snapshot, pointer)
    for name, key in _STUDY_TEXTS.items():
        made.issues.extend(character_issues(getattr(study, name) or "", f"/{key}"))
    for index, note in enumerate(study.technologist_notes):
        made.issues.extend(character_issues(note, f"/technologistNotes/{index}"))
    for report in study.reports:
        for name, key in _SNAPSHOT_TEXTS.items():
            value = getattr(report.snapshot, name)
            if value and not value.isprintable():
                made.issues.extend(character_issues(value, f"{report.pointer}/snapshotMetadata/{key}"))
    return made


def _speaker(study: Study, site: Site) -> tuple[Snapshot, str]:
    """The newest original's snapshot that says a linked identity (a draft's may say nothing), else the newest's."""
    for report in reversed(study.reports):
        pointer = f"{report.pointer}/snapshotMetadata"
        if not report.is_addendum and identify(study, report.snapshot, site, pointer).is_linked:
            return report.snapshot, pointer
    return subject_snapshot(study)
