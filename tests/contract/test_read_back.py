"""After AA a report is looked up in the EHR: what the chart does not show as it was sent is found, and told once."""

from __future__ import annotations

from functools import partial

import pytest
from fakes.ehr import Charts
from fakes.fed import assert_nothing_of_a_patient
from fakes.filing import FAILURES, filing
from fakes.inbox import sample
from fakes.scale import EITHER_STORE
from fakes.store import rows
from starlette.responses import Response

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.fate import fates, is_unread, open_fates, places
from gateway.feed.operator import needing
from gateway.routing import Routes
from gateway.runtime import clock
from gateway.settings.feed import Feed
from gateway.store import erasing
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.erasing import ErasureOrder
from gateway.store.feed.leases import Leases

ROWS = "SELECT attempts, fate, detail, due IS NULL FROM read_back ORDER BY message"
LATER = (10, 120)


@pytest.fixture
async def one(engine, tmp_path, monkeypatch):
    """A feed into an EHR that is read back."""
    async with filing(engine, Charts(), tmp_path, monkeypatch) as made:
        made.reads._share = 0.0
        made.people = 50
        yield made
        assert made.stand_in.refused == []
        assert_nothing_of_a_patient(made.feed, repr(made.feed.logs))


async def sign(one, number=0, *, critical=True, text="IMPRESSION: Fracture."):
    """Sign a report of a person, and have it delivered."""
    signed = one.feed.account.sign_new(critical=critical)
    one.feed.account.change_text(signed.report_id, text)
    one.feed.account.change_patient(signed.report_id, one.person(number))
    one.planned[signed.study_id] = "", ""
    await tell(one, signed)
    return signed


async def tell(one, signed):
    await one.feed.tell(signed.study_id)
    await one.feed.all_delivered()


async def fate(one, signed):
    """Fate of a report: its kind, detail, and whether it is open."""
    [found] = await fates(one.feed.engine, [signed.study_id], await places(one.feed.engine, one.feed.destinations))
    return found.fate.kind, found.fate.detail, found.fate.is_open


async def alerts(one):
    """Alerts that hold, by code, with their count."""
    return {alert.code: alert.count for alert in await monitor(one).once()}


def monitor(one):
    return AlertMonitor(
        one.feed.engine, one.feed.destinations, Feed(queue_age_alert_minutes=10_080), "one", one.feed.metrics
    )


@pytest.mark.full
async def test_every_planted_failure_is_found_within_two_rounds_and_nothing_else(engine, tmp_path, monkeypatch):
    async with filing(engine, Charts(), tmp_path, monkeypatch) as one:
        await one.sign(100, 10)
        await one.file()
        for minutes in LATER:
            await one.ask(minutes)
        found = await one.found()
        failed = {kind: (fate, detail) for (kind, fate, detail) in found if kind}
        assert failed == FAILURES
        assert {fate for kind, fate, _ in found if not kind} == {"found"}
        checked = sum(found.values())
        assert sum(one.stand_in.requests.values()) <= 3 * checked
        assert one.stand_in.refused == []


async def test_a_report_that_is_filed_late_is_found_and_no_alert_was_raised(one):
    signed = await sign(one)
    await one.ask(10)
    assert await fate(one, signed) == ("AA", "to-be-read-back", False)
    assert await rows(one.feed.engine, ROWS) == [(1, "", "", 0)]
    assert not await alerts(one)
    await one.file()
    await one.ask(120)
    assert await fate(one, signed) == ("found", "", False)
    assert await rows(one.feed.engine, ROWS) == [(2, "found", "", 1)]


async def test_a_report_that_stays_away_is_told_once_and_its_end_too(one):
    signed = await sign(one)
    for minutes in LATER:
        await one.ask(minutes)
    assert await fate(one, signed) == ("absent", "patient-unknown", True)
    assert await alerts(one) == {"critical-not-filed": 1, "not-filed": 1}
    place = (await places(one.feed.engine, one.feed.destinations))[0]
    assert [found.fate.kind async for found in open_fates(one.feed.engine, place)] == ["absent"]
    await one.ask(240)
    assert await fate(one, signed) == ("absent", "patient-unknown", True)
    await one.file()
    await one.ask(24 * 60)
    assert await fate(one, signed) == ("found", "", False)
    assert await alerts(one) == {}
    assert sample(one.feed.metrics, "feed_read_back_total", destination="ehr", outcome="absent") == 3
    assert sample(one.feed.metrics, "feed_read_back_total", destination="ehr", outcome="found") == 1


