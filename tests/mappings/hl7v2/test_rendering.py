"""HL7 v2.5.1 tables 0123, 0085: messages for receivers that replace, append or take new orders (D16-D21)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.er7_reader import all_of, field
from fakes.oru_example import (
    ADDENDUM_ID,
    REPORT_ID,
    SITE,
    STUDY_ID,
    addendum,
    codes,
    profile,
    report,
    send,
    sent,
    study,
)

from mappings.hl7v2.judge import judge_message
from mappings.life.changes import changes
from mappings.model import Study
from mappings.patient.identifiers import short_id
from mappings.profile import parse_site

SECOND_ID = "rep_" + "4" * 32
BOTH = study(report(), addendum())
STUDY_NUMBER = f"{short_id(STUDY_ID)}^AUTOSCRIBE"
OWN_NUMBER = f"{short_id(ADDENDUM_ID)}^AUTOSCRIBE"
DRAFT = {"status": "in_progress", "signedAt": None, "updatedAt": "2026-01-05T16:00:00Z"}
DRAFTS = replace(SITE, send_drafts=True)


GONE = study(addendum()).reports


def second(**changes: Any) -> dict[str, Any]:
    text = {"reportId": SECOND_ID, "signedAt": "2026-01-05T18:00:00Z", "reportPlainText": "IMPRESSION: Normal abdomen."}
    return report(**{**text, **changes})


def told(what: Study, *, addendum: str = "replace", switches: dict[str, Any] | None = None, **asked: Any) -> list[str]:
    """OBR-25, OBX-11, ORC-5 and the heads of the reports in a message; the issues if there is none."""
    mapped = send(what, to=profile(addendum=addendum, **(switches or {})), **asked)
    if mapped.output is None:
        return [issue.code for issue in mapped.issues]
    assert judge_message(mapped.output) == ()
    rows = all_of(mapped.output, "OBX")
    heads = [row[5].split(" (")[0] for row in rows if row[5].startswith(("ADDENDUM (", "REPORT (", "PRELIM", "VOID"))]
    statuses = sorted({row[11] for row in rows})
    return [field(mapped.output, "OBR-25"), *statuses, field(mapped.output, "ORC-5"), *heads]


def test_replace_restates_everything_and_corrects_once_anything_was_sent() -> None:
    for kind in ("signed", "addendum_signed", "text_changed", "critical_changed", "patient_changed", "replay"):
        assert told(BOTH, kind=kind) == ["F", "F", "CM", "ADDENDUM", "REPORT"]
        assert told(BOTH, kind=kind, sent_before=True) == ["C", "C", "CM", "ADDENDUM", "REPORT"]


def test_a_correction_that_is_the_first_message_is_final_all_the_same() -> None:
    message = sent(study(), site=SITE, kind="text_changed")
    assert field(message, "OBR-25") == "F"


def test_append_sends_an_addendum_alone_once_something_was_sent() -> None:
    asked = {"addendum": "append", "report_id": ADDENDUM_ID, "kind": "addendum_signed"}
    assert told(BOTH, **asked, sent_before=True) == ["A", "F", "CM", "ADDENDUM"]
    assert told(BOTH, **asked) == ["F", "F", "CM", "ADDENDUM", "REPORT"]


def test_append_sends_an_original_alone_and_another_as_an_addition_under_its_header() -> None:
    assert told(BOTH, addendum="append", kind="signed") == ["F", "F", "CM"]
    asked = {"addendum": "append", "report_id": SECOND_ID, "kind": "signed", "sent_before": True}
    assert told(study(report(), second()), **asked) == ["A", "F", "CM", "REPORT"]


@pytest.mark.parametrize("kind", ["text_changed", "critical_changed", "patient_changed", "reinstated", "replay"])
def test_append_corrects_by_saying_everything_again(kind: str) -> None:
    asked = {"addendum": "append", "report_id": ADDENDUM_ID, "kind": kind, "sent_before": True}
    assert told(BOTH, **asked) == ["C", "C", "CM", "ADDENDUM", "REPORT"]


def test_new_order_gives_an_addendum_an_order_of_its_own_below_its_parents() -> None:
    message = sent(BOTH, to=profile(addendum="new_order"), report_id=ADDENDUM_ID, kind="addendum_signed")
    assert (field(message, "ORC-3"), field(message, "OBR-3")) == (OWN_NUMBER, OWN_NUMBER)
    assert field(message, "OBR-29") == f"^{STUDY_NUMBER.replace('^', '&')}"
    assert field(message, "OBR-22") == "20260105124500-0500"
    assert told(BOTH, addendum="new_order", report_id=ADDENDUM_ID) == ["F", "F", "CM", "ADDENDUM"]
    assert told(BOTH, addendum="new_order", report_id=ADDENDUM_ID, sent_before=True) == ["C", "C", "CM", "ADDENDUM"]


def test_new_order_names_the_order_of_all_originals_so_that_a_second_one_changes_no_parent() -> None:
    to, kind = profile(addendum="new_order"), "addendum_signed"
    parents = []
    for originals in ([report()], [report(), second()]):
        mapped = send(study(*originals, addendum()), to=to, report_id=ADDENDUM_ID, kind=kind)
        parents.append(field(mapped.output or b"", "OBR-29"))
        is_unclear = "addendum-parent-unclear" in {issue.code for issue in mapped.issues}
        assert is_unclear is (len(originals) > 1)
    assert set(parents) == {f"^{STUDY_NUMBER.replace('^', '&')}"}


def test_an_older_addendums_own_order_stays_as_it_was_sent_since_its_text_is_the_same() -> None:
    """Table 0123: `C` says that the result under this number is another one; both addenda name their report's order."""
    later = addendum(reportId=SECOND_ID, signedAt="2026-01-07T17:45:00Z", reportPlainText="Withdrawn.")
    before = study(report(), addendum())
    causes = changes(before, study(report(), addendum(), later), SITE).causes
    assert [(one.report_id, one.kind) for one in causes] == [(SECOND_ID, "addendum_signed")]


