"""Read the files that `[mapping]` settings name, and locate faults in these files by file and line.

Carries out no clause of a standard. A path in the settings file is relative to that file; a path in the environment, to
the working directory. No message shows a path that could not be read, since it may be a misplaced secret.
Proved by tests/gateway/test_site_files.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.runtime.errors import ConfigError
from gateway.settings.model import variables
from gateway.settings.named_file import TextFiles, UnreadableFileError
from mappings.issues import SiteError
from mappings.profile import SITE_FILES

_CSV: Final = TextFiles("a CSV file", 16 * 2**20, "Keep only the rows that are used: 16 MiB at most.")


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
                    texts[setting], paths[setting] = _CSV.read(path), path
                except UnreadableFileError as error:
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
