"""Entries of the audit journal are loaded exactly once, in any case, and found by patient, resource and client."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes.store import rows

from gateway.audit import loading
from gateway.audit.audit_entry import AuditEntry, parsed, printed
from gateway.audit.loading import AuditLoading
from gateway.audit.segment import SegmentHead
from gateway.audit.segment_file import segment_path
from gateway.runtime.errors import AuditUnavailable
from gateway.store.audit_entries import AuditEntries, EntriesWanted, LoadedEntry, LoadedTo

SEGMENT = "2026-11-28.host-1"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
READ = AuditEntry(1, "read", client="c1", shown=("DiagnosticReport/r1", "Patient/p1"), patients=("p1",))


class Written:
    """Segment file to which lines are appended."""

    def __init__(self, folder, name=SEGMENT):
        self.path, self.head = segment_path(folder, name), SegmentHead(name)
        self.add(self.head.opening("2026-11-28", "host-1", "", None))

    def add(self, row):
        with self.path.open("ab") as file:
            file.write(row)

    def read(self, at, **changes):
        self.add(self.head.entry(printed(READ._replace(at=at, **changes))))


async def loaded(engine):
    return [tuple(row) for row in await rows(engine, "SELECT at FROM audit_entry ORDER BY segment, sequence")]


async def test_an_entry_is_found_by_patient_resource_client_and_time_and_is_what_was_written(engine, tmp_path):
    file = Written(tmp_path)
    file.read(1)
    file.read(2, client="c2", shown=("Patient/p2",), patients=("p2",))
    await AuditLoading(engine, tmp_path).turn()
    entries = AuditEntries(engine)

    async def at(**wanted):
        return [one.at for one in await entries.find(EntriesWanted(**wanted))]

    [found] = await entries.find(EntriesWanted(subjects=("Patient/p1",)))
    assert (found.segment, found.sequence, parsed(found.entry)) == (SEGMENT, 1, READ)
    assert await at(subjects=("DiagnosticReport/r1",)) == await at(client="c1") == [1]
    assert await at(subjects=("DiagnosticReport/r1", "Patient/p1")) == await at(subjects=("Patient/p1",), client="c1")
    assert await at() == [2, 1]
    assert await at(since=1, until=2) == await at(last=(2, SEGMENT, 2)) == [1]
    assert await at(most=1) == [2]
    assert await at(kinds=("read",), least=0, below=1) == [2, 1]
    nothing = [{"subjects": ("Patient/p1",), "since": 2}, {"subjects": ("Patient/p",)}, {"kinds": ("search",)}]
    nothing += [{"subjects": ("Patient/p1", "Patient/p2")}, {"subjects": ("Patient/p1",), "client": "c2"}, {"least": 1}]
    assert [await at(**one) for one in nothing] == [[]] * len(nothing)


async def test_a_second_turn_and_a_restart_load_only_what_is_new(engine, tmp_path):
    file = Written(tmp_path)
    file.read(1)
    first = AuditLoading(engine, tmp_path)
    await first.turn()
    await first.turn()
    file.add(file.head.seal(KEY, 1, is_final=False))
    file.read(2)
    await AuditLoading(engine, tmp_path).turn()
    file.read(3)
    await first.turn()
    assert await loaded(engine) == [(1,), (2,), (3,)]


async def test_many_entries_of_several_segments_are_loaded_in_parts(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_MOST", 2)
    files = [Written(tmp_path), Written(tmp_path, "2026-11-28.host-2")]
    for at in range(1, 8):
        for file in files:
            file.read(at)
    await AuditLoading(engine, tmp_path).turn()
    assert await loaded(engine) == [(at,) for at in range(1, 8)] * 2


async def test_a_line_that_is_being_written_waits_and_a_torn_one_is_passed_over(engine, tmp_path):
    file = Written(tmp_path)
    whole = file.head.entry(printed(READ))
    file.add(whole[:50])
    loader = AuditLoading(engine, tmp_path)
    await loader.turn()
    assert await loaded(engine) == []
    file.add(whole[50:])
    await loader.turn()
    file.add(b"torn\n")
    await loader.turn()
    file.add(file.head.tear(b"torn\n"))
    file.read(2)
    await loader.turn()
    assert await loaded(engine) == [(1,), (2,)]


async def test_a_line_that_somebody_repeated_stops_no_loading(engine, tmp_path):
    file = Written(tmp_path)
    row = file.head.entry(printed(READ))
    for _ in range(2):
        file.add(row)
    file.read(2)
    await AuditLoading(engine, tmp_path).turn()
    assert await loaded(engine) == [(1,), (2,)]


async def test_of_two_processes_that_load_the_same_entries_one_stores_them(engine, tmp_path):
    entries = AuditEntries(engine)
    one = LoadedEntry(SEGMENT, 1, 1, "c1", "read", 200, b"{}", ("Patient/p1",))
    assert await entries.load(SEGMENT, LoadedTo(), [one], LoadedTo(1, 10))
    assert not await entries.load(SEGMENT, LoadedTo(), [one], LoadedTo(1, 10))
    assert await entries.loaded_to(SEGMENT) == LoadedTo(1, 10)


async def test_a_process_that_was_overtaken_goes_on_where_the_other_one_is(engine, tmp_path):
    file = Written(tmp_path)
    first, second = AuditLoading(engine, tmp_path), AuditLoading(engine, tmp_path)
    for at in range(1, 5):
        file.read(at)
        await first.turn()
        file.read(at + 10)
        await second.turn()
    await first.turn()
    assert [at for (at,) in await loaded(engine)] == [1, 11, 2, 12, 3, 13, 4, 14]


async def test_a_file_that_cannot_be_read_is_an_error_without_its_path(engine, tmp_path):
    segment_path(tmp_path, SEGMENT).mkdir()
    with pytest.raises(AuditUnavailable) as caught:
        await AuditLoading(engine, tmp_path).turn()
    assert str(tmp_path) not in str(caught.value)


async def test_removed_entries_are_found_no_more_and_those_of_other_segments_stay(engine, tmp_path):
    for name in (SEGMENT, "2026-11-29.host-1"):
        Written(tmp_path, name).read(1)
    await AuditLoading(engine, tmp_path).turn()
    entries = AuditEntries(engine)
    some = await entries.first_of(SEGMENT, 10)
    await entries.remove([replace(one, subjects=("DiagnosticReport/r1", "Patient/p1")) for one in some])
    await entries.forget(SEGMENT)
    [left] = await entries.find(EntriesWanted(subjects=("Patient/p1",)))
    assert left.segment == "2026-11-29.host-1"
    assert list(await entries.places()) == [left.segment]
    assert len(await rows(engine, "SELECT 1 FROM audit_subject")) == 2


async def test_a_turn_without_news_opens_no_file(engine, tmp_path, monkeypatch):
    file = Written(tmp_path)
    file.read(1)
    loader = AuditLoading(engine, tmp_path)
    await loader.turn()
    monkeypatch.setattr(loading, "read_lines", None)
    await loader.turn()