def test_new_order_names_no_parent_who_is_another_patient() -> None:
    what = study(report(), addendum(snapshot={"mrn": "99887766"}))
    message = sent(what, to=profile(addendum="new_order"), report_id=ADDENDUM_ID)
    assert (field(message, "OBR-3"), field(message, "OBR-29")) == (OWN_NUMBER, "")


def test_new_order_names_the_only_original_about_the_addendums_patient_where_others_have_one_too() -> None:
    theirs = {"mrn": "99887766"}
    for snapshot, parent in (({}, STUDY_ID), (theirs, SECOND_ID)):
        what = study(report(), second(snapshot=theirs), addendum(snapshot=snapshot))
        mapped = send(what, to=profile(addendum="new_order"), report_id=ADDENDUM_ID)
        assert field(mapped.output or b"", "OBR-29") == f"^{short_id(parent)}&AUTOSCRIBE"
        assert "addendum-parent-unclear" not in {issue.code for issue in mapped.issues}


@pytest.mark.parametrize("signed_at", ["2026-01-05T18:00:00Z", "2026-01-05T10:00:00Z"])
def test_new_order_keeps_all_originals_under_the_studys_number_whichever_was_signed_first(signed_at: str) -> None:
    what = study(report(), second(signedAt=signed_at), addendum())
    for one in (REPORT_ID, SECOND_ID):
        message = sent(what, to=profile(addendum="new_order"), report_id=one, sent_before=True)
        assert field(message, "OBR-3") == STUDY_NUMBER
        assert told(what, addendum="new_order", report_id=one, sent_before=True) == ["C", "C", "CM", "REPORT", "REPORT"]


def test_an_addendum_alone_names_its_own_signer_and_its_parents_examination() -> None:
    nothing = dict.fromkeys(("procedure", "studyDate", "referringPhysicianName"))
    what = study(report(), addendum(userId="usr_" + "9" * 32, snapshot=nothing))
    for how in ("append", "new_order"):
        asked = {"report_id": ADDENDUM_ID, "kind": "addendum_signed", "sent_before": True}
        message = sent(what, to=profile(addendum=how), **asked)
        whole = sent(what)
        assert field(message, "OBR-32") == ""
        assert field(whole, "OBR-32").startswith("1234567893&SMITH")
        assert [field(message, name) for name in ("OBR-4", "OBR-7", "OBR-16")] == [
            field(whole, name) for name in ("OBR-4", "OBR-7", "OBR-16")
        ]


