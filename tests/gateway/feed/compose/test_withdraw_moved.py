"""Withdrawals under the old patient that must precede a moved report (D13)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.looks import DRAFT, LATER, addendum, report, study
from fakes.looks import SITE as HELD
from fakes.stated_orders import ORDER

from gateway.feed.compose.withdraw_moved import (
    WithdrawalRequest,
    numbers_of_others,
    numbers_said_again,
    with_sent,
    withdrawals_for,
    withdrawals_to_refile,
)
from gateway.store.database.kept import Kept
from gateway.store.feed.sent import SentState
from mappings.hl7v2.oru_r01 import messages, to_oru
from mappings.hl7v2.rendering import Outline, outline, pdf_number
from mappings.model import Cause, Facts, MergedNumber, Study
from mappings.profile import receiver

START = datetime(2026, 1, 5, tzinfo=UTC)
OTHER = {"snapshot": {"mrn": "99999", "patientName": "ROE^RICK", "dateOfBirth": "1950-01-01"}}
SITE = replace(HELD, on_conflict="send")  # otherwise a study with two patients has no message
DRAFTS = replace(SITE, send_drafts=True)


def drawn_of(known: Kept, profile: Any, site: Any = SITE) -> list[Outline]:
    """Return the outlines of the messages of all reports of a study."""
    kinds = [(one.report_id, "signed" if one.is_completed else "draft") for one in known.study.reports]
    causes = [
        one
        for key, kind in kinds
        for one in messages(known.study, Cause(key, kind), site, profile, known.facts)  # type: ignore[arg-type]
    ]
    outlines = [outline(known.study, one, site, profile, known.facts) for one in causes]
    return [one for one in outlines if isinstance(one, Outline)]


def told(known: Kept, profile: Any, site: Any = SITE) -> SentState:
    """Return what the destination has after all of a study was sent."""
    numbers: dict[str, dict[str, str]] = {}
    for drawn in drawn_of(known, profile, site):
        for report_id in drawn.report_ids:
            numbers.setdefault(report_id, {}).update(dict.fromkeys(drawn.filler_order_numbers, drawn.patient_id))
    return SentState(numbers)


def moved(before: Study, now: Study, profile: Any = None, site: Any = SITE, formers: int = 1) -> Any:
    """Return the withdrawals after a study became another: OBX-11, patient and number of each."""
    profile = profile or receiver("generic")
    sent = told(Kept(before), profile, site)
    known = Kept(now)
    known = replace(known, facts=with_sent(known.facts, sent))
    numbers = numbers_of_others(drawn_of(known, profile, site), sent)
    request = WithdrawalRequest(known, sent, "v2", 7, site, profile)
    withdrawals = withdrawals_for(request, numbers, [Kept(before)] * formers)
    if withdrawals is None:
        return None
    summary = []
    for withdrawal in withdrawals:
        made = to_oru(
            withdrawal.known.study, withdrawal.cause, site, profile, withdrawal.known.facts, control_id="ID1", at=START
        )
        rows = (made.output or b"").decode().split("\r")
        pid = next(row.split("|")[3] for row in rows if row.startswith("PID"))
        texts = {row.split("|")[11] for row in rows if row.startswith("OBX")}
        summary.append((pid.partition("^")[0], withdrawal.drawn.filler_order_numbers, texts))
    return summary


def number(of: Study, place: int = 0, **switches: Any) -> tuple[str, ...]:
    """Return the filler order numbers of a report."""
    return drawn_of(Kept(of), replace(receiver("generic"), **switches))[place].filler_order_numbers


def test_a_report_about_somebody_else_is_withdrawn_as_it_was():
    before = study(report())
    assert moved(before, study(report(**OTHER))) == [("41235", number(before), {"W"})]


def test_where_nobody_else_was_told_of_nothing_is_taken_back():
    assert moved(study(report()), study(report(reportPlainText="IMPRESSION: Other."))) == []


def test_where_it_is_not_known_how_it_was_nothing_is_said():
    assert moved(study(report()), study(report(**OTHER)), formers=0) is None


def test_what_stands_about_the_first_patient_is_said_again_without_what_moved():
    before = study(report(), addendum())
    [(patient, numbers, states)] = moved(before, study(report(), addendum(**OTHER)))
    assert (patient, numbers, states) == ("41235", number(before), {"C"})


def test_what_stands_under_a_number_that_somebody_else_gets_is_taken_back_whose_report_it_ever_was():
    drawn = Outline("N/", ("N",), ("rep_2",), "pat-2", is_whole=True)
    sent = SentState({"rep_1": {"N": "pat-1", "M": "pat-1"}, "rep_2": {"P": "pat-2", "Q": ""}})
    assert numbers_of_others([drawn], sent) == [("N", "pat-1")]


def test_each_number_is_taken_back_once():
    apart = replace(receiver("generic"), addendum="new_order")
    before = study(report(), addendum())
    found = moved(before, study(report(**OTHER), addendum(**OTHER)), apart)
    own = [number(before, place, addendum="new_order") for place in (0, 1)]
    assert sorted(found) == sorted([("41235", own[0], {"W"}), ("41235", own[1], {"W"})])


def test_a_message_with_several_orders_is_taken_back_once():
    site = replace(SITE, accession_keys=("acc",), number_separator=",")
    groups = replace(receiver("generic"), accessions="groups", accession_field="3")
    before = study(report(), metadata={"acc": "A1,A2"})
    [drawn] = drawn_of(Kept(before), groups, site)
    assert drawn.filler_order_numbers == ("A1", "A2")
    after = study(report(**OTHER), metadata={"acc": "A1,A2"})
    assert moved(before, after, groups, site) == [("41235", drawn.filler_order_numbers, {"W"})]


def test_what_was_sent_unsigned_is_withdrawn_without_its_text():
    profile = replace(receiver("generic"), send_drafts="on")
    before = study(report(**DRAFT))
    [drawn] = drawn_of(Kept(before), profile, DRAFTS)
    found = moved(before, study(report(signedAt=LATER, **OTHER)), profile, DRAFTS)
    assert found == [("41235", drawn.filler_order_numbers, {"W"})]


def test_a_draft_that_stands_under_a_number_is_said_again_as_a_draft():
    profile = replace(receiver("generic"), send_drafts="on", addendum="append")
    before = study(report(), addendum(**DRAFT))
    known = Kept(study(report(**OTHER), addendum(**DRAFT)))
    sent = told(Kept(before), profile, DRAFTS)
    known = replace(known, facts=with_sent(known.facts, sent))
    left = numbers_of_others(drawn_of(known, profile, DRAFTS), sent)
    withdrawals = withdrawals_for(WithdrawalRequest(known, sent, "v2", 7, DRAFTS, profile), left, [Kept(before)])
    assert withdrawals is not None
    assert {one.cause.kind for one in withdrawals} <= {"draft", "withdrawn", "patient_changed", "draft_cancelled"}
    assert [one.cause.content_version for one in withdrawals] == ["v2/moved/7"] * len(withdrawals)


@pytest.mark.parametrize("addenda", ["replace", "append", "new_order"])
def test_a_patient_who_was_held_apart_since_is_taken_back_as_the_first(addenda):
    profile = replace(receiver("generic"), addendum=addenda)
    known = Kept(study(report()))
    sent = told(known, profile)
    (patient_id,) = {one.patient_id for one in drawn_of(known, profile)}
    apart = replace(known, facts=replace(with_sent(known.facts, sent), taken_patient_ids=frozenset({patient_id})))
    left = numbers_of_others(drawn_of(apart, profile), sent)
    withdrawals = withdrawals_for(WithdrawalRequest(apart, sent, "v2", 7, SITE, profile), left, [])
    assert [one.drawn.patient_id for one in withdrawals or ()] == [patient_id]


def test_the_number_of_a_pdf_in_a_message_of_its_own_is_no_number_of_a_text() -> None:
    report_id = "rep_" + "1" * 32
    sent = SentState(numbers={report_id: {"A1": "pat-1", pdf_number(report_id): "pat-1"}})
    assert with_sent(Facts(), sent).filler_order_numbers == {report_id: ("A1",)}


MERGED = Facts(merged=(MergedNumber("urn:oid:2.999.1", "MR", "41235", "50777"),))


def test_what_was_sent_under_a_number_that_was_merged_is_of_the_same_patient():
    before, profile = study(report()), receiver("generic")
    sent = told(Kept(before), profile)
    again = drawn_of(Kept(before, facts=MERGED), profile)
    assert again[0].patient_id != drawn_of(Kept(before), profile)[0].patient_id
    assert numbers_of_others(again, sent) == []


def test_after_a_merge_it_is_withdrawn_under_the_surviving_number_and_for_the_patient_it_was_sent_about():
    before, profile = study(report()), receiver("generic")
    sent = told(Kept(before), profile)
    [(_, old)] = {(number, whose) for of in sent.numbers.values() for number, whose in of.items()}
    known = Kept(study(report(**OTHER)), facts=MERGED)
    numbers = numbers_of_others(drawn_of(known, profile), sent)
    request = WithdrawalRequest(known, sent, "v2", 7, SITE, profile)
    for former in (Kept(before), Kept(before, facts=MERGED)):
        [withdrawal] = withdrawals_for(request, numbers, [former]) or []
        assert withdrawal.patient_id == old
        assert withdrawal.drawn.is_about(old)
        assert withdrawal.drawn.patient_id != old


@pytest.mark.parametrize("is_without", [True, False])
def test_a_report_and_its_pdf_are_withdrawn_without_an_order_that_the_receiver_was_not_sent(is_without):
    profile = replace(receiver("generic"), pdf="separate_message")
    before = Kept(study(report()), facts=Facts(orders=(ORDER,)))
    sent = told(before, profile)
    [(report_id, numbers)] = sent.numbers.items()
    assert set(numbers) > {pdf_number(report_id)}
    sent = replace(sent, without_order=frozenset(numbers) - {pdf_number(report_id)} if is_without else frozenset())
    known = Kept(study(report(**OTHER)), facts=Facts(orders=(ORDER,)))
    others = numbers_of_others(drawn_of(known, profile), sent)
    withdrawals = withdrawals_for(WithdrawalRequest(known, sent, "v2", 7, SITE, profile), others, [before])
    assert [one.known.facts.orders for one in withdrawals or ()] == [() if is_without else (ORDER,)] * 2


def test_what_was_withdrawn_and_sent_with_its_order_is_not_withdrawn_once_more():
    profile = replace(receiver("generic"), addendum="new_order")
    known = Kept(study(report(), addendum()))
    sent, drawn = told(known, profile), drawn_of(known, profile)
    [first], [second] = (one.filler_order_numbers for one in drawn)
    assert {number for number, _ in numbers_said_again(drawn, sent)} == {first, second}
    left = numbers_said_again(drawn, replace(sent, with_order=frozenset({first})))
    assert {number for number, _ in left} == {second}
    withdrawals = withdrawals_to_refile(WithdrawalRequest(known, sent, "v2", 7, SITE, profile), left)
    assert [one.drawn.filler_order_numbers for one in withdrawals or ()] == [(second,)]


def test_what_no_message_of_this_time_sends_again_stays():
    profile = replace(receiver("generic"), addendum="new_order")
    known = Kept(study(report(), addendum()))
    sent, drawn = told(known, profile), drawn_of(known, profile)
    assert [number for number, _ in numbers_said_again(drawn[:1], sent)] == list(drawn[0].filler_order_numbers)
