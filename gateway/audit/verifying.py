"""Verify segments of the audit journal: find each changed, removed, moved or added line, and each missing segment.

RFC 8032 (Ed25519), FIPS 180-4 (SHA-256). Pure: it reads lines and tells what is wrong with them.
Proved by tests/gateway/audit/test_verifying.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

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


def verified(rows: Iterable[bytes], keys: Collection[str], name: str, least: int = -1) -> SegmentFinding:
    """Verify the lines of one segment; `name` is the segment that they should be.

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


def missing(findings: Iterable[SegmentFinding], removed: Mapping[str, str]) -> list[SegmentFault]:
    """Return the faults between segments.

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
