"""Numbers that a hospital merged into others (A40, D48): the identity of a patient follows the surviving one (D11).

HL7 v2.5.1 §3.6.2.1, https://hl7.org/fhir/R4/patient.html#merge
"""

from __future__ import annotations

from typing import Any

import pytest
from fakes.fhir_studies import SITE, addendum, report, snapshot
from fakes.upstream_json import STUDY_ID, response_json, study_json

from mappings import decode
from mappings.model import Facts, MergedNumber, StatedNumber
from mappings.patient.identifiers import Identity, keyed_patient_id
from mappings.patient.merged import given_way
from mappings.patient.subjects import Subject, subjects
from mappings.profile import parse_site

EXTERNAL = """
[[mapping.facilities]]
name = "City Medical Center"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "CITY"
external_patient_id_system = "urn:oid:4.5.6"
external_patient_id_namespace = "EXT"
"""
SYSTEM = "urn:oid:1.2.3"
OLD, NEW = "MRN-001234", "MRN-9"
MERGED = MergedNumber(SYSTEM, "MR", "MRN1234", NEW)


def patient_id(number: str) -> str:
    return keyed_patient_id(SYSTEM, number, SITE)


def people(*reports: Any, merged: tuple[MergedNumber, ...] = (MERGED,), **facts: Any) -> dict[str, Subject]:
    """Map the subjects by the digit of the report's id, and the study's own as `study`."""
    study = decode(study_json(), response_json(*reports))
    found = subjects(study, study.reports, SITE, Facts(merged=merged, **facts))
    return {"study" if key == STUDY_ID else key[-1]: one for key, one in found.items()}


def identity_of(*reports: Any, **facts: Any) -> Identity:
    return people(*reports, **facts)["study"].identity


def numbers(identity: Identity) -> list[tuple[str, str, bool]]:
    return [(one.type, one.value, one.is_old) for one in identity.shown]


def codes(subject: Subject) -> list[tuple[str, str]]:
    return [(issue.code, issue.pointer) for issue in subject.issues]


def test_a_number_that_gave_way_makes_the_patient_of_the_surviving_one_and_stays_behind_it() -> None:
    found = people(report())["study"]
    assert found.identity.patient_id == patient_id(NEW)
    assert numbers(found.identity) == [("MR", NEW, False), ("MR", OLD, True)]
    assert [one.patient_id for one in found.identity.replaced] == [patient_id(OLD)]
    assert codes(found) == [("patient-merged", "/reports/0/snapshotMetadata/mrn")]


def test_a_patient_of_the_surviving_number_is_as_without_the_merge() -> None:
    named = report(snapshotMetadata=snapshot(mrn=NEW))
    assert identity_of(named) == identity_of(named, merged=())


@pytest.mark.parametrize(
    "other",
    [
        MergedNumber("urn:oid:9.9.9", "MR", "MRN1234", NEW),
        MergedNumber(SYSTEM, "PI", "MRN1234", NEW),
        MergedNumber(SYSTEM, "MR", "MRN5", NEW),
    ],
)
def test_another_authority_type_or_number_is_not_followed(other: MergedNumber) -> None:
    assert identity_of(report(), merged=(other,)) == identity_of(report(), merged=())


@pytest.mark.parametrize("doubtful", ["12345678", "0000", "SEE ORDER"])
def test_a_survivor_that_may_be_anybodys_is_not_followed(doubtful: str) -> None:
    found = people(report(), merged=(MergedNumber(SYSTEM, "MR", "MRN1234", doubtful),))["study"]
    assert found.identity.patient_id == patient_id(OLD)
    assert numbers(found.identity) == [("MR", OLD, False)]
    assert codes(found) == [("merge-doubtful", "/reports/0/snapshotMetadata/mrn")]


def test_a_doubtful_number_and_one_without_authority_are_not_followed() -> None:
    doubtful = report(snapshotMetadata=snapshot(mrn="12345678"))
    merged = (MergedNumber(SYSTEM, "MR", "12345678", NEW),)
    assert identity_of(doubtful, merged=merged) == identity_of(doubtful, merged=())
    elsewhere = report(snapshotMetadata=snapshot(facilityName="Elsewhere"))
    assert identity_of(elsewhere) == identity_of(elsewhere, merged=())


