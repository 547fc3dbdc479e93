"""HL7 v2.5.1 §7.3.1: number of messages for one cause, and for several causes at one time (D18, D32)."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.er7_reader import all_of, field
from fakes.oru_example import ADDENDUM_ID, REPORT_ID, SITE, addendum, profile, report, send, study

from mappings import to_oru
from mappings.hl7v2 import rendering
from mappings.hl7v2.oru_r01 import filler_order_numbers, messages, messages_of_all
from mappings.hl7v2.rendering import pdf_number
from mappings.life.changes import changes
from mappings.model import Cause, Facts, PdfFacts, Study
from mappings.patient.identifiers import message_control_id, short_id

TWO_ORDERS = {"metadata": {"acc": "A1,A2", "order": "P1,P2"}}
ORDERED = replace(SITE, accession_keys=("acc",), placer_keys=("order",), number_separator=",")
CAUSE = Cause(REPORT_ID)
AT = datetime(2026, 1, 5, 16, 30, 14, tzinfo=UTC)


def listed(cause: Cause, **switches: Any) -> list[tuple[str, str]]:
    found = messages(study(report(), **TWO_ORDERS), cause, ORDERED, profile(**switches), Facts())
    return [(one.accession_number, one.part) for one in found]


def left(what: Study, how: str, *, sent_before: bool = False, site: Any = SITE) -> list[tuple[str, str, bool]]:
    """List the messages to send for a new study."""
    found = changes(None, what, site).causes
    causes = [replace(one, sent_before=sent_before) for one in found]
    made = messages_of_all(what, causes, site, profile(addendum=how, send_drafts="on"), Facts())
    return [(one.kind, one.report_id[-1], one.sent_before) for one in made]


def test_a_cause_asks_for_one_message() -> None:
    assert messages(study(), CAUSE, SITE, profile(), Facts()) == (CAUSE,)
    assert listed(CAUSE) == listed(CAUSE, accessions="first") == [("", "report")]


def test_several_accession_numbers_are_a_message_each_where_the_receiver_wants_that() -> None:
    assert listed(CAUSE, accessions="messages") == [("A1", "report"), ("A2", "report")]
    one = messages(study(), CAUSE, ORDERED, profile(accessions="messages"), Facts())
    assert one == (CAUSE,)


def test_a_pdf_in_a_message_of_its_own_comes_after_the_text() -> None:
    assert listed(CAUSE, pdf="separate_message") == [("", "report"), ("", "pdf")]
    both = listed(CAUSE, pdf="separate_message", accessions="messages")
    assert both == [("A1", "report"), ("A2", "report"), ("A1", "pdf"), ("A2", "pdf")]


def test_a_draft_has_no_pdf_and_a_withdrawal_takes_it_back() -> None:
    for kind in ("draft", "draft_cancelled"):
        assert listed(Cause(REPORT_ID, kind), pdf="separate_message") == [("", "report")]
    assert listed(Cause(REPORT_ID, "withdrawn"), pdf="separate_message") == [("", "report"), ("", "pdf")]


def test_each_message_of_a_cause_has_a_control_id_of_its_own() -> None:
    to = profile(pdf="separate_message", accessions="messages")
    found = messages(study(report(), **TWO_ORDERS), CAUSE, ORDERED, to, Facts())
    assert len({message_control_id(one, "x") for one in found}) == len(found) == 4


def test_a_restatement_leaves_out_what_it_says_again() -> None:
    what = study(report(), addendum())
    assert left(what, "replace") == [("addendum_signed", "8", False)]
    assert left(what, "replace", sent_before=True) == [("addendum_signed", "8", True)]


def test_appended_and_own_orders_are_all_sent_originals_first() -> None:
    what = study(report(), addendum())
    assert left(what, "append") == [("signed", "7", False), ("addendum_signed", "8", True)]
    assert left(what, "new_order") == [("signed", "7", False), ("addendum_signed", "8", False)]


def test_a_restatement_takes_the_place_of_an_addition() -> None:
    what = study(report(), addendum())
    causes = (CAUSE, Cause(ADDENDUM_ID, "addendum_signed"), Cause(REPORT_ID, "text_changed"))
    made = messages_of_all(what, causes, SITE, profile(addendum="append"), Facts())
    assert made == (Cause(REPORT_ID, "text_changed"),)


def test_what_is_signed_after_a_draft_is_final() -> None:
    draft, signed = Cause(REPORT_ID, "draft"), Cause(REPORT_ID, "signed")
    site = replace(SITE, send_drafts=True)
    open_study = study(report(status="in_progress", signedAt=None))
    to = profile(send_drafts="on")
    assert messages_of_all(open_study, (draft, draft), site, to, Facts()) == (draft,)
    assert messages_of_all(study(), (draft, signed), site, to, Facts()) == (draft, signed)


def test_an_addendum_that_was_held_goes_with_the_original_for_which_it_waited() -> None:
    what, held = study(report(), addendum()), Cause(ADDENDUM_ID, "addendum_signed")
    made = messages_of_all(what, (held, CAUSE), SITE, profile(addendum="append"), Facts(), sent=frozenset())
    assert made == (held,)
    message = send(what, to=profile(addendum="append"), report_id=ADDENDUM_ID, kind="addendum_signed").output
    assert message is not None
    heads = [row[5].split(" (")[0] for row in all_of(message, "OBX") if row[5].startswith(("ADDENDUM (", "REPORT ("))]
    assert heads == ["ADDENDUM", "REPORT"]


def test_a_cancelled_addendum_that_was_never_sent_takes_nothing_out_of_the_queue() -> None:
    what, gone = study(report()), study(addendum()).reports
    causes = (CAUSE, Cause(ADDENDUM_ID, "addendum_cancelled"))
    made = messages_of_all(what, causes, SITE, profile(), Facts(gone=gone), sent=frozenset())
    assert [one.kind for one in made] == ["signed", "addendum_cancelled"]
    assert made[0] == CAUSE


def test_reports_about_two_people_never_take_each_others_place() -> None:
    what = study(report(), addendum(snapshot={"mrn": "99887766"}))
    assert [one[1] for one in left(what, "replace")] == ["7", "8"]


def test_a_cause_of_which_nothing_is_sent_stays_so_that_the_reason_is_told() -> None:
    what = study(report(status="in_progress", signedAt=None))
    assert messages_of_all(what, (CAUSE,), SITE, profile(), Facts()) == (CAUSE,)


def test_the_filler_order_number_is_known_before_a_message_is_made() -> None:
    what = study(report(), addendum())
    own = Cause(ADDENDUM_ID, "addendum_signed")
    assert filler_order_numbers(what, own, SITE, profile()) == (short_id(what.study_id),)
    assert filler_order_numbers(what, own, SITE, profile(addendum="new_order")) == (short_id(ADDENDUM_ID),)
    known = Facts(filler_order_numbers={REPORT_ID: ("X1",)})
    assert filler_order_numbers(what, CAUSE, SITE, profile(), known) == ("X1",)
    assert filler_order_numbers(what, Cause("rep_" + "0" * 32), SITE, profile()) == ()
    assert filler_order_numbers(what, CAUSE, SITE, profile(accession="required")) == ()


def test_orders_that_are_read_as_one_report_have_a_group_each() -> None:
    mapped = send(study(report(), **TWO_ORDERS), site=ORDERED, to=profile(nte="disclaimer", disclaimer="Read it."))
    assert mapped.output is not None
    rows = mapped.output.decode().split("\r")
    names = [row.split("|")[0] for row in rows if row and not row.startswith("OBX|1") and row[:3] != "OBX"]
    group = ["ORC", "OBR", "NTE", "TQ1"]
    assert names == ["MSH", "PID", "PV1", *group, *group, "ZDS"]
    orders = all_of(mapped.output, "OBR")
    assert [(row[1], row[2], row[18]) for row in orders] == [("1", "P1", "A1"), ("2", "P2", "A2")]
    assert len({row[3] for row in orders}) == 1
    numbers = [row[1] for row in all_of(mapped.output, "OBX")]
    half = len(numbers) // 2
    assert numbers[:half] == numbers[half:] == [str(one + 1) for one in range(half)]


def test_a_receiver_that_files_by_accession_number_has_it_as_filler_order_number_of_each_group() -> None:
    what = study(report(), **TWO_ORDERS)
    mapped = send(what, site=ORDERED, to=profile(accession_field="3"))
    assert mapped.output is not None
    assert [row[3] for row in all_of(mapped.output, "OBR")] == ["A1", "A2"]
    numbers = {
        "A0": ["A1", "A2"],
        "A2": ["A1", "A2"],
        short_id(what.study_id): [f"{short_id(what.study_id)}^AUTOSCRIBE"] * 2,
    }
    for filler, expected in numbers.items():
        fixed = send(what, site=ORDERED, to=profile(accession_field="3"), filler=filler)
        assert fixed.output is not None
        assert [row[3] for row in all_of(fixed.output, "OBR")] == expected
    kept = send(what, site=ORDERED, to=profile(accession_field="3"), filler=("A0", "A2"))
    assert kept.output is not None
    assert [row[3] for row in all_of(kept.output, "OBR")] == ["A0", "A2"]


def test_a_message_each_is_filed_under_its_accession_number_and_corrected_there() -> None:
    what, to = study(report(), **TWO_ORDERS), profile(accession_field="3", accession="required", accessions="messages")
    known: dict[str, tuple[str, ...]] = {}
    for kind, filler in (("signed", "F"), ("text_changed", "C")):
        facts = Facts(filler_order_numbers=dict(known))
        causes = messages_of_all(
            what, (Cause(REPORT_ID, kind),), ORDERED, to, facts, sent=frozenset(known.get(REPORT_ID, ()))
        )
        for cause, number in zip(causes, ("A1", "A2"), strict=True):
            mapped = to_oru(what, cause, ORDERED, to, facts, control_id="1", at=AT)
            assert mapped.output is not None
            assert [(row[3], row[25]) for row in all_of(mapped.output, "OBR")] == [(number, filler)]
        known = {REPORT_ID: ("A1", "A2")}


def test_another_patients_report_never_has_the_accession_number_of_the_first() -> None:
    what = study(report(), addendum(snapshot={"mrn": "99887766"}))
    for options in ({"accession": "A1"}, {"filler": "A1"}):
        mapped = send(what, to=profile(accession_field="3"), report_id=ADDENDUM_ID, **options)
        assert mapped.output is not None
        assert field(mapped.output, "OBR-3") == f"{short_id(ADDENDUM_ID)}^AUTOSCRIBE"


def test_a_message_each_is_about_the_order_that_it_names() -> None:
    what, to = study(report(), **TWO_ORDERS), profile(accessions="messages")
    for number, accession in enumerate(("A1", "A2"), 1):
        mapped = send(what, site=ORDERED, to=to, accession_number=accession)
        assert mapped.output is not None
        assert [row[1] for row in all_of(mapped.output, "OBR")] == ["1"]
        assert (field(mapped.output, "OBR-2"), field(mapped.output, "OBR-18")) == (f"P{number}", accession)
    together = send(what, site=ORDERED, to=to)
    assert together.output is not None
    assert [row[18] for row in all_of(together.output, "OBR")] == ["A1", "A2"]
    assert "accessions-together" in [issue.code for issue in together.issues]


def test_what_was_sent_is_corrected_and_withdrawn_though_its_accession_number_is_no_longer_known() -> None:
    to = profile(accession="required", accession_field="3")
    for kind in ("text_changed", "withdrawn"):
        mapped = send(to=to, filler="A1", kind=kind, sent_before=True)
        assert mapped.output is not None
        assert field(mapped.output, "OBR-3") == "A1"


def test_an_order_that_comes_late_is_told_of_everything_not_of_an_addendum_alone() -> None:
    what, to = (
        study(report(), addendum(), **TWO_ORDERS),
        profile(accession="required", accession_field="3", addendum="append"),
    )
    mapped = send(
        what,
        site=ORDERED,
        to=to,
        report_id=ADDENDUM_ID,
        kind="addendum_signed",
        sent_before=True,
        numbers={REPORT_ID: ("A1",)},
    )
    assert mapped.output is not None
    assert [(row[3], row[25]) for row in all_of(mapped.output, "OBR")] == [("A1", "C"), ("A2", "C")]


def test_a_message_without_an_accession_number_that_is_required_is_held_with_an_error() -> None:
    mapped = send(to=profile(accession="required"))
    assert mapped.output is None
    assert [(issue.code, issue.severity) for issue in mapped.issues] == [("accession-missing", "error")]


def test_a_message_of_the_pdf_alone_has_it_and_no_text() -> None:
    what, to = study(), profile(pdf="separate_message")
    facts = Facts(pdf={REPORT_ID: PdfFacts(4, b"\0" * 20, b"%PDF")})
    mapped = to_oru(what, Cause(REPORT_ID, part="pdf"), SITE, to, facts, control_id="1", at=AT)
    assert mapped.output is not None
    assert [row[2] for row in all_of(mapped.output, "OBX")] == ["ED"]
    text = to_oru(what, Cause(REPORT_ID), SITE, to, facts, control_id="1", at=AT)
    assert text.output is not None
    assert {row[2] for row in all_of(text.output, "OBX")} == {"TX"}


def test_without_a_pdf_there_is_no_message_of_it() -> None:
    mapped = send(to=profile(pdf="separate_message"), part="pdf")
    assert mapped.output is None
    assert "pdf-message-empty" in [issue.code for issue in mapped.issues]


APART = profile(pdf="separate_message")
WITH_ADDENDUM = study(report(), addendum())
ADDED = Cause(ADDENDUM_ID, "addendum_signed", sent_before=True)


def pdf(*ids: str) -> Facts:
    return Facts(pdf={one: PdfFacts(len(one), b"\0" * 20, one.encode()) for one in ids})


def of_the_pdf(facts: Facts, cause: Cause = ADDED, what: Study = WITH_ADDENDUM, how: str = "replace") -> list[Any]:
    """OBR-3, OBR-25, OBX-11 and the PDFs of a cause's message, or the codes of the issues that prevent it."""
    to = replace(APART, addendum=how)
    (cause_of_pdf,) = (one for one in messages(what, cause, SITE, to, facts) if one.part == "pdf")
    mapped = to_oru(what, cause_of_pdf, SITE, to, facts, control_id="1", at=AT)
    if mapped.output is None:
        return [issue.code for issue in mapped.issues if issue.severity != "information"]
    rows = all_of(mapped.output, "OBX")
    files = [b64decode(row[5].rpartition("^")[2]).decode() for row in rows if row[2] == "ED"]
    return [field(mapped.output, "OBR-3"), field(mapped.output, "OBR-25"), rows[0][11], *files]


