"""Map the patient data of the newest original report (snapshotMetadata) to a FHIR Patient; merged numbers too.

https://hl7.org/fhir/R4/patient.html#merge, https://hl7.org/fhir/R4/patient-definitions.html#Patient.link, US Core
Patient Profile, decisions D11, D12, D14, D48. Each study that follows a merge describes the surviving Patient, with
`replaces`, and the old one, inactive with `replaced-by`. An old Patient that other studies still describe as active
stays active until they follow too, so the result does not depend on the order in which the studies follow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from mappings.codes import ADMINISTRATIVE_GENDER, US_CORE
from mappings.fhir.datatypes import Json, data_absent, identifier, json_bytes, line, narrative, reference, without_empty
from mappings.fhir.extensions import extension
from mappings.fhir.organization import organization_reference
from mappings.fhir.scene import Scene
from mappings.issues import MappingIssue
from mappings.model import Snapshot
from mappings.patient.added import added_identifiers
from mappings.patient.identifiers import Identity, ReplacedPatient
from mappings.patient.people import Person, are_two_people, is_remarkable
from mappings.patient.subjects import Subject
from mappings.values.dates import birth_date
from mappings.values.names import NAME_ASSUMED, parse_name

REPLACES: Final = "replaces"
_REPLACED_BY: Final = "replaced-by"
_LINKED: Final = b'"link":['
_OLD: Final = "old"


def patient_link(patient_id: str, link_type: str) -> Json:
    """Make a Patient.link to another Patient.

    https://hl7.org/fhir/R4/valueset-link-type.html
    """
    return {"other": reference("Patient", patient_id), "type": link_type}


def replaced_patients(resource: Json, identity: Identity) -> Iterator[Json]:
    """Yield the Patients that `resource` replaces: described like it, inactive, with the old number."""
    for one in identity.replaced:
        yield {
            **resource,
            "id": one.patient_id,
            "identifier": [_old_identifier(one)],
            "active": False,
            "link": [patient_link(identity.patient_id, _REPLACED_BY)],
        }


def survivor_id(resource: Mapping[str, Any]) -> str:
    """Return the id of the Patient that replaced this one in a merge; empty if none did."""
    return next(iter(_linked(resource, _REPLACED_BY)), "")


def replaced_ids(resource: Mapping[str, Any]) -> list[str]:
    """Return the ids of the Patients that this one replaced in merges."""
    return _linked(resource, REPLACES)


def is_replaced(resource: Mapping[str, Any]) -> bool:
    """True for a Patient that another one replaced in a merge."""
    return bool(survivor_id(resource))


def described(claims: Sequence[bytes]) -> bytes | None:
    """Return the Patient as the newest of these descriptions (oldest first) gives it; None if there is none.

    One of an active Patient goes before all of a replaced one. It gets the old numbers and links of the others.
    """
    if not any(_LINKED in one for one in claims):
        return claims[-1] if claims else None
    resources = [json.loads(one) for one in claims]
    active = [place for place, one in enumerate(resources) if not is_replaced(one)]
    if not active:
        return claims[-1]
    newest, others = resources[active[-1]], [resources[place] for place in active]
    numbers = [one for one in newest["identifier"] if one.get("use") != _OLD]
    known = {(one["system"], one["value"]) for one in numbers}
    old = [one for resource in others for one in resource["identifier"] if one.get("use") == _OLD]
    old = [one for one in old if (one["system"], one["value"]) not in known]
    links = [one for resource in others for one in resource.get("link", ())]
    made = without_empty({**newest, "identifier": [*numbers, *_each_once(old)], "link": _each_once(links)})
    return claims[active[-1]] if made == newest else json_bytes(made)


def _linked(resource: Mapping[str, Any], link_type: str) -> list[str]:
    links = [one["other"]["reference"] for one in resource.get("link", ()) if one["type"] == link_type]
    return [one.partition("/")[2] for one in links]


def _each_once(elements: Iterable[Json]) -> list[Json]:
    """Return each element once, in an order that does not depend on theirs."""
    known = {json.dumps(one, sort_keys=True): one for one in elements}
    return [known[key] for key in sorted(known)]


def _old_identifier(one: ReplacedPatient) -> Json:
    number = one.number
    return identifier(number.system, line(number.value) or "", number.type, line(number.assigner), is_old=True)


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
    made = without_empty(
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
    return without_empty({"gender": "unknown", "_gender": beside})


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
    return without_empty(
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
    """Return the ids of Patients in `resources` that are other people than those `held` under the same ids (D12)."""
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
