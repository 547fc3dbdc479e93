"""What all resources of one study are made from: the study, the site, the facts, and the issues found on the way.

Carries out no clause of a standard: it is only the bundle of arguments that the resource modules share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mappings.issues import MappingIssue
from mappings.model import Facts, Snapshot, Study
from mappings.profile import Site
from mappings.subjects import Subject, subjects
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
    """One study to be mapped; `subjects` are its patients by report id, and by study id its own; `issues` grows."""

    study: Study
    site: Site
    facts: Facts
    subjects: Mapping[str, Subject]
    issues: list[MappingIssue] = field(default_factory=list)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot that speaks for the study."""
        return self.subjects[self.study.study_id].snapshot

    @property
    def patients(self) -> tuple[Subject, ...]:
        """Each patient once, first the study's own."""
        return tuple(dict.fromkeys(self.subjects.values()))

    def warn(self, code: str, pointer: str, action: str) -> None:
        """Add a warning."""
        self.issues.append(MappingIssue(code, "warning", pointer, action))

    def inform(self, code: str, pointer: str, action: str) -> None:
        """Add an information."""
        self.issues.append(MappingIssue(code, "information", pointer, action))


def scene(study: Study, site: Site, facts: Facts) -> Scene:
    """The scene of a study, with the characters that N takes out of its short texts reported."""
    made = Scene(study, site, facts, subjects(study, study.reports, site, facts.taken_patient_ids))
    for one in made.patients:
        made.issues.extend(one.issues)
    made.issues.extend(odd_characters(study, _STUDY_TEXTS, ""))
    for index, note in enumerate(study.technologist_notes):
        made.issues.extend(character_issues(note, f"/technologistNotes/{index}"))
    for report in study.reports:
        made.issues.extend(odd_characters(report.snapshot, _SNAPSHOT_TEXTS, report.snapshot_pointer))
    return made


def odd_characters(source: object, names: Mapping[str, str], pointer: str) -> list[MappingIssue]:
    """What N takes out of the text fields of an upstream object; `names` gives their names in the upstream."""
    said = {key: value for name, key in names.items() if (value := getattr(source, name))}
    if "".join(said.values()).isprintable():
        return []
    return [issue for key, value in said.items() for issue in character_issues(value, f"{pointer}/{key}")]
