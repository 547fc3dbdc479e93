"""Read one TOML table of settings, and note each mistake, so that all mistakes are found at once.

https://toml.io/en/v1.0.0.
Proved by tests/mappings/profile/test_site.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from mappings.issues import SiteError


def read_toml(text: str, key: str) -> dict[str, Any]:
    """Parse a TOML text.

    Raises:
        SiteError: not TOML; `key` names the text.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        remedy = "Mend the line named; https://toml.io shows the syntax."
        raise SiteError(key, f"not TOML: {error}", remedy) from None


@dataclass(frozen=True, slots=True)
class Table:
    """A TOML table at `place`; `faults` grows."""

    row: Mapping[str, Any]
    place: str
    faults: list[SiteError]

    def refuse(self, key: str, problem: str, remedy: str) -> None:
        """Note a wrong setting."""
        self.faults.append(SiteError(f"{self.place}.{key}", problem, remedy))

    def refuse_unknown(self, allowed: AbstractSet[str]) -> None:
        """Note every unknown key."""
        for key in sorted(self.row.keys() - allowed):
            self.refuse(key, "no such setting", f"Known here: {', '.join(sorted(allowed))}.")

    def text(self, key: str) -> str | None:
        """Read a string; None if it is missing or invalid."""
        value = self.row.get(key)
        if value is None or isinstance(value, str):
            return value
        self.refuse(key, "not a string", "Put it in quotes.")
        return None

    def texts(self, key: str, example: str) -> tuple[str, ...]:
        """Read a list of strings that are not blank, stripped."""
        value = self.row.get(key, [])
        if isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value):
            return tuple(one.strip() for one in value)
        self.refuse(key, "not a list of names", f"Write a list, such as {example}.")
        return ()

    def flag(self, key: str, default: bool = False) -> bool:
        """Read true or false; the default if it is missing or invalid."""
        value = self.row.get(key, default)
        if isinstance(value, bool):
            return value
        self.refuse(key, "neither true nor false", "Write true or false, without quotes.")
        return default

    def one_of(self, key: str, allowed: tuple[str, ...]) -> str | None:
        """Read one of the allowed strings; None if it is missing or invalid."""
        value = self.text(key)
        if value is None or value in allowed:
            return value
        self.refuse(key, "not one of the values it can have", f"Write one of {', '.join(allowed)}.")
        return None

    def tables(self, key: str, remedy: str) -> Iterator[Table]:
        """Yield each table of a list of tables."""
        rows = self.row.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self.refuse(key, "not a list of tables", remedy)
            return
        for index, row in enumerate(rows):
            yield Table(row, f"{self.place}.{key}[{index}]", self.faults)
