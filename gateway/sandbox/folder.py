"""Save received messages in a folder: one file for each message, written completely or not at all.

Carries out no clause: each file is written under another name, flushed to disk and renamed.
Proved by tests/gateway/sandbox/test_receiver.py.
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
    """Writer of messages as `000001-<MSH-10>.hl7`, readable by the owner only; numbers continue those in the folder.

    Raises:
        OSError: the folder cannot be made or read.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        taken = [int(match.group(1)) for entry in path.iterdir() if (match := _NUMBER.fullmatch(entry.name))]
        self._last = max(taken, default=0)

    def name(self, control_id: str) -> Path:
        """Return the next file's path; it contains only the control id of the message, made safe for a file name."""
        self._last += 1
        safe = _NOT_SAFE.sub("_", control_id)[:_NAME_LENGTH] or "no-control-id"
        return self._path / f"{self._last:06d}-{safe}.hl7"

    def write(self, file: Path, payload: bytes) -> None:
        """Write the payload to this file; it is on disk when this returns.

        Raises:
            OSError: the file could not be written; it does not exist then.
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
        """Flush the folder, so that the rename survives a power loss."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
