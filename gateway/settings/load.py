"""Read the settings from the environment and one TOML file; report faults without showing a value.

The file is TOML (https://toml.io/en/v1.0.0). It is read once, for the settings and for the `Site` of the mappings.
Proved by tests/gateway/test_settings.py.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from gateway.runtime.command_words import CONFIG_VARIABLE
from gateway.runtime.errors import ConfigError
from gateway.settings.destination_secrets import with_secrets
from gateway.settings.model import (
    FILE_ONLY,
    PREFIX,
    TABLES,
    MappingSettings,
    Settings,
    fields,
    new_variables,
    variables,
)
from gateway.settings.old_names import RENAMED, OldName, explained, with_new_names, with_new_variables
from gateway.settings.rows import every_row
from gateway.settings.server import Server
from gateway.settings.site_files import SiteFiles, with_secret_files
from gateway.settings.values import is_loopback
from mappings.issues import SiteError
from mappings.profile import DEMO_SITE_KEY, Site, read_site

_NOTHING: Final[Mapping[str, str]] = {}
_ALL: Final = "docs/reference/settings.md lists all settings"
# Type of a pydantic error -> problem text shown in its place
_PROBLEMS: Final = {"missing": "missing"}

# Start of a tomllib error text -> remedy
_TOML_REMEDIES: Final = {
    "Cannot declare": "Write each [table] once, with all its keys under it.",
    "Cannot overwrite": "Write each key once.",
    "Invalid value": "Write text in quotes.",
    "Unescaped '\\'": "Write a path with / or in single quotes.",
    "Invalid hex value": "Write a path with / or in single quotes.",
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Result of `load`: the settings, the `Site` of the mappings, and their source (a file name, or `environment`).

    `old_names` are the old names of settings that the source or the environment uses.
    """

    settings: Settings
    site: Site
    source: str
    old_names: tuple[OldName, ...] = ()

    @property
    def state_dir(self) -> Path:
        """Folder for state that is kept beside the database, such as the feed journal."""
        file = self.settings.database.file
        return self.settings.feed.state_dir or (file.parent if file is not None else Path())

    @property
    def audit_dir(self) -> Path | None:
        """Folder of the audit journal; None without an audit: nobody is authenticated, and `audit.dir` is not set."""
        return self.settings.audit.dir or (self.state_dir / "audit" if self.settings.auth.needs_token else None)

    @property
    def audit_seal_key(self) -> Path:
        """File of the key that seals the audit journal."""
        return self.settings.audit.seal_key or self.state_dir / "audit-seal.pem"

    @property
    def zone(self) -> ZoneInfo:
        """Time zone of dates without one: the setting, else the facilities' shared zone, else UTC."""
        if self.settings.fhir.time_zone:
            return ZoneInfo(self.settings.fhir.time_zone)
        zones = {one.time_zone for one in self.site.facilities.values()}
        shared = zones.pop() if len(zones) == 1 else None
        return shared or ZoneInfo("UTC")

    def listening_on(self, host: str | None = None, port: int | None = None) -> Configuration:
        """Return a copy with another `server.host` or `server.port`, from the command line.

        Raises:
            ConfigError: the host or port is invalid.
        """
        given = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
        try:
            server = Server.model_validate(self.settings.server.model_dump() | given)
        except ValidationError as error:
            raise next(_pydantic_problems(error, "command line", ("server",))) from None
        settings = self.settings.model_copy(update={"server": server})
        return replace(self, settings=settings, site=replace(self.site, fhir_base=server.fhir_base))


def load(path: Path | None = None) -> Configuration:
    """Read the TOML file (`path`, else the one that `GATEWAY_CONFIG` names, else none) and the environment.

    Raises:
        ConfigError: the first setting that is wrong; `survey` returns all of them.
    """
    configuration, problems = survey(path)
    if configuration is None or problems:
        raise problems[0]
    return configuration


def require_guarded(configuration: Configuration) -> None:
    """Refuse to listen where other machines reach it, without login or without TLS (decision D10).

    Raises:
        ConfigError: `server.host` is no loopback address, and nobody logs in, or tokens could be read on the way.
    """
    server = configuration.settings.server
    if is_loopback(server.host):
        return
    if not configuration.settings.auth.needs_token:
        problem = "an address that other machines reach, and nobody has to log in"
        raise ConfigError(configuration.source, "server.host", problem, "Listen on 127.0.0.1, or set auth.mode.")
    if server.tls_certificate is None and not server.trusted_proxies:
        raise ConfigError(
            configuration.source,
            "server.host",
            "an address that other machines reach, without TLS: tokens and reports could be read on the way",
            "Set server.tls_certificate, or name the proxy that provides TLS in server.trusted_proxies.",
        )


