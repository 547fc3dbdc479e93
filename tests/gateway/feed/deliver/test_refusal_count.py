"""A receiver that refuses everything is sent nothing more (D32)."""

from __future__ import annotations

from fakes.heads import head

from gateway.feed.deliver.delivery_results import REFUSED_IN_A_ROW, UNSUPPORTED, RefusalCount
from gateway.settings.feed import Feed
from gateway.store.feed.messages import SendResult
from gateway.store.feed.states import FOR_NOW


def refused(lane, **more):
    return SendResult(head(study_id=lane), "held", "AE", "AE", **more)


def for_now(lane):
    return SendResult(head(study_id=lane), "queued", "AR", "AR", is_for_now=True)


def test_refusals_for_now_in_a_row_of_enough_lanes_are_for_the_breaker():
    count = RefusalCount(Feed(breaker_refusals=4, breaker_lanes=3))
    assert [count.after(for_now(lane)) for lane in ("a", "a", "b", "a", "c")] == ["", "", "", "", FOR_NOW]


def test_refusals_of_both_kinds_are_for_the_breaker_until_enough_are_for_good():
    count = RefusalCount(Feed(breaker_refusals=3, breaker_lanes=3))
    said = [count.after(one) for one in (refused("a"), refused("b"), for_now("c"), refused("b"), refused("c"))]
    assert said == ["", "", FOR_NOW, FOR_NOW, REFUSED_IN_A_ROW]


def test_refusals_in_a_row_of_enough_lanes_pause_the_destination():
    count = RefusalCount(Feed(breaker_refusals=4, breaker_lanes=3))
    assert [count.after(refused(lane)) for lane in ("a", "a", "b", "a", "c")] == ["", "", "", "", REFUSED_IN_A_ROW]


def test_one_lane_that_is_refused_again_and_again_is_none():
    count = RefusalCount(Feed(breaker_refusals=2, breaker_lanes=2))
    assert {count.after(refused("a")) for _ in range(20)} == {""}


def test_what_is_taken_in_between_begins_the_count_anew():
    count = RefusalCount(Feed(breaker_refusals=2, breaker_lanes=2))
    taken = SendResult(head(), "delivered", ack="AA")
    assert [count.after(one) for one in (refused("a"), taken, refused("b"))] == ["", "", ""]


def test_what_got_no_answer_counts_for_nothing():
    count = RefusalCount(Feed(breaker_refusals=2, breaker_lanes=2))
    lost = SendResult(head(), "indeterminate", "ack-timeout")
    assert {count.after(lost) for _ in range(20)} == {""}


def test_a_message_that_is_not_supported_pauses_at_once():
    assert RefusalCount(Feed()).after(refused("a", pauses=True)) == UNSUPPORTED
