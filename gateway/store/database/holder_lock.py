"""Find dead processes that still have the right to send (a lease) in a SQLite database, by a lock file.

https://man7.org/linux/man-pages/man2/flock.2.html: the lock belongs to one open file and ends with its process, however
that ends. Another open file of the same process does not get it either; decision D33. On a network file system the lock
may not work, and neither does SQLite's write-ahead log.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO, Final

_PRIVATE: Final = 0o600


class HolderLock:
    """Lock file of one database. Its owner writes into it the names under which it holds leases."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._own: set[str] = set()
        self._dead: frozenset[str] = frozenset()

    def dead(self, holder: str) -> frozenset[str]:
        """Try to take the lock and record `holder` as alive; return the holders of the lock's previous owner.

        Empty if another process has the lock or it cannot be taken: then nothing is known about other holders. Also
        empty after `forget`, since a new process may take one of those names.
        """
        if self._file is None and not self._taken():
            return frozenset()
        if holder not in self._own:
            self._own.add(holder)
            self._say()
        return self._dead - self._own

    def forget(self, holders: frozenset[str]) -> None:
        """Drop these holders from the dead ones, once their leases are ended."""
        self._dead -= holders

    def release(self) -> None:
        """Release the lock, once this process sends nothing more."""
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
        """Write the names of this process's holders. If that fails, the next process waits for the leases to expire."""
        if self._file is not None:
            names = "\n".join(sorted(self._own)).encode()
            try:
                self._file.seek(0)
                self._file.truncate()
                self._file.write(names)
            except OSError:
                return
