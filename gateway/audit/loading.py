"""Load audit entries from the journal's files into the database, exactly once each, after the answers were sent.

Carries out no clause of a standard. The files are the original. A segment's place in the database moves in the
transaction that stores its entries, so neither a crash nor a second process doubles or skips an entry.
Proved by tests/contract/test_audit_entries.py.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gateway.audit.audit_entry import AuditEntry, printed
from gateway.audit.segment import SegmentLine, line_of
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.runtime.errors import AuditUnavailable
from gateway.runtime.loops import forever
from gateway.store.audit_entries import AuditEntries, LoadedEntry, LoadedTo
from gateway.store.database.engine import Engine

EVERY: Final = 1.0  # seconds
_MOST: Final = 500  # lines in one transaction
_MOST_BYTES: Final = 4 * 2**20


class AuditLoading:
    """Loader of the segments in a folder; several processes may load the same folder."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._entries, self._folder = AuditEntries(engine), folder
        self._places: dict[str, LoadedTo] | None = None

    async def run(self) -> None:
        """Load new entries every second, until cancelled."""
        await forever(self.turn, EVERY, not_done="audit-not-loaded")

    async def turn(self) -> None:
        """Load all complete lines of all segments.

        Raises:
            StoreUnavailable: the store cannot be reached; what is not loaded is loaded later.
            AuditUnavailable: a file cannot be read.
        """
        try:
            if self._places is None:
                self._places = await self._entries.places()
            for path in await asyncio.to_thread(grown, self._folder, self._places):
                while await self._load(path, self._places):
                    pass
        except OSError as error:
            raise AuditUnavailable("the audit journal cannot be read") from error

    async def _load(self, path: Path, places: dict[str, LoadedTo]) -> bool:
        """Load the next lines of a segment; return False if there are none."""
        segment = segment_of(path)
        if segment not in places:
            places[segment] = await self._entries.loaded_to(segment)
        before = places[segment]
        lines, after = await asyncio.to_thread(read_lines, path, before)
        if after == before:
            return False
        entries = [
            _loaded(segment, one.sequence, one.content) for one, _ in lines if isinstance(one.content, AuditEntry)
        ]
        if await self._entries.load(segment, before, entries, after):
            places[segment] = after
        else:
            del places[segment]
        return True


def grown(folder: Path, places: Mapping[str, LoadedTo]) -> list[Path]:
    """Return the segments whose files are longer than what is loaded of them. May raise `OSError`."""
    paths = segment_paths(folder)
    return [path for path in paths if path.stat().st_size > places.get(segment_of(path), LoadedTo()).size]


def read_lines(path: Path, before: LoadedTo) -> tuple[list[tuple[SegmentLine, bytes]], LoadedTo]:
    """Read some lines after a place, each with its bytes; unreadable lines are skipped once a readable one follows.

    Only lines on the disk are read. A power loss would else take a line that is loaded, and another gets its sequence.
    May raise `OSError`.
    """
    lines, after = list[tuple[SegmentLine, bytes]](), before
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        if end <= before.size:
            return [], before
        os.fsync(file.fileno())
        file.seek(before.size)
        size = before.size
        for number, row in enumerate(file, 1):
            size += len(row)
            if size > end:
                break
            line = line_of(row)
            if line is not None and line.sequence > after.sequence:
                after = LoadedTo(line.sequence, size)
                lines.append((line, row))
            if (number >= _MOST or size - before.size > _MOST_BYTES) and after != before:
                break
    return lines, after


def subjects_of(entry: AuditEntry) -> tuple[str, ...]:
    """Return the addresses under which an entry is found: resources shown, and patients concerned."""
    return (*entry.shown, *(f"Patient/{one}" for one in entry.patients))


def _loaded(segment: str, sequence: int, entry: AuditEntry) -> LoadedEntry:
    text, subjects = printed(entry).encode("ascii"), subjects_of(entry)
    return LoadedEntry(segment, sequence, entry.at, entry.client, entry.kind, entry.status, text, subjects)
