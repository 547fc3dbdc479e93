"""`autoscribe-gateway check-config`: every mistake in the settings with file, key and remedy; else what is in force.

Carries out no clause of a standard: the settings are the gateway's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from gateway.errors import ConfigError
from gateway.settings import Configuration, load, problems, require_loopback, require_site_key
from mappings.profile import Facility


def faults(path: Path | None) -> list[ConfigError]:
    """What keeps `serve` from starting: wrong settings first, then what is missing."""
    found = problems(path)
    if found:
        return found
    configuration = load(path)
    return [error for check in (_loopback, _site_key, _api_key) for error in check(configuration)]


def effective(configuration: Configuration) -> Iterator[str]:
    """The settings in force, one `section.field = value` a line, secrets masked."""
    for section, group in configuration.settings:
        for name, value in group if isinstance(group, BaseModel) else ():
            if (section, name) != ("mapping", "facilities"):
                yield f"{section}.{name} = {_shown(value)}"
    for name, facility in configuration.site.facilities.items():
        if name == facility.name:
            yield f"facility {facility.name}: {_facility(facility)}"


def doubts(configuration: Configuration) -> Iterator[str]:
    """What works, but says less than it could: facilities whose settings leave something unknown."""
    if not configuration.site.facilities:
        yield "no [[mapping.facilities]]: no time of day is sent, and no patient is linked to another study"
    for name, facility in configuration.site.facilities.items():
        if name == facility.name:
            for field, effect in _UNSAID.items():
                if getattr(facility, field) is None:
                    yield f"facility {name}: {effect}"


_UNSAID = {
    "time_zone": "no time_zone: only dates are sent, no time of day",
    "mrn": "no mrn_system and mrn_namespace: its patients are never linked to another study",
    "name_order": "no name_order: names without a comma or caret are not split",
}


def _loopback(configuration: Configuration) -> Iterator[ConfigError]:
    try:
        require_loopback(configuration.settings.server.host)
    except ConfigError as error:
        yield error


def _site_key(configuration: Configuration) -> Iterator[ConfigError]:
    try:
        require_site_key(configuration)
    except ConfigError as error:
        yield error


def _api_key(configuration: Configuration) -> Iterator[ConfigError]:
    if configuration.settings.upstream.api_key is None:
        yield ConfigError(
            configuration.source,
            "upstream.api_key",
            "missing",
            "Make a key with the study scope All in AutoScribe's dashboard and set AVARA_API_KEY.",
        )


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "**********"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return "" if value is None else str(value)


def _facility(facility: Facility) -> str:
    said = {
        "aliases": ", ".join(facility.aliases),
        "time zone": facility.time_zone.key if facility.time_zone else "",
        "name order": facility.name_order or "",
        "MRN": f"{facility.mrn.namespace} {facility.mrn.system}" if facility.mrn else "",
        "external patient id": (
            f"{facility.external_patient_id.namespace} {facility.external_patient_id.system}"
            if facility.external_patient_id
            else ""
        ),
        "code": facility.code or "",
    }
    return "; ".join(f"{name} {text}" for name, text in said.items() if text)