def test_a_withdrawal_says_what_was_said_as_wrong() -> None:
    asked = {"kind": "withdrawn", "sent_before": True}
    assert told(BOTH, **asked) == ["C", "W", "CM", "ADDENDUM", "REPORT"]
    assert told(BOTH, addendum="append", **asked) == ["C", "W", "CM", "ADDENDUM", "REPORT"]
    own = told(BOTH, addendum="new_order", report_id=ADDENDUM_ID, **asked)
    assert own == ["C", "W", "CM", "ADDENDUM"]


def test_a_receiver_that_knows_no_w_gets_a_line_in_place_of_the_text() -> None:
    switches = {"status_map": (("C", "F"), ("W", "void"))}
    assert told(study(), kind="withdrawn", sent_before=True, switches=switches) == [
        "F",
        "F",
        "CM",
        "VOID - THIS REPORT WAS WITHDRAWN",
    ]


def test_a_withdrawn_study_says_nothing_else_and_nothing_where_nothing_was_sent() -> None:
    site = replace(SITE, on_cancelled_after_sign="withdraw")
    what = study(report(), addendum(), isCancelled=True)
    assert told(what, site=site, kind="text_changed", sent_before=True)[:3] == ["C", "W", "CM"]
    assert told(what, site=site, kind="signed") == ["withdrawn-unsent"]
    asked = {"report_id": ADDENDUM_ID, "kind": "addendum_signed", "sent_before": True}
    assert told(what, site=site, addendum="append", **asked)[:3] == ["C", "W", "CM"]


def test_a_cancelled_study_is_reported_as_ever_where_the_site_holds() -> None:
    assert told(study(report(), isCancelled=True)) == ["F", "F", "CM"]


@pytest.mark.parametrize("how", ["replace", "append"])
def test_a_cancelled_addendum_that_is_gone_leaves_the_rest_to_be_said(how: str) -> None:
    asked = {"addendum": how, "report_id": ADDENDUM_ID, "kind": "addendum_cancelled", "gone": GONE}
    for what in (study(), study(report(), addendum(**DRAFT))):
        assert told(what, **asked, sent_before=True) == ["C", "C", "CM"]
        assert told(what, **asked) == ["withdrawn-unsent"]
    rest = told(study(report(), addendum(reportId=SECOND_ID)), **asked, sent_before=True)
    assert rest == ["C", "C", "CM", "ADDENDUM", "REPORT"]


VOID = ["C", "W", "CM", "VOID - THIS REPORT WAS WITHDRAWN"]


def test_a_cancelled_addendum_with_an_order_of_its_own_is_withdrawn_there() -> None:
    asked = {"addendum": "new_order", "report_id": ADDENDUM_ID, "gone": GONE}
    assert told(study(), kind="addendum_cancelled", sent_before=True, **asked) == VOID
    assert told(study(), kind="addendum_cancelled", **asked) == ["withdrawn-unsent"]
    to = profile(addendum="new_order")
    message = sent(study(), to=to, report_id=ADDENDUM_ID, kind="addendum_cancelled", sent_before=True, gone=GONE)
    assert (field(message, "OBR-3"), field(message, "PID-3")) == (OWN_NUMBER, "00412345^^^MERCY^MR")


def test_a_draft_is_taken_back_where_it_was_sent_and_the_receiver_gets_drafts() -> None:
    asked = {"addendum": "new_order", "report_id": ADDENDUM_ID, "kind": "draft_cancelled", "gone": GONE}
    shows = {"send_drafts": "on"}
    assert told(study(), switches=shows, filler=short_id(ADDENDUM_ID), **asked) == VOID
    assert told(study(), switches=shows, **asked) == ["withdrawn-unsent"]
    assert told(study(), filler=short_id(ADDENDUM_ID), **asked) == ["withdrawn-unsent"]


