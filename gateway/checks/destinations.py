"""Part of `check-config`: list faults that keep a destination from working, and destination settings to review.

HL7 v2.5.1 §2.15.9 (MSH), RFC 5280 §4.1.2.5 (validity of certificates); decisions D14, D31, D34. Messages do not repeat
wrong names and paths, since they may be misplaced secrets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.routing import Destination, Folder, Http, Mllp, routes_of, survey_routes
from gateway.routing.filter import unknown_facilities
from gateway.routing.transport import tls_of
from gateway.runtime import clock
from gateway.runtime.client_key import read_client_key
from gateway.runtime.errors import ConfigError
from gateway.runtime.tls import tls_context
from gateway.settings import Configuration, DestinationSettings, IgnoreSettings, is_loopback
from gateway.settings.destination import EVERY, OVERRIDES
from mappings.hl7v2.receiver_rules import contradictions
from mappings.profile import MODALITIES, NAME_ORDERS, Facility, Receiver, Rule, Site, exact, written_as
from mappings.values.procedures import dicom_modality, modality_parts

# MSH field -> the `[mapping]` setting that fills it; a receiver profile may have its own for MSH-5 and MSH-6
_MSH: Final = {"MSH-3": "sending_application", "MSH-5": "receiving_application", "MSH-6": "receiving_facility"}
_SOON: Final = timedelta(days=30)
_PEM: Final = {
    "ca_file": "Name a PEM file of certificates of authorities.",
    "client_cert": "Name a PEM certificate, in client_key its key, and the password of that if it has one.",
}
_RELATIVE: Final = "a path is relative to the settings file"


def faults(configuration: Configuration) -> Iterator[ConfigError]:
    """List faults that keep destinations from working: keys, files, unknown facilities, demands of the profile."""
    routes, route_faults = survey_routes(configuration)
    yield from route_faults
    reported: set[str] = set()
    for destination in routes.destinations:
        for check in _CHECKS if destination.is_enabled else ():
            for fault in check(destination, configuration):
                if fault.key not in reported:
                    yield fault
                reported.add(fault.key)
    for index, rule in enumerate(configuration.settings.ignore):
        yield from _strangers(f"ignore[{index}]", rule, configuration)


def unassigned(configuration: Configuration) -> Iterator[ConfigError]:
    """List destinations that would hold reports as authority-unknown (D11), as far as the settings show it.

    The service still starts, and holds those reports.
    """
    reported: set[str] = set()
    for destination in survey_routes(configuration)[0].destinations:
        if destination.is_enabled and destination.mrn_authority == "facility":
            for fault in _unassigned(destination, configuration):
                if fault.key not in reported:
                    yield fault
                reported.add(fault.key)


def warnings(configuration: Configuration) -> Iterator[str]:
    """List destination settings that work, but may not be intended. Call it only if there are no faults."""
    destinations = routes_of(configuration).destinations
    for destination in destinations:
        if not destination.is_enabled:
            yield f"destination {destination.name}: enabled is off: nothing is queued for it"
            continue
        checks = (_warnings_of_acks, _warnings_of_filters, _warnings_of_merges)
        for warning in (
            *_warnings_of_sending(destination),
            *chain(*(one(destination, configuration) for one in checks)),
        ):
            yield f"destination {destination.name}: {warning}"
    if any(one.is_enabled for one in destinations):
        yield from _uncovered(configuration)


def unaddressed(receiver: Receiver, site: Site) -> Iterator[tuple[Rule, str]]:
    """List receiver rules that block every message because of a name in MSH, each with the setting that cures it."""
    for rule in receiver.rules:
        setting = _MSH.get(str(rule.field), "")
        if not setting or rule.level != "block":
            continue
        name = (getattr(receiver, setting) or getattr(site, setting)).strip()
        is_wrong = rule.must == "match" and not re.fullmatch(rule.value[0], name)
        if is_wrong or (rule.must == "be_valued" and not name):
            yield rule, setting


def _tls_files(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    tls = tls_of(destination.transport)
    if tls is None:
        return
    unread = False
    files = {"ca_file": tls.ca_file, "client_cert": tls.certificate_file, "client_key": tls.key_file}
    for key, path in files.items():
        if path is not None and (why := _unreadable(path)):
            unread = True
            remedy = f"Name a PEM file that is there and readable; {_RELATIVE}."
            yield ConfigError(configuration.source, f"{destination.place}.{key}", f"cannot be read ({why})", remedy)
    if unread:
        return
    try:
        tls_context(tls, configuration.source)
    except ConfigError as error:
        key = "ca_file" if error.key == "tls.ca_file" else "client_cert"
        yield ConfigError(configuration.source, f"{destination.place}.{key}", error.problem, _PEM[key])
        return
    if tls.certificate_file is not None and _valid_until(tls.certificate_file) <= clock.now():
        remedy = "Have it renewed: the receiver will refuse it."
        yield ConfigError(
            configuration.source, f"{destination.place}.client_cert", "the certificate has expired", remedy
        )


def _directory(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    if not isinstance(destination.transport, Folder):
        return
    path = destination.transport.path
    problem = "cannot be written to"
    if not path.exists():
        problem = "not there"
    elif not path.is_dir():
        problem = "no directory"
    elif os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return
    remedy = f"Make the directory, and let the service's user read and write there; {_RELATIVE}."
    yield ConfigError(configuration.source, f"{destination.place}.directory", problem, remedy)


def _names(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    return _strangers(destination.place, _table(destination, configuration), configuration)


def _strangers(
    place: str, table: DestinationSettings | IgnoreSettings, configuration: Configuration
) -> Iterator[ConfigError]:
    """Yield a fault for each facility in a filter that the site does not know: the filter would never match."""
    names = table.facilities or ()
    for stranger in unknown_facilities(names, configuration.site):
        problem = "matches nothing: no [[mapping.facilities]] has this name or alias"
        remedy = (
            "Write the name or an alias of one of these tables, or add a table with the name as AutoScribe reports it."
        )
        yield ConfigError(configuration.source, f"{place}.facilities[{names.index(stranger)}]", problem, remedy)


def _name_orders(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    """Yield a fault for each facility without a name order: an MLLP receiver files patients by name parts (D14)."""
    if not isinstance(destination.transport, Mllp):
        return
    if not configuration.site.facilities:
        remedy = "Write a [[mapping.facilities]] table for each facility, with its name_order."
        problem = f"missing: destination {destination.name} needs the order of names of each facility"
        yield ConfigError(configuration.source, "mapping.facilities", problem, remedy)
    for facility in destination.facilities(configuration.site):
        if facility.name_order is None:
            problem = f"missing, and destination {destination.name} sends names of its patients in parts"
            remedy = f"Write {', '.join(NAME_ORDERS[:-1])}, or marked_only: then commas and carets alone split."
            yield ConfigError(configuration.source, f"{_place(facility, configuration)}.name_order", problem, remedy)


def _unassigned(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    other = f'mrn_authority = "receiver" in {destination.place}, if every MRN is the receiver\'s own'
    if not configuration.site.facilities:
        problem = "no assigning authority of MRNs is known: every report with an MRN would be held as authority-unknown"
        remedy = f"Write a [[mapping.facilities]] table with mrn_system and mrn_namespace for each, or {other}."
        yield ConfigError(configuration.source, f"{destination.place}.facilities", problem, remedy)
    for facility in destination.facilities(configuration.site):
        if facility.mrn is None:
            problem = f"missing, and destination {destination.name} would hold its reports as authority-unknown"
            remedy = f"Write the authority of its MRNs as the receiver knows it, and mrn_system; or {other}."
            yield ConfigError(configuration.source, f"{_place(facility, configuration)}.mrn_namespace", problem, remedy)
    namespaces = destination.mrn_namespaces(configuration.site)
    if destination.needs_one_namespace and len(namespaces) > 1:
        problem = f"PID-3 is a bare number there, and MRNs of {', '.join(namespaces)} would look alike: all are held"
        remedy = f"Write the facilities of one namespace, and a destination for each other; or {other}."
        yield ConfigError(configuration.source, f"{destination.place}.facilities", problem, remedy)


def _place(facility: Facility, configuration: Configuration) -> str:
    """Return the key of a facility's table, with its index if known."""
    names = [str(row.get("name", "")).strip() for row in configuration.settings.mapping.facilities]
    return f"mapping.facilities[{names.index(facility.name)}]" if facility.name in names else "mapping.facilities"


