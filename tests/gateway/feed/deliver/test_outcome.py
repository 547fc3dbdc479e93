"""Results of messages from answers and failures, by how much the receiver may have (D32)."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from fakes.fed import destination
from fakes.heads import head

from gateway.feed.deliver.outcome import SendOutcomes
from gateway.feed.payload import Acknowledgement
from gateway.routing import Retry
from gateway.runtime.errors import AckTimeout, AckUnreadable, ConnectFailed, ConnectionLost, FrameInvalid, SendFailed
from gateway.store.feed.messages import NEVER

NOW = 1_000_000_000
RETRY = Retry(first=2.0, cap=10.0, jitter=0.0, indeterminate_resends=2)


def outcomes(**more):
    return SendOutcomes(destination(1, retry=replace(RETRY, **more)), Random(1))


def answered(code, one=None, **more):
    return outcomes(**more).of_answer(one or head(), Acknowledgement(code, "ID1"), NOW)


def test_what_the_application_took_is_accepted_and_what_the_way_took_is_committed():
    accepted, committed = answered("AA"), answered("CA")
    assert (accepted.state, accepted.ack, accepted.accepted, accepted.committed) == ("delivered", "AA", NOW, None)
    assert (committed.state, committed.ack, committed.accepted, committed.committed) == ("delivered", "CA", None, NOW)


def test_a_way_without_acknowledgements_delivers():
    assert outcomes().of_answer(head(), None, NOW).state == "delivered"


def test_what_may_be_accepted_later_waits_twice_as_long_each_time_up_to_a_cap():
    waits = [answered("AR", head(attempts=tries)).due - NOW for tries in range(5)]
    assert waits == [2_000_000, 4_000_000, 8_000_000, 10_000_000, 10_000_000]
    assert answered("AR").is_refused


def test_tries_have_an_end_where_the_destination_says_so():
    assert answered("AR", head(attempts=1), max_attempts=3).state == "queued"
    last = answered("AR", head(attempts=2), max_attempts=3)
    assert (last.state, last.holds) == ("held", "refused-for-now")
    other = answered("AE", head(attempts=2), max_attempts=3)
    assert (other.state, other.holds) == ("held", "refused")


@pytest.mark.parametrize(
    ("code", "more", "is_for_now"),
    [("AR", {}, True), ("CR", {}, True), ("AE", {}, False), ("CE", {}, False), ("AA", {}, False)]
    + [(code, {"inverted_acks": True}, False) for code in ("AR", "CR", "AE", "CE")],
)
def test_what_hl7_says_may_be_accepted_later_is_refused_for_now(code, more, is_for_now):
    of = SendOutcomes(destination(1, retry=RETRY, **more), Random(1))
    assert of.of_answer(head(), Acknowledgement(code, "ID1"), NOW).is_for_now is is_for_now


@pytest.mark.parametrize("error", ["200", "201", "202", "203"])
def test_a_kind_of_message_that_is_not_supported_is_not_refused_for_now(error):
    one = outcomes().of_answer(head(), Acknowledgement("AR", "ID1", errors=(error,)), NOW)
    assert (one.is_for_now, one.pauses) == (False, True)


def test_what_may_be_on_its_way_is_not_sent_again_before_it_has_arrived():
    failed = [outcomes(first=0.1, in_flight=wait).of_failure(head(), AckTimeout("x"), NOW) for wait in (0.0, 1.0)]
    assert [one.due - NOW for one in failed] == [100_000, 1_000_000]
    assert answered("AR", first=0.1).due - NOW == 100_000


def test_jitter_spreads_within_its_share():
    one = outcomes(jitter=0.5)
    waits = {one.of_answer(head(), Acknowledgement("AR", "ID1"), NOW).due - NOW for _ in range(50)}
    assert len(waits) > 10
    assert all(1_000_000 <= wait <= 3_000_000 for wait in waits)


def test_what_is_refused_for_its_content_holds_its_lane():
    one = answered("AE")
    assert (one.state, one.reason, one.holds, one.ack) == ("held", "AE", "refused", "AE")


def test_where_nothing_was_written_it_is_as_before():
    for state in ("queued", "indeterminate"):
        one = outcomes().of_failure(head(state=state, doubts=1), ConnectFailed("x"), NOW)
        assert (one.state, one.unsent, one.doubts, one.due) == (state, True, 1, 0)


@pytest.mark.parametrize("error", [SendFailed, AckTimeout, ConnectionLost, AckUnreadable])
def test_what_may_have_arrived_goes_again_so_many_times_and_then_holds_its_lane(error):
    first, second, third = (outcomes().of_failure(head(doubts=doubts), error("x"), NOW) for doubts in range(3))
    assert [one.state for one in (first, second, third)] == ["indeterminate"] * 3
    assert (first.due, second.due, third.due) == (NOW + 2_000_000, NOW + 4_000_000, NEVER)
    assert (first.holds, second.holds, third.holds) == ("", "", "indeterminate")


def test_while_nothing_is_answered_at_all_one_lane_is_held_and_no_other():
    decide = outcomes()
    worst = head(doubts=2)
    results = [decide.of_failure(worst, AckTimeout("x"), NOW) for _ in range(3)]
    assert [one.holds for one in results] == ["indeterminate", "", ""]
    assert {(one.state, one.due, one.doubts) for one in results[1:]} == {("indeterminate", NOW + 4_000_000, 2)}
    decide.of_answer(head(), Acknowledgement("AA", "ID1"), NOW)
    assert decide.of_failure(worst, AckTimeout("x"), NOW).holds == "indeterminate"


def test_nothing_follows_what_is_taken_back_from_another_patient_and_was_given_up():
    moved = head(kind="moved")
    one = outcomes().of_failure(moved, FrameInvalid("x"), NOW)
    assert (one.state, one.reason, one.holds) == ("held", "frame-invalid", "refused")


def test_what_can_never_be_framed_is_a_dead_letter():
    one = outcomes().of_failure(head(), FrameInvalid("x"), NOW)
    assert (one.state, one.reason) == ("dead_letter", "frame-invalid")
