"""Verify the whole folder of an audit journal: its segments, the chain between them, the tombstones, the loaded places.

RFC 8032 (Ed25519). The database is asked before the files are read, so that it never knows more than they hold.
Proved by tests/gateway/cli/test_audit.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.audit import verifying
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.tombstones import tombstones
from gateway.audit.verifying import SegmentFault, SegmentFinding, missing, verified
from gateway.store.audit_entries import LoadedTo

BAD_TOMBSTONE: Final = "tombstone-invalid"
MEANINGS: Final = {
    verifying.UNREADABLE: "a line was changed, or bytes were added",
    verifying.BROKEN: "a line does not follow the one before: lines were changed, removed, moved or added",
    verifying.UNSIGNED: "a seal was not made with the key, or lines before it were changed",
    verifying.NO_OPENING: "the first line is missing",
    verifying.OTHER_KEY: "it is sealed with a key that is not trusted: give each former key with --public-key",
    verifying.BEHIND_THE_END: "a line was added behind the end",
    verifying.NOT_FINAL: "it ends without its last seal, although a later one follows",
    verifying.MISSING: "the file was removed, and no tombstone names it",
    verifying.CUT_OFF: "the end was cut off: the database holds later lines",
    BAD_TOMBSTONE: "a tombstone was changed, or was not made with a trusted key",
}


@dataclass(frozen=True, slots=True)
class FolderFinding:
    """Result for a folder; `removed` counts the segments that retention removed."""

    segments: tuple[SegmentFinding, ...]
    faults: tuple[SegmentFault, ...]
    removed: int


def checked(folder: Path, keys: Collection[str], loaded: Mapping[str, LoadedTo]) -> FolderFinding:
    """Verify a folder. `keys` are trusted public keys in hex, `loaded` is how far the database holds each segment.

    May raise `OSError`.
    """
    found = []
    for path in segment_paths(folder):
        name = segment_of(path)
        with path.open("rb") as rows:
            found.append(verified(rows, keys, name, loaded.get(name, LoadedTo()).sequence))
    removed, faults = dict[str, str](), list[SegmentFault]()
    for number, one in enumerate(tombstones(folder), 1):
        if one is None or one.key not in keys or not one.is_signed():
            faults.append(SegmentFault("tombstones", number, BAD_TOMBSTONE))
        else:
            removed[one.segment] = one.digest
    faults += [fault for each in found for fault in each.faults]
    faults += missing(found, removed)
    faults += _gone({one.head.segment for one in found}, removed, loaded)
    return FolderFinding(tuple(found), tuple(faults), len(removed))


def _gone(there: Collection[str], removed: Collection[str], loaded: Collection[str]) -> Iterator[SegmentFault]:
    """Yield the segments that the database knows of the journals of this folder, and that are gone."""
    journals = {name.partition(".")[2] for name in (*there, *removed)}
    for name in sorted(loaded):
        if name.partition(".")[2] in journals and name not in there and name not in removed:
            yield SegmentFault(name, 0, verifying.MISSING)
