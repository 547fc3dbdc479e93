"""Webhook events are stored once until they are processed; commands' requests run once, in order.

Decisions D8, D18, D25.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from fakes.store import rows

from gateway.store.database.facts import Control, Controls
from gateway.store.enrichment import StoredEnrichments, StoredEvent, StoredWebhooks

AT = datetime(2026, 1, 5, 14, 20, tzinfo=UTC)
LATER = AT + timedelta(minutes=1)
BODY = {"type": "report.delivered", "data": {"text": "a\0b\ud800"}}


async def test_a_delivery_is_kept_and_is_due_at_once(engine):
    webhooks = StoredWebhooks(engine)
    assert await webhooks.record("msg_1", "evt_1", "report.delivered", BODY, AT)
    assert await webhooks.due(AT - timedelta(seconds=1), 10) == []
    assert await webhooks.due(AT, 10) == [StoredEvent("msg_1", BODY, 0)]


async def test_the_same_delivery_and_the_same_event_are_kept_once(engine):
    webhooks = StoredWebhooks(engine)
    assert await webhooks.record("msg_1", "evt_1", "a", BODY, AT)
    assert not await webhooks.record("msg_1", "evt_2", "a", BODY, AT)
    assert not await webhooks.record("msg_2", "evt_1", "a", BODY, AT)
    assert await webhooks.record("msg_2", "evt_2", "a", BODY, AT)
    assert len(await webhooks.due(AT, 10)) == 2


async def test_ids_of_any_kind_are_kept_apart(engine):
    webhooks = StoredWebhooks(engine)
    ids = ["a", "a\0", "x" * 5000, "x" * 4999 + "y", "\ud800b", ""]
    for one in ids:
        assert await webhooks.record(f"m{one}", one, f"k\0{one}", {}, AT)
        assert not await webhooks.record(f"again{one}", one, "", {}, AT)


async def test_what_is_longest_due_comes_first_and_what_is_put_off_later(engine):
    webhooks = StoredWebhooks(engine)
    for number in (3, 1, 2):
        await webhooks.record(f"msg_{number}", f"evt_{number}", "a", {}, AT + timedelta(seconds=number))
    assert [one.webhook_id for one in await webhooks.due(LATER, 2)] == ["msg_1", "msg_2"]
    await webhooks.again("msg_1", LATER, "report-not-listed")
    assert [(one.webhook_id, one.attempts) for one in await webhooks.due(LATER, 10)] == [
        ("msg_2", 0),
        ("msg_3", 0),
        ("msg_1", 1),
    ]


async def test_what_is_done_is_not_due_and_stays_done(engine):
    webhooks = StoredWebhooks(engine)
    await webhooks.record("msg_1", "evt_1", "a", {}, AT)
    await webhooks.done("msg_1", "given-up")
    await webhooks.again("msg_1", AT, "late")
    assert await webhooks.due(LATER, 10) == []
    assert await rows(engine, "SELECT state, code, attempts FROM webhook") == [("done", "given-up", 0)]
    assert not await webhooks.record("msg_1", "evt_1", "a", {}, LATER)


async def test_what_is_of_no_known_kind_is_kept_once_and_never_due(engine):
    webhooks = StoredWebhooks(engine)
    assert await webhooks.set_aside("msg_1", "evt_1", "new.kind", BODY, AT)
    assert not await webhooks.set_aside("msg_1", "evt_1", "new.kind", BODY, AT)
    assert await webhooks.due(LATER, 10) == []
    [(state, code, body)] = await rows(engine, "SELECT state, code, body FROM webhook")
    assert (state, code, json.loads(body)) == ("done", "unknown-kind", BODY)


async def test_only_what_is_done_is_forgotten(engine):
    webhooks = StoredWebhooks(engine)
    for number in (1, 2):
        await webhooks.record(f"msg_{number}", f"evt_{number}", "a", {}, AT)
    await webhooks.done("msg_1")
    await webhooks.forget(AT)
    assert await rows(engine, "SELECT count(*) FROM webhook") == [(2,)]
    await webhooks.forget(LATER)
    assert await rows(engine, "SELECT webhook_id FROM webhook") == [("msg_2",)]


async def test_an_enrichment_adds_to_what_was_said_and_an_older_one_changes_nothing(engine):
    enrichments = StoredEnrichments(engine)
    query = "SELECT accession_number, patient_id, kept FROM enrichment"
    await enrichments.keep("1.2", "A-1", None, AT)
    await enrichments.keep("1.2", None, "P-1", LATER)
    await enrichments.keep("1.2", "A-0", "P-0", AT - timedelta(minutes=1))
    ((accession_number, patient_id, _),) = await rows(engine, query)
    assert (accession_number, patient_id) == ("A-1", "P-1")
    await enrichments.keep("1.2", "A-2", None, LATER)
    ((accession_number, patient_id, _),) = await rows(engine, query)
    assert (accession_number, patient_id) == ("A-2", "P-1")


async def test_what_commands_ask_is_done_in_the_order_it_was_asked(engine):
    controls = Controls(engine)
    for verb, argument in (("refresh", "stu_1"), ("rerender", "stu_2"), ("refresh", "stu_1")):
        await controls.ask(verb, argument)
    first, second, third = await controls.open(10)
    assert (first, second.verb, third.argument) == (Control(first.number, "refresh", "stu_1"), "rerender", "stu_1")
    assert await controls.open(1) == [first]
    await controls.done(first.number)
    assert await controls.open(10) == [second, third]
