"""Due work is begun as slots are free; a failure ends no loop, and cancellation leaves the work due."""

import asyncio

import pytest

from gateway.runtime.loops import alongside
from gateway.runtime.work_queue import WorkQueue


class Worked(WorkQueue):
    """Queue over a dictionary in place of the store; `failing` holds the exceptions that items raise once."""

    def __init__(self, items, slots=2, poll=0.001):
        super().__init__(slots, poll)
        self.items, self.done, self.failures = dict(items), [], []
        self.failing = {}
        self.down, self.at_work, self.most_at_work = None, 0, 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def due(self, most):
        if self.down is not None:
            raise self.down
        return dict(list(self.items.items())[:most])

    async def work(self, item):
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
            if item in self.failing:
                raise self.failing.pop(item)
            self.done.append(item)
            del self.items[item]
        finally:
            self.at_work -= 1

    def failed(self, error):
        self.failures.append(error)


def items(letters):
    return {letter: letter for letter in letters}


async def until(condition):
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come about")


async def test_a_round_begins_as_many_as_there_are_slots_the_first_ones_first():
    queue = Worked(items("abc"))
    assert (await queue.once(), await queue.once(), await queue.once()) == (2, 1, 0)
    assert queue.done == ["a", "b", "c"]


async def test_a_slot_that_gets_free_is_used_at_once_and_no_more_run_than_there_are_slots():
    queue = Worked(items("abcdefgh"), slots=3, poll=60)
    async with alongside([queue.run()]):
        await until(lambda: not queue.items)
    assert (sorted(queue.done), queue.most_at_work) == (list("abcdefgh"), 3)


async def test_an_item_under_way_is_not_begun_again_and_keeps_no_other_from_its_slot():
    queue = Worked(items("a"), poll=60)
    queue.gate.clear()
    async with alongside([queue.run()]):
        await until(lambda: queue.at_work == 1)
        queue.items["b"] = "b"
        queue.wake()
        await until(lambda: queue.at_work == 2)
        queue.wake()
        await asyncio.sleep(0.01)
        assert queue.at_work == 2
        queue.gate.set()
        await until(lambda: not queue.items)
    assert sorted(queue.done) == ["a", "b"]


async def test_without_a_signal_the_next_poll_finds_the_work():
    queue = Worked({}, poll=0.005)
    async with alongside([queue.run()]):
        await asyncio.sleep(0.02)
        queue.items["a"] = "a"
        await until(lambda: queue.done == ["a"])


@pytest.mark.parametrize("failure", [OSError("no disk"), ZeroDivisionError()])
async def test_a_store_that_cannot_be_asked_is_reported_and_asked_again(failure):
    queue = Worked(items("a"))
    queue.down = failure
    async with alongside([queue.run()]):
        await until(lambda: len(queue.failures) >= 2)
        queue.down = None
        await until(lambda: queue.done == ["a"])
    assert set(queue.failures) == {failure}


async def test_failed_work_waits_for_a_poll_in_its_slot_and_is_done_again():
    failure = ZeroDivisionError()
    queue = Worked(items("ab"), slots=1, poll=0.05)
    queue.failing["a"] = failure
    async with alongside([queue.run()]):
        await until(lambda: queue.failures == [failure])
        assert queue.done == []
        await until(lambda: not queue.items)
    assert queue.done == ["a", "b"]


async def test_cancelling_stops_the_work_under_way_and_leaves_it_due():
    queue = Worked(items("ab"), poll=60)
    queue.gate.clear()
    async with alongside([queue.run()]):
        await until(lambda: queue.at_work == 2)
    assert (queue.at_work, sorted(queue.items), queue.done) == (0, ["a", "b"], [])
    queue.gate.set()
    assert await queue.once() == 2
