"""Messages of a lane are claimed in order, one at a time, and each result is stored (D18, D32, D33)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from fakes.lanes import AT, NOW, Scene, new, stored
from fakes.store import rows

from gateway.store.database.engine import Statement, ask
from gateway.store.database.locks import Outdated
from gateway.store.feed import lanes, messages
from gateway.store.feed.leases import LeaseLost, Leases, paused
from gateway.store.feed.messages import NEVER, SendResult
from gateway.store.feed.outbox import ADD_CAUSE, ComposedStudy, SettledRow
from gateway.store.feed.sent import SentState, read_sent


@pytest.fixture
async def scene(engine):
    return Scene(engine, await Leases(engine, "one", 60.0).take("ehr"))


async def test_heads_come_in_the_order_of_their_numbers_critical_lanes_first(scene):
    await scene.add("stu_a", new(1), new(2))
    await scene.add("stu_b", new(3))
    await scene.add("stu_c", new(4, priority=2), new(5, priority=0, is_critical=True))
    assert [one.control_id for one in await scene.heads()] == ["ID4", "ID5", "ID1", "ID2", "ID3"]


async def test_a_message_is_claimed_once_and_only_behind_those_before_it(scene):
    await scene.add("stu_a", new(1), new(2))
    first, second = await scene.heads()
    assert await scene.step(claims=[second]) == []
    assert await scene.step(claims=[first]) == [first.number]
    assert await scene.step(claims=[first]) == []
    assert await scene.step([SendResult(first, "delivered", ack="AA", accepted=AT)], [second]) == [second.number]


async def test_what_is_in_hand_comes_with_its_bytes_and_what_waits_without(scene):
    await scene.add("stu_a", new(1))
    (head,) = await scene.heads()
    (claimed,) = await scene.engine.do(partial(messages.step, scene.lease, [], [head], AT))
    assert (head.body, claimed.body) == (b"", b"body 1")


async def test_what_is_in_hand_holds_its_lane_and_no_other(scene):
    await scene.add("stu_a", new(1), new(2))
    await scene.add("stu_b", new(3))
    first, *_ = await scene.heads()
    await scene.step(claims=[first])
    assert [one.control_id for one in await scene.heads()] == ["ID3"]


async def test_what_is_tried_later_holds_its_lane_until_then(scene):
    await scene.add("stu_a", new(1), new(2))
    first, *_ = await scene.heads()
    await scene.step(claims=[first])
    await scene.step([SendResult(first, "queued", "AR", "AR", due=AT + 5_000_000)])
    assert await scene.heads() == []
    assert await scene.messages.next_due("ehr", NOW) == AT + 5_000_000
    later = datetime.fromtimestamp(AT / 1e6 + 5, UTC)
    assert [one.control_id for one in await scene.heads(now=later)] == ["ID1", "ID2"]


async def test_the_number_of_tries_counts_what_was_written_alone(scene):
    await scene.add("stu_a", new(1))
    for unsent in (True, False, True):
        (head,) = await scene.heads()
        await scene.step(claims=[head])
        await scene.step([SendResult(head, "queued", unsent=unsent)])
    (head,) = await scene.heads()
    assert (head.attempts, head.was_sent) == (1, True)


async def test_a_lane_that_is_held_keeps_what_comes_to_it(scene):
    await scene.add("stu_a", new(1), new(2))
    first, *_ = await scene.heads()
    await scene.step(claims=[first])
    await scene.step([SendResult(first, "held", "AE", "AE", holds="refused")])
    await scene.add("stu_a", new(3))
    assert await scene.states() == [("ID1", "held", "AE"), ("ID2", "held", "lane"), ("ID3", "held", "lane")]
    assert await scene.heads() == []


async def test_a_newer_whole_message_says_what_was_not_taken_and_frees_the_lane(scene):
    await scene.add("stu_a", new(1, is_whole=True))
    first, *_ = await scene.heads()
    await scene.step(claims=[first])
    await scene.step([SendResult(first, "held", "AE", "AE", holds="refused")])
    await scene.add("stu_a", new(2, is_whole=True))
    assert await scene.states() == [("ID1", "superseded", "AE"), ("ID2", "queued", "")]


@pytest.mark.parametrize("state", ["sending", "indeterminate", "delivered"])
async def test_what_may_have_arrived_is_never_superseded(scene, state):
    await scene.add("stu_a", new(1, is_whole=True))
    first, *_ = await scene.heads()
    await scene.step(claims=[first])
    if state != "sending":
        await scene.step([SendResult(first, state, due=NEVER)])
    await scene.add("stu_a", new(2, is_whole=True))
    assert [one[1] for one in await scene.states()] == [state, "queued"]


async def test_of_another_number_nothing_is_superseded(scene):
    await scene.add("stu_a", new(1, is_whole=True), new(2, restates="F2/", is_whole=True), new(3, is_whole=False))
    assert [one[1] for one in await scene.states()] == ["queued", "queued", "queued"]


async def test_the_same_msh_10_is_not_queued_twice(scene):
    (number,) = await scene.add("stu_a", new(1))
    assert number
    assert await scene.add("stu_a", new(1)) == []


async def test_what_was_made_of_an_older_revision_is_not_stored(scene):
    with pytest.raises(Outdated):
        await scene.add("stu_a", new(1), revision=7)
    assert await scene.states() == []


async def test_numbers_are_those_of_the_first_sending(scene):
    await scene.add("stu_a", new(1, filler_order_numbers=("F1", "F2"), report_ids=("rep_1", "rep_2")))
    assert ((await read_sent(scene.engine, "ehr", ["stu_a"]))["stu_a"]).numbers == {}
    await scene.step(claims=await scene.heads())
    said = {"F1": "pat-1", "F2": "pat-1"}
    assert ((await read_sent(scene.engine, "ehr", ["stu_a"]))["stu_a"]).numbers == {"rep_1": said, "rep_2": said}
    assert await read_sent(scene.engine, "other", ["stu_a"]) == {"stu_a": SentState()}


@pytest.mark.parametrize(
    ("state", "is_draft", "numbers"),
    [
        ("delivered", False, {"F1"}),
        ("indeterminate", False, {"F1"}),
        ("dead_letter", False, set()),
        ("held", False, set()),
        ("delivered", True, set()),
    ],
)
async def test_signed_is_what_the_receiver_may_have_of_what_is_signed(scene, state, is_draft, numbers):
    await scene.add("stu_a", new(1, is_draft=is_draft))
    (head,) = await scene.heads()
    await scene.step(claims=[head])
    assert ((await read_sent(scene.engine, "ehr", ["stu_a"]))["stu_a"]).is_in_hand
    await scene.step([SendResult(head, state, "AE" if state in {"held", "dead_letter"} else "")])
    assert ((await read_sent(scene.engine, "ehr", ["stu_a"]))["stu_a"]).signed == numbers


async def test_a_message_that_was_made_before_another_was_sent_is_made_anew(scene, engine):
    await scene.add("stu_a", new(1))
    before = (await read_sent(engine, "ehr", ["stu_a"]))["stu_a"]
    await scene.step(claims=await scene.heads())
    made = ComposedStudy("stu_a", 1, [], [new(2)], before)
    with pytest.raises(Outdated):
        await engine.do(partial(stored, scene.lease, made, AT))
    now = replace(made, sent=(await read_sent(engine, "ehr", ["stu_a"]))["stu_a"])
    assert len(await engine.do(partial(stored, scene.lease, now, AT))) == 1


@pytest.mark.parametrize("state", ["to_stop", "held"])
async def test_no_message_is_stored_of_a_row_that_a_plan_stops_or_somebody_holds_meanwhile(scene, engine, state):
    await scene.study("stu_a")
    row = {"study_id": "stu_a", "report_id": "rep_1", "kind": "signed", "content_version": "v", "destination": "ehr"}
    row |= {"reason": "", "is_move": 0, "is_critical": 0, "due": AT, "signed": None, "now": AT}
    await engine.do(lambda: ask(ADD_CAUSE, **row, state="waiting"))
    ((number,),) = await rows(engine, "SELECT number FROM outbox")
    made = ComposedStudy("stu_a", 1, [SettledRow(number, "rendered")], [new(number)])
    await engine.do(lambda: ask(Statement("UPDATE outbox SET state = :state"), state=state))
    with pytest.raises(Outdated):
        await engine.do(partial(stored, scene.lease, made, AT))
    assert await scene.states() == []
    await engine.do(lambda: ask(Statement("UPDATE outbox SET state = 'waiting'")))
    assert len(await engine.do(partial(stored, scene.lease, made, AT))) == 1


async def test_what_is_taken_back_before_it_was_sent_frees_the_lane_that_it_held(scene, engine):
    await scene.add("stu_a", new(1), new(2, is_draft=True))
    first, *_ = await scene.heads()
    await scene.step(claims=[first])
    await scene.step([SendResult(first, "held", "AE", "AE", holds="refused")])
    made = ComposedStudy("stu_a", 1, [], [new(3)], takes_back={False: "withdrawn-unsent"})
    await engine.do(partial(stored, scene.lease, made, AT))
    states = [("ID1", "dead_letter", "withdrawn-unsent"), ("ID2", "queued", ""), ("ID3", "queued", "")]
    assert await scene.states() == states


async def test_what_came_of_a_message_and_could_not_be_written_is_written_by_whoever_goes_on(scene, engine):
    await scene.add("stu_a", new(1), new(2))
    first, *_ = await scene.heads()
    await scene.step(claims=[first])
    results = [SendResult(first, "delivered", ack="AA", accepted=AT)]
    assert await engine.do(partial(lanes.take_over, scene.lease, results, 5, AT, AT)) == []
    assert await scene.states() == [("ID1", "delivered", ""), ("ID2", "queued", "")]


async def test_what_the_last_holder_had_in_hand_goes_again_first(scene, engine):
    await scene.add("stu_a", new(1))
    await scene.add("stu_b", new(2))
    first, _ = await scene.heads()
    await scene.step(claims=[first])
    scene.lease = await Leases(engine, "one", 60.0).take("ehr")
    assert await engine.do(partial(lanes.take_over, scene.lease, [], 5, AT, AT)) == [first.number]
    again, other = await scene.heads()
    assert (again.control_id, again.state, again.doubts, again.body) == ("ID1", "indeterminate", 1, first.body)
    assert other.control_id == "ID2"


async def test_who_lost_the_lease_writes_nothing(scene, engine):
    await scene.add("stu_a", new(1))
    (head,) = await scene.heads()
    await scene.step(claims=[head])
    await Leases(engine, "one", 60.0).take("ehr")
    for work in (
        partial(messages.step, scene.lease, [SendResult(head, "delivered")], [], AT),
        partial(stored, scene.lease, ComposedStudy("stu_a", 1, [], [new(2)]), AT),
    ):
        with pytest.raises(LeaseLost):
            await engine.do(work)
    assert await scene.states() == [("ID1", "sending", "")]


async def test_a_destination_that_is_paused_takes_results_and_no_claims(scene, engine):
    await scene.add("stu_a", new(1))
    await scene.add("stu_b", new(2))
    first, second = await scene.heads()
    await scene.step(claims=[first])
    await engine.do(partial(paused, "ehr", "for a while", 1))
    assert await scene.step([SendResult(first, "delivered")], [second]) == []
    assert [one[1] for one in await scene.states()] == ["delivered", "queued"]
