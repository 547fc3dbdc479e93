"""Hold the audit journal against what a syslog receiver kept: find what was changed, removed or added on either side.

RFC 5424; decision D42. Each message names the line that it copies, with its digest. Compared is what lies between the
first and the last line of a segment that the receiver has; later lines may still be on their way.
Proved by tests/gateway/audit/test_forwarding.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.audit.audit_entry import AuditEntry
from gateway.audit.segment import digest_of, line_of
from gateway.audit.segment_file import segment_of, segment_paths
from gateway.audit.syslog_message import lines_named
from gateway.audit.verifying import SegmentFault

DIFFERS: Final = "differs-at-receiver"
ONLY_THERE: Final = "gone-here"
NOT_THERE: Final = "not-at-receiver"
MEANINGS: Final = {
    DIFFERS: "the receiver has the line with another content: the journal or the receiver's file was changed",
    ONLY_THERE: "the receiver has a line that the journal does not have: it was removed here",
    NOT_THERE: "the receiver has earlier and later lines, and not this one",
}


@dataclass(frozen=True, slots=True)
class ReceiverFinding:
    """Result: how many lines both have, how many entries are newer than all that the receiver has, and the faults."""

    alike: int
    newer: int
    faults: tuple[SegmentFault, ...]


def held_against(folder: Path, files: Iterable[Path], removed: Collection[str]) -> ReceiverFinding:
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
    """Return the digests of the lines that the files name, by segment and sequence."""
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
