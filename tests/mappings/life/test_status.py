"""One table for the status of a report; every state is reachable (D16, D17, D21, D22)."""

from dataclasses import replace
from typing import get_args

import pytest
from fakes.upstream_json import report_id, report_json, response_json, study_json

from mappings.life.status import STATUS, Rendering, State, addendum_parent, obr_25, report_state, report_status
from mappings.model import Facts
from mappings.profile import Site, receiver
from mappings.study.autoscribe import decode

DRAFT = {"status": "in_progress", "signedAt": None, "isCritical": None}
FHIR_STATUS = {
    *("registered", "partial", "preliminary", "final", "amended", "corrected", "appended", "cancelled"),
    *("entered-in-error", "unknown"),
}
# HL7 v2.5.1 tables 0123, 0085 and 0038
TABLE_0123 = set("OISAPCRFXYZ")
TABLE_0085 = set("CDFINOPRSXUW")
TABLE_0038 = {"A", "CA", "CM", "DC", "ER", "HD", "IP", "RP", "SC"}


def state_of(digit, *reports, **study):
    decoded = decode(study_json(**study), response_json(*reports))
    report = next(report for report in decoded.reports if report.report_id == report_id(digit))
    row, issues = report_status(decoded, report, decoded.reports, Site(), Facts())
    assert row is STATUS[report_state(decoded, report, decoded.reports, Site(), Facts())]
    return report_state(decoded, report, decoded.reports, Site(), Facts()), [
        (issue.code, issue.pointer) for issue in issues
    ]


def test_the_table_has_a_row_for_every_state_with_codes_of_the_standards():
    assert set(STATUS) == {*get_args(State), *get_args(Rendering)}
    for row in STATUS.values():
        assert row.diagnostic_report in FHIR_STATUS
        assert {row.obr_25} <= TABLE_0123 | {None}
        assert {row.obx_11} <= TABLE_0085 | {None}
        assert {row.orc_5} <= TABLE_0038 | {None}


def test_what_is_not_signed_or_shown_has_no_v2_codes():
    unsent = {"draft", "cancelled", "not_known"}
    assert {state for state, row in STATUS.items() if row.obr_25 is None} == unsent
    for row in STATUS.values():
        assert (row.obr_25 is None) == (row.obx_11 is None) == (row.orc_5 is None)


def test_an_unsigned_report_is_a_draft_that_is_registered_and_sent_nowhere():
    assert state_of("3", report_json("3", **DRAFT)) == ("draft", [])
    assert (STATUS["draft"].diagnostic_report, STATUS["draft"].obr_25) == ("registered", None)


def test_a_signed_report_is_final():
    assert state_of("3", report_json("3")) == ("signed", [])
    assert (STATUS["signed"].diagnostic_report, STATUS["signed"].obr_25) == ("final", "F")


def test_a_signed_addendum_makes_every_signed_original_appended_and_is_itself_final():
    reports = (report_json("3"), report_json("4"), report_json("5", isAddendum=True), report_json("6", **DRAFT))
    assert state_of("3", *reports)[0] == state_of("4", *reports)[0] == "signed_with_addenda"
    assert state_of("5", *reports)[0] == "signed"
    assert state_of("6", *reports)[0] == "draft"


def test_an_addendum_that_is_not_signed_changes_nothing_about_its_original():
    reports = (report_json("3"), report_json("5", isAddendum=True, **DRAFT))
    assert state_of("3", *reports, studyReportStatus="addendum_active") == ("signed", [])
    assert state_of("5", *reports, studyReportStatus="addendum_active") == ("draft", [])


def test_only_a_cancelled_study_without_a_signed_report_cancels_its_drafts():
    assert state_of("3", report_json("3", **DRAFT), isCancelled=True)[0] == "cancelled"
    assert state_of("4", report_json("3"), report_json("4", **DRAFT), isCancelled=True)[0] == "draft"


def test_a_signed_report_of_a_cancelled_study_stays_final_with_an_issue():
    assert state_of("3", report_json("3"), isCancelled=True) == ("signed", [("cancelled-after-sign", "/isCancelled")])


@pytest.mark.parametrize(("policy", "state"), [("hold", "draft_shown"), ("withdraw", "cancelled")])
def test_an_open_draft_of_a_withdrawn_study_is_cancelled_with_it(policy, state):
    site = Site(send_drafts=True, on_cancelled_after_sign=policy)
    reports = report_json("3"), report_json("5", isAddendum=True, reportPlainText="Addendum.", **DRAFT)
    study = decode(study_json(isCancelled=True), response_json(*reports))
    assert report_state(study, study.reports[-1], study.reports, site, Facts()) == state


