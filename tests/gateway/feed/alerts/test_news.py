"""Each change of an alert is posted once; an unacknowledged critical result is escalated later (D38)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from gateway.feed.alerts.conditions import Alert
from gateway.feed.alerts.monitor import MOST_STUDIES, news, updated_alert
from gateway.feed.alerts.webhook import AT_ONCE, AlertHook
from gateway.store.feed.alerts import StandingAlert

URL = SecretStr("https://a.example")
FIRST, LATER = AlertHook(AT_ONCE, 0, URL, None), AlertHook("5", 300, URL, None)
NOTHING = StandingAlert("critical-overdue", "ehr")
OVERDUE = Alert("critical-overdue", "ehr", 1, {3: "stu_1"})


def told(alert, now):
    """Return the alert after every address took its news, and that news."""
    due = list(news(alert, (FIRST, LATER), now))
    for item in due:
        alert = replace(item, alert=alert).posted()
    return alert, [(one.hook.name, one.change, sorted(one.cases)) for one in due]


def lived(*steps):
    """Take an alert through these instants and conditions; return it and the news posted."""
    alert, posted = StandingAlert(steps[0][1].code, "ehr"), []
    for now, found in steps:
        alert, more = told(updated_alert(alert, found, now), now)
        posted += more
    return alert, posted


def test_it_begins_once_and_ends_once():
    alert, said = lived((10, OVERDUE), (20, OVERDUE), (30, None), (40, None))
    assert said == [(AT_ONCE, "begins", [3]), (AT_ONCE, "ends", [])]
    assert (alert.cases, alert.told) == ({}, {})


def test_it_grows_with_a_case_that_is_new_and_not_with_a_larger_count():
    two = replace(OVERDUE, count=2, cases={3: "stu_1", 4: "stu_2"})
    other = replace(OVERDUE, cases={5: "stu_3"})
    _, said = lived((10, OVERDUE), (20, two), (30, OVERDUE), (40, other), (50, OVERDUE))
    assert [one[1:] for one in said] == [("begins", [3]), ("grows", [3, 4]), ("grows", [5]), ("grows", [3])]
    held = [Alert("lane-held", "ehr", count, studies=("stu_1",)) for count in (1, 2, 9)]
    assert lived(*enumerate(held))[1] == [(AT_ONCE, "begins", [0])]


def test_who_waits_is_told_of_each_case_after_its_own_time():
    two = replace(OVERDUE, count=2, cases={3: "stu_1", 4: "stu_2"})
    _, said = lived((10, OVERDUE), (200, two), (309, two), (310, two), (499, two), (500, two), (900, two), (901, None))
    assert said[2:] == [("5", "escalates", [3]), ("5", "escalates", [3, 4]), (AT_ONCE, "ends", []), ("5", "ends", [])]


def test_what_is_acknowledged_waits_for_nobody_and_what_comes_after_does():
    alert, _ = lived((10, OVERDUE))
    alert = replace(alert, acknowledged=10)
    alert, posted = told(updated_alert(alert, OVERDUE, 900), 900)
    assert posted == []
    both = replace(OVERDUE, count=2, cases={3: "stu_1", 4: "stu_2"})
    alert, posted = told(updated_alert(alert, both, 901), 901)
    assert posted == [(AT_ONCE, "grows", [3, 4])]
    assert told(updated_alert(alert, both, 1201), 1201)[1] == [("5", "escalates", [4])]


def test_a_case_that_comes_in_the_instant_of_an_acknowledgement_is_not_acknowledged():
    alert = replace(NOTHING, acknowledged=10)
    assert set(updated_alert(alert, OVERDUE, 10).unacknowledged) == {3}


def test_where_the_clock_was_set_back_nobody_waits_for_the_old_time_to_come_again():
    alert, _ = lived((10_000, OVERDUE))
    assert told(updated_alert(alert, OVERDUE, 20), 20)[1] == [("5", "escalates", [3])]


def test_what_is_no_critical_result_is_told_once_and_to_nobody_else():
    paused = Alert("destination-paused", "ehr", 1)
    assert lived((10, paused), (9_000, paused))[1] == [(AT_ONCE, "begins", [0])]


def test_one_that_ended_unheard_and_is_back_needs_no_word():
    alert, _ = lived((10, OVERDUE))
    alert = updated_alert(alert, None, 20)
    assert told(updated_alert(alert, OVERDUE, 30), 30)[1] == []


@pytest.mark.parametrize("count", [2, 30])
def test_the_newest_studies_are_named_each_once_and_not_too_many(count):
    found = replace(OVERDUE, count=count, cases={number: f"stu_{number // 2}" for number in range(count)})
    [said] = [one.data() for one in news(updated_alert(NOTHING, found, 10), (FIRST,), 10)]
    assert (said["studies"][0], said["count"]) == (f"stu_{(count - 1) // 2}", count)
    assert len(said["studies"]) == len(set(said["studies"])) == min((count + 1) // 2, MOST_STUDIES)


def test_what_is_over_says_which_studies_it_was_about():
    alert, _ = lived((10, OVERDUE))
    [over] = news(updated_alert(alert, None, 20), (FIRST,), 20)
    assert over.data() == {
        "alert": "critical-overdue",
        "destination": "ehr",
        "state": "cleared",
        "change": "ends",
        "count": 1,
        "studies": ["stu_1"],
        "about": ["stu_1"],
        "next": "feed show stu_1 --at ehr",
        "runbook": "docs/runbooks.md#critical-overdue",
    }
