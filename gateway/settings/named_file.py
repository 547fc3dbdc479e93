"""Read a text file that a setting names.

Carries out no clause of a standard. No message shows the path or the content: either may be a misplaced secret.
Proved by tests/gateway/test_site_files.py and tests/gateway/settings/test_secret_files.py.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path


class UnreadableFileError(Exception):
    """A named file cannot be used; `problem` continues "the file it names"."""

    def __init__(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(problem)


@dataclass(frozen=True, slots=True)
class TextFiles:
    """Kind of files, such as "a CSV file": their largest size in bytes, and the remedy for a larger one."""

    kind: str
    most: int
    shorter: str

    def read(self, path: Path) -> str:
        """Return the text of a file, without a byte order mark.

        Raises:
            UnreadableFileError: it is missing, no file, too large, or not UTF-8.
        """
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise UnreadableFileError("is no file", f"Name {self.kind}.")
            with path.open("rb") as file:
                data = file.read(self.most + 1)
        except OSError as error:
            problem = f"cannot be read ({os.strerror(error.errno or 0)})"
            raise UnreadableFileError(problem, "Name a file that is there and readable.") from None
        except ValueError:
            raise UnreadableFileError("has a name that no file can have", f"Name {self.kind}.") from None
        if len(data) > self.most:
            raise UnreadableFileError("is too large", self.shorter)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UnreadableFileError("is not UTF-8", f"Name {self.kind} in UTF-8.") from None
