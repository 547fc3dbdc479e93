"""Lines of the feed journal: a record of sent messages outside the database, used after an old backup is restored.

Carries out no clause of a standard; decision D38. This module is pure; `journal_file` handles the files. Each line has
its own checksum, so that a torn line spoils no other. Lines hold ids, codes, counts and digests only. A number that may
be an accession number is sealed with the site key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.store.feed.messages import Head, SendResult

SENDING: Final = "sending"
_SEAL: Final = b"autoscribe-gateway:feed-journal\x1f"
_CHECK: Final = 8  # hexadecimal digits of the CRC-32 before each line


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Journal entry for a message that the receiver may have, and its result so far.

    `state` is `sending` until there is a result. `numbers` are its filler order numbers and `restates` is its
    supersession key, all sealed; `told` is the digest of its content. Instants are microseconds.
    """

    destination: str
    study_id: str
    report_id: str
    kind: str
    control_id: str
    number: int
    report_ids: tuple[str, ...]
    patient_id: str
    numbers: tuple[str, ...]
    restates: str
    is_whole: bool
    is_critical: bool
    signed: int | None
    body_hash: str
    told: str
    at: int
    state: str = SENDING
    reason: str = ""
    ack: str = ""
    committed: int | None = None
    accepted: int | None = None
    holds: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a file: the journal's id, its database, and the batch that precedes the file.

    `others` maps other journals of the same database to their last batch, as the database knew them then.
    """

    journal: str
    epoch: str
    n: int
    at: int
    others: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JournalBatch:
    """Entries written together: usually one, more after the disk failed for a while.

    `confirmed` is the last batch that the database is known to have recorded. `others` is as in `Header`; empty if it
    is as before.
    """

    n: int
    confirmed: int
    at: int
    others: Mapping[str, int] = field(default_factory=dict)
    entries: tuple[JournalEntry, ...] = ()


@dataclass(slots=True)
class JournalContents:
    """Contents of a journal, read from all its files in order.

    `begins` is the batch before the journal's first, `last` is its last batch. `gaps` are missing batches in between;
    `faults` counts unreadable lines. Only the last `most` batches are kept, or all if `most` is None.
    """

    most: int | None = None
    journal: str = ""
    epoch: str = ""
    begins: int = 0
    last: int = 0
    confirmed: int = 0
    others: dict[str, int] = field(default_factory=dict)
    batches: list[JournalBatch] = field(default_factory=list)
    gaps: set[int] = field(default_factory=set)
    faults: int = 0

    def take(self, line: Header | JournalBatch) -> None:
        """Add a line that was read; a header of another journal starts over."""
        if isinstance(line, Header):
            if line.journal != self.journal:
                self.journal, self.epoch, self.begins, self.last = line.journal, line.epoch, line.n, line.n
                self.confirmed, self.batches, self.gaps, self.others = line.n, [], set(), {}
            self.others.update(line.others)
            return
        self.gaps.update(range(self.last + 1, line.n))
        self.last, self.confirmed = max(self.last, line.n), max(self.confirmed, line.confirmed)
        self.others.update(line.others)
        if line.entries:
            self.batches.append(line)
            if self.most is not None:
                del self.batches[: -self.most]

    def since(self, batch: int) -> Iterator[JournalEntry]:
        """Yield the entries after a batch, in order."""
        for batch_row in self.batches:
            if batch_row.n > batch:
                yield from batch_row.entries

    def lacks(self, since: int, until: int) -> int:
        """Count the missing batches after `since`, up to and including `until`."""
        return sum(n <= self.begins or n > self.last or n in self.gaps for n in range(since + 1, until + 1))


def entry_of(destination: str, head: Head, at: int, key: bytes, result: SendResult | None = None) -> JournalEntry:
    """Build the journal entry of a message in hand, or of its result; `key` is the site key."""
    return JournalEntry(
        destination=destination,
        study_id=head.study_id,
        report_id=head.report_id,
        kind=head.kind,
        control_id=head.control_id,
        number=head.number,
        report_ids=head.report_ids,
        patient_id=head.patient_id,
        numbers=tuple(seal(key, number) for number in head.filler_order_numbers),
        restates=seal(key, head.restates),
        is_whole=head.is_whole,
        is_critical=head.is_critical,
        signed=head.signed,
        body_hash=head.body_hash,
        told=head.told,
        at=at,
        **({} if result is None else _outcome(result)),
    )


def _outcome(result: SendResult) -> dict[str, Any]:
    names = ("state", "reason", "ack", "committed", "accepted", "holds")
    return {name: getattr(result, name) for name in names}


def seal(key: bytes, text: str) -> str:
    """Return a digest of a text under the site key, by which equal texts are recognized."""
    return hmac.digest(key, _SEAL + text.encode("utf-8", "replace"), hashlib.sha256).hex()[:32]


def encoded(line: Header | JournalBatch) -> bytes:
    """Encode a line with a checksum in front."""
    if isinstance(line, Header):
        said = {"header": _fields(line)}
    else:
        said = {"batch": {**_fields(line), "entries": [_fields(one) for one in line.entries]}}
    text = json.dumps(said, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def _fields(line: Header | JournalBatch | JournalEntry) -> dict[str, Any]:
    return {name: getattr(line, name) for name in line.__slots__}


def read(lines: Iterable[bytes], most: int | None = None) -> JournalContents:
    """Read the lines of a journal, keep its last `most` batches, and count unreadable lines."""
    contents = JournalContents(most)
    for row in lines:
        if not row.strip():
            continue
        line = _decoded(row.rstrip(b"\n"))
        if line is None:
            contents.faults += 1
        else:
            contents.take(line)
    return contents


def _decoded(row: bytes) -> Header | JournalBatch | None:
    check, _, text = row.partition(b" ")
    if len(check) != _CHECK or check != f"{zlib.crc32(text):08x}".encode():
        return None
    try:
        decoded = json.loads(text)
        if "header" in decoded:
            return Header(**decoded["header"])
        batch = decoded["batch"]
        entries = tuple(_entry(one) for one in batch.pop("entries"))
        return JournalBatch(**batch, entries=entries)
    except (ValueError, TypeError, KeyError):  # written by another release
        return None


def _entry(said: dict[str, Any]) -> JournalEntry:
    return JournalEntry(**{**said, "report_ids": tuple(said["report_ids"]), "numbers": tuple(said["numbers"])})
