"""Accept the old names of renamed settings for one release, and explain settings that no longer exist.

Carries out no clause of a standard; decision D47. A row stays until the release after the one that renamed.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.runtime.errors import ConfigError

# Old name -> new name, both in the same section: "feed.old": "feed.new", or "destination.old" for all its tables
RENAMED: Final[dict[str, str]] = {}
_OURS: Final = "The gateway chooses this value. Remove the setting."
# Name of a setting that an earlier release took -> remedy
REMOVED: Final[dict[str, str]] = {
    "upstream.allow_http": "Only an address of this machine may be http. Remove the setting.",
    **dict.fromkeys(
        (
            *("database.synchronous", "destination.retry_cap", "destination.retry_jitter", "feed.backload_rate"),
            *("pdf.attempts", "pdf.max_wait", "sync.missing_sweeps_alert", "upstream.attempts"),
            *("upstream.connect_timeout", "upstream.max_backoff", "upstream.max_concurrency"),
            *("upstream.read_timeout", "upstream.retry_after_cap"),
        ),
        _OURS,
    ),
}


@dataclass(frozen=True, slots=True)
class OldName:
    """Old name of a setting that is in use: `old` and `new` are keys, or environment variables."""

    source: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.source}: {self.old}: now called {self.new}. The next release refuses the old name."


@dataclass(frozen=True, slots=True)
class NewNames:
    """The parsed settings file under new names, the old names that it used, and the settings that it gives twice."""

    table: Mapping[str, Any]
    used: tuple[OldName, ...] = ()
    problems: tuple[ConfigError, ...] = ()

    @property
    def mapping(self) -> dict[str, Any]:
        """Return the settings of `[mapping]` that had old names, under their new ones."""
        names = [one.new.partition(".")[2] for one in self.used if one.new.startswith("mapping.")]
        return {name: self.table["mapping"][name] for name in names}


def old_names(key: str) -> list[str]:
    """Return the old names of a setting."""
    return [old for old, new in RENAMED.items() if new == key]


def with_new_names(source: str, table: Mapping[str, Any]) -> NewNames:
    """Rename the old names in a parsed settings file."""
    renamed, used, problems = copy.deepcopy(dict(table)), list[OldName](), list[ConfigError]()
    for old, new in RENAMED.items():
        section, _, old_key = old.rpartition(".")
        new_key = new.rpartition(".")[2]
        for place, row in _rows(renamed, section):
            if old_key not in row:
                continue
            value = row.pop(old_key)
            if new_key in row:
                problems.append(_twice(source, f"{place}.{old_key}", f"{place}.{new_key}"))
            row.setdefault(new_key, value)
            used.append(OldName(source, f"{place}.{old_key}", f"{place}.{new_key}"))
    return NewNames(renamed, tuple(used), tuple(problems))


def with_new_variables(names: Mapping[str, str], environ: Mapping[str, str]) -> NewNames:
    """Find the old environment variables in use; `names` has the new variable of each old one."""
    used = [OldName("environment", old, new) for old, new in names.items() if environ.get(old)]
    return NewNames(
        {}, tuple(used), tuple(_twice("environment", one.old, one.new) for one in used if environ.get(one.new))
    )


def explained(fault: ConfigError) -> ConfigError:
    """Return a fault, with the remedy if it is about a setting that no longer exists."""
    remedy = REMOVED.get(re.sub(r"\[[0-9]+\]", "", fault.key))
    return ConfigError(fault.source, fault.key, "no such setting any more", remedy) if remedy else fault


def _rows(table: dict[str, Any], section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the tables of a section, each with its place."""
    node: Any = table
    for part in section.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    if isinstance(node, dict):
        yield section, node
    for index, row in enumerate(node if isinstance(node, list) else ()):
        if isinstance(row, dict):
            yield f"{section}[{index}]", row


def _twice(source: str, old: str, new: str) -> ConfigError:
    return ConfigError(source, old, f"the old name of {new}, which is set as well", "Keep only the new name.")
