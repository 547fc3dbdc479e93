"""Short pauses of a loop: turns of threads, and collections."""

from __future__ import annotations

import gc
import sys

from gateway.runtime.pauses import short_pauses


class Ring:
    def __init__(self) -> None:
        self.itself = self


def rings() -> list[object]:
    """Return the rings that a collection looks at."""
    return [one for one in gc.get_objects() if isinstance(one, Ring)]


def test_a_collection_looks_at_nothing_that_was_loaded_before():
    loaded = Ring()
    assert rings() == [loaded]
    with short_pauses():
        assert rings() == []


def test_what_is_made_afterwards_is_collected():
    with short_pauses():
        Ring()
        assert len(rings()) == 1
        gc.collect()
        assert rings() == []


def test_turns_are_as_long_as_before_at_the_end():
    before = sys.getswitchinterval()
    with short_pauses():
        assert sys.getswitchinterval() < before
    assert sys.getswitchinterval() == before
