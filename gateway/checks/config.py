"""List every fault in the settings with a remedy, for `check-config` and before the service starts.

Carries out no clause of a standard: the settings are the gateway's own; decision D10. Without faults, the settings are
listed. What must be right before the service starts: roles, address, site key, certificate, destinations, login.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from gateway.checks import certificate_expiry, destinations, login
from gateway.checks.certificate_expiry import faults as certificate_faults
from gateway.checks.destinations import faults as destination_faults
from gateway.checks.folders import open_folders
from gateway.checks.login import check_login
from gateway.ingest.orders.sources import check_files, sources_of, survey_sources
from gateway.routing import Destination, routes_of, survey_routes
from gateway.runtime.command_words import FEED, ROLES
from gateway.runtime.errors import ConfigError
from gateway.settings import (
    Configuration,
    SettingRow,
    every_row,
    require_audit_place,
    require_guarded,
    require_mode,
    require_site_key,
    rows,
    survey,
)
from gateway.settings.destination import OVERRIDES
from mappings.hl7v2.receiver_rules import contradictions
from mappings.profile import (
    AssigningAuthority,
    Facility,
    OrderNumberKind,
    Receiver,
    Site,
    starter,
    switches,
    written_as,
)


def faults(path: Path | None) -> list[ConfigError]:
    """List all faults: wrong settings, missing settings, then faults with which the service still starts."""
    configuration, errors = survey(path)
    if configuration is None:
        return errors
    reported = {error.key for error in errors}
    own = (_required, api_key, login.faults, certificate_expiry.faults)
    checks = (*own, destinations.faults, source_faults, served_all_the_same)
    missing = [error for check in checks for error in check(configuration)]
    return [*errors, *(error for error in missing if error.key not in reported)]


def source_faults(configuration: Configuration) -> Iterator[ConfigError]:
    """List the faults that keep a source of hospital messages from listening: keys, facilities and certificates."""
    yield from survey_sources(configuration)[1]
    yield from check_files(configuration)


def served_all_the_same(configuration: Configuration) -> Iterator[ConfigError]:
    """List the faults with which the service starts anyway: reports would be held, or break a receiver's rule."""
    yield from certificate_expiry.expired(configuration)
    yield from _receivers(configuration)
    yield from destinations.unassigned(configuration)
    reported: set[str] = set()
    for destination in survey_routes(configuration)[0].destinations:
        for fault in _vista_faults(destination, configuration) if destination.is_enabled else ():
            if fault.key not in reported:
                yield fault
            reported.add(fault.key)


def effective(configuration: Configuration) -> Iterator[str]:
    """Yield the settings in force as lines: each single one that differs from its default, the tables, then experts'.

    Secrets are masked. Of files only their sizes are shown, since they hold names of people.
    """
    site = configuration.site
    yield f"settings: {configuration.source}; what is not shown has its default (docs/reference/settings.md)"
    yield from (line for row, line in _changed(configuration) if not row.is_expert)
    for facility in dict.fromkeys(site.facilities.values()):
        yield f"facility {facility.name}: {_facility(facility)}"
    for customer, authority in site.express_customers.items():
        yield f"express customer {customer}: external patient id {_authority(authority)}"
    yield _dictionary(site)
    yield f"providers: {len(site.providers.by_name)} names, {len(site.providers.by_user_id)} users"
    for receiver in site.receivers.values():
        yield f"receiver {receiver.name}: {'; '.join(_receiver(receiver))}"
    for escalation in configuration.settings.feed.escalate:
        yield f"escalation after {escalation.minutes:g} minutes: {urlsplit(escalation.url.get_secret_value()).hostname}"
    for destination in routes_of(configuration).destinations:
        yield f"destination {destination.name}: {'; '.join(_destination(destination, configuration))}"
    for rule in configuration.settings.ignore:
        conditions = (f"{key} {_shown(value)}" for key, value in rule if value is not None and key != "name")
        yield f"ignore {rule.name}: {'; '.join(conditions)}"
    yield from _sources(configuration)
    yield from (f"expert: {line}" for row, line in _changed(configuration) if row.is_expert)
    yield from _expert_keys(configuration)


def _changed(configuration: Configuration) -> Iterator[tuple[SettingRow, str]]:
    """Yield each single setting that differs from its default, as a line with the default."""
    for row in rows():
        section, _, name = row.key.partition(".")
        group = getattr(configuration.settings, section)
        value = getattr(group, name)
        if row.env and value != type(group).model_fields[name].default:
            yield row, f"{row.key} = {_beside_default(row, value)}"


