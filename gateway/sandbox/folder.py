"""A folder of received messages: one file each, whole or not there.

Carries out no clause: files, written aside, flushed to the disk and renamed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

_NUMBER: Final = re.compile(r"(\d{6,})-.*\.hl7")
_NOT_SAFE: Final = re.compile(r"[^A-Za-z0-9_-]")
_NAME_LENGTH: Final = 40


class SandboxFolder:
    """Writes messages as `000001-<MSH-10>.hl7`, readable by the owner alone, numbered on from what is there.

    Raises:
        OSError: the folder cannot be made or read.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        taken = [int(match.group(1)) for entry in path.iterdir() if (match := _NUMBER.fullmatch(entry.name))]
        self._last = max(taken, default=0)

    def name(self, control_id: str) -> Path:
        """The next file's path. Of the message it holds the control id only, without what a file name cannot have."""
        self._last += 1
        safe = _NOT_SAFE.sub("_", control_id)[:_NAME_LENGTH] or "no-control-id"
        return self._path / f"{self._last:06d}-{safe}.hl7"

    def write(self, file: Path, payload: bytes) -> None:
        """Have the payload on the disk under that name when this returns.

        Raises:
            OSError: it could not be written; nothing of that name is there then.
        """
        aside = file.with_suffix(".part")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(payload)
                stream.flush()
                os.fsync(stream.fileno())
            aside.replace(file)
        except OSError:
            aside.unlink(missing_ok=True)
            raise
        self._flush_folder()

    def _flush_folder(self) -> None:
        """Make the rename itself last over a power loss."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
