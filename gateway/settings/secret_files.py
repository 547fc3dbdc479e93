"""Read secrets from files that environment variables name, as container platforms hand secrets over.

https://docs.docker.com/engine/swarm/secrets/ (`<VARIABLE>_FILE`). Every variable that sets a secret has such a
twin. A secret is given once: by the variable or by the file, and either overrides the settings file.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr

from gateway.runtime.errors import ConfigError
from gateway.settings.destination_secrets import GivenSecrets
from gateway.settings.model import fields, variables
from gateway.settings.named_file import TextFiles, UnreadableFileError

SUFFIX: Final = "_FILE"
_SECRET: Final = TextFiles("a file that holds the secret alone", 65_536, "Name a file that holds the secret alone.")
_ROW: Final = re.compile(r"destination\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class FiledSecrets:
    """The parsed settings file with all secrets filled in that variables and files give.

    `known` are the variables of secrets that the settings model does not know. `used` maps the key of a secret to the
    variable that gave it. `problems` are secrets that are given twice, and files that cannot be used.
    """

    table: Mapping[str, Any]
    known: frozenset[str]
    used: Mapping[str, str]
    problems: tuple[ConfigError, ...]


def with_secret_files(given: GivenSecrets, environ: Mapping[str, str]) -> FiledSecrets:
    """Fill in the contents of the files, each without the line end at its end; an empty variable counts as not set."""
    table, used, problems = copy.deepcopy(dict(given.table)), dict(given.used), list[ConfigError]()
    known = frozenset(given.known.values())
    for key, names in _places(given):
        known |= {f"{name}{SUFFIX}" for name in names}
        by_file = [f"{name}{SUFFIX}" for name in names if environ.get(f"{name}{SUFFIX}")]
        others = [name for name in names if environ.get(name)] + by_file[1:]
        if not by_file:
            continue
        used[key] = by_file[0]
        if others:
            problem = f"set, and {others[0]} is set as well"
            problems.append(ConfigError("environment", by_file[0], problem, "Keep one of the two."))
            continue
        try:
            _fill(table, key, _secret(environ[by_file[0]]))
        except UnreadableFileError as error:
            problems.append(ConfigError("environment", by_file[0], f"the file it names {error.problem}", error.remedy))
    return FiledSecrets(table, known, used, tuple(problems))


def _places(given: GivenSecrets) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the key of every secret, with the variables that set it."""
    for section, name, field in fields():
        if SecretStr in (field.annotation, *get_args(field.annotation)) and (names := variables(f"{section}.{name}")):
            yield f"{section}.{name}", names
    for key, variable in given.known.items():
        yield key, (variable,)


def _secret(path: str) -> str:
    text = _SECRET.read(Path(path))
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise UnreadableFileError("is empty", _SECRET.shorter)
    return text


def _fill(table: dict[str, Any], key: str, secret: str) -> None:
    """Set a key of the table; a section that is no table stays, and is reported as such."""
    section, _, name = key.rpartition(".")
    row = _ROW.fullmatch(section)
    place = table["destination"][int(row[1])] if row else table.setdefault(section, {})
    if isinstance(place, dict):
        place[name] = secret
