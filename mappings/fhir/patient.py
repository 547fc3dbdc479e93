"""Map the patient data of the newest original report (snapshotMetadata) to a FHIR Patient.

https://hl7.org/fhir/R4/patient.html, US Core Patient Profile, decisions D11, D12, D14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from mappings.codes import ADMINISTRATIVE_GENDER, US_CORE
from mappings.fhir.datatypes import Json, data_absent, identifier, line, said
from mappings.fhir.extensions import extension
from mappings.fhir.merged_patient import REPLACES, is_replaced, patient_link
from mappings.fhir.narrative import narrative
from mappings.fhir.organization import organization_reference
from mappings.fhir.scene import Scene
from mappings.issues import MappingIssue
from mappings.model import Snapshot
from mappings.patient.added import added_identifiers
from mappings.patient.people import Person, are_two_people, is_remarkable
from mappings.patient.subjects import Subject
from mappings.values.dates import birth_date
from mappings.values.names import NAME_ASSUMED, parse_name

_META: Final[Json] = {"profile": [f"{US_CORE}patient"]}
_NO_NAME: Final = "Name not known"
_NAME_DOUBTED: Final = "the whole name stands in text; parts only where evidence splits it"


def patient_identifier(subject: Subject, scene: Scene) -> list[Json]:
    """Patient.identifier <- snapshotMetadata.mrn, externalPatientId, studyId, the orders' numbers: in order of PID-3.

    https://hl7.org/fhir/R4/patient-definitions.html#Patient.identifier
    The types are those of PID-3. Numbers that only the hospital's orders have come last (D48), and before them those
    that the hospital merged into others, with use `old`.
    """
    facts, identity = scene.facts, subject.identity
    added = added_identifiers(identity, facts.orders, facts.merged) if subject is scene.subject else ()
    return [
        identifier(one.system, value, one.type, line(one.assigner), is_old=one.is_old)
        for one in (*identity.shown, *added)
        if (value := line(one.value))
    ]


def patient_name(scene: Scene, snapshot: Snapshot, pointer: str) -> Json:
    """Patient.name <- snapshotMetadata.patientName: `text` always, split only on evidence (D14).

    https://hl7.org/fhir/R4/patient-definitions.html#Patient.name
    A name that is absent or not split has a data-absent-reason (us-core-6).
    """
    facility = scene.site.facility(snapshot.facility_name)
    name = parse_name(line(snapshot.patient_name), facility.name_order if facility else None)
    if name is None:
        scene.warn("patient-name-absent", f"{pointer}/patientName", "the Patient has no name")
        return data_absent("unknown")
    for code, severity in name.doubts:
        action = NAME_ASSUMED if code == "name-split-assumed" else _NAME_DOUBTED
        scene.issues.append(MappingIssue(code, severity, f"{pointer}/patientName", action))
    made = said(
        {
            "text": name.text,
            "family": name.family,
            "given": list(name.given),
            "prefix": list(name.prefix),
            "suffix": list(name.suffix),
        }
    )
    return made if name.family or name.given else {**data_absent("unsupported"), **made}


def patient_gender(scene: Scene, snapshot: Snapshot, pointer: str) -> Json:
    """Patient.gender <- snapshotMetadata.sex; an unknown code is `unknown`, with the code kept beside it.

    https://hl7.org/fhir/R4/patient-definitions.html#Patient.gender
    """
    gender = ADMINISTRATIVE_GENDER.get(snapshot.sex)
    if gender is not None:
        return {"gender": gender}
    scene.warn("sex-unknown-code", f"{pointer}/sex", "gender unknown, the code beside it")
    code = line(snapshot.sex)
    beside = {"extension": [extension(scene.site.canonical, "sex", "String", code)]} if code else None
    return said({"gender": "unknown", "_gender": beside})


def patient_birth_date(scene: Scene, snapshot: Snapshot, pointer: str) -> str | None:
    """Patient.birthDate <- snapshotMetadata.dateOfBirth: whole or partial, dropped if it does not exist (D15).

    https://hl7.org/fhir/R4/patient-definitions.html#Patient.birthDate
    """
    day, doubts = birth_date(snapshot, pointer)
    scene.issues.extend(doubts)
    return day


def patient(subject: Subject, scene: Scene) -> Json:
    """Build the Patient of a subject; elements that AutoScribe does not know (address, telecom, race) are left out."""
    snapshot, pointer = subject.snapshot, subject.pointer
    name = patient_name(scene, snapshot, pointer)
    gender = patient_gender(scene, snapshot, pointer)
    born = patient_birth_date(scene, snapshot, pointer)
    rows = (("Gender", gender["gender"]), ("Birth date", born))
    return said(
        {
            "resourceType": "Patient",
            "id": subject.identity.patient_id,
            "meta": _META,
            "text": narrative(name.get("text", _NO_NAME), rows),
            "identifier": patient_identifier(subject, scene),
            "name": [name],
            **gender,
            "birthDate": born,
            "managingOrganization": organization_reference(snapshot, scene.site),
            "link": [patient_link(one.patient_id, REPLACES) for one in subject.identity.replaced],
        }
    )


def taken_patient_ids(
    resources: Iterable[Mapping[str, Any]], held: Callable[[str], Iterable[Mapping[str, Any]]]
) -> frozenset[str]:
    """Ids of Patients among `resources` that are other people than those `held` under the same ids (D12)."""
    return frozenset(_patient_ids(are_two_people, resources, held))


def renamed(
    about: Iterable[Subject],
    resources: Iterable[Mapping[str, Any]],
    held: Callable[[str], Iterable[Mapping[str, Any]]],
) -> list[MappingIssue]:
    """Issue for each subject whose Patient has another name than one `held` under the same id, for the same person.

    `held` returns the Patients of other studies under an id.
    """
    patient_ids = {*_patient_ids(is_remarkable, resources, held)}
    action = "another study calls the patient of this number otherwise (a married name, a typing error): one person"
    return [
        MappingIssue("patient-renamed", "information", f"{one.pointer}/patientName", action)
        for one in dict.fromkeys(about)
        if one.identity.patient_id in patient_ids
    ]


def _patient_ids(
    is_so: Callable[[Person, Person], bool],
    resources: Iterable[Mapping[str, Any]],
    held: Callable[[str], Iterable[Mapping[str, Any]]],
) -> Iterator[str]:
    for resource in resources:
        if resource["resourceType"] != "Patient" or is_replaced(resource):
            continue
        own = person_of(resource)
        if any(is_so(own, person_of(other)) for other in held(resource["id"])):
            yield resource["id"]


def person_of(resource: Mapping[str, Any]) -> Person:
    """Read the person that a Patient resource describes."""
    gender, name = resource.get("gender", "unknown"), resource.get("name", [{}])[0]
    facts = resource.get("birthDate", ""), "" if gender == "unknown" else gender, name.get("text", "")
    return Person(*facts, name.get("family", ""), tuple(name.get("given", ())))
