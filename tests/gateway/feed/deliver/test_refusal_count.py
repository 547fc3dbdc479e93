"""A receiver that refuses everything is sent nothing more (D32)."""

from __future__ import annotations

from fakes.heads import head

from gateway.feed.deliver.refusal_count import STORM, UNSUPPORTED, RefusalCount
from gateway.settings.feed import Feed
from gateway.store.feed.messages import SendResult
from gateway.store.feed.states import FOR_NOW


def refused(lane, **more):
    return SendResult(head(study_id=lane), "held", "AE", "AE", **more)


def for_now(lane):
    return SendResult(head(study_id=lane), "queued", "AR", "AR", is_for_now=True)


def test_refusals_for_now_in_a_row_of_enough_lanes_are_for_the_breaker():
    storm = RefusalCount(Feed(storm_naks=4, storm_lanes=3))
    assert [storm.after(for_now(lane)) for lane in ("a", "a", "b", "a", "c")] == ["", "", "", "", FOR_NOW]


def test_refusals_of_both_kinds_are_for_the_breaker_until_enough_are_for_good():
    storm = RefusalCount(Feed(storm_naks=3, storm_lanes=3))
    said = [storm.after(one) for one in (refused("a"), refused("b"), for_now("c"), refused("b"), refused("c"))]
    assert said == ["", "", FOR_NOW, FOR_NOW, STORM]


def test_refusals_in_a_row_of_enough_lanes_are_a_storm():
    storm = RefusalCount(Feed(storm_naks=4, storm_lanes=3))
    assert [storm.after(refused(lane)) for lane in ("a", "a", "b", "a", "c")] == ["", "", "", "", STORM]


def test_one_lane_that_is_refused_again_and_again_is_none():
    storm = RefusalCount(Feed(storm_naks=2, storm_lanes=2))
    assert {storm.after(refused("a")) for _ in range(20)} == {""}


def test_what_is_taken_in_between_begins_the_count_anew():
    storm = RefusalCount(Feed(storm_naks=2, storm_lanes=2))
    taken = SendResult(head(), "delivered", ack="AA")
    assert [storm.after(one) for one in (refused("a"), taken, refused("b"))] == ["", "", ""]


def test_what_got_no_answer_counts_for_nothing():
    storm = RefusalCount(Feed(storm_naks=2, storm_lanes=2))
    lost = SendResult(head(), "indeterminate", "ack-timeout")
    assert {storm.after(lost) for _ in range(20)} == {""}


def test_a_message_that_is_not_supported_pauses_at_once():
    assert RefusalCount(Feed()).after(refused("a", pauses=True)) == UNSUPPORTED
