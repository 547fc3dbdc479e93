"""Settings in force: kept as text in the database, and dated (D37)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

from gateway.routing import NOTHING_IN_FORCE, Filter, Ignore, InForce, Revision, Scope, ever_in_force
from gateway.routing.in_force import digest, read, written
from gateway.routing.owed import Terms

START = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
EHR = Terms("ehr", START)
PACS = Terms("pacs", START, is_enabled=False)
SCOPE = Scope(frozenset({"b", "a"}), None, frozenset({"MR", "CT"}))
RULE = Ignore("trials", "", SCOPE)
EVERY = Terms(
    *("ehr", START, Filter(SCOPE, frozenset({"final", "corrected"}), "only")),
    sends_drafts=True,
    restates=False,
    is_enabled=False,
)


def test_settings_are_read_as_they_were_written() -> None:
    for terms in (EHR, EVERY, replace(EHR, moves_merges=True)):
        assert read("ehr", START + DAY, written(terms, (RULE,))) == Revision(START + DAY, terms, (RULE,))


def test_the_same_settings_are_always_written_alike() -> None:
    elsewhere = replace(EVERY, start=START.astimezone(timezone(timedelta(hours=-5))))
    assert written(EVERY, (RULE,)) == written(elsewhere, (replace(RULE, reason="other words"),))
    assert json.loads(written(EVERY, (RULE,))) == {
        "start": "2024-03-01T00:00:00+00:00",
        "scope": {"facilities": ["a", "b"], "express_customers": None, "modalities": ["CT", "MR"]},
        "statuses": ["corrected", "final"],
        "critical": "only",
        "sends_drafts": True,
        "restates": False,
        "enabled": False,
        "moves_merges": False,
        "ignores": [
            {
                "name": "trials",
                "scope": {"facilities": ["a", "b"], "express_customers": None, "modalities": ["CT", "MR"]},
            }
        ],
    }


def test_a_digest_tells_settings_apart() -> None:
    assert digest(written(EHR, ())) == digest(written(EHR, ())) != digest(written(EVERY, ()))
    assert digest(written(EHR, ())) != digest(written(replace(EHR, moves_merges=True), ()))
    assert len(digest("")) == 64


def test_only_enabled_destinations_have_terms() -> None:
    assert ever_in_force([EHR, PACS]).terms == [EHR]
    assert NOTHING_IN_FORCE.terms == []


def test_settings_that_always_were_apply_at_any_time() -> None:
    in_force = ever_in_force([EHR], (RULE,))
    assert in_force.terms_at("ehr", datetime(1970, 1, 1, tzinfo=UTC)) == EHR
    assert in_force.ignores == (RULE,)


def test_a_change_applies_from_its_instant_on_and_the_earlier_settings_before() -> None:
    first = InForce({}, number=4).changed(EHR, (), START)
    both = first.changed(EVERY, (RULE,), START + DAY).changed(PACS, (), START)
    assert both.terms_at("ehr", START - DAY) is None
    assert both.terms_at("ehr", START) == both.terms_at("ehr", START + DAY - timedelta(seconds=1)) == EHR
    assert both.terms_at("ehr", START + DAY) == EVERY
    assert both.since("ehr") == START + DAY
    assert (both.ignores, both.number) == ((), 4)
    assert list(first.revisions) == ["ehr"]


def test_settings_of_a_clock_that_was_ahead_are_in_force_from_now() -> None:
    in_force = InForce({}).changed(EHR, (), START).changed(EVERY, (), START + 2 * DAY)
    capped = in_force.until(START + DAY)
    assert [one.since for one in capped.revisions["ehr"]] == [START, START + DAY]
    assert in_force.until(START + 2 * DAY) is in_force
