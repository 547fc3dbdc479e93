"""Verify an audit folder: every segment file is there and unchanged, each removal is recorded, a receiver has the same.

RFC 8032 (Ed25519), FIPS 180-4 (SHA-256), RFC 5424; decision D42. Each removal of a segment is recorded. The database is
asked before the files are read, so that it never knows more than they hold. Each message to a syslog receiver names the
line that it copies, with its digest. Compared is what lies between the first and the last line of a segment that the
receiver has; later lines may still be on their way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.audit.audit_entry import AuditEntry
from gateway.audit.retention import tombstones
from gateway.audit.segment import (
    NO_LINE,
    SegmentHead,
    SegmentLine,
    SegmentOpening,
    SegmentSeal,
    SegmentTear,
    digest_of,
    is_signed,
    line_of,
)
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.syslog_message import lines_named
from gateway.store.audit_entries import LoadedTo

# Faults, each with its plain meaning
UNREADABLE: Final = "unreadable"  # a line cannot be read, and no tear accounts for it
BROKEN: Final = "chain-broken"  # a line does not follow the line before
UNSIGNED: Final = "seal-invalid"  # a seal was not made with the key, or says other numbers than the lines do
NO_OPENING: Final = "opening-missing"
OTHER_KEY: Final = "key-not-trusted"  # the segment names a key that is not among those to check against
BEHIND_THE_END: Final = "line-behind-final-seal"
NOT_FINAL: Final = "not-sealed"  # a later segment follows, but this one has no final seal
MISSING: Final = "segment-missing"  # the segment before is absent, and no tombstone names it
CUT_OFF: Final = "cut-off"  # the database holds later lines than the file


@dataclass(frozen=True, slots=True)
class SegmentFault:
    """Fault of a segment; `number` is the line in the file, counted from 1, or 0 for the segment as a whole."""

    segment: str
    number: int
    code: str


@dataclass(slots=True)
class SegmentFinding:
    """Result for one segment.

    `before` is the digest in its opening, and `tears` counts torn places. `unsealed` counts the lines behind the last
    valid seal: nothing protects those against truncation.
    """

    head: SegmentHead
    opening: SegmentOpening | None = None
    before: str = NO_LINE
    tears: int = 0
    unsealed: int = 0
    faults: list[SegmentFault] = field(default_factory=list)


def verify_segment(rows: Iterable[bytes], keys: Collection[str], name: str, least: int = -1) -> SegmentFinding:
    """Verify the lines of one segment; `name` is the segment that the file must hold.

    `keys` are the public keys, in hex, one of which must have sealed it.
    `least` is the last sequence that the database holds: a file that ends before it was cut off.
    """
    finding, key = SegmentFinding(SegmentHead(name)), None
    torn = b""
    for number, row in enumerate(rows, 1):
        line = line_of(row)
        if line is None:
            torn += row
            finding.unsealed += 1
            continue
        if isinstance(line.content, SegmentOpening) and key is None:
            key = _trusted(line.content.key, keys)
        for code in _faults_of(finding, line, torn, key):
            finding.faults.append(SegmentFault(name, number, code))
        torn = b""
        finding.unsealed += 1
        if isinstance(line.content, SegmentSeal) and _is_sealed(line, key):
            finding.unsealed = 0
        finding.head.take(line, row)
    if torn and torn.endswith(b"\n"):  # without the newline it is the last write of a process that lives or died
        finding.faults.append(SegmentFault(name, 0, UNREADABLE))
    if finding.opening is None:
        finding.faults.append(SegmentFault(name, 0, NO_OPENING))
    elif key is None:
        finding.faults.append(SegmentFault(name, 1, OTHER_KEY))
    if finding.head.sequence < least:
        finding.faults.append(SegmentFault(name, 0, CUT_OFF))
    return finding


def chain_faults(findings: Iterable[SegmentFinding], removed: Mapping[str, str]) -> list[SegmentFault]:
    """Return the faults between segments: gaps, and chains that do not continue.

    `removed` maps segments that retention removed to the digests of their final seals, from tombstones.
    """
    known = {one.head.segment: one for one in findings}
    faults: list[SegmentFault] = []
    for name, one in known.items():
        previous = one.opening.previous if one.opening else ""
        if not previous:
            continue
        before = known.get(previous)
        digest = before.head.digest if before else removed.get(previous)
        if digest is None:
            faults.append(SegmentFault(name, 0, MISSING))
        elif digest != one.before:
            faults.append(SegmentFault(name, 1, BROKEN))
        if before and not before.head.is_final:
            faults.append(SegmentFault(previous, 0, NOT_FINAL))
    return faults


def _trusted(key: str, keys: Collection[str]) -> Ed25519PublicKey | None:
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)) if key in keys else None


def _is_sealed(line: SegmentLine, key: Ed25519PublicKey | None) -> bool:
    return key is not None and is_signed(line, key)


def _faults_of(finding: SegmentFinding, line: SegmentLine, torn: bytes, key: Ed25519PublicKey | None) -> Iterable[str]:
    head, content = finding.head, line.content
    if head.is_final:
        yield BEHIND_THE_END
    if isinstance(content, SegmentOpening) and head.sequence < 0 and content.segment == head.segment:
        finding.opening, finding.before = content, line.before
        if line.sequence or (not content.previous) != (line.before == NO_LINE):
            yield BROKEN
    elif isinstance(content, SegmentOpening) or (line.sequence, line.before) != (head.sequence + 1, head.digest):
        yield BROKEN
    if isinstance(content, SegmentTear):
        finding.tears += 1
    tear = (len(torn), digest_of(torn)) if torn else None
    if tear != ((content.size, content.digest) if isinstance(content, SegmentTear) else None):
        yield UNREADABLE
    if isinstance(content, SegmentSeal) and not (
        _is_sealed(line, key) and (content.segment, content.entries) == (head.segment, head.entries)
    ):
        yield UNSIGNED


BAD_TOMBSTONE: Final = "tombstone-invalid"
EMPTY: Final = "no-journal"
MEANINGS: Final = {
    UNREADABLE: "a line was changed, or bytes were added",
    BROKEN: "a line does not follow the one before: lines were changed, removed, moved or added",
    UNSIGNED: "a seal was not made with the key, or lines before it were changed",
    NO_OPENING: "the first line is missing",
    OTHER_KEY: "it is sealed with a key that is not trusted: give each former key with --public-key",
    BEHIND_THE_END: "a line was added behind the end",
    NOT_FINAL: "it ends without its last seal, although a later one follows",
    MISSING: "the file was removed, and no tombstone names it",
    CUT_OFF: "the end was cut off: the database holds later lines",
    EMPTY: "the folder holds no segment, and the database could not be asked for what was there",
    BAD_TOMBSTONE: "a tombstone was changed, or was not made with a trusted key",
}


@dataclass(frozen=True, slots=True)
class FolderFinding:
    """Result for a folder; `removed` names the segments that retention removed."""

    segments: tuple[SegmentFinding, ...]
    faults: tuple[SegmentFault, ...]
    removed: frozenset[str]


def verify_folder(
    folder: Path, keys: Collection[str], loaded: Mapping[str, LoadedTo] | None, elsewhere: Collection[str] = ()
) -> FolderFinding:
    """Verify a folder. `keys` are trusted public keys in hex, `loaded` is how much of each segment the database has.

    Every segment that the database knows must be there, or be removed by retention; so must those of other machines,
    except those named in `elsewhere`, which have a folder of their own. `loaded` is None if the database could not be
    asked. May raise `OSError`.
    """
    found, known = [], loaded or {}
    for path in segment_paths(folder):
        name = segment_of(path)
        with path.open("rb") as rows:
            found.append(verify_segment(rows, keys, name, known.get(name, LoadedTo()).sequence))
    removed, faults = dict[str, str](), list[SegmentFault]()
    for number, one in enumerate(tombstones(folder), 1):
        if one is None or one.key not in keys or not one.is_signed():
            faults.append(SegmentFault("tombstones", number, BAD_TOMBSTONE))
        else:
            removed[one.segment] = one.digest
    faults += [fault for each in found for fault in each.faults]
    faults += chain_faults(found, removed)
    there = {one.head.segment for one in found}
    expected = [name for name in known if machine_of(name) not in elsewhere]
    faults += [SegmentFault(name, 0, MISSING) for name in sorted({*expected} - there - removed.keys())]
    if loaded is None and not there:
        faults.append(SegmentFault("journal", 0, EMPTY))
    return FolderFinding(tuple(found), tuple(faults), frozenset(removed))


def machine_of(segment: str) -> str:
    """Return the machine that wrote a segment, from the segment's name."""
    return segment.partition(".")[2].rpartition("-")[0]