async def test_a_critical_result_that_was_read_back_still_says_when_it_was_acknowledged(one, monkeypatch):
    monkeypatch.setattr(needing, "routes_of", lambda _: Routes(one.feed.destinations))
    await sign(one)
    await one.feed.engine.do(partial(ask, Statement("UPDATE message SET signed = made")))
    waits = []
    for minutes in (0, *LATER):
        await one.ask(minutes)
        [result] = await needing.critical_of_day(one.feed.engine, None)
        waits.append((result.fate.kind, result.wait is not None))
    assert waits == [("AA", True), ("AA", True), ("absent", True)]


async def test_an_ehr_that_is_down_never_makes_a_report_absent_and_is_told_after_three_hours(one):
    signed = await sign(one)
    one.stand_in.spoils = lambda _: Response(status_code=503, headers={"Retry-After": "7200"})
    for minutes in (10, 60, 130, 300):
        one.moved = minutes * 60.0
        one.reads._closed_until = 0.0
        await one.reads.turn()
    assert await rows(one.feed.engine, ROWS) == [(0, "", "", 0)]
    assert (await fate(one, signed))[:2] == ("AA", "to-be-read-back")
    assert await alerts(one) == {"ehr-not-read": 1}
    asked = one.stand_in.requests["token"]
    await one.reads.turn()
    assert (one.stand_in.requests["token"], asked) == (4, 4)
    one.stand_in.spoils = lambda _: None
    one.reads._closed_until, one.reads._failures = 0.0, 0
    await one.file()
    await one.ask(400)
    assert await fate(one, signed) == ("found", "", False)
    assert await alerts(one) == {}


async def test_the_ehr_is_asked_again_only_after_the_time_it_says(one, monkeypatch):
    await sign(one)
    one.stand_in.spoils = lambda _: Response(status_code=429, headers={"Retry-After": "3600"})
    at = clock.monotonic()
    one.moved = 600.0
    for ahead, asked in ((0, 1), (3_500, 1), (3_700, 2)):
        monkeypatch.setattr(clock, "monotonic", lambda ahead=ahead: at + ahead)
        one.moved += 1_800.0
        await one.reads.turn()
        assert one.stand_in.requests["token"] == asked
    assert not one.reads._client._token


async def test_only_what_must_not_be_missed_is_read_back_and_of_the_rest_a_share(one):
    usual, other = await sign(one, critical=False), await sign(one, 1, critical=False)
    one.feed.account.change_text(other.report_id, "IMPRESSION: Corrected.")
    await tell(one, other)
    critical = await sign(one, 2)
    await one.feed.add(critical)
    await one.feed.all_delivered()
    await one.feed.add(usual)
    await one.feed.all_delivered()
    await one.ask(10)
    chosen = "SELECT m.study_id, m.kind FROM read_back r JOIN message m ON m.number = r.message ORDER BY r.message"
    assert await rows(one.feed.engine, chosen) == [
        (other.study_id, "text_changed"),
        (critical.study_id, "addendum_signed"),
    ]
    assert (await fate(one, other))[0] == "AA"
    kinds = [
        found.fate
        for found in await fates(
            one.feed.engine, [usual.study_id], await places(one.feed.engine, one.feed.destinations)
        )
    ]
    assert {(found.kind, found.detail) for found in kinds} == {("AA", "")}
    assert not any(map(is_unread, kinds))
    one.reads._share, one.reads._looked_back = 1.0, float("-inf")
    await one.reads.turn()
    assert len(await rows(one.feed.engine, chosen)) == 5


async def test_what_was_delivered_before_reading_back_began_is_not_read_back(one):
    await one.feed.engine.do(partial(ask, Statement("DELETE FROM cursor WHERE name = 'read-back:ehr'")))
    await sign(one)
    one.moved = 600.0
    await one.reads.turn()
    assert await rows(one.feed.engine, ROWS) == []


