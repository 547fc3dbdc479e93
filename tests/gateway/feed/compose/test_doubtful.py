"""Changes that may have been sent in the time that a database restore lost (decision D38)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes.oru_example import study as example

from gateway.feed.compose.render_due import is_doubtful
from gateway.store.database.engine import micros
from gateway.store.feed.outbox import WaitingRow

SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=4)


def row(**more):
    usual = {"kind": "signed", "content_version": "1", "replay": 0, "priority": 1, "is_critical": False, "is_move": 0}
    times = {"due": 0, "signed": None, "decided": micros(UNTIL + timedelta(minutes=1))}
    return WaitingRow(1, "rep_1", **{**usual, **times, **more})


def doubtful(signed, updated=None, **more):
    said = example()
    text = None if signed is None else signed.isoformat()
    report = replace(
        said.reports[0], report_id="rep_1", signed_at=text, updated_at=updated.isoformat() if updated else text
    )
    return is_doubtful(row(**more), replace(said, reports=(report,)), micros(SINCE), micros(UNTIL))


@pytest.mark.parametrize(
    ("signed", "is_held"),
    [
        (SINCE - timedelta(hours=25), False),
        (SINCE - timedelta(hours=23), True),
        (SINCE + timedelta(hours=1), True),
        (UNTIL + timedelta(seconds=1), False),
        (UNTIL + timedelta(hours=1), True),  # later than the row's decision: that time cannot be right
        (None, True),
    ],
)
def test_what_changed_in_between_or_nobody_knows_when_is_held(signed, is_held):
    assert doubtful(signed) is is_held


def test_a_correction_counts_by_when_it_was_made():
    assert doubtful(SINCE - timedelta(days=9), SINCE + timedelta(hours=1))
    assert not doubtful(SINCE - timedelta(days=9), UNTIL + timedelta(seconds=2))


@pytest.mark.parametrize(
    "more", [{"kind": "replay"}, {"priority": 2}, {"decided": micros(UNTIL + timedelta(days=8))}], ids=str
)
def test_what_an_operator_asks_for_and_what_is_decided_much_later_is_not_held(more):
    assert not doubtful(SINCE + timedelta(hours=1), **more)


def test_of_a_report_that_is_gone_nobody_knows_when_it_changed():
    assert is_doubtful(row(), replace(example(), reports=()), micros(SINCE), micros(UNTIL))


MOMENT = timedelta(microseconds=1)
DECIDED = UNTIL + timedelta(minutes=1)
SKEW = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("signed", "is_held"),
    [
        (SINCE - timedelta(hours=24) - MOMENT, False),
        (SINCE - timedelta(hours=24), True),
        (UNTIL - MOMENT, True),
        (UNTIL, False),
        (DECIDED + SKEW - MOMENT, False),
        (DECIDED + SKEW, True),  # later than the row's decision by any clock: that time cannot be right
    ],
)
def test_the_span_has_exact_ends(signed, is_held):
    assert doubtful(signed) is is_held


def test_a_row_that_was_decided_more_than_a_week_later_is_not_held():
    week = UNTIL + timedelta(days=7)
    assert doubtful(SINCE + timedelta(hours=1), decided=micros(week))
    assert not doubtful(SINCE + timedelta(hours=1), decided=micros(week + MOMENT))
