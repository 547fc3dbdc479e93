"""Decision D6: a trace makes again only what its changes reach, and nothing of a patient outlives it."""

import gc
import weakref

import pytest

from mappings.reuse import NO_REUSE, Remembered
from mappings.trace import trace
from mappings.trace.sample import document, everything, site


class Counted:
    """A function that counts its calls and returns their number."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.calls


def test_without_reuse_all_is_made_afresh():
    make = Counted()
    assert [NO_REUSE.of("place", "input", make) for _ in range(3)] == [1, 2, 3]


def test_equal_input_at_a_place_is_made_once():
    make, reuse = Counted(), Remembered()
    assert [reuse.of("place", ["input"], make) for _ in range(3)] == [1, 1, 1]


def test_the_same_input_at_another_place_is_another_result():
    make, reuse = Counted(), Remembered()
    assert [reuse.of(place, "input", make) for place in ("one", "other")] == [1, 2]


def test_the_first_and_the_latest_are_remembered():
    make, reuse = Counted(), Remembered()
    given = ["first", "second", "second", "first", "third", "second", "first"]
    assert [reuse.of("place", one, make) for one in given] == [1, 2, 2, 1, 3, 4, 1]


def test_a_result_of_none_is_remembered_too():
    calls, reuse = [], Remembered()
    for _ in range(2):
        assert reuse.of("place", "input", lambda: calls.append(1)) is None
    assert len(calls) == 1


@pytest.mark.full
def test_what_a_trace_remembers_ends_with_it(monkeypatch):
    kept = []

    class Watched(Remembered):
        def __init__(self):
            super().__init__()
            kept.append(weakref.ref(self))

    monkeypatch.setattr("mappings.trace.Remembered", Watched)
    trace(document(), site(), everything(), is_wanted=lambda pointer: pointer == "/reports/0/signedAt")
    gc.collect()
    assert [one() for one in kept] == [None]
