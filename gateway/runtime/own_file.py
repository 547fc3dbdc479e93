"""Files in a shared folder that only one process may append to: slot locks, private permissions, and flushing.

https://man7.org/linux/man-pages/man2/flock.2.html (the lock ends with its process, however that ends),
https://man7.org/linux/man-pages/man2/fsync.2.html (a new file's name needs a flush of its folder).
Proved by tests/gateway/audit/test_journal.py and tests/gateway/feed/deliver/test_journal_file.py.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

MOST_SLOTS: Final = 64
PRIVATE: Final = 0o600


def open_private(path: Path, flags: int) -> int:
    """Open a file that only its owner may read; create it if missing. May raise `OSError`.

    If root makes it, it belongs to the owner of its folder: a command of root must not keep the service out.
    """
    opened = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        if os.geteuid() == 0 and (folder := path.parent.stat()).st_uid != os.fstat(opened).st_uid:
            os.fchown(opened, folder.st_uid, folder.st_gid)
    except BaseException:
        os.close(opened)
        raise
    return opened


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may enter, if it is missing. May raise `OSError`.

    If root makes it, it belongs to the owner of the folder above it: a command of root must not keep the service out.
    """
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    if os.geteuid() == 0:
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid)


def locked_slot(folder: Path, name: str) -> tuple[int, int]:
    """Lock the first free slot, counted from 1; `name` is the lock file's, with `{}` for the slot.

    Return the slot, and the open lock: closing it releases the slot.

    Raises:
        OSError: the folder cannot be written, or no slot is free.
    """
    for slot in range(1, MOST_SLOTS + 1):
        lock = open_private(folder / name.format(slot), os.O_RDWR)
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return slot, lock
        os.close(lock)
    raise OSError(0, f"more than {MOST_SLOTS} journals in one folder")


def flush_folder(folder: Path) -> None:
    """Flush a folder to disk, so that the name of a new file survives a crash; or a file. May raise `OSError`."""
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
