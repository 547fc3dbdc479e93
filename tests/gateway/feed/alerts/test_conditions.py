"""Conditions of the feed that raise alerts (D13, D31, D32)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.feed.alerts.conditions import CONDITIONS, ROWS, Alert, alerts
from gateway.store.feed.alerts import FeedFacts

ROOT = Path(__file__).parents[4]
QUIET = FeedFacts()
TWO = {3: "stu_1", 7: "stu_2"}


def test_where_all_is_well_nobody_is_told():
    assert list(alerts("ehr", QUIET, 900)) == []
    assert list(alerts("ehr", replace(QUIET, oldest=899.0, last_failure="ack-timeout"), 900)) == []


@pytest.mark.parametrize(
    ("change", "code", "count"),
    [
        ({"oldest": 901.0}, "queue-age", 901),
        ({"last_failure": "connect-failed"}, "connection-down", 1),
        ({"oldest": 70.0, "unserved": 61.0}, "not-served", 61),
        ({"paused": "refused-in-a-row"}, "destination-paused", 1),
        ({"paused": "refused-for-now"}, "circuit-breaker-open", 1),
    ],
)
def test_each_condition_is_an_alert_of_its_own(change, code, count):
    assert list(alerts("ehr", replace(QUIET, **change), 900)) == [Alert(code, "ehr", count)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("critical", "critical-overdue"),
        ("critical_blocked", "critical-blocked"),
        ("dead_letters", "dead-letter"),
        ("held_lanes", "lane-held"),
        ("held_rows", "message-held"),
    ],
)
def test_of_critical_results_holds_and_dead_letters_it_is_said_which(change, code):
    assert list(alerts("ehr", replace(QUIET, **{change: TWO}), 900)) == [Alert(code, "ehr", 2, TWO)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"unaccepted": TWO}, "application-ack-missing"),
    ],
)
def test_of_what_waits_for_somebody_the_studies_are_said(change, code):
    found = list(alerts("ehr", replace(QUIET, **change), 900))
    assert found == [Alert(code, "ehr", 2, studies=("stu_1", "stu_2"))]


def test_critical_results_alone_escalate():
    assert {row.code for row in CONDITIONS if row.escalates} == {
        "critical-overdue",
        "critical-blocked",
        "critical-not-filed",
    }


def test_where_nothing_waits_or_another_process_may_yet_take_over_nobody_misses_who_serves():
    assert list(alerts("ehr", replace(QUIET, unserved=3600.0), 900)) == []
    assert list(alerts("ehr", replace(QUIET, oldest=70.0, unserved=60.0), 900)) == []


def test_every_condition_has_a_meaning():
    assert len(ROWS) == len(CONDITIONS) + 20
    assert all(row.meaning for row in ROWS.values())