@pytest.mark.parametrize("status", ["draft", "COMPLETED", "", "final"])
def test_a_status_that_is_not_known_is_unknown_with_an_issue_and_not_sent(status):
    state, issues = state_of("3", report_json("3", **{**DRAFT, "status": status}), isCancelled=True)
    assert (state, issues) == ("not_known", [("status-unknown", "/reports/0/status")])
    assert STATUS["not_known"].obr_25 is None


def test_a_signed_report_without_a_time_of_signing_says_so():
    assert state_of("3", report_json("3", signedAt=None)) == ("signed", [("signed-at-absent", "/reports/0/signedAt")])


def test_a_time_of_signing_on_an_unsigned_report_is_a_contradiction_that_is_reported():
    issues = [("signed-at-unexpected", "/reports/1/signedAt")]
    report = report_json("3", status="in_progress")
    assert state_of("3", report_json("4"), report) == ("draft", issues)


def test_an_addendum_belongs_to_the_only_completed_original():
    study = decode(None, [report_json("5", isAddendum=True), report_json("4", **DRAFT), report_json("3")])
    assert addendum_parent(study.reports[-1], study.reports) == (study.completed[0], ())
    assert study.completed[0].report_id == report_id("3")


def test_an_original_has_no_parent():
    study = decode(None, [report_json("3"), report_json("4")])
    assert addendum_parent(study.reports[0], study.reports) == (None, ())


@pytest.mark.parametrize("originals", [[], [report_json("3"), report_json("4")], [report_json("3", **DRAFT)]])
def test_an_addendum_with_no_or_several_completed_originals_is_linked_to_none(originals):
    study = decode(None, [report_json("5", isAddendum=True), *originals])
    parent, (issue,) = addendum_parent(study.reports[-1], study.reports)
    assert parent is None
    assert (issue.code, issue.pointer) == ("addendum-parent-unclear", "/reports/0/isAddendum")


def test_only_reports_about_the_same_patient_are_a_parent_or_make_an_original_appended():
    study = decode(study_json(), response_json(report_json("3"), report_json("4"), report_json("5", isAddendum=True)))
    first, second, addition = study.reports
    assert addendum_parent(addition, (second, addition)) == (second, ())
    assert report_state(study, second, (second, addition), Site(), Facts()) == "signed_with_addenda"
    assert report_state(study, first, (first,), Site(), Facts()) == "signed"
    parent, (issue,) = addendum_parent(addition, (addition,))
    assert (parent, issue.code) == (None, "addendum-parent-unclear")


def mapped(state, **status_map):
    return obr_25(STATUS[state], replace(receiver("generic"), status_map=tuple(status_map.items())))


def test_a_receiver_without_a_map_gets_the_codes_of_the_table():
    assert all(mapped(state) is row for state, row in STATUS.items())


def test_a_receivers_map_changes_obr_25_and_obx_11_with_it_and_nothing_else():
    assert mapped("restated", C="F") == replace(STATUS["restated"], obr_25="F", obx_11="F")
    assert mapped("signed", C="F") == STATUS["signed"]
    assert mapped("draft", P="R") == STATUS["draft"]


def test_what_a_receiver_has_no_code_for_is_not_sent():
    assert mapped("restated", C="none") is None
    assert mapped("draft_shown", P="void") is None
    assert mapped("withdrawn", W="none") is None
    assert mapped("withdrawn", C="none", W="void") is None


def test_a_receiver_that_knows_no_w_is_sent_no_text_of_what_is_withdrawn():
    assert mapped("withdrawn", W="void") == replace(STATUS["withdrawn"], obx_11="C", is_void=True)
    assert mapped("withdrawn", W="F", C="F") == replace(STATUS["withdrawn"], obr_25="F", obx_11="F", is_void=True)
    assert mapped("withdrawn", C="F") == replace(STATUS["withdrawn"], obr_25="F")


def test_a_draft_is_shown_only_if_it_says_something():
    shown = Site(send_drafts=True)
    for text, state in (("FINDINGS: none.", "draft_shown"), (" \n", "draft"), (None, "draft")):
        study = decode(None, [report_json("3", **DRAFT, **({"reportPlainText": text} if text else {}))])
        assert report_state(study, study.reports[0], study.reports, shown, Facts()) == state


def test_a_correction_outranks_addenda_and_a_withdrawal_outranks_both():
    reports = (report_json("3"), report_json("5", isAddendum=True))
    corrected = Facts(corrected=frozenset({report_id("3")}))
    for site, cancelled, state in (
        (Site(), False, "corrected"),
        (Site(), True, "corrected"),
        (Site(on_cancelled_after_sign="withdraw"), True, "withdrawn"),
    ):
        study = decode(study_json(isCancelled=cancelled), response_json(*reports))
        assert report_state(study, study.reports[0], study.reports, site, corrected) == state
