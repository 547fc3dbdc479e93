"""Follow merges from a patient's old number to the number that replaced it.

HL7 v2.5.1 §3.6.2.1 (merge: the incorrect identifier is never referenced in future transactions), §3.3.40 (A40),
https://hl7.org/fhir/R4/patient.html#merge, decisions D11, D13, D48. A number is followed within its authority and type
only. A doubtful number, one without an authority, and one whose survivor is doubtful are not followed.
Proved by tests/mappings/patient/test_merged.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from mappings.issues import MappingIssue
from mappings.model import Facts, MergedNumber, Snapshot, StatedNumber, Study
from mappings.patient.identifiers import (
    Identity,
    PatientIdentifier,
    ReplacedPatient,
    identify,
    is_doubtful,
    is_placeholder,
    keyed_patient_id,
    mrn_key,
)
from mappings.profile import Site

_FOLLOWED: Final = "the hospital merged this number into another one, which counts in its place"
_DOUBTFUL: Final = "the hospital merged this number into one that may be anybody's: not followed"
_PLACES: Final = {"MR": "/mrn", "PI": "/externalPatientId"}


def identified(study: Study, snapshot: Snapshot, site: Site, pointer: str, facts: Facts) -> Identity:
    """Derive a snapshot's identity (`identify`), with replaced numbers in place of merged ones."""
    identity = identify(study, snapshot, site, pointer)
    if not facts.merged:
        return identity
    issues = list(identity.issues)
    numbers: list[PatientIdentifier] = []
    old: list[PatientIdentifier] = []
    for one in identity.identifiers:
        text = surviving(one, facts.merged)
        place = _PLACES["PI"] if one.type == "PI" else f"{pointer}{_PLACES['MR']}"
        if text and not _may_survive(text, one, snapshot, site):
            issues.append(MappingIssue("merge-doubtful", "warning", place, _DOUBTFUL))
            text = ""
        if text and text != one.value:
            old.append(one)
            issues.append(MappingIssue("patient-merged", "information", place, _FOLLOWED))
        numbers.append(replace(one, value=text) if text else one)
    ends = {(one.type, one.system, one.value) for one in numbers}
    for stated in facts.old_numbers:
        one = PatientIdentifier(stated.type_code, stated.system, stated.value, stated.namespace)
        if (one.type, one.system, surviving(one, facts.merged)) in ends:
            old.append(one)
    gone = [replace(one, is_old=True) for one in old if (one.type, one.system, one.value) not in ends]
    return _under(identity, numbers, sorted(set(gone), key=_number), tuple(issues), site)


def surviving(number: PatientIdentifier, merged: Sequence[MergedNumber]) -> str:
    """Return the number that replaces this one, as the hospital wrote it; empty if it was not merged.

    A surviving number itself is returned in the hospital's spelling. If that differs between messages, one is chosen.
    """
    own = [one for one in merged if (one.system, one.type_code) == (number.system, number.type)]
    if not own:
        return ""
    key = mrn_key(number.value)
    end = next((mrn_key(one.surviving) for one in own if one.prior == key), key)
    return min((one.surviving for one in own if mrn_key(one.surviving) == end), default="")


def of_other_numbers(identity: Identity) -> tuple[ReplacedPatient, ...]:
    """Return the replaced Patients with another number than the surviving one, in any spelling."""
    spelled = {(one.type, one.system, mrn_key(one.value)) for one in identity.identifiers if not one.is_old}
    numbers = ((one, one.number) for one in identity.replaced)
    return tuple([one for one, old in numbers if (old.type, old.system, mrn_key(old.value)) not in spelled])


def given_way(numbers: Iterable[PatientIdentifier], facts: Facts) -> tuple[StatedNumber, ...]:
    """Return the study's old numbers, adding those of these numbers that were merged now."""
    gone = [
        StatedNumber(one.value, one.namespace, one.system, one.type)
        for one in numbers
        if one.type and surviving(one, facts.merged) not in ("", one.value)
    ]
    return tuple(dict.fromkeys((*facts.old_numbers, *gone)))


def _may_survive(text: str, number: PatientIdentifier, snapshot: Snapshot, site: Site) -> bool:
    facility = site.facility(snapshot.facility_name) or site.default_facility
    pattern = facility.mrn_pattern if facility and number.type == "MR" else None
    is_social = number.namespace == site.vista.ssn_namespace != ""
    written = text.replace("-", "") if is_social and pattern is None else text
    return not is_placeholder(text) and not is_doubtful(written, pattern)


def _number(number: PatientIdentifier) -> tuple[str, str, str]:
    return number.type, number.system, number.value


def _under(
    identity: Identity,
    numbers: Sequence[PatientIdentifier],
    old: Sequence[PatientIdentifier],
    issues: tuple[MappingIssue, ...],
    site: Site,
) -> Identity:
    """Return the identity with these numbers; its Patient id is made from the number that replaced its key.

    Another spelling of the surviving number is a Patient of its own before the merge, and no other number.
    """
    pairs = zip(identity.identifiers, numbers, strict=True)
    keys = [now for was, now in pairs if keyed_patient_id(was.system, was.value, site) == identity.patient_id]
    patient_id, replaced = identity.patient_id, tuple[ReplacedPatient, ...]()
    if identity.is_linked and keys:
        key = keys[0]
        patient_id = keyed_patient_id(key.system, key.value, site)
        same = [one for one in old if (one.type, one.system) == (key.type, key.system)]
        replaced = tuple(ReplacedPatient(keyed_patient_id(one.system, one.value, site), one) for one in same)
    listed = {(one.type, one.system, mrn_key(one.value)) for one in numbers}
    others = [one for one in old if (one.type, one.system, mrn_key(one.value)) not in listed]
    shown = (*numbers, *others)
    return replace(identity, patient_id=patient_id, identifiers=shown, issues=issues, replaced=replaced)
