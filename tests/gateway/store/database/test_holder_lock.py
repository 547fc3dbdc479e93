"""Holders of leases on a SQLite file, and whether their processes live (D33)."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from gateway.store.database.sqlite import HolderLock


@pytest.fixture
def path(tmp_path):
    return tmp_path / "gateway.db.holders"


@pytest.fixture
def lock(path):
    """Return a function that makes locks, each of an open file of its own."""
    with ExitStack() as stack:

        def made():
            made_lock = HolderLock(path)
            stack.callback(made_lock.release)
            return made_lock

        yield made


def test_who_has_the_lock_writes_down_under_which_names(path, lock):
    one = lock()
    assert one.dead("one") == one.dead("two") == one.dead("one") == frozenset()
    assert path.read_text().split() == ["one", "two"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_while_another_has_it_nobody_counts_as_dead_in_the_same_process_neither(path, lock):
    first, second = lock(), lock()
    first.dead("one")
    assert second.dead("two") == frozenset()
    assert path.read_text().split() == ["one"]


def test_once_it_is_free_those_who_had_it_are_dead_and_only_those(path, lock):
    first, second = lock(), lock()
    first.dead("one")
    first.dead("alerts")
    second.dead("two")
    first.release()
    assert second.dead("two") == {"one", "alerts"}
    assert path.read_text().split() == ["two"]


def test_a_name_that_this_process_has_itself_by_now_is_not_dead(lock):
    first, second = lock(), lock()
    first.dead("one")
    first.release()
    assert second.dead("one") == frozenset()


def test_those_whose_leases_are_ended_are_told_of_no_more(lock):
    first, second = lock(), lock()
    first.dead("one")
    first.release()
    second.forget(second.dead("two"))
    assert second.dead("two") == frozenset()


def test_a_process_that_dies_without_a_word_has_it_no_more(path, lock):
    said = f"lock = HolderLock(Path({str(path)!r})); lock.dead('child'); os._exit(9)"
    program = f"import os; from pathlib import Path; from gateway.store.database.sqlite import HolderLock; {said}"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    assert lock().dead("one") == {"child"}


def test_where_there_can_be_no_lock_nothing_is_known_of_anybody(tmp_path):
    assert HolderLock(tmp_path / "nowhere" / "gateway.db.holders").dead("one") == frozenset()


def test_names_that_cannot_be_written_are_no_error(lock):
    full = lock()
    full.dead("one")
    full._file.close()
    full._file = os.fdopen(os.open("/dev/full", os.O_RDWR), "r+b", buffering=0)
    assert full.dead("two") == frozenset()
