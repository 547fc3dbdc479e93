"""An entry is on the file before its answer, nothing torn is dropped, and what cannot be written is an error."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit import segment_file
from gateway.audit.audit_entry import AuditEntry
from gateway.audit.journal import AuditJournal
from gateway.audit.retention import SegmentTombstone, add_tombstone
from gateway.audit.segment import hex_of, line_of
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.verification import chain_faults, verify_segment
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable
from gateway.store.database.engine import micros

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def now(monkeypatch):
    """Return a list whose one item is the time."""
    times = [NOON]
    monkeypatch.setattr(clock, "now", lambda: times[0])
    return times


@pytest.fixture
def opened(tmp_path, now):
    made = []

    async def one():
        made.append(AuditJournal(tmp_path, KEY))
        await made[-1].turn()
        return made[-1]

    yield one
    for journal in made:
        journal.close()


def entry(at=NOON, request=""):
    return AuditEntry(micros(at), "read", request=request)


def rows(path):
    return path.read_bytes().splitlines(keepends=True)


def entries(folder):
    lines = [line_of(row) for path in segment_paths(folder) for row in rows(path)]
    return [one.content for one in lines if one and isinstance(one.content, AuditEntry)]


def findings(folder):
    found = [verify_segment(rows(path), {hex_of(KEY.public_key())}, segment_of(path)) for path in segment_paths(folder)]
    assert [fault for one in found for fault in one.faults] == chain_faults(found, {}) == []
    return found


async def test_an_entry_is_in_the_file_when_append_returns(opened, tmp_path):
    journal = await opened()
    for number in range(3):
        journal.append(entry(request=str(number)))
        assert [one.request for one in entries(tmp_path)] == [str(one) for one in range(number + 1)]


async def test_files_are_for_their_owner_alone(opened, tmp_path):
    before = os.umask(0)
    try:
        (await opened()).append(entry())
    finally:
        os.umask(before)
    assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
async def test_a_command_of_root_leaves_files_that_the_owner_of_the_folder_can_go_on_with(opened, tmp_path):
    os.chown(tmp_path, 65_534, 65_534)
    (await opened()).append(entry())
    add_tombstone(tmp_path, SegmentTombstone("s", "d", 1, 1, "k"))
    assert {(one.stat().st_uid, one.stat().st_gid) for one in tmp_path.iterdir()} == {(65_534, 65_534)}


async def test_what_a_minute_brought_is_sealed_and_a_quiet_minute_adds_no_seal(opened, tmp_path, now):
    journal = await opened()
    journal.append(entry())
    assert findings(tmp_path)[0].unsealed == 2
    now[0] += timedelta(seconds=60)
    await journal.turn()
    assert findings(tmp_path)[0].unsealed == 0
    size = segment_paths(tmp_path)[0].stat().st_size
    now[0] += timedelta(seconds=60)
    await journal.turn()
    assert segment_paths(tmp_path)[0].stat().st_size == size


async def test_at_midnight_utc_the_segment_is_complete_and_the_next_follows_it(opened, tmp_path, now):
    journal = await opened()
    journal.append(entry())
    journal.append(entry(NOON + DAY))
    now[0] += 2 * DAY
    await journal.turn()
    found = findings(tmp_path)
    assert [one.head.segment[:10] for one in found] == ["2026-11-28", "2026-11-29", "2026-11-30"]
    assert [one.head.is_final for one in found] == [True, True, False]
    assert [one.head.entries for one in found] == [1, 1, 0]


async def test_a_segment_left_open_over_midnight_is_completed_at_the_next_start(opened, tmp_path, now):
    journal = await opened()
    journal.append(entry())
    journal.close()
    now[0] += 3 * DAY
    await opened()
    assert [one.head.is_final for one in findings(tmp_path)] == [True, False]


async def test_a_clock_that_goes_back_over_midnight_breaks_no_chain(opened, tmp_path, now):
    journal = await opened()
    journal.append(entry(NOON + DAY))
    journal.append(entry(NOON))
    journal.close()
    await (await opened()).turn()
    assert [one.head.entries for one in findings(tmp_path)] == [0, 2]


async def test_processes_that_run_at_once_have_a_file_each_and_a_restart_continues_one(opened, tmp_path):
    first, second = await opened(), await opened()
    first.append(entry(request="1"))
    second.append(entry(request="2"))
    assert len(segment_paths(tmp_path)) == 2
    first.close()
    (await opened()).append(entry(request="3"))
    assert [one.head.entries for one in findings(tmp_path)] == [2, 1]


@pytest.mark.parametrize("torn", [b"x", b'{"v":1,"seq":2,"prev', b"x\n", b"x\ny", b"\n"])
async def test_a_torn_line_stays_in_the_file_and_is_accounted_for(opened, tmp_path, torn):
    journal = await opened()
    journal.append(entry(request="1"))
    journal.close()
    path = segment_paths(tmp_path)[0]
    with path.open("ab") as file:
        file.write(torn)
    journal = await opened()
    journal.append(entry(request="2"))
    assert torn in path.read_bytes()
    assert [one.request for one in entries(tmp_path)] == ["1", "2"]
    assert findings(tmp_path)[0].tears == 1


async def test_a_crash_at_any_byte_of_a_restart_loses_nothing(opened, tmp_path):
    journal = await opened()
    journal.append(entry(request="1"))
    journal.close()
    path = segment_paths(tmp_path)[0]
    whole = path.read_bytes()
    for cut in range(1, 60, 7):
        path.write_bytes(whole + b"torn\n" + b'{"v":1,"seq":3,"prev":"0123","torn":{"size":5,"digest":""}}\n'[:cut])
        (await opened()).close()
        assert findings(tmp_path)[0].head.entries == 1


async def test_a_restart_reads_only_what_follows_the_last_seal(opened, tmp_path, monkeypatch):
    journal = await opened()
    for number in range(100):
        journal.append(entry(request=str(number)))
    journal.close()
    read = []
    monkeypatch.setattr(segment_file, "line_of", lambda row: read.append(row) or line_of(row))
    (await opened()).append(entry())
    assert len(read) == 2  # the opening and the seal
    monkeypatch.undo()
    assert len(entries(tmp_path)) == 101


async def test_a_seal_that_stands_in_an_entry_is_taken_for_none(opened, tmp_path):
    journal = await opened()
    journal.append(AuditEntry(micros(NOON), "act", why=',"seal":{"segment":"x"}}'))
    journal._abandon()  # as if the process died
    os.close(journal._lock)
    journal._lock = None
    (await opened()).append(entry())
    assert findings(tmp_path)[0].head.entries == 2


async def test_another_key_begins_a_segment_and_the_one_before_keeps_its_own_seals(opened, tmp_path):
    journal = await opened()
    journal.append(entry(request="1"))
    journal.close()
    other = AuditJournal(tmp_path, Ed25519PrivateKey.from_private_bytes(b"o" * 32))
    await other.turn()
    other.append(entry(request="2"))
    other.close()
    assert [one.request for one in entries(tmp_path)] == ["1", "2"]
    keys = {hex_of(one.public_key()) for one in (KEY, other._key)}
    found = [verify_segment(rows(path), keys, segment_of(path)) for path in segment_paths(tmp_path)]
    assert [one.faults for one in found] == [[], []]
    assert [one.code for one in chain_faults(found, {})] == ["not-sealed"]


async def test_an_access_to_thousands_of_patients_has_all_their_ids_in_several_lines(opened, tmp_path):
    ids = tuple(f"pat-{number:032}" for number in range(3_000))
    journal = await opened()
    journal.append(AuditEntry(micros(NOON), "search", request="r", shown=ids, patients=ids))
    found = entries(tmp_path)
    assert sorted(one for each in found for one in each.patients) == sorted(ids)
    assert sorted(one for each in found for one in each.shown) == sorted(ids)
    assert [one.part for one in found] == list(range(len(found)))
    assert {one.request for one in found} == {"r"}
    assert max(map(len, rows(segment_paths(tmp_path)[0]))) < 65_536


async def test_a_full_disk_is_an_error_and_no_entry_is_taken_until_it_is_written_again(opened, tmp_path, monkeypatch):
    journal = await opened()
    journal.append(entry(request="1"))
    write, is_full = os.write, [True]

    def full(file, row):
        if not is_full[0]:
            return write(file, row)
        if len(row) > 40:
            return write(file, row[:40])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            journal.append(entry(request="not written"))
    with pytest.raises(AuditUnavailable):
        await journal.turn()
    is_full[0] = False
    with pytest.raises(AuditUnavailable):
        journal.append(entry(request="not written"))
    await journal.turn()
    journal.append(entry(request="2"))
    assert [one.request for one in entries(tmp_path)] == ["1", "2"]
    assert findings(tmp_path)[0].tears == 1


async def test_a_disk_that_cannot_be_flushed_stops_the_entries(opened, monkeypatch):
    journal = await opened()

    def fails(file):
        raise OSError(errno.EIO, "failing")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(AuditUnavailable):
            await journal.turn()
        with pytest.raises(AuditUnavailable):
            journal.append(entry())
    await journal.turn()
    journal.append(entry())


async def test_what_no_line_can_say_is_not_written_and_harms_no_other_entry(opened, tmp_path):
    journal = await opened()
    journal.append(entry(request="1"))
    with pytest.raises(AuditUnavailable):
        journal.write(micros(NOON), ["a letter outside ASCII: \u00e9"])
    with pytest.raises(AuditUnavailable):
        journal.append(entry(request="not written"))
    await journal.turn()
    journal.append(entry(request="2"))
    assert [one.request for one in entries(tmp_path)] == ["1", "2"]
    assert findings(tmp_path)[0].tears == 0


async def test_an_access_of_several_entries_of_which_one_cannot_be_written_is_an_error(opened, tmp_path, monkeypatch):
    journal, written, write = await opened(), [], os.write
    large = AuditEntry(micros(NOON), "search", shown=tuple(f"Patient/{number:040}" for number in range(4_000)))

    def full(file, row):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "full")
        written.append(row)
        return write(file, row)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(AuditUnavailable):
            journal.append(large)
    await journal.turn()
    journal.append(large)
    noted = entries(tmp_path)
    assert [one.part for one in noted] == [0, 1, 0, 1, 2, 3]
    assert tuple(one for each in noted[2:] for one in each.shown) == large.shown
    findings(tmp_path)


async def test_no_entry_is_taken_while_a_failed_disk_is_tried_again(opened, monkeypatch):
    journal = await opened()
    taken = []

    def fails(file):
        try:
            journal.append(entry())
            taken.append(file)
        except AuditUnavailable:
            pass
        raise OSError(errno.EIO, "failing")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        for _ in range(2):
            with pytest.raises(AuditUnavailable):
                await journal.turn()
    assert len(taken) == 1  # before anybody knew


async def test_a_complete_segment_is_never_replaced_when_the_clock_goes_back_to_its_day(opened, tmp_path):
    journal = await opened()
    journal.append(entry(NOON, request="1"))
    journal.append(entry(NOON + DAY))
    journal.close()
    segment_paths(tmp_path)[1].unlink()  # as if the process died before it began that one
    (await opened()).append(entry(NOON, request="2"))
    assert [one.request for one in entries(tmp_path)] == ["1", "2"]
    assert [one.head.segment[:10] for one in findings(tmp_path)] == ["2026-11-28", "2026-11-29"]


async def test_without_its_folder_nothing_is_taken_and_the_error_names_no_path(tmp_path, now):
    journal = AuditJournal(tmp_path / "canary", KEY)
    with pytest.raises(AuditUnavailable) as caught:
        await journal.turn()
    assert "canary" not in str(caught.value)
    with pytest.raises(AuditUnavailable):
        journal.append(entry())
    journal.close()


_CHILD = """
import asyncio, sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway.audit.audit_entry import AuditEntry
from gateway.audit.journal import AuditJournal
from gateway.runtime import clock
from gateway.store.database.engine import micros
journal = AuditJournal(Path(sys.argv[1]), Ed25519PrivateKey.from_private_bytes(b"k" * 32))
asyncio.run(journal.turn())
number = 0
while True:
    journal.append(AuditEntry(micros(clock.now()), "read", request=str(number)))
    print(number, flush=True)
    number += 1
"""


@pytest.mark.full
def test_every_entry_that_was_answered_survives_sigkill(tmp_path):
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path)], stdout=subprocess.PIPE)
        before = len(entries(tmp_path))
        for _ in range(200):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        answered = 200 + len(child.stdout.read().split())
        child.wait()
        assert answered <= len(entries(tmp_path)) - before <= answered + 1
        child.stdout.close()
    journal = AuditJournal(tmp_path, KEY)
    asyncio.run(journal.turn())
    journal.close()
    findings(tmp_path)
