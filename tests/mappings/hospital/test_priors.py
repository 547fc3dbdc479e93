"""Priors are of the same facility and identity key, undisputed, and with the text that stands; D11, D12, D17, D36."""

from __future__ import annotations

import pytest
from fakes.hospital import SITE, order, patient, report, snapshot, study
from fakes.webhook_contract import CONTEXT_REPLY, faults

from mappings.hospital.answers import LONGEST_TEXT, WantedPriors, current_text, patient_ids, prior_reports
from mappings.model import Facts

CITY = SITE.facility("City")
WANTED = patient_ids(CITY, ["4711"], SITE)
STUDY = "stu_" + "1" * 32


def prior(*reports, **changes):
    made = reports or (report(snapshot=snapshot(), text="IMPRESSION: none."),)
    return study("A9", "", *made, **{"study_instance_uid": "1.9", "modality": "CT"} | changes)


def told(*studies, facts=Facts(), orders=(), wanted=WANTED):  # noqa: B008 (frozen)
    asked = WantedPriors("1.2", CITY, wanted, tuple(orders) or (order(),))
    return prior_reports([(one, facts) for one in studies], asked, SITE)


def test_a_prior_has_what_the_contract_defines():
    [one] = told(prior(study_description="CT Head"))
    assert one.told == {
        "reportText": "IMPRESSION: none.",
        "externalStudyId": STUDY,
        "modality": "CT",
        "studyDate": "2026-05-20",
        "studyDescription": "CT Head",
    }
    assert ({one.patient_id}, one.report_ids) == (WANTED, ("rep_" + "3" * 32,))
    assert faults({"priorReports": [one.told]}, CONTEXT_REPLY) == []


def of(**changes):
    return prior(report(snapshot=snapshot(**changes), text="x"))


@pytest.mark.parametrize(
    "other",
    [
        of(mrn="4712"),
        of(facility_name="Mercy"),
        of(facility_name="X"),
        of(mrn=None),
        prior(study_instance_uid="1.2"),
        prior(is_cancelled=True),
        prior(study_type="external"),
        prior(report(snapshot=snapshot(), text=" ")),
        prior(report(snapshot=snapshot(), text="x" * (LONGEST_TEXT + 1))),
        prior(report(snapshot=snapshot(), text="x", status="in_progress", signed_at=None)),
    ],
    ids=["number", "facility", "nowhere", "unnamed", "itself", "cancelled", "external", "empty", "long", "draft"],
)
def test_another_study_is_no_prior(other):
    assert told(other) == ()


def test_a_study_in_a_conflict_is_no_prior():
    disputed = prior(report(text="x"), report("4", STUDY, snapshot=snapshot(mrn="9998"), text="y"))
    assert told(disputed) == ()
    assert told(prior(), facts=Facts(taken_patient_ids=WANTED)) == ()


def test_if_one_prior_is_about_somebody_else_than_the_order_none_is_told():
    other = of(patient_name="Max Power", date_of_birth="2001-01-01", sex="male")
    assert told(prior(), other) == ()
    assert told(prior(), orders=(order(about=patient(sex="M", born="20010101", given="MAX", family="POWER")),)) == ()


def test_no_superseded_statement_stands_alone():
    first = report(text="IMPRESSION: none.", signed_at="2026-05-21T08:00:00Z")
    second = report("4", text="Fracture seen.", is_addendum=True, signed_at="2026-05-22T08:00:00Z")
    third = report("5", text="Old fracture.", is_addendum=True, signed_at="2026-05-23T08:00:00Z")
    assert current_text((first, second, third), CITY) == (
        "ADDENDUM (23-May-2026 08:00 UTC):\nOld fracture.\n\nADDENDUM (22-May-2026 08:00 UTC):\nFracture seen.\n\n"
        "REPORT (21-May-2026 08:00 UTC):\nIMPRESSION: none."
    )
    merged = report("6", text="IMPRESSION: none.\nADDENDUM: fracture.", is_addendum=True)
    assert current_text((first, merged), CITY) == "IMPRESSION: none.\nADDENDUM: fracture."
    draft = report("7", text="draft", is_addendum=True, status="in_progress", signed_at=None)
    [one] = told(prior(first, draft))
    assert one.told["reportText"] == "IMPRESSION: none."


def test_an_addendum_without_text_is_said_to_have_none():
    empty = report("4", text="", is_addendum=True, signed_at="2026-05-22T08:00:00Z")
    text = current_text((report(text="IMPRESSION: none."), empty), CITY)
    assert text.startswith("ADDENDUM (22-May-2026 08:00 UTC):\n(AutoScribe sent no report text)\n\nREPORT")


def test_a_doubtful_number_identifies_nobody():
    assert patient_ids(CITY, ["UNKNOWN", "1"], SITE) == frozenset()
