"""Only whole sealed segments are removed, with a signed tombstone, and a crash in between is made good."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes.store import rows

from gateway.audit import retention
from gateway.audit.audit_entry import AuditEntry
from gateway.audit.journal import AuditJournal
from gateway.audit.loading import AuditLoading
from gateway.audit.retention import AuditRetention
from gateway.audit.segment import hex_of
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.verification import chain_faults, verify_segment
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable
from gateway.store.audit_entries import AuditEntries
from gateway.store.database.engine import micros

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Kept:
    """Journal of four days, loaded, and its retention of two days on the last day."""

    def __init__(self, engine, folder):
        self.engine, self.folder = engine, folder
        self.loading = AuditLoading(engine, folder)
        self.retention = AuditRetention(AuditEntries(engine), folder, KEY, 2)

    def days(self):
        return [segment_of(path)[:10] for path in segment_paths(self.folder)]

    async def rows(self):
        return [len(await rows(self.engine, f"SELECT 1 FROM audit_{one}")) for one in ("segment", "entry", "subject")]

    def faults(self):
        keys = {hex_of(KEY.public_key())}
        found = [
            verify_segment(path.read_bytes().splitlines(True), keys, segment_of(path))
            for path in segment_paths(self.folder)
        ]
        removed = {one.segment: one.digest for one in retention.tombstones(self.folder)}
        return [one for each in found for one in each.faults] + chain_faults(found, removed)


@pytest.fixture
async def kept(sqlite_engine, tmp_path, monkeypatch):
    now = [FIRST]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    journal = AuditJournal(tmp_path, KEY)
    for day in range(4):
        now[0] = FIRST + timedelta(days=day)
        await journal.turn()
        for number in range(3):
            journal.append(AuditEntry(micros(now[0]), "read", shown=(f"Patient/p{number}",), patients=(f"p{number}",)))
    await journal.turn()
    made = Kept(sqlite_engine, tmp_path)
    await made.loading.turn()
    yield made
    journal.close()


async def test_what_is_older_than_its_days_is_removed_whole_and_leaves_a_tombstone(kept, monkeypatch):
    monkeypatch.setattr(retention, "_MOST", 2)
    assert (kept.days(), await kept.rows()) == (["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"], [4, 12, 12])
    await kept.retention.turn()
    assert (kept.days(), await kept.rows()) == (["2026-01-02", "2026-01-03", "2026-01-04"], [3, 9, 9])
    [one] = retention.tombstones(kept.folder)
    assert (one.segment[:10], one.entries, one.is_signed()) == ("2026-01-01", 3, True)
    assert not replace(one, entries=2).is_signed()
    assert kept.faults() == []
    await kept.retention.turn()
    await kept.loading.turn()
    assert await kept.rows() == [3, 9, 9]


async def test_without_its_tombstone_a_removed_segment_is_missed(kept):
    await kept.retention.turn()
    (kept.folder / "audit-tombstones.log").unlink()
    assert [one.code for one in kept.faults()] == ["segment-missing"]


async def test_what_is_not_loaded_yet_stays(kept):
    [first, *_] = segment_paths(kept.folder)
    await AuditEntries(kept.engine).forget(segment_of(first))
    await kept.retention.turn()
    assert len(kept.days()) == 4


async def test_the_newest_of_a_journal_stays_however_old_it_is(kept):
    kept.retention._days = -10
    await kept.retention.turn()
    assert kept.days() == ["2026-01-04"]


@pytest.mark.parametrize("step", ["_remove_rows", "forget"])
async def test_a_removal_that_was_cut_off_is_finished_with_one_tombstone(kept, monkeypatch, step):
    async def dies(*_):
        raise RuntimeError

    at = kept.retention if step == "_remove_rows" else kept.retention._entries
    with monkeypatch.context() as patched:
        patched.setattr(at, step, dies)
        with pytest.raises(RuntimeError):
            await kept.retention.turn()
    await kept.loading.turn()
    await AuditRetention(AuditEntries(kept.engine), kept.folder, KEY, 2).turn()
    assert kept.days() == ["2026-01-02", "2026-01-03", "2026-01-04"]
    assert len(retention.tombstones(kept.folder)) == 1
    assert (await kept.rows())[1:] == [9, 9]


async def test_a_folder_that_cannot_be_changed_is_an_error(kept, monkeypatch):
    def fails(*_):
        raise OSError(30, "read-only")

    monkeypatch.setattr(retention, "add_tombstone", fails)
    with pytest.raises(AuditUnavailable):
        await kept.retention.turn()
    assert len(kept.days()) == 4


@pytest.mark.parametrize("row", [b"x", b"{}", b"[]", b'{"segment":1}'])
def test_a_line_that_is_no_tombstone_is_none(tmp_path, row):
    (tmp_path / "audit-tombstones.log").write_bytes(row + b"\n")
    assert retention.tombstones(tmp_path) == [None]


def test_a_tombstone_has_its_signature_in_one_spelling_alone():
    one = retention.SegmentTombstone("2026-11-28.host-1", "0" * 64, 1, 1, hex_of(KEY.public_key())).signed(KEY)
    assert one.is_signed()
    assert not replace(one, signature=one.signature.upper()).is_signed()
    assert not replace(one, key="no key").is_signed()
