"""Input of all FHIR mappings of one study: the study, the site's settings, stored data, and the issues found.

Carries out no clause of a standard: it is only the bundle of arguments that the resource modules share.
Proved by tests/mappings/fhir/test_patient.py and tests/mappings/fhir/test_practitioner.py.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, Final, TypeVar

from mappings.issues import MappingIssue
from mappings.model import Facts, Snapshot, StatedVisit, Study
from mappings.patient.subjects import Subject, subjects_as_before
from mappings.profile import Facility, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.orders import Order, common_visit, orders
from mappings.values.text import character_issues

Made = TypeVar("Made")
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
    """One study to map; `subjects` has its patients by report id, and its own patient by study id; `issues` grows.

    `orders` are the orders of the study, at least one; their numbers may be unknown. `visit` is that of all of them.
    """

    study: Study
    site: Site
    facts: Facts
    subjects: Mapping[str, Subject]
    orders: tuple[Order, ...]
    visit: StatedVisit | None = None
    issues: list[MappingIssue] = field(default_factory=list)
    reuse: Reuse = NO_REUSE

    @property
    def snapshot(self) -> Snapshot:
        """Snapshot that speaks for the study."""
        return self.subject.snapshot

    @property
    def facility(self) -> Facility | None:
        """Facility of the study, if the site knows it: its order numbers are that facility's."""
        return self.site.facility(self.snapshot.facility_name)

    @property
    def subject(self) -> Subject:
        """Patient of the study itself."""
        return self.subjects[self.study.study_id]

    @property
    def patients(self) -> tuple[Subject, ...]:
        """Each patient once, the study's own first."""
        return tuple(dict.fromkeys(self.subjects.values()))

    def as_before(self, place: Hashable, given: Any, make: Callable[[], Made]) -> Made:
        """Return the result of `make` for `given`, with its issues; reuse an earlier one if `given` was equal."""
        return self.reuse.of_noted(place, given, make, self.issues)

    def warn(self, code: str, pointer: str, action: str) -> None:
        """Add a warning."""
        self.issues.append(MappingIssue(code, "warning", pointer, action))

    def inform(self, code: str, pointer: str, action: str) -> None:
        """Add an information."""
        self.issues.append(MappingIssue(code, "information", pointer, action))


def scene(study: Study, site: Site, facts: Facts, reuse: Reuse = NO_REUSE) -> Scene:
    """Build the scene of a study, and report the characters that N removes from its short texts."""
    known_orders, doubts = orders(study, site, facts)
    visit, unclear = common_visit(order.answered for order in known_orders)
    about = subjects_as_before(study, study.reports, site, facts, reuse)
    made = Scene(study, site, facts, about, known_orders, visit, reuse=reuse)
    made.issues.extend((*doubts, *unclear))
    for subject in made.patients:
        made.issues.extend(subject.issues)
    made.issues.extend(odd_characters(study, _STUDY_TEXTS, ""))
    for index, note in enumerate(study.technologist_notes):
        made.issues.extend(character_issues(note, f"/technologistNotes/{index}"))
    for order in known_orders:
        made.issues.extend(character_issues(order.accession_number + order.placer_order_number, order.pointer))
    for report in study.reports:
        made.issues.extend(odd_characters(report.snapshot, _SNAPSHOT_TEXTS, report.snapshot_pointer))
    return made


def odd_characters(source: object, names: Mapping[str, str], pointer: str) -> list[MappingIssue]:
    """Issues for characters that N removes from an object's text fields; `names` maps them to AutoScribe's names."""
    texts = list(map(getattr, repeat(source), names))
    if "".join(filter(None, texts)).isprintable():
        return []
    pairs = zip(names.values(), texts, strict=True)
    return [issue for key, text in pairs if text for issue in character_issues(text, f"{pointer}/{key}")]