async def test_a_message_that_a_newer_one_replaces_is_not_looked_up_any_more(one):
    signed = await sign(one)
    await one.ask(10)
    one.feed.account.change_text(signed.report_id, "IMPRESSION: Corrected.")
    await tell(one, signed)
    await one.file()
    kinds = "SELECT m.kind, r.fate FROM read_back r JOIN message m ON m.number = r.message"
    await one.ask(11)
    assert await rows(one.feed.engine, kinds) == [("text_changed", "")]
    await one.ask(40)
    assert await rows(one.feed.engine, kinds) == [("text_changed", "found")]


async def test_nothing_is_said_of_a_message_while_a_newer_one_is_under_way(one):
    signed = await sign(one)
    await one.ask(10)
    await one.feed.pause()
    one.feed.account.change_text(signed.report_id, "IMPRESSION: Corrected.")
    await one.feed.tell(signed.study_id)
    await one.feed.until("delivered", "queued")
    await one.feed.engine.do(
        partial(ask, Statement("UPDATE message SET state = 'indeterminate' WHERE state = 'queued'"))
    )
    await one.ask(120)
    assert await rows(one.feed.engine, ROWS) == [(1, "", "", 0)]
    await one.feed.engine.do(
        partial(ask, Statement("UPDATE message SET state = 'dead_letter' WHERE state = 'indeterminate'"))
    )
    await one.ask(300)
    assert await rows(one.feed.engine, ROWS) == [(2, "absent", "patient-unknown", 0)]


async def test_once_the_bytes_are_deleted_what_was_found_stays_and_nothing_is_asked(one):
    await sign(one)
    await sign(one, 1)
    for minutes in LATER:
        await one.ask(minutes)
    before = dict(one.stand_in.requests)
    await one.feed.engine.do(partial(ask, Statement("UPDATE read_back SET fate = '', attempts = 0 WHERE message = 2")))
    await one.feed.engine.do(partial(ask, Statement("DELETE FROM message_body")))
    await one.ask(24 * 60)
    assert await rows(one.feed.engine, ROWS) == [
        (3, "absent", "patient-unknown", 1),
        (1, "not checkable", "message-deleted", 1),
    ]
    assert dict(one.stand_in.requests) == before


async def test_what_only_the_interface_accepted_waits_for_its_application(one):
    await sign(one)
    await one.feed.engine.do(partial(ask, Statement("UPDATE message SET ack = 'CA'")))
    one.moved = 600.0
    await one.reads.turn()
    assert await rows(one.feed.engine, ROWS) == [(0, "", "", 0)]
    await one.feed.engine.do(partial(ask, Statement("UPDATE message SET ack = 'AA'")))
    await one.reads.turn()
    assert await rows(one.feed.engine, ROWS) == [(1, "", "", 0)]


async def test_only_the_process_with_the_lease_asks(one):
    await sign(one)
    other, one.moved = Leases(one.feed.engine, "other", 60.0), 600.0
    await one.reads._leases.give_back(await one.reads._leases.take("*ehr:ehr"))
    assert await other.take("*ehr:ehr") is not None
    await one.reads.turn()
    assert await rows(one.feed.engine, ROWS) == []


async def test_what_was_found_of_an_erased_study_goes_with_it(one):
    erased, kept = await sign(one), await sign(one, 1)
    await one.ask(10)
    key = one.feed.pipeline.settings.site.site_key
    order = ErasureOrder([erased.study_id], "Patient/x", "asked", key, micros(clock.now()))
    await one.feed.engine.do(partial(erasing.erase_studies, order, is_trial=False))
    left = "SELECT m.study_id FROM read_back r JOIN message m ON m.number = r.message"
    assert await rows(one.feed.engine, left) == [(kept.study_id,)]
    one.reads._looked_back = float("-inf")
    await one.ask(120)
    assert await rows(one.feed.engine, left) == [(kept.study_id,)]


@pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)
async def test_a_document_of_its_own_is_not_looked_up(engine, one):
    signed = await sign(one)
    numbers = f'["{HL7V2.document_number(signed.report_id)}"]'
    await engine.do(partial(ask, Statement("UPDATE message SET filler_order_numbers = :numbers"), numbers=numbers))
    await one.ask(10)
    assert await rows(engine, ROWS) == [(0, "AA", "document-only", 1)]
    assert await fate(one, signed) == ("AA", "document-only", False)
    assert one.stand_in.requests["Patient"] == 0