def test_reports_under_the_old_and_the_surviving_number_are_about_one_patient() -> None:
    found = people(report(), addendum(snapshotMetadata=snapshot(mrn=NEW)))
    assert found["3"] is found["4"]
    assert numbers(found["3"].identity) == [("MR", NEW, False), ("MR", OLD, True)]
    turned = people(report(snapshotMetadata=snapshot(mrn=NEW)), addendum())
    assert turned["3"] is turned["4"]
    assert numbers(turned["3"].identity) == [("MR", NEW, False), ("MR", OLD, True)]
    assert [one.patient_id for one in turned["3"].identity.replaced] == [patient_id(OLD)]


def test_two_people_whose_numbers_a_merge_makes_one_stay_apart() -> None:
    other = snapshot(mrn=NEW, patientName="John Roe", dateOfBirth="1950-01-01", sex="male")
    found = people(report(), addendum(snapshotMetadata=other))
    assert found["3"].identity.patient_id == patient_id(NEW)
    assert found["4"].identity.is_contested
    assert found["4"].identity.patient_id not in (patient_id(NEW), patient_id(OLD))
    assert found["4"].identity.replaced == ()


def test_who_is_held_apart_from_the_surviving_number_replaces_nobody() -> None:
    found = identity_of(report(), taken_patient_ids=frozenset({patient_id(NEW)}))
    assert (found.is_contested, found.replaced) == (True, ())
    assert {one.type for one in found.shown if one.type} == {"U"}


def test_an_old_number_of_the_study_is_kept_when_autoscribe_says_the_surviving_one() -> None:
    stated = StatedNumber(OLD, "CITY", SYSTEM, "MR")
    found = identity_of(report(snapshotMetadata=snapshot(mrn=NEW)), old_numbers=(stated,))
    before = identity_of(report())
    assert (found.patient_id, found.identifiers, found.replaced) == (
        before.patient_id,
        before.identifiers,
        before.replaced,
    )
    assert found.issues == ()


def test_old_numbers_of_another_survivor_are_not_shown() -> None:
    stated = StatedNumber("MRN-5", "CITY", SYSTEM, "MR")
    merged = (MERGED, MergedNumber(SYSTEM, "MR", "MRN5", "MRN-6"))
    assert identity_of(report(), old_numbers=(stated,), merged=merged) == identity_of(report())


def test_a_surviving_number_in_another_spelling_is_written_as_the_hospital_writes_it() -> None:
    found = identity_of(report(snapshotMetadata=snapshot(mrn="MRN-009")))
    assert found.patient_id == patient_id(NEW)
    assert numbers(found) == [("MR", NEW, False)]
    assert [one.patient_id for one in found.replaced] == [patient_id("MRN-009")]


def test_an_external_number_is_followed_and_the_patient_stays_the_one_of_the_mrn() -> None:
    site = parse_site(EXTERNAL)
    merged = (MergedNumber("urn:oid:4.5.6", "PI", "EXT77", "EXT-78"),)
    study = decode(study_json(externalPatientId="EXT-77"), response_json(report()))
    found = subjects(study, study.reports, site, Facts(merged=merged))[STUDY_ID]
    assert numbers(found.identity) == [("MR", OLD, False), ("PI", "EXT-78", False), ("PI", "EXT-77", True)]
    assert found.identity.patient_id == keyed_patient_id(SYSTEM, OLD, site)
    assert found.identity.replaced == ()
    assert ("patient-merged", "/externalPatientId") in codes(found)


def test_the_numbers_that_gave_way_are_known_in_the_order_in_which_they_did() -> None:
    first = people(report())["study"].identity
    chain = Facts(merged=tuple(MergedNumber(SYSTEM, "MR", one, "MRN-10") for one in ("MRN1234", "MRN9")))
    assert given_way(first.identifiers, Facts()) == ()
    assert [one.value for one in given_way(first.identifiers, chain)] == [NEW, OLD]
    again = Facts(merged=chain.merged, old_numbers=given_way(first.identifiers, chain))
    assert given_way(first.identifiers, again) == again.old_numbers