def test_a_draft_of_a_withdrawn_study_is_taken_back_though_it_was_signed_meanwhile() -> None:
    what, site = study(report(), isCancelled=True), replace(DRAFTS, on_cancelled_after_sign="withdraw")
    asked = {"site": site, "kind": "draft_cancelled", "switches": {"send_drafts": "on"}}
    for how in ("replace", "append", "new_order"):
        assert told(what, addendum=how, filler=short_id(STUDY_ID), **asked) == VOID
        assert told(what, addendum=how, **asked) == ["withdrawn-unsent"]
    held = study(addendum(), isCancelled=True)
    asked = {**asked, "report_id": ADDENDUM_ID, "kind": "withdrawn", "addendum": "new_order"}
    assert told(held, filler=short_id(ADDENDUM_ID), **asked)[:3] == ["C", "W", "CM"]


def test_a_cancelled_addendum_of_which_nothing_is_left_is_withdrawn_if_it_is_known_whose_it_was() -> None:
    asked = {"report_id": ADDENDUM_ID, "kind": "addendum_cancelled", "sent_before": True}
    what = study(addendum(reportId=SECOND_ID, **DRAFT))
    assert told(what, gone=GONE, **asked) == VOID
    assert told(what, **asked) == ["withdrawal-patient-unclear"]
    nobodys = study(addendum(snapshotMetadata={}), externalPatientId=None).reports
    assert told(study(externalPatientId=None), gone=nobodys, addendum="new_order", **asked)[0] == "C"


def test_a_cancelled_addendum_about_another_patient_is_withdrawn_from_that_patient() -> None:
    gone = study(addendum(snapshot={"mrn": "99887766"})).reports
    asked = {"report_id": ADDENDUM_ID, "kind": "addendum_cancelled", "sent_before": True, "gone": gone}
    for how in ("replace", "append", "new_order"):
        message = sent(study(), to=profile(addendum=how), seen=(REPORT_ID, ADDENDUM_ID), **asked)
        assert (field(message, "OBR-3"), field(message, "PID-3")) == (OWN_NUMBER, "99887766^^^MERCY^MR")
        assert [row[5] for row in all_of(message, "OBX")] == ["VOID - THIS REPORT WAS WITHDRAWN"]


def test_nobody_takes_the_number_of_a_patient_whose_reports_are_gone() -> None:
    gone = study(addendum(snapshot={"mrn": "99887766"})).reports
    message = sent(study(), seen=(ADDENDUM_ID, REPORT_ID), gone=gone)
    assert field(message, "OBR-3") == f"{short_id(REPORT_ID)}^AUTOSCRIBE"


def test_a_signed_report_never_stands_under_the_number_of_somebody_elses_draft() -> None:
    what = study(report(**DRAFT), second(snapshot={"mrn": "99887766"}))
    to = profile(send_drafts="on")
    message = sent(what, site=DRAFTS, to=to, report_id=SECOND_ID, numbers={REPORT_ID: (short_id(STUDY_ID),)})
    assert (field(message, "OBR-3"), field(message, "PID-3")) == (
        f"{short_id(SECOND_ID)}^AUTOSCRIBE",
        "99887766^^^MERCY^MR",
    )
    signed = sent(
        study(report(), second(snapshot={"mrn": "99887766"})),
        site=DRAFTS,
        to=to,
        seen=(SECOND_ID, REPORT_ID),
        numbers={REPORT_ID: (short_id(STUDY_ID),), SECOND_ID: (short_id(SECOND_ID),)},
    )
    assert (field(signed, "OBR-3"), field(signed, "PID-3")) == (STUDY_NUMBER, "00412345^^^MERCY^MR")


def test_only_a_cancelled_addendum_may_be_gone() -> None:
    assert told(study(), report_id=ADDENDUM_ID, kind="text_changed") == ["report-absent"]


SHOWN = {"site": DRAFTS, "kind": "draft", "switches": {"send_drafts": "on"}}


def test_a_draft_is_preliminary_and_never_critical() -> None:
    what = study(report(**DRAFT, isCritical=True))
    assert told(what, **SHOWN) == ["P", "P", "IP", "PRELIMINARY REPORT - NOT SIGNED"]
    message = sent(what, site=DRAFTS, kind="draft", to=profile(send_drafts="on"))
    assert field(message, "OBR-22") == "20260105110000-0500"
    assert {row[8] for row in all_of(message, "OBX")} == {""}


