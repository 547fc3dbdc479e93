"""Find the dead holders of leases on a SQLite file: those of a process that no longer has the file's lock.

https://man7.org/linux/man-pages/man2/flock.2.html: the lock is that of one open file, so it ends with its process
however that ends, and another open file of the same process does not get it either; decision D33. On a network file
system it may be of no worth, and so is SQLite's write-ahead log there.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Final

_PRIVATE: Final = 0o600


class HolderLock:
    """The lock of one database: whoever has it has written into it under which names it holds leases."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._own: set[str] = set()
        self._dead: frozenset[str] = frozenset()

    def dead(self, holder: str) -> frozenset[str]:
        """Try for the lock, and write down that `holder` lives; the names of the process that had it before.

        Empty where another process has it, or it cannot be had at all: then nothing is known of anybody. Also once
        `forget` was told that their leases are ended: somebody else may take one of the names.
        """
        if self._file is None and not self._taken():
            return frozenset()
        if holder not in self._own:
            self._own.add(holder)
            self._say()
        return self._dead - self._own

    def forget(self, holders: frozenset[str]) -> None:
        """The leases of these are ended."""
        self._dead -= holders

    def release(self) -> None:
        """Let another have it: nothing is sent by this process any more."""
        file, self._file = self._file, None
        self._own.clear()
        if file is not None:
            file.close()

    def _taken(self) -> bool:
        try:
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE), "r+b", buffering=0)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._dead = frozenset(file.read().decode(errors="replace").split())
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def _say(self) -> None:
        """Write the names anew; where that fails, the next process waits until the leases are over."""
        if self._file is not None:
            names = "\n".join(sorted(self._own)).encode()
            try:
                self._file.seek(0)
                self._file.truncate()
                self._file.write(names)
            except OSError:
                return
