"""Which conditions of the feed are alerts (D13, D31, D32)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.feed.alerts import CONDITIONS, Alert, alert_rows, alerts
from gateway.store.feed_facts import FeedFacts

QUIET = FeedFacts()
TWO = frozenset({3, 7})


def test_where_all_is_well_nobody_is_told():
    assert list(alerts("ehr", QUIET, 900)) == []
    assert list(alerts("ehr", replace(QUIET, oldest=899.0, last_failure="ack-timeout"), 900)) == []


@pytest.mark.parametrize(
    ("change", "code", "count"),
    [
        ({"oldest": 901.0}, "queue-age", 901),
        ({"last_failure": "connect-failed"}, "connection-down", 1),
        ({"unaccepted": 6}, "application-ack-missing", 6),
        ({"oldest": 70.0, "unserved": 61.0}, "not-served", 61),
        ({"held_lanes": 3}, "lane-held", 3),
        ({"held_rows": 4}, "message-held", 4),
        ({"paused": "refused-in-a-row"}, "destination-paused", 1),
        ({"paused": "refused-for-now"}, "circuit-breaker-open", 1),
    ],
)
def test_each_condition_is_an_alert_of_its_own(change, code, count):
    assert list(alerts("ehr", replace(QUIET, **change), 900)) == [Alert(code, "ehr", count)]


@pytest.mark.parametrize(
    ("change", "code"),
    [("critical", "critical-overdue"), ("critical_blocked", "critical-blocked"), ("dead_letters", "dead-letter")],
)
def test_of_critical_results_and_dead_letters_it_is_said_which(change, code):
    assert list(alerts("ehr", replace(QUIET, **{change: TWO}), 900)) == [Alert(code, "ehr", 2, TWO)]


def test_where_nothing_waits_or_another_process_may_yet_take_over_nobody_misses_who_serves():
    assert list(alerts("ehr", replace(QUIET, unserved=3600.0), 900)) == []
    assert list(alerts("ehr", replace(QUIET, oldest=70.0, unserved=60.0), 900)) == []


def test_every_condition_says_what_to_do():
    assert len({row.code for row in CONDITIONS}) == len(CONDITIONS)
    assert all(meaning and remedy for _, meaning, remedy in alert_rows())
