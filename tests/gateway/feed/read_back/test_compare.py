"""Compare what a chart shows with what was sent: identifiers, status, category, text, and whose chart it is.

https://hl7.org/fhir/R4/diagnosticreport.html
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from fakes.ehr import bridged
from fakes.fed import site

from gateway.feed.compose.sent_report import SentReport, sent_reports
from gateway.feed.read_back.compare import (
    is_someone_else,
    is_under,
    judged,
    read_page,
    squeezed,
)
from mappings.patient.people import Person

TEXT = "FINDINGS: Clear.\nIMPRESSION: Nothing acute."
SENT = SentReport((("urn:mrn", "1"),), "F1", ("P1", "A1"), "A1", "final", TEXT, person=Person("1970-01-01"))
MESSAGE = "\r".join(
    [
        r"MSH|^~\&|GW|CITY|EHR|HOSP|20260105||ORU^R01^ORU_R01|1|P|2.5.1||||||UNICODE UTF-8",
        "PID|1||9^^^OTHER^PI~1^^^CITY^MR~7^^^CITY^U||Döe^Jane^Q^^^^L||19700101|F",
        "OBR|1|P1|F1^GW|24628-0^CT^LN|||20260104120000-0500|||||||||||A1||||||CT|C",
        r"OBX|1|TX|59776-5^Findings^LN|1|FINDINGS: R \T\ L clear.||||||C",
        "OBX|2|TX|19005-8^Impression^LN|1|IMPRESSION: None.|||AA|||C",
        "OBX|3|ST|113014^DICOM Study^DCM|1|1.2.3||||||C",
        "OBR|2||F2^GW|24628-0^CT^LN" + "|" * 21 + "F",
        "OBX|4|TX|59776-5^Findings^LN|1|Second.||||||F",
    ]
)


def form(text, kind="text/plain"):
    return {"contentType": kind, "data": base64.b64encode(text.encode()).decode()}


def shown(**changes):
    """Return the report as a chart shows it, with changes; None removes an element."""
    usual = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "identifier": [{"value": "F1"}],
        "category": [{"coding": [{"code": "CT"}]}],
        "subject": {"reference": "Patient/p1"},
        "presentedForm": [form(f"HEADER\n{TEXT}\nSigned")],
    }
    resource = {key: value for key, value in {**usual, **changes}.items() if value is not None}
    return read_page(bundle(resource), "https://ehr.example/fhir/DiagnosticReport").reports[0]


def bundle(*resources, **more):
    entries = [{"resource": one} for one in resources]
    return json.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries, **more}).encode()


def told(*reports, sent=SENT, earlier=()):
    found = judged(sent, reports, earlier)
    return None if found is None else (found.fate, found.detail)


def test_a_message_says_what_is_to_be_found():
    first, second = sent_reports(MESSAGE.encode(), {"CITY": "urn:city"}, True)
    assert first.numbers == (("urn:city", "1"), ("", "9"))
    assert (first.filler, first.others, first.accession) == ("F1", ("P1", "A1"), "A1")
    assert (first.status, first.text) == ("corrected", "FINDINGS: R & L clear.\nIMPRESSION: None.")
    assert (first.is_critical, str(first.since)) == (True, "2026-01-04")
    assert first.person == Person("1970-01-01", "female", "Döe, Jane Q", "Döe", ("Jane", "Q"))
    assert (second.filler, second.status, second.text, second.since) == ("F2", "final", "Second.", None)
    [withdrawn, _] = sent_reports(MESSAGE.replace("|C\r", "|W\r").encode(), {}, True)
    assert withdrawn.status == "withdrawn"
    assert sent_reports(b"nothing", {}, True) == []


def test_what_a_bridge_of_others_files_is_found():
    body = MESSAGE.partition("\rOBR|2")[0].encode()
    resources = [one["resource"] for one in bridged(body, site())["entry"]]
    page = read_page(bundle(*resources), "")
    [sent] = sent_reports(body, {"CITY": "urn:city"}, True)
    assert told(*page.reports, sent=replace(sent, text=sent.text)) == ("found", "")
    assert not is_someone_else(sent, page.patients[0])
    assert is_someone_else(
        replace(sent, person=Person("1931-01-31", "", "Roe, Rick", "Roe", ("Rick",))), page.patients[0]
    )


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({}, ""),
        ({"identifier": [{"value": "A1"}]}, ""),
        ({"status": "amended"}, ""),
        ({"category": None}, ""),
        ({"category": [{"coding": [{"code": "LAB"}, {"code": "RAD"}]}]}, ""),
        ({"presentedForm": [form(f"<p>{TEXT}</p>&amp;", "text/html; charset=utf-8")]}, ""),
        ({"presentedForm": [form("FINDINGS: Clear."), form("IMPRESSION: Nothing acute.")]}, ""),
        ({"presentedForm": [{"contentType": "text/plain", "url": "Binary/1"}]}, "text-not-shown"),
        ({"presentedForm": [form("%PDF", "application/pdf")]}, "text-not-shown"),
        ({"presentedForm": None, "conclusion": "IMPRESSION: Nothing acute."}, "text-in-part"),
    ],
)
def test_a_report_that_stands_as_it_was_sent_is_found(changes, detail):
    assert told(shown(**changes)) == ("found", detail)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"status": "preliminary"}, "status"),
        ({"status": "entered-in-error"}, "status"),
        ({"presentedForm": [form(TEXT[:-3])]}, "text"),
        ({"presentedForm": None, "conclusion": "IMPRESSION: Something acute."}, "text"),
        ({"category": [{"coding": [{"code": "LAB"}]}]}, "category"),
        ({"identifier": [{"value": "F1"}, {"value": "A2", "type": {"coding": [{"code": "ACSN"}]}}]}, "accession"),
        ({"identifier": [{"value": "X"}]}, "identifiers"),
        ({"status": "preliminary", "presentedForm": [form("None")]}, "text status"),
    ],
)
def test_a_report_that_stands_otherwise_differs(changes, detail):
    assert told(shown(**changes)) == ("differs", detail)


def test_a_correction_must_not_stand_as_the_first_version():
    corrected = replace(SENT, status="corrected")
    assert told(shown(), sent=corrected) == ("differs", "status")
    assert told(shown(status="amended"), sent=corrected) == ("found", "")


def test_a_critical_flag_is_compared_where_the_chart_shows_results():
    critical = replace(SENT, is_critical=True)
    result = {"resourceType": "Observation", "valueString": TEXT}
    flagged = {**result, "interpretation": [{"coding": [{"code": "AA"}]}]}
    assert told(shown(), sent=critical) == ("found", "")
    assert told(shown(contained=[result]), sent=critical) == ("differs", "critical")
    assert told(shown(contained=[flagged]), sent=critical) == ("found", "")


def test_an_older_text_in_place_of_the_newest_is_an_older_version():
    newest = replace(SENT, text=f"ADDENDUM: Seen again.\n{TEXT}", status="")
    assert told(shown(), sent=newest, earlier=[TEXT]) == ("older version", "")
    assert told(shown(), sent=newest) == ("differs", "text")
    both = shown(presentedForm=[form(f"ADDENDUM: Seen again. {TEXT}")])
    assert told(both, sent=newest, earlier=[TEXT]) == ("found", "")
    partly = shown(presentedForm=None, conclusion=TEXT)
    assert told(partly, sent=replace(newest, text="IMPRESSION: Fracture."), earlier=[TEXT]) == ("older version", "")


def test_an_older_text_beside_the_newest_is_an_older_version_unless_it_still_stands():
    shorter = replace(SENT, text="FINDINGS: Clear.")
    assert told(shown(), sent=shorter, earlier=[TEXT]) == ("older version", "beside")
    assert told(shown(), sent=replace(shorter, is_whole=False), earlier=[TEXT]) == ("found", "")


def test_two_reports_under_one_number_differ():
    assert told(shown(), shown()) == ("differs", "twice")
    assert told(shown(), shown(status="cancelled")) == ("found", "")


def test_two_orders_under_one_number_are_filed_together_or_each_by_itself_but_not_twice():
    first = replace(SENT, orders=2)
    second = replace(first, others=("P2", "A2"), accession="A2")
    with_number = [shown(identifier=[{"value": "F1"}, {"value": one}]) for one in ("A1", "A2")]
    for filed in (with_number, [shown(), shown()], [shown()]):
        assert told(*filed, sent=first) == told(*filed, sent=second) == ("found", "")
    doubled = [*with_number, with_number[0]]
    assert told(*doubled, sent=first) == ("differs", "twice")
    assert told(*doubled, sent=second) == ("found", "")
    assert told(shown(), shown(), shown(), sent=first) == ("differs", "twice")


def test_of_several_reports_under_one_accession_number_the_one_that_fits_counts():
    sister = shown(identifier=[{"value": "A1"}], presentedForm=[form("Knee.")])
    own = shown(identifier=[{"value": "A1"}])
    assert told(sister, own) == told(own, sister) == ("found", "")
    assert told(sister) == ("differs", "text")


@pytest.mark.parametrize(
    ("report", "told_of"),
    [
        (None, ("found", "")),
        ({"status": "entered-in-error"}, ("found", "")),
        ({"status": "corrected", "presentedForm": [form("VOID")]}, ("found", "")),
        ({"status": "corrected"}, ("differs", "not-withdrawn")),
        ({"status": "corrected", "presentedForm": None}, ("differs", "not-withdrawn")),
        ({"status": "corrected", "presentedForm": None, "conclusion": "VOID"}, ("found", "")),
    ],
)
def test_a_withdrawal_is_found_once_the_chart_does_not_say_the_text_any_more(report, told_of):
    shown_now = [] if report is None else [shown(**report)]
    assert told(*shown_now, sent=replace(SENT, status="withdrawn")) == told_of


def test_what_a_chart_does_not_have_is_not_there():
    assert told() is None
    assert told(shown(identifier=[{"value": "X"}], presentedForm=[form("Knee.")])) is None


def test_only_a_report_under_its_own_number_is_looked_for_in_other_charts():
    assert is_under(SENT, [shown()])
    assert not is_under(SENT, [shown(status="entered-in-error"), shown(identifier=[{"value": "A1"}])])


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"resourceType": "OperationOutcome"}',
        b'{"resourceType": "Bundle", "type": "history"}',
        bundle({"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "invalid"}]}),
        bundle({"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "incomplete"}]}),
    ],
)
def test_an_answer_that_may_lack_something_is_no_answer(body):
    with pytest.raises(ValueError, match=r"not-a-searchset|search-incomplete"):
        read_page(body, "")


def test_a_warning_that_hides_nothing_is_read_over_and_a_next_page_is_found():
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "not-supported"}]}
    links = [{"relation": "self", "url": "x"}, {"relation": "next", "url": "?page=2"}]
    page = read_page(bundle(outcome, link=links), "https://ehr.example/fhir/DiagnosticReport?patient=1")
    assert (page.reports, page.next) == ((), "https://ehr.example/fhir/DiagnosticReport?page=2")


def test_white_space_and_the_form_of_letters_do_not_count():
    assert squeezed("Do\u0308e \n\t x") == squeezed("D\u00f6e x")