@pytest.mark.parametrize(("site", "switch"), [(DRAFTS, "off"), (SITE, "on"), (SITE, "off")])
def test_a_draft_is_sent_only_where_site_and_receiver_want_it(site: Any, switch: str) -> None:
    asked = {"site": site, "kind": "draft", "switches": {"send_drafts": switch}}
    assert told(study(report(**DRAFT)), **asked) == ["report-not-signed"]


def test_a_draft_of_a_cancelled_study_or_one_that_is_signed_meanwhile_is_not_sent() -> None:
    assert told(study(report(**DRAFT), isCancelled=True), **SHOWN) == ["report-not-signed"]
    assert told(study(), **SHOWN) == ["report-not-signed"]


@pytest.mark.parametrize("how", ["replace", "append", "new_order"])
def test_no_draft_follows_what_is_signed(how: str) -> None:
    what = study(report(), second(**DRAFT))
    assert told(what, addendum=how, report_id=SECOND_ID, **SHOWN) == ["draft-after-final"]
    assert told(study(report(**DRAFT)), addendum=how, sent_before=True, **SHOWN) == ["draft-after-final"]


def test_an_open_addendum_is_shown_only_where_it_has_an_order_of_its_own() -> None:
    what = study(report(), addendum(**DRAFT))
    for how in ("replace", "append"):
        assert told(what, addendum=how, report_id=ADDENDUM_ID, **SHOWN) == ["draft-after-final"]
    shown = told(what, addendum="new_order", report_id=ADDENDUM_ID, **SHOWN)
    assert shown == ["P", "P", "IP", "PRELIMINARY REPORT - NOT SIGNED", "ADDENDUM"]
    message = sent(
        what, site=DRAFTS, kind="draft", report_id=ADDENDUM_ID, to=profile(send_drafts="on", addendum="new_order")
    )
    assert field(message, "OBR-3") == OWN_NUMBER
    assert field(message, "OBR-29") == f"^{STUDY_NUMBER.replace('^', '&')}"


def test_all_drafts_of_a_study_share_a_message_and_its_number_is_the_finals() -> None:
    what = study(report(**DRAFT), second(**DRAFT))
    message = sent(what, site=DRAFTS, kind="draft", to=profile(send_drafts="on"))
    assert len([row for row in all_of(message, "OBX") if row[5].startswith("PRELIMINARY")]) == 2
    assert field(message, "OBR-3") == field(sent(), "OBR-3")


def test_drafts_about_several_people_are_not_sent() -> None:
    what = study(report(**DRAFT), second(**DRAFT, snapshot={"mrn": "99887766"}))
    assert told(what, **SHOWN) == ["draft-patient-unclear"]


def test_a_status_that_the_receiver_has_no_code_for_is_not_sent() -> None:
    switches = {"status_map": (("C", "none"),)}
    assert told(study(), sent_before=True, switches=switches) == ["status-not-received"]
    assert told(study(), switches=switches) == ["F", "F", "CM"]


HELD = ["authority-unknown"]


def test_a_conflict_of_identities_is_held_unless_the_site_lets_it_go() -> None:
    what = study(report(), addendum(snapshot={"mrn": "99887766"}))
    assert told(what, site=replace(SITE, on_conflict="send")) == ["F", "F", "CM"]
    holds = replace(SITE, on_conflict=parse_site("").on_conflict)
    assert told(what, site=holds) == ["identity-conflict-held"]
    assert told(study(), site=holds) == ["F", "F", "CM"]


def test_an_mrn_that_no_setting_says_whose_it_is_is_held_where_the_receiver_matches_by_authority() -> None:
    unknown = study(report(snapshot={"facilityName": "Elsewhere"}))
    asked = replace(SITE, mrn_authority="facility")
    assert told(unknown, site=asked) == told(unknown, sent_before=True, site=asked) == ["authority-unknown"]
    assert codes(unknown, site=asked)["authority-unknown"] == "/reports/0/snapshotMetadata/mrn"
    assert told(study(), site=asked) == told(unknown) == ["F", "F", "CM"]
    assert told(unknown, site=replace(SITE, mrn_authority="receiver")) == ["F", "F", "CM"]
    assert told(unknown, site=replace(asked, default_facility=SITE.facility("Mercy East"))) == ["F", "F", "CM"]


