"""Read the files that settings name (mapping files, secrets), and locate faults in these files by file and line.

https://docs.docker.com/engine/swarm/secrets/ (`<VARIABLE>_FILE`): every variable that sets a secret has such a twin. A
secret is given once: by the variable or by the file, and either overrides the settings file. A path in the settings
file is relative to that file; a path in the environment, to the working directory. No message shows a path that could
not be read, or the content: either may be a misplaced secret.
Proved by tests/gateway/test_site_files.py and tests/gateway/settings/test_secret_files.py.
"""

from __future__ import annotations

import copy
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr

from gateway.runtime.errors import ConfigError
from gateway.settings.destination_secrets import GivenSecrets
from gateway.settings.model import fields, variables
from mappings.issues import SiteError
from mappings.profile import SITE_FILES


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


SUFFIX: Final = "_FILE"
_SECRET: Final = TextFiles("a file that holds only the secret", 65_536, "Name a file that holds only the secret.")
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