def _expert_keys(configuration: Configuration) -> Iterator[str]:
    """Yield each expert's key that a table of destinations or sources sets, unless the table's line shows it."""
    for section in ("destination", "source"):
        for table in getattr(configuration.settings, section):
            for name, value in table:
                if name in table.model_fields_set - _SAID and (row := _ROWS[f"{section}.{name}"]).is_expert:
                    yield f"expert: {section} {table.name}: {name} = {_beside_default(row, value)}"


def _beside_default(row: SettingRow, value: object) -> str:
    return f"{_shown(value)} (default: {row.default or 'not set'})"


def warnings(configuration: Configuration) -> Iterator[str]:
    """List old names of settings, and settings that lose information or disclose more than a site may want."""
    site = configuration.site
    yield from map(str, configuration.old_names)
    yield from _service(configuration)
    yield from certificate_expiry.warnings(configuration)
    yield from _policies(site)
    yield from _numbers(site)
    yield from _facilities(site)
    yield from _bare_numbers(configuration)
    for receiver in site.receivers.values():
        for warning in _receiver_warnings(receiver, configuration):
            yield f"receiver {receiver.name}: {warning}"
    for destination in routes_of(configuration).destinations:
        if destination.is_enabled and destination.receiver not in site.receivers.values():
            for warning in _receiver_warnings(destination.receiver, configuration):
                yield f"destination {destination.name}: {warning}"
    yield from destinations.warnings(configuration)
    yield from open_folders(configuration)


_UNSAID: Final = {
    "time_zone": "no time_zone: only dates are sent, no time of day",
    "mrn": "no mrn_system and mrn_namespace: its patients are never linked to another study",
    "name_order": "no name_order: names without a comma or caret are not split",
}


_ISSUERS: Final[dict[OrderNumberKind, str]] = {"accession": "accession_system", "placer": "placer_system"}


def _service(configuration: Configuration) -> Iterator[str]:
    settings = configuration.settings
    if settings.webhook.key is None:
        yield "no webhook.key: webhooks are refused, and a signature is seen only by the next poll of AutoScribe"
    if not settings.feed.alert_key and any(one.key is None for one in settings.feed.escalate):
        yield "feed.escalate without a key, and no feed.alert_key: alerts to that address are not signed"
    if settings.feed.escalate and settings.feed.alert_url is None:
        yield "feed.escalate, and no feed.alert_url: alerts come only by escalation, of critical results alone"
    if settings.fhir.claim_us_core:
        yield "fhir.claim_us_core is on: US Core asks for create of reports, which the gateway refuses"
    zones = {facility.time_zone for facility in configuration.site.facilities.values()}
    if not settings.fhir.time_zone and len(zones) > 1:
        yield "no fhir.time_zone, and the facilities do not share one: a day in a search is a day in UTC"


def _policies(site: Site) -> Iterator[str]:
    if site.send_drafts:
        yield "send_drafts is on: unsigned text leaves, in FHIR and to receivers whose profile sends drafts"
    if site.on_cancelled_after_sign == "withdraw":
        yield "on_cancelled_after_sign is withdraw: cancelling a study after signing withdraws its sent reports"
    if not site.procedures:
        yield "no procedures file, and the starter is off: procedures are sent as text, without a code"


def _numbers(site: Site) -> Iterator[str]:
    if site.number_separator and not (site.accession_keys or site.placer_keys or site.vista.exam_keys):
        yield "number_separator has no effect: neither accession_keys nor placer_keys are set"
    for key in site.accession_keys:
        if key in site.placer_keys:
            yield "accession_keys and placer_keys share a key: one number is sent as both"


def _facilities(site: Site) -> Iterator[str]:
    if not site.facilities:
        yield "no [[mapping.facilities]]: no time of day is sent, and no patient is linked to another study"
    for facility in dict.fromkeys(site.facilities.values()):
        for field, effect in _UNSAID.items():
            if getattr(facility, field) is None:
                yield f"facility {facility.name}: {effect}"
        yield from _lacking_issuers(facility, site)
        if facility.code is None and not site.sending_facility:
            yield f"facility {facility.name}: no code, and no sending_facility: MSH-4 is its name"


def _lacking_issuers(facility: Facility, site: Site) -> Iterator[str]:
    """Note facilities whose order numbers have no issuer, though others' have one: those numbers match no order."""
    for kind, setting in _ISSUERS.items():
        if site.order_authority(kind, facility) is None and any(
            site.order_authority(kind, other) for other in site.facilities.values()
        ):
            yield f"facility {facility.name}: no {setting}, and other facilities have one: its numbers match no order"