@pytest.mark.parametrize("authority", ["facility", "receiver", "hash"])
def test_an_mrn_that_names_another_authority_is_held_whatever_the_receiver_matches_by(authority: Any) -> None:
    """D11: neither the number without its authority, nor the whole text as a number."""
    site = replace(SITE, mrn_authority=authority, on_conflict="send")
    other, own = ({"mrn": f"00412345^^^{one}^MR"} for one in ("CITY", "MERCY"))
    for what in (study(report(snapshot=other)), study(report(), addendum(snapshot=other))):
        assert told(what, site=site) == told(what, sent_before=True, site=site) == ["mrn-unreadable"]
    for what in (study(report(snapshot=own)), study(report(), addendum(snapshot=own))):
        assert told(what, site=site)[:3] == ["F", "F", "CM"]
        assert field(sent(what, site=site), "PID-3") == field(sent(study(), site=site), "PID-3")


@pytest.mark.parametrize(("bare", "told_of"), [("MERCY", ["F", "F", "CM"]), ("CITY", HELD), ("", HELD)])
def test_a_bare_mrn_is_held_unless_it_is_of_the_one_namespace_of_its_destination(bare: str, told_of: list[str]) -> None:
    asked = replace(SITE, mrn_authority="facility", bare_namespace=bare)
    plain = {"pid3_plain": "on"}
    assert told(study(), site=asked, switches=plain) == told_of
    assert told(study(), sent_before=True, site=asked, switches=plain)[-1] == told_of[-1]
    nobodys = study(report(snapshot={"mrn": None}), externalPatientId="P77")
    assert told(nobodys, site=asked, switches=plain) == ["F", "F", "CM"]


@pytest.mark.parametrize("mrn", [None, "UNKNOWN"])
def test_a_patient_without_a_number_is_sent_under_the_studys_own_whatever_the_facility(mrn: str | None) -> None:
    nobodys = study(report(snapshot={"facilityName": "Elsewhere", "mrn": mrn}))
    assert told(nobodys, site=replace(SITE, mrn_authority="facility")) == ["F", "F", "CM"]


def test_a_merged_addendum_is_said_beside_its_report_with_an_issue() -> None:
    text = report()["reportPlainText"]
    merged = study(report(), addendum(reportPlainText=f"{text}\n\nADDENDUM: none."))
    assert codes(merged)["addendum-merged"] == "/reports/1/reportPlainText"
    assert "addendum-merged" not in codes(BOTH)
    assert told(merged) == ["F", "F", "CM", "ADDENDUM", "REPORT"]


def test_an_addendum_with_a_number_of_its_own_shares_it_with_no_original() -> None:
    other = {"mrn": "99887766"}
    what, seen = study(report(), addendum(snapshot=other), second(snapshot=other)), (REPORT_ID, ADDENDUM_ID, SECOND_ID)
    numbers = {}
    for report_id in seen:
        message = sent(what, to=profile(addendum="new_order"), report_id=report_id, seen=seen)
        numbers[report_id] = field(message, "OBR-3")
    assert numbers == {
        REPORT_ID: STUDY_NUMBER,
        ADDENDUM_ID: OWN_NUMBER,
        SECOND_ID: f"{short_id(SECOND_ID)}^AUTOSCRIBE",
    }


def test_a_pdf_of_which_only_the_draft_of_its_report_was_sent_is_not_withdrawn() -> None:
    what, site = study(report(), isCancelled=True), replace(SITE, on_cancelled_after_sign="withdraw")
    asked = {"site": site, "kind": "withdrawn", "part": "pdf", "filler": short_id(STUDY_ID)}
    assert told(what, switches={"pdf": "separate_message"}, **asked) == ["withdrawn-unsent"]


@pytest.mark.parametrize("name", [None, "", " ", "\t"])
def test_a_receiver_without_name_types_is_not_sent_a_patient_without_a_name(name: str | None) -> None:
    nameless = study(report(snapshot={"patientName": name}))
    assert told(nameless, switches={"xpn_type": "off"}) == ["name-absent"]
    assert codes(nameless, to=profile(xpn_type="off"))["name-absent"].endswith("snapshotMetadata/patientName")
    assert told(nameless) == ["F", "F", "CM"]
    assert told(study(report(snapshot={"patientName": "DOE^JANE"})), switches={"xpn_type": "off"}) == ["F", "F", "CM"]
