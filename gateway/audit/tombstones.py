"""Tombstones: signed lines that remain of segments removed because they were old.

RFC 8032 (Ed25519). A tombstone keeps the digest of the final seal, so that the chain of the segments stays whole.
Proved by tests/gateway/audit/test_retention.py.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.audit.segment import is_signature
from gateway.runtime.own_file import flush_folder, open_private

_FILE: Final = "audit-tombstones.log"
_CONTEXT: Final = b"autoscribe-gateway audit tombstone 1\n"


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
        """True if the signature is valid under the key in the tombstone."""
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key))
        except ValueError:
            return False
        return is_signature(self.signature, key, self._text())

    def _text(self) -> bytes:
        return _CONTEXT + json.dumps(asdict(replace(self, signature="")), sort_keys=True).encode("ascii")


def tombstones(folder: Path) -> list[SegmentTombstone | None]:
    """Read the tombstones of a folder, None for a line that is none. May raise `OSError`."""
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