def require_mode(configuration: Configuration) -> None:
    """Refuse to serve without a decision on who may read (decision D10).

    Raises:
        ConfigError: there is no `auth.mode`.
    """
    if configuration.settings.auth.mode is None:
        raise ConfigError(
            configuration.source,
            "auth.mode",
            "missing: nothing says who may read the reports",
            'Write "builtin" or "external" and register clients (docs/facade.md), or "none" and start with '
            "--insecure: everybody on this machine may read.",
        )


def require_site_key(configuration: Configuration) -> None:
    """Refuse the published demo key for patient ids (decision D11).

    Raises:
        ConfigError: there is no site key, or it is the published one.
    """
    if configuration.site.site_key == DEMO_SITE_KEY:
        raise ConfigError(
            configuration.source,
            "mapping.site_key",
            "missing, or the published demo key",
            "Make one with `autoscribe-gateway keys site` and set GATEWAY_MAPPING__SITE_KEY.",
        )


def require_audit_place(configuration: Configuration) -> None:
    """Refuse to keep the audit or its key in the working directory, which differs from one start to the next.

    Raises:
        ConfigError: there is an audit, and no setting says where its folder or its key lies (decision D42).
    """
    settings, has_audit = configuration.settings, configuration.audit_dir is not None
    if not has_audit or settings.feed.state_dir is not None or settings.database.file is not None:
        return
    if settings.audit.dir is None or settings.audit.seal_key is None:
        raise ConfigError(
            configuration.source,
            "feed.state_dir",
            "missing: with PostgreSQL the audit or its seal key would lie in the working directory",
            "Name a folder that stays and has backups, or set both audit.dir and audit.seal_key.",
        )


