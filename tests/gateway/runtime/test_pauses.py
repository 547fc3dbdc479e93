"""Short pauses of a loop: turns of threads, and collections."""

from __future__ import annotations

import gc
import sys

import pytest

from gateway.runtime.pauses import rare_collections, short_pauses


class Ring:
    def __init__(self) -> None:
        self.itself = self


def rings() -> list[object]:
    """Return the rings that a collection looks at."""
    return [one for one in gc.get_objects() if isinstance(one, Ring)]


both = pytest.mark.parametrize("block", [short_pauses, rare_collections])


@pytest.mark.full
@both
def test_a_collection_looks_at_nothing_that_was_loaded_before(block):
    loaded = Ring()
    assert rings() == [loaded]
    with block():
        assert rings() == []


@both
def test_what_is_made_afterwards_is_collected(block):
    with block():
        Ring()
        assert len(rings()) == 1
        gc.collect()
        assert rings() == []


def test_turns_are_as_long_as_before_at_the_end():
    before = sys.getswitchinterval()
    with short_pauses():
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before


def test_collections_are_rare_within_the_block_and_as_before_behind_it():
    before = gc.get_threshold()
    gc.set_threshold(700, 11, 12)
    try:
        with rare_collections():
            assert gc.get_threshold() == (10_000, 11, 12)
            assert gc.isenabled()
        assert gc.get_threshold() == (700, 11, 12)
    finally:
        gc.set_threshold(*before)
