"""Daily segment of the audit journal: lines in a hash chain, sealed by Ed25519 so that any later change is found.

RFC 8032 (Ed25519), FIPS 180-4 (SHA-256). Each line carries the digest of the line before. A seal signs that digest, so
nothing before a seal can be changed. Lines after the last seal are not protected against truncation.
Proved by tests/gateway/audit/test_verification.py.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.audit.audit_entry import AuditEntry, parsed, printed

LineKind = Literal["open", "entry", "torn", "seal"]

NO_LINE: Final = "0" * 64  # digest before the first line of a journal
VERSION: Final = 1
_BEGINNING: Final = f'{{"v":{VERSION},"seq":'
_CONTEXT: Final = b"autoscribe-gateway audit seal 1\n"


@dataclass(frozen=True, slots=True)
class SegmentOpening:
    """First line of a segment: its name, its day in UTC (YYYY-MM-DD), and the journal (host and slot) of its writer.

    `key` is the public key of its seals, in hex. `previous` names the segment before in the same journal, or is empty.
    The opening line carries that one's digest.
    """

    segment: str
    day: str
    journal: str
    key: str
    previous: str


@dataclass(frozen=True, slots=True)
class SegmentSeal:
    """Signature over everything before it in the segment.

    `at` is in microseconds since 1970, `entries` counts the entries before. `is_final` if the segment is complete.
    """

    segment: str
    at: int
    entries: int
    is_final: bool
    signature: str = ""


@dataclass(frozen=True, slots=True)
class SegmentTear:
    """Mark after bytes that are no complete line and stay in the file: a process died, or a disk was full."""

    size: int
    digest: str


Content = SegmentOpening | AuditEntry | SegmentTear | SegmentSeal


_MADE: Final = {"open": SegmentOpening, "torn": SegmentTear, "seal": SegmentSeal}


@dataclass(frozen=True, slots=True)
class SegmentLine:
    """Line of a segment: its sequence (the opening has 0), the digest of the line before, and its content."""

    sequence: int
    before: str
    content: Content


@dataclass(slots=True)
class SegmentHead:
    """State of a segment after its last line: what the next line continues."""

    segment: str
    sequence: int = -1
    digest: str = NO_LINE
    entries: int = 0
    sealed: int = -1  # sequence of the last seal
    is_final: bool = False
    key: str = ""  # public key of its seals, in hex

    def entry(self, entry: str) -> bytes:
        """Return the next line, for a printed entry."""
        self.entries += 1
        return self._next("entry", entry)

    def opening(self, day: str, journal: str, key: str, previous: SegmentHead | None) -> bytes:
        """Return the first line; it carries the digest of the last line of the segment before."""
        self.digest, self.key = previous.digest if previous else NO_LINE, key
        opening = SegmentOpening(self.segment, day, journal, key, previous.segment if previous else "")
        return self._next("open", _said(opening))

    def tear(self, torn: bytes) -> bytes:
        """Return the next line, behind torn bytes that stay in the file."""
        return self._next("torn", _said(SegmentTear(len(torn), digest_of(torn))))

    def seal(self, key: Ed25519PrivateKey, at: int, *, is_final: bool) -> bytes:
        """Return the next line, a seal over all lines so far."""
        bare = _said(SegmentSeal(self.segment, at, self.entries, is_final))
        signature = key.sign(_signed(self.sequence + 1, self.digest, bare)).hex()
        row = self._next("seal", _said(SegmentSeal(self.segment, at, self.entries, is_final, signature)))
        self.sealed = self.sequence
        return row

    def take(self, line: SegmentLine, row: bytes) -> None:
        """Move on by a line that was read."""
        self.sequence, self.digest = line.sequence, digest_of(row)
        self.entries += isinstance(line.content, AuditEntry)
        if isinstance(line.content, SegmentSeal):
            self.sealed, self.is_final = line.sequence, line.content.is_final
            self.entries = line.content.entries
        elif isinstance(line.content, SegmentOpening):
            self.key = line.content.key

    def _next(self, kind: LineKind, said: str) -> bytes:
        self.sequence += 1
        row = _row(self.sequence, self.digest, kind, said)
        self.digest = digest_of(row)
        return row


def hex_of(key: Ed25519PublicKey) -> str:
    """Return a public key as its 32 bytes in hex."""
    return key.public_bytes_raw().hex()


def digest_of(row: bytes) -> str:
    """Return the SHA-256 digest of a line with its newline, in hex."""
    return hashlib.sha256(row).hexdigest()


def line_of(row: bytes) -> SegmentLine | None:
    """Parse a line with its newline; None if it is not exactly as this version writes it."""
    try:
        said = json.loads(row)
        sequence, before = said["seq"], said["prev"]
        (kind,) = said.keys() - {"v", "seq", "prev"}
        content = _content(kind, said[kind], row)
        if type(sequence) is not int or row != _row(sequence, before, kind, _text_of(content)):
            return None
    except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
        return None
    return SegmentLine(sequence, before, content)


def is_signed(line: SegmentLine, key: Ed25519PublicKey) -> bool:
    """True if a line is a seal with a valid signature."""
    seal = line.content
    if not isinstance(seal, SegmentSeal):
        return False
    bare = _said(SegmentSeal(seal.segment, seal.at, seal.entries, seal.is_final))
    return is_signature(seal.signature, key, _signed(line.sequence, line.before, bare))


def is_signature(signature: str, key: Ed25519PublicKey, text: bytes) -> bool:
    """True if this is the signature of a text, written in lower-case hex."""
    try:
        key.verify(bytes.fromhex(signature), text)
    except (InvalidSignature, ValueError):
        return False
    return bytes.fromhex(signature).hex() == signature


def _content(kind: str, said: Any, row: bytes) -> Content:
    if kind == "entry":
        start = row.index(b'"entry":') + len(b'"entry":')
        return parsed(row[start:-2])
    made: SegmentOpening | SegmentTear | SegmentSeal = _MADE[kind](**said)
    if [type(one).__name__ for one in _values(made).values()] != list(type(made).__annotations__.values()):
        raise ValueError("a value of another type")
    return made


def _text_of(content: Content) -> str:
    return printed(content) if isinstance(content, AuditEntry) else _said(content)


def _said(content: SegmentOpening | SegmentTear | SegmentSeal) -> str:
    return json.dumps(_values(content), separators=(",", ":"))


def _values(content: SegmentOpening | SegmentTear | SegmentSeal) -> dict[str, Any]:
    return {name: getattr(content, name) for name in content.__slots__}


def _row(sequence: int, before: str, kind: str, said: str) -> bytes:
    return f'{_BEGINNING}{sequence},"prev":"{before}","{kind}":{said}}}\n'.encode("ascii")


def _signed(sequence: int, before: str, bare: str) -> bytes:
    return _CONTEXT + _row(sequence, before, "seal", bare)
