"""Files of a feed journal: private, in whole lines, limited in size, one process each (decision D38)."""

from __future__ import annotations

import os

import pytest

from gateway.feed.deliver.journal_file import JournalFile, account_of, journals
from gateway.feed.deliver.journal_lines import Header, JournalBatch, encoded

HEADER = Header("one", "epoch", 0, 0)


def line(n: int) -> bytes:
    return encoded(JournalBatch(n, n - 1, 0))


def header(n: int) -> Header:
    return Header("one", "epoch", n, 0)


@pytest.fixture
def opened(tmp_path):
    found = []

    def one(**more):
        found.append(JournalFile(tmp_path, **more))
        return found[-1]

    yield one
    for file in found:
        file.close()


def test_its_files_are_for_their_owner_alone(opened, tmp_path):
    before = os.umask(0)
    try:
        file = opened(most=300)
        for n in range(1, 9):
            file.append(line(n), header(n - 1))
        file.put_aside()
        file.append(line(1), HEADER)
    finally:
        os.umask(before)
    assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}


def test_two_processes_that_share_a_folder_have_a_journal_each(opened, tmp_path):
    first, second = opened(), opened()
    first.append(line(1), HEADER)
    second.append(line(1), Header("two", "epoch", 0, 0))
    assert [account_of(one).journal for one in journals(tmp_path)] == ["one", "two"]
    first.close()
    assert opened().path == first.path


def test_at_its_cap_the_file_before_is_kept_and_what_was_before_that_is_known_to_be_lacking(opened):
    file = opened(most=400)
    for n in range(1, 30):
        file.append(line(n), header(n - 1))
        assert file.path.stat().st_size <= 400
    contents = account_of(file.path)
    assert contents.last == 29 and not contents.gaps and not contents.faults
    assert 0 < contents.begins < 28 and contents.lacks(0, 29) == contents.begins


def test_a_line_torn_by_a_crash_is_counted_and_those_behind_it_are_read(opened):
    file = opened()
    file.append(line(1), HEADER)
    file.close()
    with file.path.open("ab") as torn:
        torn.write(line(2)[:-9])
    again = opened()
    again.append(line(2), HEADER)
    contents = account_of(again.path)
    assert (contents.last, contents.faults, contents.gaps) == (2, 1, set())


def test_a_line_that_the_disk_took_in_part_takes_no_other_with_it(opened, monkeypatch):
    file = opened()
    file.append(line(1), HEADER)
    write = os.write

    def full(number, data):
        write(number, data[:20])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            file.append(line(2), HEADER)
    file.append(line(2), HEADER)
    contents = account_of(file.path)
    assert (contents.last, contents.faults, contents.gaps) == (2, 1, set())


def test_what_is_put_aside_is_kept_under_another_name(opened):
    file = opened(most=300)
    for n in range(1, 5):
        file.append(line(n), header(n - 1))
    aside = file.put_aside()
    assert account_of(aside).last == 4
    assert not account_of(file.path).journal


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        JournalFile(tmp_path / "nowhere")


def test_no_more_journals_than_there_are_names(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.runtime.own_file.MOST_SLOTS", 1)
    file = JournalFile(tmp_path)
    with pytest.raises(OSError, match="more than 1 journals"):
        JournalFile(tmp_path)
    file.close()
