"""Late acknowledgements of a committed message are stored by whichever process receives them (D32)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from fakes.lanes import AT, NOW, Scene, new
from fakes.store import rows

from gateway.store.database.engine import Statement, ask
from gateway.store.feed import lanes
from gateway.store.feed.destinations import renamed
from gateway.store.feed.lanes import StoredAck, free_refused_for_now
from gateway.store.feed.leases import Leases
from gateway.store.feed.messages import SendResult

LATER = AT + 7
DUE = AT + 5_000_000


@pytest.fixture
async def scene(engine):
    """Build a lane of two messages, of which the first was committed."""
    made = Scene(engine, await Leases(engine, "one", 60.0).take("ehr"))
    await made.add("stu_a", new(1), new(2))
    await made.deliver()
    return made


async def hear(scene, ack="AA", control_id="ID1", **given) -> StoredAck:
    def decide(head):
        usual = {
            "delivered": {"accepted": LATER},
            "queued": {"due": DUE, "is_for_now": True},
            "held": {"holds": "refused"},
        }
        state = given.get("state", {"A": "delivered", "E": "held", "R": "queued"}[ack[1]])
        return SendResult(head, state, "" if state == "delivered" else ack, ack, **usual.get(state, {}))

    return await scene.engine.do(partial(lanes.store_ack, "ehr", control_id, ack, decide, LATER))


async def write(engine, sql):
    await engine.do(lambda: ask(Statement(sql)))


async def acks(engine):
    return [tuple(one) for one in await rows(engine, "SELECT ack, committed, accepted FROM message ORDER BY number")]


async def test_what_the_application_takes_closes_the_second_axis(scene, engine):
    heard = await hear(scene)
    assert (heard.outcome, heard.result.head.control_id) == ("written", "ID1")
    assert (await acks(engine))[0] == ("AA", AT, LATER)
    assert [one[1] for one in await scene.states()] == ["delivered", "queued"]


async def test_it_is_written_though_another_holds_the_lease(scene, engine):
    await Leases(engine, "two", 60.0).take("ehr")
    assert (await hear(scene)).outcome == "written"
    assert (await acks(engine))[0] == ("AA", AT, LATER)


async def test_one_that_is_heard_under_a_name_that_the_destination_had_is_written_too(scene, engine):
    await engine.do(partial(renamed, "ehr", "his", AT))
    assert await lanes.is_settled(engine, "ehr", "ID1") is True
    assert (await hear(scene)).outcome == "written"
    assert (await acks(engine))[0] == ("AA", AT, LATER)
    assert {str(one) for (one,) in await rows(engine, "SELECT name FROM destination")} == {"ehr", "his"}


async def test_a_second_one_changes_nothing_and_one_that_says_otherwise_matches_nothing(scene, engine):
    assert [(await hear(scene, ack)).outcome for ack in ("AA", "AA", "AE")] == ["written", "repeated", "unmatched"]
    assert (await acks(engine))[0] == ("AA", AT, LATER)
    assert [one[1] for one in await scene.states()] == ["delivered", "queued"]


@pytest.mark.parametrize("control_id", ["ID9", "", "id1"])
async def test_of_a_message_that_is_not_there_nothing_is_changed(scene, engine, control_id):
    before = await acks(engine), await scene.states()
    assert (await hear(scene, control_id=control_id)).outcome == "unmatched"
    assert (await acks(engine), await scene.states()) == before


async def test_of_a_message_to_another_destination_nothing_is_changed(scene, engine):
    await write(engine, "UPDATE message SET destination = 'other'")
    assert (await hear(scene)).outcome == "unmatched"
    assert (await acks(engine))[0] == ("CA", AT, None)


async def test_a_second_commit_says_nothing_of_the_application(scene, engine):
    heard = await engine.do(
        partial(
            lanes.store_ack,
            "ehr",
            "ID1",
            "CA",
            lambda head: SendResult(head, "delivered", ack="CA", committed=9),
            LATER,
        )
    )
    assert heard.outcome == "repeated"
    assert (await acks(engine))[0] == ("CA", AT, None)


@pytest.mark.parametrize("state", ["sending", "indeterminate"])
async def test_of_a_message_that_is_in_hand_or_in_doubt_it_is_too_early_to_say_anything(scene, engine, state):
    (head,) = await scene.heads()
    await scene.step(claims=[head])
    if state == "indeterminate":
        await scene.step([SendResult(head, state)])
    assert (await hear(scene, control_id="ID2")).outcome == "too_early"
    assert (await scene.states())[1][1] == state
    assert await lanes.is_settled(engine, "ehr", "ID2") is (state != "sending")
    assert await lanes.is_settled(engine, "ehr", "ID9") is None


async def test_what_the_application_refuses_for_its_content_holds_its_lane(scene):
    assert (await hear(scene, "AE")).outcome == "written"
    assert await scene.states() == [("ID1", "held", "AE"), ("ID2", "held", "lane")]


async def test_what_the_application_may_take_later_is_queued_again_and_nothing_goes_before_it(scene, engine):
    (waiting,) = await scene.heads()
    heard = await hear(scene, "AR")
    assert (heard.outcome, heard.result.state) == ("written", "queued")
    assert await scene.states() == [("ID1", "queued", "AR"), ("ID2", "queued", "")]
    assert await rows(engine, "SELECT due, closed FROM message WHERE control_id = 'ID1'") == [(DUE, None)]
    assert await scene.heads() == []
    assert await scene.step(claims=[waiting]) == [], "who had it in line already cannot claim it"
    ((body,),) = await rows(engine, "SELECT body FROM message_body WHERE number = 1")
    assert bytes(body) == b"body 1"
    assert not await rows(engine, "SELECT 1 FROM lane")
    assert (await hear(scene, "AR")).outcome == "repeated"


@pytest.mark.parametrize("then", ["sending", "indeterminate", "delivered"])
async def test_what_may_be_taken_later_holds_its_lane_where_something_was_sent_behind_it(scene, then):
    (behind,) = await scene.heads()
    await scene.step(claims=[behind])
    if then != "sending":
        await scene.step([SendResult(behind, then)])
    heard = await hear(scene, "AR")
    assert (heard.result.state, heard.result.holds) == ("held", "refused-for-now")
    assert await scene.states() == [("ID1", "held", "AR"), ("ID2", then, "")]
    assert await rows(scene.engine, "SELECT study_id, reason FROM lane") == [("stu_a", "refused-for-now")]
    assert not await scene.engine.do(partial(free_refused_for_now, "ehr")), "it would come behind a newer one"


async def test_once_all_that_was_sent_behind_it_is_refused_too_the_lane_goes_on_in_order(scene, engine):
    await scene.add("stu_a", new(3))
    await scene.deliver()
    await scene.deliver()
    for control_id in ("ID1", "ID2"):
        assert (await hear(scene, "AR", control_id)).result.state == "held"
    assert (await hear(scene, "AR", "ID3")).result.state == "queued"
    assert await scene.states() == [(f"ID{number}", "queued", "") for number in (1, 2, 3)]
    assert not await rows(engine, "SELECT 1 FROM lane")
    assert await scene.heads() == []
    (first, *_) = await scene.heads(now=NOW + timedelta(seconds=5))
    assert first.control_id == "ID1"


async def test_what_the_application_takes_behind_a_refused_one_keeps_the_lane_held(scene, engine):
    await scene.deliver()
    await hear(scene, "AR")
    assert (await hear(scene, "AA", "ID2")).outcome == "written"
    assert not await engine.do(partial(free_refused_for_now, "ehr"))
    assert [one[1] for one in await scene.states()] == ["held", "delivered"]


@pytest.mark.parametrize("then", ["sending", "indeterminate", "delivered", "held"])
async def test_what_may_be_taken_later_and_a_newer_message_says_all_of_waits_for_nobody(engine, then):
    scene = Scene(engine, await Leases(engine, "one", 60.0).take("ehr"))
    await scene.add("stu_a", new(1, is_whole=True))
    await scene.deliver()
    await scene.add("stu_a", new(2, is_whole=True))
    (newer,) = await scene.heads()
    await scene.step(claims=[newer])
    if then != "sending":
        await scene.step([SendResult(newer, then)])
    heard = await hear(scene, "AR")
    assert (heard.result.state, heard.result.holds) == ("superseded", "")
    assert [one[1] for one in await scene.states()] == ["superseded", then]
    assert await rows(engine, "SELECT superseded_by, closed FROM message WHERE number = 1") == [(2, LATER)]
    assert not await rows(engine, "SELECT 1 FROM lane")


async def test_what_was_sent_of_another_lane_or_refused_is_nothing_that_was_sent_behind_it(scene):
    (behind,) = await scene.heads()
    await scene.step(claims=[behind])
    await scene.step([SendResult(behind, "dead_letter", "AE", "AE")])
    await scene.add("stu_b", new(3))
    await scene.deliver()
    assert (await hear(scene, "AR")).result.state == "queued"


async def test_a_message_whose_text_was_let_go_of_cannot_be_sent_again_and_holds_its_lane(scene, engine):
    await write(engine, "UPDATE message SET has_body = 0 WHERE number = 1")
    assert (await hear(scene, "AR")).result.holds == "refused"
    assert (await scene.states())[0] == ("ID1", "held", "AR")


async def test_in_a_lane_that_is_held_already_it_waits_with_the_others(scene, engine):
    (behind,) = await scene.heads()
    await scene.step(claims=[behind])
    await scene.step([SendResult(behind, "held", "AE", "AE", holds="refused")])
    assert (await hear(scene, "AR")).result.state == "held"
    assert await scene.states() == [("ID1", "held", "lane"), ("ID2", "held", "AE")]
    assert await rows(engine, "SELECT culprit FROM lane") == [(2,)]


async def test_what_is_given_up_for_it_is_a_dead_letter_and_its_lane_goes_on(scene, engine):
    assert (await hear(scene, "AE", state="dead_letter")).outcome == "written"
    assert await scene.states() == [("ID1", "dead_letter", "AE"), ("ID2", "queued", "")]
    assert await rows(engine, "SELECT closed FROM message WHERE number = 1") == [(LATER,)]
    assert [one.control_id for one in await scene.heads()] == ["ID2"]


async def test_a_newer_message_that_says_all_of_it_takes_the_place_of_one_that_is_queued_again(engine):
    scene = Scene(engine, await Leases(engine, "one", 60.0).take("ehr"))
    await scene.add("stu_a", new(1, is_whole=True))
    await scene.deliver()
    await hear(scene, "AR")
    await scene.add("stu_a", new(2, is_whole=True))
    assert [one[1] for one in await scene.states()] == ["superseded", "queued"]
