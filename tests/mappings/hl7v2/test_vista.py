"""HL7 v2.5.1 §3.4.2.2, §3.4.2.3, §4.5.3.3, §7.4.1.32: VistA's lookups, as in RAHLTCPB and RAHLTCPX (D34)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from fakes.er7_reader import all_of, field
from fakes.oru_example import REPORT_ID, SITE, USER, USER_ID, addendum, report, send, study

from mappings.hl7v2.judge import judge_message
from mappings.hl7v2.oru_r01 import messages
from mappings.hl7v2.receiver_rules import check_rules
from mappings.model import Cause, Facts, Study
from mappings.patient.identifiers import short_id
from mappings.profile import AssigningAuthority, Directory, Provider, Receiver, Site, receiver
from mappings.profile.vista import Vista

OLD, NEW = receiver("vista-2.3"), receiver("vista-2.4")
EXAM, CASE, ACCESSION = "7058894.8579-1", "010526-1443", "500-010526-1443"
NUMBERS = {"exam": EXAM, "case": CASE, "acc": ACCESSION}
KNOWN = Vista("MERCY", station="500", exam_keys=("exam",), case_keys=("case",))
HERE = replace(
    SITE,
    vista=KNOWN,
    accession_keys=("acc",),
    number_separator=",",
    providers=Directory({}, {USER_ID: Provider("Smith", "Alex", npi="1234567893", local_id="1234")}),
    provider_authority=AssigningAuthority("urn:oid:1.9", "VA500"),
)
# A Social Security number is doubtful, unless the facility's pattern says that its numbers look so
NUMBERED = re.compile(r"\d{9}|\d{3}-\d{2}-\d{4}")
SOCIAL = {name: replace(one, mrn_pattern=NUMBERED) for name, one in SITE.facilities.items()}
SSN = replace(HERE, facilities=SOCIAL, vista=replace(KNOWN, dfn_namespace="", ssn_namespace="MERCY"))


def knowing(*reports: dict[str, Any], metadata: dict[str, str] = NUMBERS, **changes: Any) -> Study:
    return study(*reports, metadata=metadata, **changes)


def told(what: Study, to: Receiver, *, site: Site = HERE, **asked: Any) -> bytes:
    """Send the only message; it must keep every blocking rule of its profile."""
    mapped = send(what, to=to, site=site, **asked)
    assert mapped.output is not None, mapped.issues
    assert judge_message(mapped.output) == ()
    assert blocked(mapped.output, to) == []
    return mapped.output


def blocked(message: bytes, to: Receiver) -> list[str]:
    return [one.rule.name for one in check_rules(message, to) if one.rule.level == "block"]


def held(what: Study, to: Receiver, *, site: Site = HERE, **asked: Any) -> list[str]:
    """Codes of the errors that hold the message."""
    mapped = send(what, to=to, site=site, **asked)
    assert mapped.output is None
    return [issue.code for issue in mapped.issues if issue.severity == "error"]


def test_the_older_vista_knows_the_patient_by_its_own_number_alone() -> None:
    message = told(knowing(externalPatientId="E-7"), OLD)
    assert (field(message, "PID-2"), field(message, "PID-3")) == ("", "00412345^^^MERCY^MR")


def test_a_number_counts_as_the_dfn_only_where_the_site_says_that_it_is() -> None:
    assert held(knowing(), OLD, site=replace(HERE, vista=replace(KNOWN, dfn_namespace=""))) == ["vista-patient-unknown"]
    assert held(knowing(), OLD, site=replace(HERE, facilities={})) == ["vista-patient-unknown"]


@pytest.mark.parametrize("mrn", ["A00412345", "0041-2345", "000000", None])
def test_without_a_numeric_dfn_nothing_is_sent(mrn: str | None) -> None:
    assert held(knowing(report(snapshot={"mrn": mrn})), OLD) == ["vista-patient-unknown"]


def test_a_number_that_is_somebody_elses_too_names_nobody() -> None:
    other = report(reportId="rep_" + "5" * 32, snapshot={"patientName": "ROE^RICHARD", "dateOfBirth": "1950-01-01"})
    site = replace(HERE, on_conflict="send")
    for to in (OLD, NEW):
        assert held(knowing(report(), other), to, report_id=other["reportId"], site=site) == ["vista-patient-unknown"]


def test_the_newer_vista_knows_the_patient_by_the_social_security_number() -> None:
    for mrn in ("000456789", "000-45-6789"):
        message = told(knowing(report(snapshot={"mrn": mrn})), NEW, site=SSN)
        assert (field(message, "PID-2"), field(message, "PID-3")) == ("", "000456789^^^MERCY^MR")


def of_a_customer(number: str, mrn: str | None = None) -> Study:
    customer = {"expressCustomerId": "cus_1", "expressCustomerName": "Tampa"}
    return knowing(report(snapshot={"mrn": mrn}), externalPatientId=number, expressCustomer=customer)


TAMPA = replace(
    HERE,
    express_customers={"cus_1": AssigningAuthority("urn:oid:1.2.9", "TAMPA")},
    vista=replace(KNOWN, dfn_namespace="", ssn_namespace="TAMPA"),
)


@pytest.mark.parametrize("number", ["123456780", "123-45-6780"])
def test_an_external_id_is_the_social_security_number_where_the_site_says_that_its_numbers_are(number: str) -> None:
    assert field(told(of_a_customer(number), NEW, site=TAMPA), "PID-3") == "123456780^^^TAMPA^PI"
    elsewhere = replace(TAMPA, vista=replace(KNOWN, ssn_namespace="MERCY"))
    assert held(of_a_customer(number), NEW, site=elsewhere) == ["vista-patient-unknown"]


@pytest.mark.parametrize("mrn", [None, "00412345"])
@pytest.mark.parametrize(
    "number", ["123-45-6789", "111111111", "000-00-0000", "999-99-9999", "123-45-678", "A23-45-6780"]
)
def test_what_may_be_anybodys_is_no_social_security_number_whatever_else_is_known(number: str, mrn: str | None) -> None:
    assert held(of_a_customer(number, mrn), NEW, site=TAMPA) == ["vista-patient-unknown"]


def test_a_doubtful_number_is_no_dfn_though_another_number_names_the_patient() -> None:
    site = replace(TAMPA, vista=replace(KNOWN, dfn_namespace="MERCY"))
    what = of_a_customer("E-7001", "12345678")
    for to in (OLD, NEW):
        assert held(what, to, site=site) == ["vista-patient-unknown"]


def test_without_a_social_security_number_it_is_the_dfn_of_the_station_and_not_in_pid_3() -> None:
    message = told(knowing(), NEW)
    assert (field(message, "PID-2"), field(message, "PID-3")) == ("500-00412345", "")
    assert held(knowing(), NEW, site=replace(HERE, vista=replace(KNOWN, station=""))) == ["vista-patient-unknown"]
    assert held(knowing(), NEW, site=SSN) == ["vista-patient-unknown"]


def test_the_older_vista_knows_the_order_by_its_exam_and_long_case_number() -> None:
    message = told(knowing(), OLD)
    assert field(message, "OBR-3") == field(message, "ORC-3") == f"{EXAM}^{CASE}"
    assert field(message, "OBR-18") == ACCESSION


@pytest.mark.parametrize("missing", ["exam", "case"])
def test_without_exam_or_case_number_the_message_is_held(missing: str) -> None:
    known = {key: text for key, text in NUMBERS.items() if key != missing}
    assert held(knowing(metadata=known), OLD) == ["exam-missing"]


def test_each_exam_of_a_study_has_a_message_of_its_own() -> None:
    both = {"exam": "7.1-1,7.1-2", "case": "010526-1,010526-2", "acc": "500-010526-1,500-010526-2"}
    what = knowing(metadata=both)
    for to, numbers in ((OLD, ["7.1-1^010526-1", "7.1-2^010526-2"]), (NEW, ["500-010526-1", "500-010526-2"])):
        causes = messages(what, Cause(REPORT_ID), HERE, to, Facts())
        made = [told(what, to, accession_number=cause.accession_number) for cause in causes]
        assert [field(message, "OBR-3") for message in made] == numbers
        assert [len(all_of(message, "OBR")) for message in made] == [1, 1]


def test_exams_that_cannot_be_paired_with_the_orders_are_not_guessed() -> None:
    what = knowing(metadata={**NUMBERS, "exam": "7.1-1,7.1-2"})
    assert held(what, OLD) == ["exam-missing"]
    assert "exam-unpaired" in [issue.code for issue in send(what, to=OLD, site=HERE).issues]


def test_an_exam_keeps_its_number_over_addenda_and_corrections() -> None:
    again = told(knowing(report(), addendum()), OLD, sent_before=True, kind="text_changed", filler=EXAM)
    assert field(again, "OBR-3") == f"{EXAM}^{CASE}"


@pytest.mark.parametrize("sent_under", [short_id("stu_" + "7" * 32), "6.9-1"])
def test_a_number_that_is_not_the_exams_never_stands_beside_its_case(sent_under: str) -> None:
    """D18: a result sent under another number stays there. VistA would find the wrong exam, so it is blocked."""
    mapped = send(knowing(), to=OLD, site=HERE, sent_before=True, kind="text_changed", filler=sent_under)
    assert mapped.output is not None
    assert field(mapped.output, "OBR-3") in {sent_under, f"{sent_under}^AUTOSCRIBE"}
    assert "obr-3.2-long-case" in blocked(mapped.output, OLD)


def test_the_newer_vista_knows_the_order_by_the_accession_number_of_the_site() -> None:
    message = told(knowing(), NEW)
    assert field(message, "OBR-3") == field(message, "ORC-3") == ACCESSION
    assert held(knowing(metadata={}), NEW) == ["accession-missing"]


@pytest.mark.parametrize("accession", ["ACC7", "010526-1443", "500-010526", "500-010526-1443 "])
def test_an_accession_number_of_another_form_is_blocked(accession: str) -> None:
    mapped = send(knowing(metadata={"acc": accession}), to=NEW, site=HERE)
    assert mapped.output is not None
    assert blocked(mapped.output, NEW) == ([] if accession.strip() == ACCESSION else ["obr-3.1-site-accession"])


def test_the_older_vista_looks_the_interpreter_up_by_family_and_given_name() -> None:
    assert field(told(knowing(), OLD), "OBR-32") == "SMITH,ALEX"
    lower = {**USER, "firstName": "Alex", "lastName": "van der Berg"}
    assert field(told(knowing(users=(lower,)), OLD), "OBR-32") == "VAN DER BERG,ALEX"


@pytest.mark.parametrize("name", [{"firstName": ""}, {"lastName": "Smith, Jr."}])
def test_an_interpreter_whose_name_cannot_be_looked_up_is_blocked(name: dict[str, str]) -> None:
    mapped = send(knowing(users=({**USER, **name},)), to=OLD, site=replace(HERE, providers=Directory({}, {})))
    assert mapped.output is not None
    assert blocked(mapped.output, OLD) == ["obr-32-family-given"]


def test_the_newer_vista_knows_the_interpreter_by_its_own_number_before_any_npi() -> None:
    assert field(told(knowing(), NEW), "OBR-32") == "1234&SMITH&ALEX&R&&&MD&&VA500"


def test_an_npi_is_never_taken_for_a_number_of_vista() -> None:
    mapped = send(knowing(), to=NEW, site=replace(HERE, providers=Directory({}, {})))
    assert mapped.output is not None
    assert blocked(mapped.output, NEW) == ["obr-32.1-no-npi"]


def test_lines_carry_the_codes_that_each_takes() -> None:
    old, new = ([row[3] for row in all_of(told(knowing(), to), "OBX")] for to in (OLD, NEW))
    assert set(new) == {"R^REPORT^L"}
    assert {code.split("^")[0] for code in old} == {"18748-4&R", "19005-8&I"}


@pytest.mark.parametrize(
    ("to", "kind", "obr_25"),
    [(OLD, "signed", "F"), (OLD, "text_changed", "F"), (NEW, "signed", "F"), (NEW, "text_changed", "C")],
)
def test_a_report_has_a_status_that_each_takes(to: Receiver, kind: str, obr_25: str) -> None:
    assert field(told(knowing(), to, kind=kind, sent_before=kind != "signed"), "OBR-25") == obr_25


def test_an_addendum_is_appended_there_and_restates_everything_here() -> None:
    what = knowing(report(), addendum())
    asked = {"report_id": addendum()["reportId"], "kind": "addendum_signed", "sent_before": True}
    old, new = (told(what, to, **asked) for to in (OLD, NEW))
    assert [field(message, "OBR-25") for message in (old, new)] == ["A", "C"]
    assert b"IMPRESSION:" in new
    assert b"IMPRESSION:" not in old


def test_a_draft_is_r() -> None:
    draft = report(status="in_progress", signedAt=None, updatedAt="2026-01-05T16:00:00Z")
    for to in (OLD, NEW):
        asked = {"site": replace(HERE, send_drafts=True), "kind": "draft"}
        assert field(told(knowing(draft), replace(to, send_drafts="on"), **asked), "OBR-25") == "R"


def test_the_header_is_one_that_vista_answers() -> None:
    for to, version in ((OLD, "2.3"), (NEW, "2.4")):
        message = told(knowing(), to)
        assert (field(message, "MSH-3"), field(message, "MSH-12")) == ("RA-AUTOSCRIBE", version)
        silent = send(knowing(), to=replace(to, sending_application=""), site=HERE).output
        assert silent is not None
        assert blocked(silent, to) == ["msh-3-begins-with-ra"]


def test_no_message_holds_an_escape_sequence_that_vista_does_not_read() -> None:
    for to in (OLD, NEW):
        assert b"series 4 / image 112" in told(knowing(), to)
