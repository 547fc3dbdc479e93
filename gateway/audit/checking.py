"""Verify an audit folder: every segment file is there and unchanged, and each removal is recorded.

RFC 8032 (Ed25519). The database is asked before the files are read, so that it never knows more than they hold.
Proved by tests/gateway/cli/test_audit.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.audit import verifying
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.tombstones import tombstones
from gateway.audit.verifying import SegmentFault, SegmentFinding, missing, verified
from gateway.store.audit_entries import LoadedTo

BAD_TOMBSTONE: Final = "tombstone-invalid"
EMPTY: Final = "no-journal"
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
    EMPTY: "the folder holds no segment, and the database could not be asked for what was there",
    BAD_TOMBSTONE: "a tombstone was changed, or was not made with a trusted key",
}


@dataclass(frozen=True, slots=True)
class FolderFinding:
    """Result for a folder; `removed` names the segments that retention removed."""

    segments: tuple[SegmentFinding, ...]
    faults: tuple[SegmentFault, ...]
    removed: frozenset[str]


def checked(
    folder: Path, keys: Collection[str], loaded: Mapping[str, LoadedTo] | None, elsewhere: Collection[str] = ()
) -> FolderFinding:
    """Verify a folder. `keys` are trusted public keys in hex, `loaded` is how far the database holds each segment.

    Every segment that the database knows must be there, or be removed by retention; so must those of other machines,
    except those named in `elsewhere`, which have a folder of their own. `loaded` is None if the database could not be
    asked. May raise `OSError`.
    """
    found, known = [], loaded or {}
    for path in segment_paths(folder):
        name = segment_of(path)
        with path.open("rb") as rows:
            found.append(verified(rows, keys, name, known.get(name, LoadedTo()).sequence))
    removed, faults = dict[str, str](), list[SegmentFault]()
    for number, one in enumerate(tombstones(folder), 1):
        if one is None or one.key not in keys or not one.is_signed():
            faults.append(SegmentFault("tombstones", number, BAD_TOMBSTONE))
        else:
            removed[one.segment] = one.digest
    faults += [fault for each in found for fault in each.faults]
    faults += missing(found, removed)
    there = {one.head.segment for one in found}
    expected = [name for name in known if machine_of(name) not in elsewhere]
    faults += [SegmentFault(name, 0, verifying.MISSING) for name in sorted({*expected} - there - removed.keys())]
    if loaded is None and not there:
        faults.append(SegmentFault("journal", 0, EMPTY))
    return FolderFinding(tuple(found), tuple(faults), frozenset(removed))


def machine_of(segment: str) -> str:
    """Return the machine that wrote a segment, as it stands in the names of its files."""
    return segment.partition(".")[2].rpartition("-")[0]
