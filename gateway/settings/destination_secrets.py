"""Read passwords and tokens of destinations from the environment, so that the settings file needs no secrets.

Carries out no clause of a standard. The password of `name = "epic-oru"` is `GATEWAY_DESTINATION__EPIC_ORU__PASSWORD`,
which overrides the file, as every variable does.
Proved by tests/gateway/settings/test_destination.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.settings.destination import SECRETS

_PREFIX: Final = "GATEWAY_DESTINATION__"


@dataclass(frozen=True, slots=True)
class GivenSecrets:
    """The parsed settings file with the secrets from the environment filled in.

    `known` maps the key of each possible secret (`destination[0].password`) to its variable. `used` has those that are
    set.
    """

    table: Mapping[str, Any]
    known: Mapping[str, str]
    used: Mapping[str, str]


def variable(name: str, key: str) -> str:
    """Return the environment variable for a secret of a destination."""
    return f"{_PREFIX}{name.replace('-', '_')}__{key}".upper()


def with_secrets(table: Mapping[str, Any], environ: Mapping[str, str]) -> GivenSecrets:
    """Fill secrets from the environment into the destination tables; an empty variable counts as not set."""
    rows = table.get("destination")
    if not isinstance(rows, list):
        return GivenSecrets(table, {}, {})
    known = list(_possible_secrets(rows))
    used = {(index, key): name for index, key, name in known if environ.get(name)}
    filled = [
        {**row, **{key: environ[name] for (place, key), name in used.items() if place == index}}
        if isinstance(row, dict)
        else row
        for index, row in enumerate(rows)
    ]
    return GivenSecrets(
        {**table, "destination": filled},
        {f"destination[{index}].{key}": name for index, key, name in known},
        {f"destination[{index}].{key}": name for (index, key), name in used.items()},
    )


def _possible_secrets(rows: list[Any]) -> Iterator[tuple[int, str, str]]:
    """Yield the table index, key and variable of every possible secret."""
    for index, row in enumerate(rows):
        name = row.get("name") if isinstance(row, dict) else None
        if isinstance(name, str) and name:
            yield from ((index, key, variable(name, key)) for key in SECRETS)
