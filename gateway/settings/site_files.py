"""Read the files that `[mapping]` settings name, and locate faults in these files by file and line.

Carries out no clause of a standard. A path in the settings file is relative to that file; a path in the environment, to
the working directory. No message shows a path that could not be read, since it may be a misplaced secret.
Proved by tests/gateway/test_site_files.py.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.runtime.errors import ConfigError
from gateway.settings.model import variables
from mappings.issues import SiteError
from mappings.profile import SITE_FILES

_LARGEST: Final = 16 * 2**20


@dataclass(frozen=True, slots=True)
class SiteFiles:
    """Text and path of each file, by the setting that names it; `problems` are the files that could not be read."""

    texts: Mapping[str, str]
    paths: Mapping[str, Path]
    problems: tuple[ConfigError, ...]

    @classmethod
    def read(cls, source: str, config: Path | None, table: Mapping[str, Any]) -> SiteFiles:
        """Read every file that the environment or the settings file (`config`, with its `table`) names."""
        texts: dict[str, str] = {}
        paths: dict[str, Path] = {}
        problems: list[ConfigError] = []
        mapping = table.get("mapping")
        for setting in SITE_FILES:
            variable = next((one for one in variables(f"mapping.{setting}") if os.environ.get(one)), None)
            named = os.environ[variable] if variable else mapping.get(setting) if isinstance(mapping, dict) else None
            if isinstance(named, str):
                path = Path(named) if variable or config is None else config.parent / named
                try:
                    texts[setting], paths[setting] = _text(path), path
                except _Unreadable as error:
                    place = ("environment", variable) if variable else (source, f"mapping.{setting}")
                    problems.append(ConfigError(*place, f"the file it names {error.problem}", error.remedy))
        return cls(texts, paths, tuple(problems))

    def problem(self, fault: SiteError) -> ConfigError | None:
        """Turn a fault in one of the files into an error with path and line; None for a fault elsewhere."""
        for setting, path in self.paths.items():
            if fault.key.startswith(f"mapping.{setting}, "):
                place = fault.key.removeprefix(f"mapping.{setting}, ")
                return ConfigError(str(path), place, fault.problem, fault.remedy)
        return None


class _Unreadable(Exception):
    def __init__(self, problem: str, remedy: str) -> None:
        self.problem, self.remedy = problem, remedy
        super().__init__(problem)


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _Unreadable("is no file", "Name a CSV file.")
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        problem = f"cannot be read ({os.strerror(error.errno or 0)})"
        raise _Unreadable(problem, "Name a file that is there and readable.") from None
    except ValueError:
        raise _Unreadable("has a name that no file can have", "Name a CSV file.") from None
    if len(data) > _LARGEST:
        raise _Unreadable(f"is larger than {_LARGEST // 2**20} MiB", "Keep only the rows that are used.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Unreadable("is not UTF-8", "Save it as CSV in UTF-8.") from None
