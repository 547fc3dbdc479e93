"""Files of the feed journal (record of sent messages): lock, append, flush, rotate, read; readable only to the owner.

https://man7.org/linux/man-pages/man2/write.2.html (what is written survives the process) and
https://man7.org/linux/man-pages/man2/fsync.2.html (what is flushed survives the machine); decision D38. Several
processes may share a folder: each locks the first journal that is free.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.feed.deliver.journal_lines import Header, JournalContents, encoded, read
from gateway.runtime.own_file import MOST_SLOTS, PRIVATE, flush_folder, locked_slot

MOST: Final = 64 * 2**20  # bytes of a file; with the file before it, at least about 100,000 messages
_NAME: Final = "feed-journal-{}.log"
_BEFORE: Final = ".before"
_ASIDE: Final = ".other"  # the journal of a database that is no longer served


class JournalFile:
    """Journal file that only this process writes. Every method may raise `OSError`."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self._most = most
        self._lock: int | None
        self._lock, self.path = _taken(folder)
        self._needs_newline = not _ends_whole(self.path)
        self._unflushed = {self.path}  # what a process wrote that was killed

    def close(self) -> None:
        """Release the lock, so that another process can use the journal."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def append(self, data: bytes, header: Header) -> None:
        """Write lines to the system, which keeps them if this process dies; a new file begins with `header`."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size and size + len(data) > self._most:
            self.path.replace(before := _beside(self.path, _BEFORE))
            self._unflushed.add(before)
            size = 0
        if not size:
            data, self._needs_newline = encoded(header) + data, False
            self._unflushed.add(self.path.parent)
        self._unflushed.add(self.path)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
        try:
            whole = b"\n" + data if self._needs_newline else data
            self._needs_newline = True  # until the line is complete
            while whole:
                whole = whole[os.write(file, whole) :]
            self._needs_newline = False
        finally:
            os.close(file)

    def flush(self) -> None:
        """Flush what was appended before this call to disk; another thread may append meanwhile."""
        paths, self._unflushed = self._unflushed, set()
        try:
            for path in paths:
                with suppress(FileNotFoundError):  # removed, or put aside
                    flush_folder(path)
        except OSError:
            self._unflushed |= paths
            raise

    def put_aside(self) -> Path:
        """Move the file to another name, replacing an older one, and begin a new file; return the other path."""
        aside = _beside(self.path, _ASIDE)
        lines = b"\n".join(one.read_bytes() for one in (_beside(self.path, _BEFORE), self.path) if one.exists())
        aside.touch(PRIVATE)
        aside.write_bytes(lines)
        for file in (_beside(self.path, _BEFORE), self.path):
            file.unlink(missing_ok=True)
        self._needs_newline = False
        return aside


def journals(folder: Path) -> Iterator[Path]:
    """Yield the journals in a folder, of all processes."""
    for number in range(1, MOST_SLOTS + 1):
        path = folder / _NAME.format(number)
        if path.exists() or _beside(path, _BEFORE).exists():
            yield path


def account_of(path: Path, most: int | None = None) -> JournalContents:
    """Read a journal, with its file before the last rotation, and keep its last `most` batches.

    Raises:
        OSError: it cannot be read.
    """
    return read(_lines(path), most)


def _lines(path: Path) -> Iterator[bytes]:
    for one in (_beside(path, _BEFORE), path):
        if one.exists():
            with one.open("rb") as file:
                yield from file


def _taken(folder: Path) -> tuple[int, Path]:
    """Lock the first free journal of the folder; return the lock and the journal's path."""
    slot, lock = locked_slot(folder, _NAME + ".lock")
    return lock, folder / _NAME.format(slot)


def _ends_whole(path: Path) -> bool:
    """True if the last line of a file is complete."""
    if not path.exists() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