_BARE: Final = {"visit": "PV1-19", "account": "PID-18"}
# Fields of one component (ST): an accession number there never names an authority
_WITHOUT_AUTHORITY: Final = ("OBR-18", "OBR-19", "OBR-20", "OBR-21")


def _bare_numbers(configuration: Configuration) -> Iterator[str]:
    """Note sources whose numbers get no authority if a message names none: those numbers match nothing."""
    for table in configuration.settings.source:
        named = dict.fromkeys((table.facility, *table.sending_facilities.values()))
        known = [one for name in named if name and (one := configuration.site.facility(name))]
        accession = table.accession_field or "OBR-18"
        if not known and "orders" in table.may and accession in _WITHOUT_AUTHORITY:
            why = "neither facility nor sending_facilities"
            yield f"source {table.name}: {why}: an accession number of {accession} has no authority and matches nothing"
        for facility in known if {"orders", "visits"}.intersection(table.may) else ():
            for kind, field in _BARE.items():
                if getattr(facility, kind) is None:
                    why = f"facility {facility.name} has no {kind}_system"
                    yield f"source {table.name}: {why}: {field} is not sent if its message names no authority"


def _receiver_warnings(receiver: Receiver, configuration: Configuration) -> Iterator[str]:
    site = configuration.site
    if not site.accession_keys and receiver.accession == "required":
        yield "needs an accession number, and no accession_keys are set: most messages will be held"
    if not site.placer_keys and receiver.placer_required == "on":
        yield "refuses a message without a placer order number, and no placer_keys are set"
    for setting, problem in _vista_lacks(receiver, site):
        yield f"{problem}, and no {setting} is set: every message will be held"
    if receiver.interpreter == "local_id" and not site.providers.has_local_ids:
        yield "identifies signers by local id, and the providers file has none"
    if receiver.send_drafts == "on" and not site.send_drafts:
        yield "send_drafts is on, but not in [mapping]: no draft is sent"
    if receiver.pdf == "rp" and configuration.settings.server.public_url is None:
        yield "links to PDFs, and server.public_url is not set: the links work on this machine only"
    for rule, setting in destinations.unaddressed(receiver, site):
        yield f"its rule {rule.name} asks for {rule.field}, and no {setting} is set: nothing is sent"


