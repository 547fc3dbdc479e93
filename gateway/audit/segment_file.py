"""File of one segment of the audit journal: begin it, append to it, and continue it after a crash.

https://man7.org/linux/man-pages/man2/open.2.html (O_APPEND, O_CLOEXEC). Private to its owner. Bytes that are no whole
line stay in the file, and a line behind them accounts for them: nothing is dropped.
Proved by tests/gateway/audit/test_journal.py.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import BinaryIO, Final

from gateway.audit.segment import SegmentHead, SegmentSeal, line_of
from gateway.runtime.own_file import flush_folder, open_private

_DAY: Final = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_NAME: Final = "audit-{}.log"
_UNBEGUN: Final = ".new"  # a file without its opening line
_CLOSED: Final = -1
_SEAL: Final = b',"seal":{"segment":"'


class SegmentFile:
    """Open file of a segment, with the state after its last line. After an `OSError` of any method, open it anew."""

    def __init__(self, path: Path, head: SegmentHead) -> None:
        self.head = head
        self._file = open_private(path, os.O_WRONLY | os.O_APPEND)

    @property
    def day(self) -> str:
        """Return the segment's day in UTC, YYYY-MM-DD."""
        return self.head.segment.partition(".")[0]

    @classmethod
    def begun(cls, folder: Path, journal: str, day: str, key: str, previous: SegmentHead | None) -> SegmentFile:
        """Begin a segment that follows `previous`; the file gets its name once it has its opening line."""
        head = SegmentHead(f"{day}.{journal}")
        path = segment_path(folder, head.segment)
        unbegun = path.with_name(path.name + _UNBEGUN)
        unbegun.unlink(missing_ok=True)
        begun = cls(unbegun, head)
        try:
            begun.write(head.opening(day, journal, key, previous))
            unbegun.rename(path)
            flush_folder(folder)
        except BaseException:
            begun.close()
            raise
        return begun

    @classmethod
    def continued(cls, path: Path) -> SegmentFile:
        """Continue a segment after its last complete line; incomplete bytes stay, and a line marks them.

        Only the lines behind the last seal are read: a busy day has gigabytes.
        """
        head, torn = _read_end(path)
        continued = cls(path, head)
        if torn:
            end = b"" if torn.endswith(b"\n") else b"\n"
            try:
                continued.write(end + head.tear(torn + end))
            except BaseException:
                continued.close()
                raise
        return continued

    def write(self, row: bytes) -> None:
        """Append a line of the segment, whole."""
        while row:
            row = row[os.write(self._file, row) :]

    def flush(self) -> None:
        """Flush what was written to disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file; a later write fails, and never reaches another file of the same number."""
        file, self._file = self._file, _CLOSED
        os.close(file)


def head_of(path: Path) -> SegmentHead:
    """Read the state of a segment after its last complete line. May raise `OSError`."""
    return _read_end(path)[0]


def _read_end(path: Path) -> tuple[SegmentHead, bytes]:
    """Read the state of a segment after its last complete line, and the bytes that follow."""
    head, torn = SegmentHead(segment_of(path)), b""
    with path.open("rb") as rows:
        _take(head, rows.readline())
        rows.seek(_behind_last_seal(rows, head))
        for row in rows:
            torn = b"" if _take(head, row) else torn + row
    return head, torn


def _take(head: SegmentHead, row: bytes) -> bool:
    line = line_of(row)
    if line is not None:
        head.take(line, row)
    return line is not None


def _behind_last_seal(rows: BinaryIO, head: SegmentHead) -> int:
    """Move to after the last seal, and return the place in the file; 0 if there is none."""
    if not os.fstat(rows.fileno()).st_size:
        return 0
    with mmap.mmap(rows.fileno(), 0, access=mmap.ACCESS_READ) as text:
        end = len(text)
        while (found := text.rfind(_SEAL, 0, end)) >= 0:
            start, behind = text.rfind(b"\n", 0, found) + 1, text.find(b"\n", found) + 1
            line = line_of(text[start:behind]) if behind else None
            if line is not None and isinstance(line.content, SegmentSeal):
                head.take(line, text[start:behind])
                return behind
            end = start
    return 0


def newest_segment(folder: Path, journal: str) -> SegmentFile | None:
    """Read the newest segment of a journal, None if it has none. May raise `OSError`."""
    paths = sorted(folder.glob(_NAME.format(f"{_DAY}.{journal}")))
    return SegmentFile.continued(paths[-1]) if paths else None


def segment_paths(folder: Path) -> list[Path]:
    """Return the files of all segments of a folder, by day. May raise `OSError`."""
    return sorted(folder.glob(_NAME.format(f"{_DAY}.*")))


def segment_path(folder: Path, segment: str) -> Path:
    """Return the file of a segment."""
    return folder / _NAME.format(segment)


def segment_of(path: Path) -> str:
    """Return the name of a file's segment."""
    before, after = _NAME.split("{}")
    return path.name.removeprefix(before).removesuffix(after)
