"""Lookahead of a destination: which message may be taken, and when the store is read again."""

from __future__ import annotations

import asyncio

import pytest
from fakes.breakers import breaker

from gateway.feed.deliver.lookahead import AHEAD, Lookahead
from gateway.store.feed.messages import Head


def head(number, study_id=""):
    lane = study_id or f"stu_{number}"
    return Head(
        number, lane, "rep_1", "signed", f"ID{number}", "queued", 0, 0, False, None, (), (), "pat-1", False, b"MSH"
    )


class Store:
    """Messages as a store holds them; `asked` counts the reads, and `while_asked` is called during each."""

    def __init__(self, *heads):
        self.heads, self.asked = list(heads), 0
        self.while_asked = lambda: None

    async def candidates(self, destination, now, most):
        self.asked += 1
        found = self.heads[:most]
        self.while_asked()
        await asyncio.sleep(0)
        return found

    async def next_due(self, destination, now):
        return None


async def test_of_a_lane_one_message_is_in_hand_at_a_time():
    line = Lookahead(Store(head(1, "a"), head(2, "a"), head(3, "b")), "ehr", breaker())
    await line.wait()
    assert [line.take().number, line.take().number] == [1, 3]
    assert line.take() is None
    line.done("a", goes_on=True)
    assert line.take().number == 2


async def test_what_is_in_hand_is_not_taken_again_though_the_store_does_not_know_of_it_yet():
    line = Lookahead(Store(head(1), head(2)), "ehr", breaker())
    await line.wait()
    in_hand = line.take()
    line.look_again()
    await line.wait()
    line.done(in_hand.study_id, goes_on=True)
    assert line.take().number == 2
    assert line.take() is None


async def test_the_store_is_asked_for_more_where_there_was_more_and_all_of_it_was_taken():
    store = Store(*(head(number) for number in range(AHEAD + 1)))
    line = Lookahead(store, "ehr", breaker())
    await line.wait()
    await line.refill()
    assert store.asked == 1
    for _ in range(AHEAD):
        line.take()
    store.heads = store.heads[AHEAD:]
    await line.refill()
    assert line.take().number == AHEAD
    await line.refill()
    assert store.asked == 2, "it gave all that it had"


async def test_a_line_that_is_paused_or_closed_does_not_ask_the_store_for_more():
    store = Store(*(head(number) for number in range(AHEAD)))
    line = Lookahead(store, "ehr", breaker())
    await line.wait()
    for _ in range(AHEAD):
        line.take()
    line.is_paused = True
    await line.refill()
    line.is_paused = False
    line.close()
    await line.refill()
    assert store.asked == 1


async def test_a_lane_that_does_not_go_on_is_left_out_until_the_store_is_asked_again():
    line = Lookahead(Store(head(1, "a"), head(2, "a"), head(3, "b")), "ehr", breaker())
    await line.wait()
    line.take()
    line.done("a", goes_on=False)
    assert line.take().number == 3


async def test_a_paused_line_does_not_ask_the_store_again_and_again():
    store = Store(head(1))
    line = Lookahead(store, "ehr", breaker())
    line.is_paused = True

    async def take():
        while line.take() is None:
            await line.wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await take()
    assert store.asked == 0
    line.is_paused = False
    line.look_again()
    await take()
    assert store.asked == 1


async def test_what_is_new_while_the_store_is_asked_is_not_missed():
    store = Store(*(head(number) for number in range(AHEAD)))
    line = Lookahead(store, "ehr", breaker())
    store.while_asked = line.look_again
    await line.wait()
    store.heads.insert(0, head(999))
    store.while_asked = lambda: None
    await line.wait()
    assert line.take().number == 999


async def test_a_closed_line_gives_nothing_and_keeps_nobody_waiting():
    line = Lookahead(Store(head(1)), "ehr", breaker())
    await line.wait()
    line.close()
    assert line.take() is None
    await line.wait()
    await line.pause(60)
