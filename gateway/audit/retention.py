"""Remove old segments whole: sign a tombstone, delete the rows, then the file. After a crash the next run finishes.

https://www.ecfr.gov/current/title-45/section-164.316 (how long documentation is kept), RFC 8032 (Ed25519). Only what
has its final seal is removed, the oldest first. A tombstone keeps the digest of that seal, so that the chain of the
segments stays whole.
Proved by tests/gateway/audit/test_retention.py.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.audit.audit_entry import parsed
from gateway.audit.loading import subjects_of
from gateway.audit.segment import SegmentHead, hex_of, is_signature
from gateway.audit.segment_file import head_of, segment_of, segment_paths
from gateway.runtime import clock
from gateway.runtime.errors import AuditUnavailable
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.runtime.own_file import flush_folder, open_private
from gateway.store.audit_entries import AuditEntries, LoadedTo
from gateway.store.database.engine import micros

EVERY: Final = 3_600.0  # seconds
_MOST: Final = 500  # rows removed in one transaction
_FILE: Final = "audit-tombstones.log"
_CONTEXT: Final = b"autoscribe-gateway audit tombstone 1\n"


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


@dataclass(frozen=True, slots=True)
class SegmentTombstone:
    """Removal of a segment: the digest of its last line, its count of entries, and when it was removed.

    `at` is in microseconds since 1970. `key` is the public key of the signature, in hex.
    """

    segment: str
    digest: str
    entries: int
    at: int
    key: str
    signature: str = ""

    def signed(self, key: Ed25519PrivateKey) -> SegmentTombstone:
        """Return it with its signature."""
        return replace(self, signature=key.sign(self._text()).hex())

    def is_signed(self) -> bool:
        """True if its signature is valid under the key that it names."""
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key))
        except ValueError:
            return False
        return is_signature(self.signature, key, self._text())

    def _text(self) -> bytes:
        return _CONTEXT + json.dumps(asdict(replace(self, signature="")), sort_keys=True).encode("ascii")


def tombstones(folder: Path) -> list[SegmentTombstone | None]:
    """Return the tombstones of a folder, None for a line that is none. May raise `OSError`."""
    try:
        text = (folder / _FILE).read_bytes()
    except FileNotFoundError:
        return []
    return [_read(row) for row in text.splitlines()]


def add_tombstone(folder: Path, one: SegmentTombstone) -> None:
    """Append a tombstone and flush it to disk. May raise `OSError`."""
    row = json.dumps(asdict(one)).encode("ascii") + b"\n"
    opened = open_private(folder / _FILE, os.O_WRONLY | os.O_APPEND)
    try:
        size = os.fstat(opened).st_size
        if os.write(opened, row) != len(row):
            os.ftruncate(opened, size)
            raise OSError(0, "the tombstone was not written whole")
        os.fsync(opened)
    finally:
        os.close(opened)
    flush_folder(folder)


def _read(row: bytes) -> SegmentTombstone | None:
    try:
        one = SegmentTombstone(**json.loads(row))
    except (ValueError, TypeError, RecursionError):
        return None
    types = {"segment": str, "digest": str, "entries": int, "at": int, "key": str, "signature": str}
    return one if all(type(getattr(one, name)) is kind for name, kind in types.items()) else None
