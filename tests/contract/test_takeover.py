"""Work left over from a lost lease: an answer is a fact, and an old copy is never the final state (D33)."""

from __future__ import annotations

from functools import partial

import pytest
from fakes.lanes import AT, Scene, new
from fakes.store import rows

from gateway.feed.fate import fate_of, fate_place
from gateway.store.database.engine import Statement, ask
from gateway.store.feed import lanes
from gateway.store.feed.lanes import OLD_COPY, release_lane, set_back
from gateway.store.feed.leases import Leases
from gateway.store.feed.ledger import report_records
from gateway.store.feed.messages import NEVER, SendResult

SECOND = 1_000_000
OVER = AT + 40 * SECOND
ROW = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, is_move, decided) VALUES"
    " (:study_id, :report_id, :kind, 'v', 'ehr', 'rendered', 0, 1)"
)
REPORT = Statement(
    "INSERT INTO report (report_id, study_id, status, is_addendum, signed, first_seen, first_seen_signed)"
    " VALUES (:report_id, :study_id, 'completed', 0, 1, 1, 1) ON CONFLICT DO NOTHING"
)


@pytest.fixture
async def scene(engine):
    lease = await Leases(engine, "one", 60.0).take("ehr")
    return Scene(engine, lease)


async def told(engine, report_id, kind="signed"):
    """Make an outbox row of a report, with messages made of it."""

    def work():
        yield from ask(ROW, study_id="stu_a", report_id=report_id, kind=kind)
        yield from ask(REPORT, study_id="stu_a", report_id=report_id)

    await engine.do(work)


async def in_hand(scene, *more):
    """Build a message that one holder had in hand and another has taken over, with a newer one behind it."""
    await scene.add("stu_a", new(1), *more)
    first, *_ = await scene.heads()
    await scene.step(claims=[first])
    scene.lease = await Leases(scene.engine, "one", 60.0).take("ehr")
    await scene.engine.do(partial(lanes.take_over, scene.lease, [], 5, AT, OVER))
    return first


async def followed(scene):
    """Send both under the second lease."""
    await scene.deliver()
    await scene.deliver()


async def mend(scene, restates=True, now=OVER):
    """Mend each old copy that may have arrived; return the action taken."""
    found = await lanes.old_copies(scene.engine, "ehr", now)
    work = [partial(lanes.resend_newer, scene.lease, one, now, restates=restates) for one in found]
    return [await scene.engine.do(one) for one in work]


async def outbox(engine):
    return [
        tuple(one) for one in await rows(engine, "SELECT report_id, kind, state, replay FROM outbox ORDER BY number")
    ]


async def is_open(engine, report_id="rep_1"):
    class Ehr:
        name = "ehr"
        dry_run = False
        is_enabled = True

        class receiver:
            ack_mode = "original"

    record = (await report_records(engine, ["stu_a"]))["stu_a"].reports[report_id]
    outcome = fate_of(report_id, record, fate_place(Ehr))
    return outcome.is_open, outcome.detail


async def test_what_went_out_behind_an_old_copy_is_said_again_once_that_can_no_longer_come(scene, engine):
    await told(engine, "rep_1")
    await told(engine, "rep_2", "addendum_signed")
    await in_hand(scene, new(2))
    await followed(scene)
    assert await is_open(engine) == (True, OLD_COPY)
    assert await is_open(engine, "rep_2") == (True, OLD_COPY)
    assert await mend(scene, now=OVER - 1) == []
    assert await mend(scene) == ["restated"]
    again = [("rep_1", "replay", "waiting", 1), ("rep_2", "replay", "waiting", 1)]
    assert (await outbox(engine))[2:] == again
    assert await is_open(engine) == (True, "to-be-made")
    assert await mend(scene) == []


async def test_what_was_withdrawn_is_withdrawn_again(scene, engine):
    await told(engine, "rep_1")
    await told(engine, "rep_1", "withdrawn")
    await in_hand(scene, new(2, report_ids=("rep_1",), report_id="rep_1"))
    await followed(scene)
    assert await mend(scene) == ["restated"]
    assert (await outbox(engine))[-1] == ("rep_1", "withdrawn", "waiting", 1)