def test_an_addendum_restates_the_pdf_of_its_report_with_its_own_first() -> None:
    number = f"{pdf_number(REPORT_ID)}^AUTOSCRIBE"
    found = of_the_pdf(pdf(REPORT_ID, ADDENDUM_ID))
    assert found == [number, "C", "C", ADDENDUM_ID, REPORT_ID]
    again = Cause(REPORT_ID, "text_changed", sent_before=True)
    assert of_the_pdf(pdf(REPORT_ID, ADDENDUM_ID), again) == found


def test_the_pdf_of_a_report_is_withdrawn_where_its_addendum_has_none_and_not_sent_at_first() -> None:
    assert of_the_pdf(pdf(REPORT_ID)) == [f"{pdf_number(REPORT_ID)}^AUTOSCRIBE", "C", "W"]
    assert of_the_pdf(pdf(REPORT_ID), Cause(REPORT_ID)) == ["pdf-superseded"]
    too_large = replace(pdf(REPORT_ID), pdf={**pdf(REPORT_ID).pdf, ADDENDUM_ID: PdfFacts(2**31, b"\0" * 20, b"x")})
    assert of_the_pdf(too_large)[2] == "W"


def test_a_cancelled_addendum_leaves_the_pdf_of_its_report_alone() -> None:
    facts = replace(pdf(REPORT_ID), gone=(WITH_ADDENDUM.reports[1],))
    gone = Cause(ADDENDUM_ID, "addendum_cancelled", sent_before=True)
    assert of_the_pdf(facts, gone, study()) == [f"{pdf_number(REPORT_ID)}^AUTOSCRIBE", "C", "C", REPORT_ID]