def _receivers_own(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    """Yield a fault if `mrn_authority` is receiver, but the receiver requires an assigning authority."""
    if destination.mrn_authority == "receiver":
        for rule in destination.receiver.rules:
            if (str(rule.field), rule.level, rule.must) == ("PID-3.4", "block", "be_valued"):
                problem = f"no MRN has an authority then, and the receiver asks for one: its rule {rule.name}"
                remedy = 'Write mrn_authority = "facility", and mrn_namespace for each facility.'
                yield ConfigError(configuration.source, f"{destination.place}.mrn_authority", problem, remedy)


def _header(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    for rule, setting in unaddressed(destination.receiver, configuration.site):
        said = "empty" if rule.must == "be_valued" else "not as the receiver takes it"
        problem = f"{said}, and destination {destination.name} would be sent nothing: {rule} (rule {rule.name})"
        remedy = f"Write what the receiver expects in {rule.field}, here or in a receiver profile of your own."
        yield ConfigError(configuration.source, f"mapping.{setting}", problem, remedy)


def _own_switches(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    """Yield contradictions between a destination's own switches and its profile's."""
    profile = configuration.site.receiver(_table(destination, configuration).receiver)
    if destination.receiver == profile:
        return
    before = {(fault.key, fault.problem) for fault in contradictions(profile)}
    for fault in contradictions(destination.receiver):
        if (fault.key, fault.problem) not in before:
            switch = fault.key.removeprefix(f"mapping.receivers.{profile.name}.")
            key = switch if switch in OVERRIDES else "receiver"
            yield ConfigError(configuration.source, f"{destination.place}.{key}", fault.problem, fault.remedy)


def _ehr_key(destination: Destination, configuration: Configuration) -> Iterator[ConfigError]:
    if destination.ehr is not None:
        try:
            read_client_key(destination.ehr.key_file, configuration.source, f"{destination.place}.ehr_key_file")
        except ConfigError as fault:
            yield fault


_CHECKS: Final = (_tls_files, _directory, _names, _name_orders, _receivers_own, _header, _own_switches, _ehr_key)


def _warnings_of_sending(destination: Destination) -> Iterator[str]:
    transport, now = destination.transport, clock.now()
    if destination.dry_run:
        yield "dry_run is on: nothing is sent"
    if destination.start > now:
        yield "start is in the future: reports signed before it are sent only by backload"
    if transport.is_readable_on_the_way:
        yield "no TLS, and the receiver is on another machine: reports are readable on the network"
    if isinstance(transport, Mllp) and _is_open(transport):
        yield "ack_listen is without TLS (set tls and client_cert): the addresses of its clients can be forged"
    if destination.quiet.stretches:
        yield "quiet_hours hold critical results back, too"
    if isinstance(transport, Http) and transport.style == "plain":
        yield "style is plain: any answer of 2xx counts as delivered"
    tls = tls_of(transport)
    if tls is not None and tls.certificate_file is not None:
        left = _valid_until(tls.certificate_file) - now
        if left < _SOON:
            yield f"client_cert expires in {left.days} days"


def _warnings_of_acks(destination: Destination, configuration: Configuration) -> Iterator[str]:
    """Note if a destination's own `ack_table` replaces the one of its profile."""
    profile = configuration.site.receiver(_table(destination, configuration).receiver)
    if profile.ack_table and destination.receiver.ack_table != profile.ack_table:
        yield f"ack_table stands in place of {written_as(profile.ack_table)} of profile {profile.name}"


def _warnings_of_merges(destination: Destination, configuration: Configuration) -> Iterator[str]:
    """Note if no report can move after a merge (D48)."""
    if destination.merge == "move" and not any("merges" in one.may for one in configuration.settings.source):
        yield "merge is move, and no [[source]] may send merges: nothing moves"


def _is_open(transport: Mllp) -> bool:
    """True if `ack_listen` accepts other machines without a client certificate."""
    return transport.ack_listen is not None and transport.ack_tls is None and not is_loopback(transport.ack_listen[0])


def _warnings_of_filters(destination: Destination, configuration: Configuration) -> Iterator[str]:
    table, statuses = _table(destination, configuration), destination.filter.statuses
    for missing, effect in _UNTOLD.items():
        if missing not in statuses:
            yield f"statuses leaves out {missing}: {effect}"
    if "draft" in statuses and "statuses" in table.model_fields_set and destination.receiver.send_drafts == "off":
        yield "statuses names draft, and the profile sends none"
    for index, customer in enumerate(table.express_customers or ()):
        if customer != EVERY and customer not in configuration.site.express_customers:
            yield f"express_customers[{index}] is in no [[mapping.express_customers]]: does AutoScribe spell it so?"
    for index, modality in enumerate(table.modalities or ()):
        if modality != EVERY and not all(map(dicom_modality, modality_parts(modality) or ("",))):
            yield f"modalities[{index}] is none of {', '.join(MODALITIES)}: it matches only this exact spelling"
    if destination.receiver.takes_pdf and configuration.settings.pdf.ingest == "link":
        yield "sends PDFs, and pdf.ingest is link: no PDF is stored, so none is sent"
    yield from _warnings_of_authority(destination, configuration.site)
    is_named = destination.filter.scope.facilities is not None or bool(configuration.site.sending_facility)
    if not is_named and any(
        str(rule.field) == "MSH-4" and rule.level == "block" for rule in destination.receiver.rules
    ):
        yield "needs MSH-4, and there is no sending_facility: a report that names no facility is not sent"


def _warnings_of_authority(destination: Destination, site: Site) -> Iterator[str]:
    """Note how MRNs of unnamed facilities, or of several under one authority, are treated (D11)."""
    is_of_all = destination.filter.scope.facilities is None
    if destination.mrn_authority == "facility" and is_of_all and site.default_facility is None:
        yield (
            "takes facilities that have no [[mapping.facilities]] table, and there is no default_facility: their"
            " reports are held as authority-unknown"
        )
    if destination.mrn_authority == "receiver" and (is_of_all or len(destination.facilities(site)) > 1):
        yield "mrn_authority is receiver: patients of two facilities with the same MRN are one patient there"


_UNTOLD: Final = {
    "corrected": "the receiver keeps the wrong report",
    "addendum": "the receiver does not learn of addenda",
}


def _uncovered(configuration: Configuration) -> Iterator[str]:
    """List facilities whose reports no destination takes and no ignore rule names."""
    routes = routes_of(configuration)
    scopes = [one.filter.scope for one in routes.destinations if one.is_enabled] + [one.scope for one in routes.ignores]
    for facility in dict.fromkeys(configuration.site.facilities.values()):
        if all(scope.facilities is not None and exact(facility.name) not in scope.facilities for scope in scopes):
            yield f"facility {facility.name}: no destination takes its reports, and no [[ignore]] names them"


def _table(destination: Destination, configuration: Configuration) -> DestinationSettings:
    return next(one for one in configuration.settings.destination if one.name == destination.name)


def _unreadable(path: Path) -> str:
    """Return why a file cannot be read; empty if it can."""
    try:
        with path.open("rb"):
            return ""
    except OSError as error:
        return os.strerror(error.errno or 0)


def _valid_until(path: Path) -> datetime:
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
