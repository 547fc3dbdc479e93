"""Short pauses of a loop: turns of threads, collections, and who gives way to whom."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time

from gateway.runtime.computing import computed, workers
from gateway.runtime.pauses import CRAWLING, give_way, short_pauses


def niceness(*_: object) -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def niceness_after_giving_way() -> tuple[int, int]:
    """Give way in a worker process, which ends afterwards."""
    before = niceness()
    give_way()
    return before, niceness()


def turns_beside_a_computation() -> int:
    """Count how often this thread gets the interpreter's lock while another computes for 0.1 s of processor time."""
    is_over = threading.Event()

    def compute() -> None:
        begun = time.thread_time()
        while time.thread_time() - begun < 0.1:
            sum(range(100))
        is_over.set()

    other = threading.Thread(target=compute)
    other.start()
    turns = 0
    while not is_over.is_set():
        time.sleep(0)  # gives up the lock, as a read of SQLite or of the network does
        turns += 1
    other.join()
    return turns


def collection_time() -> float:
    """Return the processor seconds of a full collection."""
    begun = time.thread_time()
    gc.collect()
    return time.thread_time() - begun


def test_a_full_collection_takes_no_time_for_what_was_loaded_before():
    loaded = [[number] for number in range(300_000)]
    alone = min(collection_time() for _ in range(3))
    with short_pauses():
        assert min(collection_time() for _ in range(3)) < alone / 5
    assert len(loaded) == 300_000


def test_what_is_made_afterwards_is_collected():
    class Ring:
        pass

    with short_pauses():
        ring = Ring()
        ring.itself = ring  # type: ignore[attr-defined]
        del ring
        assert any(isinstance(one, Ring) for one in gc.get_objects())
        gc.collect()
        assert not any(isinstance(one, Ring) for one in gc.get_objects())


def test_a_thread_that_gives_up_the_interpreters_lock_often_has_it_back_sooner():
    usual = min(turns_beside_a_computation() for _ in range(3))
    with short_pauses():
        assert max(turns_beside_a_computation() for _ in range(3)) > 2 * usual


def test_what_was_set_before_is_set_again_at_the_end():
    before = sys.getswitchinterval()
    with short_pauses():
        assert sys.getswitchinterval() < before
        assert gc.get_freeze_count() > 0
    assert (sys.getswitchinterval(), gc.get_freeze_count()) == (before, 0)


async def test_who_gives_way_has_a_lower_priority_and_so_have_its_workers():
    async with workers(1, (), ()):
        before, after = await computed(niceness_after_giving_way)
    assert after == min(before + CRAWLING, 19)


async def test_workers_with_a_niceness_give_way_to_their_process():
    async with workers(1, (), (), CRAWLING):
        assert await computed(niceness) == min(niceness() + CRAWLING, 19)