def _vista_faults(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    for setting, problem in _vista_lacks(destination.receiver, configuration.site):
        said = f"missing, and destination {destination.name} {problem}: every message would be held"
        yield ConfigError(configuration.source, f"mapping.{setting}", said, _VISTA_REMEDIES[setting])


_VISTA_REMEDIES: Final = {
    "vista_dfn_namespace": "Write the mrn_namespace whose numbers are VistA's own; see docs/site.md.",
    "vista_ssn_namespace": "Write the mrn_namespace whose numbers are Social Security numbers, or vista_dfn_namespace "
    "with vista_station; see docs/site.md.",
    "vista_exam_keys": "Write the keys of a study's metadata that hold RADTI-RACNI; see docs/site.md.",
}


def _vista_lacks(receiver: Receiver, site: Site) -> Iterator[tuple[str, str]]:
    """List the missing settings that a VistA receiver needs to find patient and exam, each with the reason."""
    known = site.vista
    if receiver.vista_patient == "dfn" and not known.dfn_namespace:
        yield "vista_dfn_namespace", "knows patients by their DFN"
    if receiver.vista_patient == "ssn" and not (known.ssn_namespace or (known.dfn_namespace and known.station)):
        yield "vista_ssn_namespace", "knows patients by Social Security number, or by DFN and station"
    if receiver.vista_exam == "required" and not known.exam_keys:
        yield "vista_exam_keys", "knows a study by its exam"


def _sources(configuration: Configuration) -> Iterator[str]:
    for source, table in zip(sources_of(configuration), configuration.settings.source, strict=True):
        shown = {key for key in table.model_fields_set - {"name", "listen"} if not _ROWS[f"source.{key}"].is_expert}
        given = (f"{key} {_shown(value)}" for key, value in table if key in shown)
        yield f"source {source.name}: {'; '.join((str(source), *given))}"


def _required(configuration: Configuration) -> Iterator[ConfigError]:
    for require in (require_guarded, require_mode, require_site_key, require_audit_place):
        try:
            require(configuration)
        except ConfigError as error:
            yield error


def api_key(configuration: Configuration) -> Iterator[ConfigError]:
    """Yield a fault if the AutoScribe API key is missing."""
    if configuration.settings.upstream.api_key is None:
        yield ConfigError(
            configuration.source,
            "upstream.api_key",
            "missing",
            "Make a key with the study scope All in AutoScribe's dashboard and set AVARA_API_KEY.",
        )


def _receivers(configuration: Configuration) -> Iterator[ConfigError]:
    for receiver in configuration.site.receivers.values():
        for fault in contradictions(receiver):
            yield ConfigError(configuration.source, fault.key, fault.problem, fault.remedy)


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "**********"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _authority(authority: AssigningAuthority | None) -> str:
    return f"{authority.namespace} {authority.system}" if authority else ""


def _facility(facility: Facility) -> str:
    organization = facility.organization
    fields = {
        "aliases": ", ".join(facility.aliases),
        "time zone": facility.time_zone.key if facility.time_zone else "",
        "name order": facility.name_order or "",
        "MRN": _authority(facility.mrn),
        "MRN pattern": facility.mrn_pattern.pattern if facility.mrn_pattern else "",
        "external patient id": _authority(facility.external_patient_id),
        "code": facility.code or "",
        "NPI": organization.npi,
        "OID": organization.oid,
        "phone": organization.phone,
        "address": ", ".join(organization.address),
    }
    return "; ".join(f"{name} {text}" for name, text in fields.items() if text)


def _dictionary(site: Site) -> str:
    given = starter()
    own = sum(1 for text, codes in site.procedures.items() if given.get(text) != codes)
    fallbacks = ", ".join(f"{modality} {code.code}" for modality, code in site.procedure_fallbacks.items())
    said = f"procedures: {own} of the site, {len(site.procedures) - own} of the starter"
    return f"{said}; without a match {fallbacks}" if fallbacks else said


def _receiver(receiver: Receiver) -> Iterator[str]:
    """Yield the switches that differ from their default, and the number of rules."""
    for name, switch in switches().items():
        if getattr(receiver, name) != switch.default:
            yield f"{name} = {written_as(getattr(receiver, name))}"
    yield f"{len(receiver.rules)} rules"


_ROWS: Final = {row.key: row for row in every_row()}
# Keys of a destination that the other parts of its line already show
_SAID: Final = frozenset({"name", "kind", "receiver", "host", "port", "tls", "directory", "url", "style", *OVERRIDES})


def _destination(destination: Destination, configuration: Configuration) -> Iterator[str]:
    """Yield the transport, the keys set in the table, and the receiver profile with its switches."""
    table = next(one for one in configuration.settings.destination if one.name == destination.name)
    yield str(destination.transport)
    for key, value in table:
        if key in table.model_fields_set - _SAID and not _ROWS[f"destination.{key}"].is_expert:
            yield f"{key} {_shown(value)}"
    yield f"receiver {destination.receiver.name}"
    yield from _receiver(destination.receiver)


def check_start(configuration: Configuration, roles: Collection[str], *, holds_feed: bool, insecure: bool) -> None:
    """Check the settings and the roles that a service is to start with; `insecure` accepts requests without a token.

    Raises:
        ConfigError: the first fault found.
    """
    for role in roles:
        if role not in ROLES:
            raise ConfigError("command line", "--roles", f"no role {role!r}", f"Roles are {', '.join(ROLES)}.")
    if holds_feed and FEED not in roles:
        raise ConfigError("command line", "--hold-feed", "no role feed", "Give it to the process that has this role.")
    require_guarded(configuration)
    _require_login(configuration, insecure=insecure)
    require_site_key(configuration)
    require_audit_place(configuration)
    found = (certificate_faults, destination_faults, source_faults)
    for fault in (one for faults in found for one in faults(configuration)):
        raise fault
    check_login(configuration.settings)


def _require_login(configuration: Configuration, *, insecure: bool) -> None:
    """Check that the operator allows requests without a token twice: in the settings, and on the command line.

    Raises:
        ConfigError: said nowhere, or at one place alone.
    """
    require_mode(configuration)
    mode, option = configuration.settings.auth.mode, "--insecure"
    if mode == "none" and not insecure:
        remedy = f"Give {option} if this is a trial on this machine; else set auth.mode."
        raise ConfigError("command line", option, 'missing, and auth.mode is "none": everybody here may read', remedy)
    if mode != "none" and insecure:
        raise ConfigError("command line", option, f'given, and auth.mode is "{mode}"', "Leave it out.")