def survey(path: Path | None = None) -> tuple[Configuration | None, list[ConfigError]]:
    """Read the settings and return every fault as an error, without values; faulty site settings are left out.

    The configuration is None if the file cannot be read, or if a setting of the service itself is wrong.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    path = path or (Path(named) if named else None)
    source = str(path) if path else "environment"
    try:
        text, table = _read_file(path)
    except ConfigError as error:
        return None, [error]
    named_anew, old = with_new_names(source, table), with_new_variables(_old_variables(), os.environ)
    files = SiteFiles.read(source, path, named_anew.table)
    secrets = with_secret_files(with_secrets(named_anew.table, os.environ), os.environ)
    unknown = _unknown_variables(os.environ, secrets.known)
    problems = [*named_anew.problems, *old.problems, *unknown, *files.problems, *secrets.problems]
    settings, key = None, None
    try:
        settings = Settings(**secrets.table)
        key = settings.mapping.site_key
    except ValidationError as error:
        problems += _pydantic_problems(error, source, given=secrets.used)
    given = named_anew.mapping | dict(_mapping_from_environment())
    site, faults = read_site(
        text, site_key=key.get_secret_value().encode() if key else None, files=files.texts, given=given
    )
    reported = {problem.key for problem in problems}
    replaced = {one.old for one in named_anew.used}
    faults = [one for one in faults if one.key not in replaced]
    site_problems = [files.problem(fault) or _problem(source, fault, secrets.used) for fault in faults]
    problems += [problem for problem in site_problems if problem.key not in reported]
    problems = [explained(one) for one in problems]
    if settings is None:
        return None, problems
    site = replace(site, fhir_base=settings.server.fhir_base, canonical=settings.fhir.canonical)
    return Configuration(settings, site, source, (*named_anew.used, *old.used)), problems


def _old_variables() -> dict[str, str]:
    """Return the new environment variable for each old one."""
    by_file = {*FILE_ONLY, *(f"{section}.{name}" for section in TABLES for name in TABLES[section].model_fields)}
    named = [(old, new) for old, new in RENAMED.items() if new not in by_file]
    return {variable: new_variables(new)[0] for old, new in named for variable in new_variables(old)}


def _mapping_from_environment() -> Iterator[tuple[str, Any]]:
    """Yield the `[mapping]` settings from the environment, except the site key; invalid ones are reported elsewhere."""
    for name in MappingSettings.model_fields.keys() - {"site_key"}:
        for variable in reversed(variables(f"mapping.{name}")):
            if value := os.environ.get(variable):
                with contextlib.suppress(ValidationError):
                    read = getattr(MappingSettings.model_validate({name: value}), name)
                    yield name, str(read) if isinstance(read, Path) else list(read) if isinstance(read, tuple) else read


def _read_file(path: Path | None) -> tuple[str, dict[str, Any]]:
    if path is None:
        return "", {}
    try:
        text = path.read_text("utf-8-sig")
        return text, tomllib.loads(text)
    except OSError as error:
        problem, remedy = f"cannot be read ({os.strerror(error.errno or 0)})", "Name a file that is there and readable."
    except UnicodeDecodeError:
        problem, remedy = "not UTF-8", "Save the file as UTF-8."
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at .*\)$", str(error))
        problem = f"not TOML {place.group() if place else ''}".strip()
        remedy = _toml_remedy(str(error))
    except (ValueError, RecursionError):
        problem, remedy = "not TOML that can be read", "Shorten the numbers and the nesting."
    raise ConfigError(str(path), "file", problem, remedy)


def _toml_remedy(reason: str) -> str:
    """Return the remedy for text that is no TOML; the reason itself is not shown, since it may hold a value."""
    known = (one for start, one in _TOML_REMEDIES.items() if reason.startswith(start))
    return next(known, "Mend that line; https://toml.io has the syntax.")


def _unknown_variables(environ: Mapping[str, str], secrets: AbstractSet[str]) -> Iterator[ConfigError]:
    known = {variable for section, name, _ in fields() for variable in variables(f"{section}.{name}")} | secrets
    sections = {f"{PREFIX}{section}".upper() for section in Settings.model_fields}
    for name in sorted(environ.keys() - known):
        upper = name.upper()
        if upper in sections or (upper.startswith(PREFIX) and "__" in upper):
            near = difflib.get_close_matches(upper, sorted(known), n=1, cutoff=0.8)
            remedy = (
                f"Did you mean {near[0]}? Else take it out: {_ALL}."
                if near
                else f"Variables are GATEWAY_<SECTION>__<FIELD>: {_ALL}."
            )
            yield ConfigError("environment", name, "no such setting", remedy)


def _pydantic_problems(
    error: ValidationError, source: str, under: tuple[str, ...] = (), *, given: Mapping[str, str] = _NOTHING
) -> Iterator[ConfigError]:
    """Yield a ConfigError for each pydantic error; `given` maps keys of secrets to their variables."""
    for entry in error.errors(include_url=False, include_input=False, include_context=False):
        key, described = _place((*under, *entry["loc"]))
        if entry["type"] == "extra_forbidden":
            problem, remedy = "no such setting", _instead_of(key, described)
        else:
            problem = _PROBLEMS.get(entry["type"]) or entry["msg"].removeprefix("Value error, ").removeprefix("Input ")
            remedy = _DESCRIBED.get(described, "Write a table of settings.")
            if key in TABLES:
                remedy = f"Write each table under `[[{key}]]`."
        fault = SiteError(key, problem, remedy)
        yield _problem(source, fault, given)


def _instead_of(key: str, described: str) -> str:
    """Return the remedy for an unknown key: a key of the same section with a similar name, or none."""
    section, _, name = described.rpartition(".")
    names = [one.rpartition(".")[2] for one in _DESCRIBED if one.rpartition(".")[0] == section]
    place = "" if "[" in key or not section else f"{section}."
    for near in difflib.get_close_matches(name, names or Settings.model_fields, n=1):
        return f"Did you mean {place}{near}? Else take it out: {_ALL}."
    return f"Take it out: {_ALL}."


def _place(parts: tuple[int | str, ...]) -> tuple[str, str]:
    """Return the key of a setting (`server.port`, `destination[0].start`), and the key without the table index."""
    for depth in (1, 2):
        section, rest = ".".join(map(str, parts[:depth])), parts[depth:]
        if section in TABLES and rest:
            names = "".join(f".{one}" for one in rest[1:2])
            return f"{section}[{rest[0]}]{names}", f"{section}{names}"
    key = ".".join(map(str, parts[:2]))
    return key, key


def _problem(source: str, fault: SiteError, given: Mapping[str, str] = _NOTHING) -> ConfigError:
    """Build the error: it names the environment variable if the value came from there, else the file and key."""
    for variable in (given.get(fault.key, ""), *variables(fault.key)):
        if variable and (variable in given.values() or os.environ.get(variable)):
            return ConfigError("environment", variable, fault.problem, fault.remedy)
    return ConfigError(source, fault.key, fault.problem, fault.remedy)


_DESCRIBED: Final = {row.key: f"{row.description} It takes: {row.type}." for row in every_row()}