DIFFERS: Final = "differs-at-receiver"
ONLY_THERE: Final = "gone-here"
NOT_THERE: Final = "not-at-receiver"
RECEIVER_MEANINGS: Final = {
    DIFFERS: "the receiver has the line with another content: the journal or the receiver's file was changed",
    ONLY_THERE: "the receiver has a line that the journal does not have: it was removed here",
    NOT_THERE: "the receiver has earlier and later lines, and not this one",
}


@dataclass(frozen=True, slots=True)
class ReceiverFinding:
    """Result of comparing with a receiver: lines that both have, entries newer than the receiver's, and faults."""

    alike: int
    newer: int
    faults: tuple[SegmentFault, ...]


def compare_with_receiver(folder: Path, files: Iterable[Path], removed: Collection[str]) -> ReceiverFinding:
    """Compare the journal in a folder with the files of a receiver; `removed` are segments that retention removed.

    May raise `OSError`.
    """
    there = _received(files)
    alike, newer, faults = 0, 0, list[SegmentFault]()
    for path in segment_paths(folder):
        segment = segment_of(path)
        received = there.pop(segment, {})
        first, last = (min(received), max(received)) if received else (0, -1)
        for sequence, digest in _written(path):
            if (copied := received.pop(sequence, None)) is not None:
                alike += copied == {digest}
                faults += [SegmentFault(segment, sequence, DIFFERS)] * (copied != {digest})
            elif first < sequence < last:
                faults.append(SegmentFault(segment, sequence, NOT_THERE))
            else:
                newer += sequence > last
        faults += [SegmentFault(segment, sequence, ONLY_THERE) for sequence in sorted(received)]
    gone = sorted(segment for segment in there if segment not in removed)
    faults += [SegmentFault(segment, 0, ONLY_THERE) for segment in gone]
    return ReceiverFinding(alike, newer, tuple(faults))


def _received(files: Iterable[Path]) -> dict[str, dict[int, set[str]]]:
    """Return the line digests in a receiver's files, by segment and sequence."""
    found: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in files:
        with path.open("rb") as rows:
            for row in rows:
                for line in lines_named(row):
                    found[line.segment][line.sequence].add(line.digest)
    return found


def _written(path: Path) -> Iterator[tuple[int, str]]:
    """Yield sequence and digest of each entry of a segment."""
    with path.open("rb") as rows:
        for row in rows:
            line = line_of(row)
            if line is not None and isinstance(line.content, AuditEntry):
                yield line.sequence, digest_of(row)
