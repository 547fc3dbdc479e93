"""The wait of a first message for the study's order, decided from facts and rows alone (D48)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.stated_orders import ORDER

from gateway.feed.compose.wait_for_order import is_cancelled, lacks_order, wait_for_order
from gateway.feed.payload import StudyRound
from gateway.store.database.engine import micros
from gateway.store.database.kept import Kept
from gateway.store.feed.outbox import WaitingRow
from gateway.store.feed.sent import SentState
from mappings.model import Facts, Study

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNMATCHED = Facts(order_reason="no-order")
GONE = replace(ORDER, is_cancelled=True)
STUDY = Study("stu_1", ())


def row(minutes_ago: float = 0, kind: str = "signed", **more: Any) -> WaitingRow:
    usual = {"replay": 0, "priority": 1, "is_critical": False, "is_move": 0, "due": 0, "signed": None}
    decided = micros(NOW - timedelta(minutes=minutes_ago))
    return WaitingRow(1, "rep_1", kind, "v", **{**usual, **more}, decided=decided)


def waits(*rows: WaitingRow, facts: Facts = UNMATCHED, is_told: bool = False, hold: int = 600) -> str:
    sent = SentState(is_told=is_told)
    return wait_for_order(StudyRound(Kept(STUDY, "v", facts), 1, sent, NOW), rows or (row(),), hold)


def test_a_first_message_without_its_order_waits_until_the_time_is_over() -> None:
    assert [waits(row(ago)) for ago in (0, 9.9, 10, 11)] == ["order-awaited", "order-awaited", "", ""]


def test_the_time_begins_with_the_oldest_row() -> None:
    assert waits(row(11), row(1, "text_changed")) == ""
    assert waits(row(9), row(1, "text_changed")) == "order-awaited"


@pytest.mark.parametrize(
    "facts",
    [
        Facts(),
        Facts(orders=(ORDER,)),
        Facts(orders=(ORDER, GONE)),
        Facts(order_reason="released"),
        Facts(order_reason="facility-unknown"),
    ],
    ids=["no source", "matched", "matched in part", "released", "unknown facility"],
)
def test_nothing_is_waited_for_where_no_order_can_come_or_one_is_there(facts: Facts) -> None:
    assert waits(facts=facts) == ""


@pytest.mark.parametrize("reason", ["no-order", "no-number", "several-groups", "accession-reused"])
def test_every_other_reason_waits_since_later_messages_may_end_it(reason: str) -> None:
    assert waits(facts=Facts(order_reason=reason)) == "order-awaited"


def test_neither_a_critical_result_nor_a_study_that_was_sent_nor_a_withdrawal_waits() -> None:
    assert waits(row(), row(is_critical=True)) == ""
    assert waits(is_told=True) == ""
    assert waits(row(), row(kind="withdrawn")) == ""


def test_what_an_operator_sends_by_hand_waits_for_no_order() -> None:
    assert waits(row(kind="replay")) == ""
    assert waits(row(priority=2)) == ""


def test_without_a_wait_in_the_settings_nothing_waits() -> None:
    assert waits(hold=0) == ""


@pytest.mark.parametrize("facts", [Facts(orders=(GONE,)), Facts(order_reason="order-cancelled")])
def test_a_cancelled_order_holds_the_report_for_good_but_for_a_critical_result(facts: Facts) -> None:
    assert [waits(row(ago), facts=facts, hold=0) for ago in (0, 10_000)] == ["order-cancelled"] * 2
    assert waits(row(kind="replay"), facts=facts) == "order-cancelled"
    assert waits(row(is_critical=True), facts=facts) == ""
    assert waits(facts=facts, is_told=True) == ""


def test_a_study_lacks_its_order_only_where_the_hospital_sends_orders() -> None:
    assert [lacks_order(one) for one in (Facts(), Facts(orders=(ORDER,)), Facts(order_reason="no-order"))] == [
        False,
        False,
        True,
    ]
    assert not is_cancelled(Facts())
