"""AutoScribe is told only what exactly one agreeing group of orders says; AutoScribe REST API, webhooks; D48."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.hospital import AUTHORITIES, DAY, MERCY, NOW, SITE, UID, merges_of, mrn, number, order, patient
from fakes.webhook_contract import CONTEXT_REPLY, ENRICHMENT_REPLY, faults

from mappings.hospital.answers import (
    NOTE,
    StudyQuestion,
    agreed_orders,
    clinic_facilities,
    context_answer,
    enrichment_answer,
    search_keys,
    told_beyond,
)
from mappings.hospital.authorities import Authorities, OrderKey, OrderSource
from mappings.hospital.events import Clinician, CodedText
from mappings.hospital.groups import NO_MERGES, indexed
from mappings.hospital.match import KnownHospital

CLINIC, OTHER_CLINIC = "123e4567-e89b-12d3-a456-426614174000", "00000000-0000-4000-8000-000000000001"
_CLINICS = {"City": (CLINIC,), "Mercy": (OTHER_CLINIC,)}
ASKED = StudyQuestion(CLINIC, UID, "A1", ("4711",))


def site_of(clinics):
    rows = {row.name: replace(row, clinic_ids=clinics.get(row.name, ())) for row in SITE.facilities.values()}
    return replace(SITE, facilities=rows)


def agreed(*orders, question=ASKED, merges=NO_MERGES, clinics=_CLINICS):
    authorities = Authorities(site_of(clinics))
    return agreed_orders(question, KnownHospital(indexed(orders, authorities), authorities, merges), NOW)


def answer(*orders, **changes):
    found = agreed(*orders, **changes)
    return enrichment_answer(found) if found else {}


def test_an_order_with_the_accession_number_and_the_patient_number_is_told():
    physician = Clinician(family="Chen", given="Michael")
    one = order(ordering=(physician,), priority="S")
    said = answer(one)
    assert said == {
        "mrn": "4711",
        "facilityName": "City",
        "patientName": "DOE, JANE",
        "dateOfBirth": "1985-07-20",
        "sex": "female",
        "procedure": "CT Head",
        "studyDescription": "CT Head",
        "referringPhysicianName": "Chen, Michael",
        "severity": "stat",
    }
    assert faults(said, ENRICHMENT_REPLY) == []


@pytest.mark.parametrize(
    "question",
    [
        replace(ASKED, clinic_id=""),
        replace(ASKED, clinic_id="00000000-0000-4000-8000-000000000009"),
        replace(ASKED, clinic_id=OTHER_CLINIC),
        replace(ASKED, accession="A2"),
        replace(ASKED, patient_numbers=("4712",)),
        replace(ASKED, patient_numbers=("4711", "4712")),
        replace(ASKED, patient_numbers=()),
        replace(ASKED, patient_numbers=("",)),
        replace(ASKED, patient_numbers=("UNKNOWN",)),
        replace(ASKED, accession=""),
    ],
    ids=lambda one: f"{one.clinic_id[-4:]} {one.accession} {one.patient_numbers}",
)
def test_nothing_is_told_unless_clinic_accession_and_patient_all_agree(question):
    assert agreed(order(), question=question) is None


def test_an_equal_number_of_another_facility_is_not_told():
    assert agreed(order(source=MERCY)) is None
    assert agreed(order(), order(source=MERCY)).facility.name == "City"


def test_a_clinic_of_several_facilities_is_answered_only_if_one_of_them_agrees():
    both = {"City": (CLINIC,), "Mercy": (CLINIC.upper(),)}
    assert [one.name for one in clinic_facilities(site_of(both), CLINIC)] == ["City", "Mercy"]
    assert agreed(order(source=MERCY), clinics=both).facility.name == "Mercy"
    assert agreed(order(), order(source=MERCY), clinics=both) is None


def test_of_two_groups_only_the_one_with_the_patient_is_told():
    other = order(placer="P2", about=patient("4712", family="ROE"))
    assert answer(order(), other)["patientName"] == "DOE, JANE"
    assert agreed(order(), order(placer="P2", about=patient(None))) is None


def test_cancelled_old_and_contradictory_orders_are_not_told():
    assert agreed(order(effect="cancel", control="CA")) is None
    assert agreed(order(at=NOW - timedelta(days=401))) is None
    assert agreed(order(), order(placer="P2", about=patient(sex="M", born="20010101"))) is None


def test_where_orders_of_one_group_differ_the_value_is_unsaid():
    said = answer(order(), order(placer="P2", procedure=CodedText("X", "MR Knee"), priority="R"))
    assert "procedure" not in said
    assert "severity" not in said
    assert said["mrn"] == "4711"


def test_what_an_order_does_not_know_is_unsaid():
    said = answer(order(about=patient(given="", born="1985", sex="U"), priority="X"))
    assert said == {"mrn": "4711", "facilityName": "City", "procedure": "CT Head", "studyDescription": "CT Head"}


def test_the_surviving_number_is_said_and_an_unclear_one_is_not():
    merges = merges_of(("4711", "4799"))
    old, new = order(), order(about=patient("4799"))
    assert answer(old, question=replace(ASKED, patient_numbers=("4799",)), merges=merges)["mrn"] == "4799"
    assert answer(new, merges=merges)["mrn"] == "4799"
    assert "mrn" not in answer(old, merges=merges)
    swapped = merges_of(("4711", "4799"), ("4799", "4711"))
    assert agreed(old, merges=swapped) is None


def test_only_numbers_that_autoscribe_did_not_say_itself_are_no_evidence_later():
    merges = merges_of(("4711", "4799"))
    assert told_beyond(answer(order(about=patient("4799")), merges=merges), ASKED) == ("4799",)
    assert told_beyond(answer(order()), ASKED) == ()
    assert told_beyond({}, ASKED) == ()


def test_without_an_accession_number_a_study_uid_that_is_a_key_finds_the_order():
    source = OrderSource("city-his", "City", are_uids_keys=True)
    question = replace(ASKED, accession="")
    assert agreed(order(source=source, study_uids=(UID,)), question=question) is not None
    assert agreed(order(study_uids=(UID,)), question=question) is None
    assert agreed(order(source=source, study_uids=(UID,)), question=replace(question, patient_numbers=())) is None


def test_a_question_is_looked_up_by_the_numbers_of_its_facility():
    facility = AUTHORITIES.site.facility("City")
    keys = (OrderKey("accession", "urn:oid:1.2.2", "A1"), OrderKey("study_uid", "", UID))
    assert search_keys(ASKED, facility, AUTHORITIES) == keys


def test_the_context_has_indication_and_notes_of_all_orders():
    one = order(indication=("Headache,", "sudden"), notes=("Pacemaker", "Call ward"))
    two = order(placer="P2", indication=("Fall",), notes=("Pacemaker",))
    found = agreed(one, two)
    prior = {"reportText": "IMPRESSION: none", "studyDate": DAY}
    said = context_answer(found, [prior] * 60)
    assert said["clinicalIndication"] == "Headache, sudden; Fall"
    assert said["technologistNotes"] == [f"{NOTE}Pacemaker\nCall ward\nPacemaker"]
    assert said["priorReports"] == [prior] * 50
    assert faults(said, CONTEXT_REPLY) == []


MANY = tuple(f"{n:03} " + "x" * 980 for n in range(51))


@pytest.mark.parametrize("notes", [("x" * 1001,), MANY], ids=["long", "many"])
def test_notes_for_which_the_contract_has_no_room_are_left_out_whole(notes):
    assert context_answer(agreed(order(notes=notes)), []) == {}


def test_the_values_of_the_patient_are_those_of_question_and_orders():
    found = agreed(order(about=patient(number("04711", type_code="MR"))))
    assert found.values == ("4711", "04711")
    assert mrn("4711").value == "4711"
