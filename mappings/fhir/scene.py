"""What all resources of one study are made from: the study, the site, the facts, and the issues found on the way.

Carries out no clause of a standard: it is only the bundle of arguments that the resource modules share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mappings.identifiers import Identity, identify, subject_snapshot
from mappings.issues import MappingIssue
from mappings.model import Facts, Snapshot, Study
from mappings.profile import Site
from mappings.text import character_issues

_SNAPSHOT_TEXTS: Final = {
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
_STUDY_TEXTS: Final = {
    "study_description": "studyDescription",
    "external_patient_id": "externalPatientId",
    "modality": "modality",
    "clinical_history": "clinicalHistory",
    "clinical_indication": "clinicalIndication",
    "technologist_technique": "technologistTechnique",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One study to be mapped; `snapshot` at `pointer` speaks for it and says who `identity` is; `issues` grows."""

    study: Study
    site: Site
    facts: Facts
    snapshot: Snapshot
    pointer: str
    identity: Identity
    issues: list[MappingIssue] = field(default_factory=list)

    def warn(self, code: str, pointer: str, action: str) -> None:
        """Add a warning."""
        self.issues.append(MappingIssue(code, "warning", pointer, action))

    def inform(self, code: str, pointer: str, action: str) -> None:
        """Add an information."""
        self.issues.append(MappingIssue(code, "information", pointer, action))


def scene(study: Study, site: Site, facts: Facts) -> Scene:
    """The scene of a study, with the characters that N takes out of its short texts reported."""
    made = Scene(study, site, facts, *_speaker(study, site))
    made.issues.extend(odd_characters(study, _STUDY_TEXTS, ""))
    for index, note in enumerate(study.technologist_notes):
        made.issues.extend(character_issues(note, f"/technologistNotes/{index}"))
    for report in study.reports:
        made.issues.extend(odd_characters(report.snapshot, _SNAPSHOT_TEXTS, f"{report.pointer}/snapshotMetadata"))
    return made


def odd_characters(source: object, names: Mapping[str, str], pointer: str) -> list[MappingIssue]:
    """What N takes out of the text fields of an upstream object; `names` gives their names in the upstream."""
    said = {key: value for name, key in names.items() if (value := getattr(source, name))}
    if "".join(said.values()).isprintable():
        return []
    return [issue for key, value in said.items() for issue in character_issues(value, f"{pointer}/{key}")]


def _speaker(study: Study, site: Site) -> tuple[Snapshot, str, Identity]:
    """The newest original's snapshot that says a linked identity (a draft's may say nothing), else the newest's."""
    for report in reversed(study.reports):
        pointer = f"{report.pointer}/snapshotMetadata"
        identity = identify(study, report.snapshot, site, pointer)
        if identity.is_linked and not report.is_addendum:
            return report.snapshot, pointer, identity
    snapshot, pointer = subject_snapshot(study)
    return snapshot, pointer, identify(study, snapshot, site, pointer)