def test_where_addenda_have_orders_of_their_own_so_have_their_pdfs() -> None:
    found = of_the_pdf(pdf(REPORT_ID, ADDENDUM_ID), how="new_order")
    assert found == [f"{pdf_number(ADDENDUM_ID)}^AUTOSCRIBE", "C", "C", ADDENDUM_ID]
    assert of_the_pdf(pdf(REPORT_ID, ADDENDUM_ID), Cause(REPORT_ID), how="new_order")[3:] == [REPORT_ID]


def test_an_addendum_of_two_reports_restates_the_pdf_of_each_and_one_without_a_report_is_alone() -> None:
    second = "rep_" + "6" * 32
    what = study(report(), report(reportId=second), addendum())
    found = messages(what, ADDED, SITE, APART, Facts())
    assert [one.document for one in found if one.part == "pdf"] == [REPORT_ID, second]
    assert len({message_control_id(one, "x") for one in found}) == 3
    alone = messages(study(addendum()), ADDED, SITE, APART, Facts())
    assert [one.document for one in alone] == ["", ""]


def test_a_pdf_that_an_addendum_once_had_to_itself_is_kept_current() -> None:
    found = messages(WITH_ADDENDUM, ADDED, SITE, APART, Facts(), sent={pdf_number(ADDENDUM_ID)})
    assert [one.document for one in found if one.part == "pdf"] == [REPORT_ID, ""]


def test_the_patients_of_a_study_are_found_once_for_all_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    find = rendering.subjects_as_before

    def counted(*given: Any) -> Any:
        asked.append(len(given))
        return find(*given)

    monkeypatch.setattr(rendering, "subjects_as_before", counted)
    assert len(left(study(report(), addendum()), "append")) == 2
    assert len(asked) == 1
