"""Remove old segments whole: sign a tombstone, delete the rows, then the file. After a crash the next run finishes.

https://www.ecfr.gov/current/title-45/section-164.316 (how long documentation is kept). Only what has its final seal is
removed, the oldest first.
Proved by tests/gateway/audit/test_retention.py.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.audit_entry import parsed
from gateway.audit.loading import subjects_of
from gateway.audit.segment import SegmentHead, hex_of
from gateway.audit.segment_file import head_of, segment_of, segment_paths
from gateway.audit.tombstones import SegmentTombstone, add_tombstone, tombstones
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.store.audit_entries import AuditEntries, LoadedTo
from gateway.store.database.engine import micros

EVERY: Final = 3_600.0  # seconds
_MOST: Final = 500  # rows removed in one transaction


class AuditRetention:
    """Removal of segments older than a number of days; one process of a machine runs it."""

    def __init__(self, entries: AuditEntries, folder: Path, key: Ed25519PrivateKey, days: int) -> None:
        self._entries, self._folder, self._key, self._days = entries, folder, key, days

    async def run(self) -> None:
        """Remove what is old every hour, until cancelled."""
        await forever(self.turn, EVERY, not_done="audit-not-removed")

    async def turn(self) -> None:
        """Remove each old segment, and finish the removal of those that have a tombstone already.

        Raises:
            StoreUnavailable: the store cannot be reached.
            AuditUnavailable: a file cannot be read or removed.
        """
        try:
            buried = {one.segment for one in await asyncio.to_thread(tombstones, self._folder) if one}
            places = await self._entries.places()
            for path in await asyncio.to_thread(_old, self._folder, clock.now() - timedelta(days=self._days)):
                head = await asyncio.to_thread(head_of, path)
                if not head.is_final or places.get(head.segment, LoadedTo()).sequence != head.sequence:
                    continue
                if head.segment not in buried:
                    await asyncio.to_thread(add_tombstone, self._folder, self._tombstone(head))
                await self._remove_rows(head.segment)
                await asyncio.to_thread(path.unlink)
                await self._entries.forget(head.segment)
                get_logger().info("audit-segment-removed", count=head.entries)
        except OSError as error:
            raise AuditUnavailable("the audit journal cannot be read or removed") from error

    def _tombstone(self, head: SegmentHead) -> SegmentTombstone:
        key = hex_of(self._key.public_key())
        bare = SegmentTombstone(head.segment, head.digest, head.entries, micros(clock.now()), key)
        return bare.signed(self._key)

    async def _remove_rows(self, segment: str) -> None:
        while rows := await self._entries.first_of(segment, _MOST):
            await self._entries.remove([replace(one, subjects=subjects_of(parsed(one.entry))) for one in rows])


def _old(folder: Path, before: datetime) -> list[Path]:
    """Return the segments of days before an instant, but never the newest of a journal: the next one continues it."""
    journals = defaultdict[str, list[Path]](list)
    for path in segment_paths(folder):
        journals[segment_of(path).partition(".")[2]].append(path)
    day = before.strftime("%Y-%m-%d")
    return sorted(path for paths in journals.values() for path in paths[:-1] if segment_of(path)[:10] < day)