async def test_an_old_copy_behind_which_nothing_went_out_needs_nothing(scene, engine):
    await told(engine, "rep_1")
    await in_hand(scene, new(2))
    await scene.deliver()
    assert await is_open(engine) == (True, OLD_COPY)
    assert await mend(scene) == ["not_needed"]
    assert await is_open(engine) == (False, "")


async def test_an_old_copy_under_another_number_needs_nothing(scene, engine):
    await told(engine, "rep_1")
    await in_hand(scene, new(2, filler_order_numbers=("F2",)))
    await followed(scene)
    assert await mend(scene) == ["not_needed"]


async def test_where_text_would_be_filed_twice_the_lane_is_held_until_an_operator_has_looked(scene, engine):
    await told(engine, "rep_1")
    await in_hand(scene, new(2))
    await followed(scene)
    assert await mend(scene, restates=False) == ["held"]
    assert [tuple(one) for one in await rows(engine, "SELECT study_id, reason FROM lane")] == [("stu_a", OLD_COPY)]
    assert await is_open(engine) == (True, OLD_COPY)
    assert await mend(scene, restates=False, now=OVER + 1) == []
    await engine.do(partial(release_lane, "ehr", "stu_a", OVER))
    assert not await rows(engine, "SELECT study_id FROM lane")
    assert await is_open(engine) == (False, "")


@pytest.mark.parametrize("newer", [{"kind": "moved"}, {"patient_id": "pat-2"}])
async def test_an_old_copy_about_another_patient_holds_the_lane(scene, engine, newer):
    await told(engine, "rep_1")
    await in_hand(scene, new(2, **newer))
    await followed(scene)
    assert await mend(scene) == ["held"]


async def test_an_old_copy_that_is_written_later_still_is_mended_again(scene, engine):
    await told(engine, "rep_1")
    first = await in_hand(scene, new(2))
    await followed(scene)
    await mend(scene)
    later = OVER + 60 * SECOND
    await engine.do(partial(lanes.record_late_write, first.number, later))
    await engine.do(partial(lanes.record_late_write, first.number, later - 1))
    assert await mend(scene, now=later - 1) == []
    assert await mend(scene, now=later) == ["restated"]


@pytest.mark.parametrize("state", ["indeterminate", "sending", "held"])
async def test_an_answer_is_written_down_whoever_has_the_lease_by_then(scene, engine, state):
    first = await in_hand(scene, new(2))
    if state != "indeterminate":
        again, *_ = await scene.heads()
        assert await scene.step(claims=[again]) == [first.number]
    if state == "held":
        await scene.step([SendResult(again, "held", "AE", "AE", holds="refused")])
    result = SendResult(first, "delivered", ack="AA", accepted=AT)
    assert await engine.do(partial(lanes.record_delivery, "ehr", result, AT))
    assert await scene.states() == [("ID1", "delivered", ""), ("ID2", "queued", "")]
    assert not await rows(engine, "SELECT study_id FROM lane")
    assert not await engine.do(partial(lanes.record_delivery, "ehr", result, AT))


async def test_of_a_message_that_awaits_its_application_the_lane_is_held_by_a_late_answer_too(scene, engine):
    first = await in_hand(scene, new(2))
    said = SendResult(first, "delivered", ack="CA", committed=AT, holds="awaits-AA")
    await engine.do(partial(lanes.record_delivery, "ehr", said, AT))
    assert [str(one) for (one,) in await rows(engine, "SELECT reason FROM lane")] == ["awaits-AA"]


async def test_a_clock_that_is_set_back_does_not_put_the_repair_off(scene, engine):
    await told(engine, "rep_1")
    await in_hand(scene, new(2))
    await followed(scene)
    hour = 3600 * SECOND
    await engine.do(partial(set_back, scene.lease, hour, AT - hour))
    assert await mend(scene, now=OVER - hour) == ["restated"]


async def test_until_an_operator_has_looked_it_is_open_for_good(scene, engine):
    await told(engine, "rep_1")
    await in_hand(scene, new(2))
    await followed(scene)
    await mend(scene, restates=False)
    assert await lanes.old_copies(engine, "ehr", NEVER - 1) == []
