"""Decision D26 at scale: millions of studies are swept and fetched again at a rate that AutoScribe bears."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fakes.crawl import study_id

from gateway.crawl.account_pace import AccountPace, pace_of
from gateway.settings import Sync
from gateway.store.studies.crawling import Finished, Running, SweepRecord

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MANY = 10_000_000


def listed(number: int, changed: str | None) -> dict[str, str | None]:
    return {"studyId": study_id(number), "createdAt": "2001-01-01T00:00:00Z", "updatedAt": changed}


@pytest.mark.parametrize(
    ("studies", "hours"),
    [(0, 4), (1_700_000, 4), (2_900_000, 6.5), (MANY, 22.4)],
    ids=["none", "1.7 M", "2.9 M", "10 M"],
)
def test_answers_are_incomplete_only_after_half_as_long_again_as_a_sweep_takes(studies, hours):
    pace = AccountPace(studies, Sync())
    assert pace.max_index_age / 3600 == pytest.approx(hours, abs=0.1)
    assert pace.max_index_age > pace.sweep_seconds


def test_what_the_site_sets_stands_however_many_studies_there_are():
    assert AccountPace(MANY, Sync(max_index_age=7)).max_index_age == 7
    assert AccountPace(0, Sync(sweep_interval=86_400)).max_index_age == 1.5 * 86_400


def test_the_number_of_studies_is_that_of_the_last_sweep_until_the_present_one_has_seen_more():
    finished = Finished(NOW, NOW, 40)
    assert pace_of(SweepRecord(), Sync()).studies == 0
    assert pace_of(SweepRecord(finished=finished, running=Running(NOW, studies=30)), Sync()).studies == 40
    assert pace_of(SweepRecord(finished=finished, running=Running(NOW, studies=50)), Sync()).studies == 50


@pytest.mark.parametrize("changed", ["2020-01-01T00:00:00Z", None, "2026-11-25T11:00:00Z"])
def test_in_an_account_that_allows_it_every_report_is_fetched_again_within_a_day(changed):
    pace = AccountPace(400_000, Sync())
    assert pace.stale_before(listed(1, changed), NOW) == NOW - timedelta(hours=20)


@pytest.mark.parametrize(("age", "within"), [(0, 1), (29, 1), (31, 7), (364, 7), (366, 30), (7_000, 30)])
def test_in_a_large_account_old_studies_are_fetched_again_less_often(age, within):
    assert AccountPace(500_000, Sync()).refetched_within(age * DAY) == within * DAY


@pytest.mark.parametrize("changed", ["", "yesterday", "2020-01-01T00:00:00", 7])
def test_a_study_whose_age_is_not_known_is_fetched_like_a_young_one(changed):
    study = {"studyId": study_id(1), "createdAt": changed or None, "updatedAt": changed}
    assert AccountPace(500_000, Sync()).stale_before(study, NOW) == NOW - timedelta(hours=20)


@pytest.mark.full
def test_ten_million_studies_of_ten_years_are_fetched_again_in_time_at_a_few_requests_a_second():
    """1,000 studies stand for 10,000 each; all were fetched at once, as by a first sweep, and then for 100 days."""
    pace, ages = AccountPace(MANY, Sync()), [3.65 * number * DAY for number in range(1_000)]
    sweep = timedelta(seconds=pace.sweep_seconds)
    fetched, rates = [NOW] * len(ages), []
    for turn in range(1, round(100 * DAY / sweep)):
        now, count = NOW + turn * sweep, 0
        for number, age in enumerate(ages):
            assert now - fetched[number] <= pace.refetched_within(age) + sweep
            if fetched[number] < pace.stale_before(listed(number, (now - age).isoformat()), now):
                fetched[number], count = now, count + MANY // len(ages)
        rates.append(count / pace.sweep_seconds)
    assert sum(rates) / len(rates) < 7  # each within a day would be 116 requests a second
    assert max(rates) < 10
