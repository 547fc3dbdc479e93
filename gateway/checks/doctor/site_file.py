"""Write a site's settings file: what was answered, each with its reason; what is not known stands as a comment.

https://toml.io/en/v1.0.0; decisions D11, D14, D15. AutoScribe knows no time zone and no authority: none is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from gateway.checks.doctor.advice import advice, alias_hint, facility_table, is_writable, quoted, strangers
from gateway.checks.doctor.seen import Seen
from gateway.settings import Configuration, every_row
from mappings.profile import Site, exact

_HEAD: Final = """\
# Settings of this site, by `autoscribe-gateway setup`. docs/reference/settings.md has all others, with their defaults.
# Secrets are in files of their own, which the file `environment` names.
"""
_SENTENCE: Final = re.compile(r"(?:[^.;]|[.;](?! ))+")
_DESCRIBED: Final = {row.key: one[0].rstrip(".") for row in every_row() if (one := _SENTENCE.match(row.description))}
# Why a key of `[[mapping.facilities]]` is there, as the descriptions say of all other settings
_WHY: Final = {
    "aliases": "Other spellings: all have one set of patient numbers",
    "time_zone": "Without it only dates are sent",
    "name_order": "Order of names without a comma; marked_only: not known",
    "mrn_system": "Whose its patient numbers are, for FHIR",
    "mrn_namespace": "Whose its patient numbers are, for PID-3.4",
    "mrn_pattern": "Which of its patient numbers are good ones",
    "external_patient_id_system": "Whose numbers externalPatientId are, for FHIR",
    "external_patient_id_namespace": "Whose numbers externalPatientId are, for PID-3.4",
    "code": "MSH-4",
}


def site_file(given: Mapping[str, Any], seen: Seen, configuration: Configuration) -> str:
    """Return the text of the settings file: the answers `given`, and what the data seen suggests besides.

    `configuration` is what is in force without questions. With such a file as answers the text is the same again.
    """
    found = [name for name, _ in strangers(seen, Site()) if is_writable(name)]
    parts = [_HEAD]
    for section, table in {**given, "mapping": given.get("mapping", {})}.items():
        if section == "mapping":
            rest = {key: value for key, value in table.items() if key != "facilities"}
            parts += _table(section, rest, advice(seen, configuration).keys)
            parts += _facilities(table.get("facilities", []), () if "default_facility" in table else found)
        else:
            parts += _tables(section, table)
    return "\n".join(parts)


def _facilities(tables: list[dict[str, Any]], found: Iterable[str]) -> Iterator[str]:
    """Yield the table of each facility, and of those found besides, with a hint if its name is like one before it."""
    before: list[str] = []
    named = {exact(name) for table in tables for name in (table["name"], *table.get("aliases", ()))}
    for answered in [*tables, *({"name": name} for name in found if exact(name) not in named)]:
        table = {"name_order": "marked_only"} | answered
        lines = [_line("mapping.facilities", _key(key), _value(value)) for key, value in table.items() if key != "name"]
        yield facility_table(table["name"], lines, table.keys()) + alias_hint(table["name"], before)
        before += [table["name"], *table.get("aliases", ())]


def _tables(path: str, value: Any) -> Iterator[str]:
    """Yield a table, or each table of a list, with the tables in it."""
    for table in value if isinstance(value, list) else [value]:
        yield from _table(path, table, is_of_list=isinstance(value, list))


def _table(
    path: str, table: Mapping[str, Any], advised: Iterable[str] = (), *, is_of_list: bool = False
) -> Iterator[str]:
    """Yield a table with its advised settings, which replace the same ones, and comments; then the tables in it."""
    inner = {key: value for key, value in table.items() if _is_table(value)}
    plain = {_key(key): _value(value) for key, value in table.items() if key not in inner}
    plain |= dict(line.split(" = ", 1) for line in advised if not line.startswith("#"))
    lines = [_line(path, key, value) for key, value in plain.items()]
    lines += (line for line in advised if line.startswith("#"))
    if lines or not inner:
        yield "\n".join([f"[[{path}]]" if is_of_list else f"[{path}]", *lines]) + "\n"
    for key, value in inner.items():
        yield from _tables(f"{path}.{_key(key)}", value)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def _line(path: str, key: str, value: str) -> str:
    """Return a setting with its reason as a comment: the first sentence of its description."""
    why = _WHY.get(key, "") if path == "mapping.facilities" else _DESCRIBED.get(f"{path}.{key}", "")
    return f"{key} = {value}" + (f"   # {why}" if why else "")


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else quoted(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)
