"""Carry out the commands of the audit: verify the journal, list who saw a patient's data, export AuditEvents.

https://profiles.ihe.net/ITI/BALP/, https://github.com/ndjson/ndjson-spec (a JSON object on each line).
Proved by tests/gateway/cli/test_audit.py.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.audit.audit_entry import AuditEntry, parsed
from gateway.audit.audit_event import audit_event, delivery_event, event_id
from gateway.audit.loading import AuditLoading
from gateway.audit.seal_key import read_seal_key
from gateway.audit.segment import hex_of
from gateway.audit.verification import MEANINGS, FolderFinding, compare_with_receiver, verify_folder
from gateway.audit.verification import RECEIVER_MEANINGS as MEANINGS_AGAINST
from gateway.cli.run_command import Shows
from gateway.feed.operator.arguments import CommandAnswer, Say, TimeSpan, counted
from gateway.fhir_api.audit.disclosures import PatientEvents, asker, disclosures_of, every_entry
from gateway.ingest.assembly import store_for_command
from gateway.runtime.errors import ConfigError, StoreError
from gateway.settings import Configuration, require_audit_place
from gateway.store.audit_entries import AuditEntries, EntriesWanted, LoadedEntry, LoadedTo
from gateway.store.database.engine import Engine, instant_text
from gateway.store.feed.ledger import ShownMessage
from mappings.patient.identifiers import fhir_id

_KEY: Final = re.compile("[0-9a-f]{64}")
_MEANINGS: Final = MEANINGS | MEANINGS_AGAINST
_UNPROTECTED: Final = (
    "note: {} written since the last seal. Nothing protects these against truncation: a seal is made each minute."
)


@dataclass(frozen=True, slots=True)
class Verification:
    """Arguments of `audit verify`: trusted public keys, machines with folders of their own, files of a receiver."""

    keys: Sequence[str] = ()
    elsewhere: Sequence[str] = ()
    against: Sequence[Path] = ()


async def verify(configuration: Configuration, wanted: Verification, say: Say) -> int:
    """Verify the journal; print each segment and each fault. Return 1 if there is a fault.

    Raises:
        ConfigError: there is no audit, no journal, or no key to check against.
    """
    folder, keys = _folder(configuration), _keys(configuration, wanted.keys)
    loaded = await _loaded(configuration)
    try:
        finding = verify_folder(folder, keys, loaded, wanted.elsewhere)
        received = compare_with_receiver(folder, wanted.against, finding.removed) if wanted.against else None
    except OSError as error:
        raise ConfigError("settings", "audit.dir", f"cannot be read ({error.strerror})", "Name the folder.") from None
    for key in sorted(keys):
        say(f"public key: {key}")
    _say_segments(finding, say)
    faults = [*finding.faults, *(received.faults if received else ())]
    for fault in faults:
        place = f"line {fault.number}" if fault.number else "as a whole"
        say(f"fault: {fault.segment}, {place}: {fault.code}: {_MEANINGS[fault.code]}")
    if received is not None:
        say(f"at the receiver: {counted(received.alike, 'entry')} alike, {received.newer} not there yet")
    entries = sum(one.head.entries for one in finding.segments)
    say(
        f"{counted(len(finding.segments), 'segment')}, {counted(entries, 'entry')}, {len(finding.removed)} removed by"
        f" retention, {counted(len(faults), 'fault')}"
    )
    if not wanted.keys:
        sys.stderr.write("note: give --public-key with a copy kept elsewhere: who took the seal key can forge all\n")
    return 1 if faults else 0


def _say_segments(finding: FolderFinding, say: Say) -> None:
    for one in finding.segments:
        torn = f", {counted(one.tears, 'torn place')}" if one.tears else ""
        end = "complete" if one.head.is_final else "goes on"
        say(f"{one.head.segment}: {counted(one.head.entries, 'entry')}, {end}{torn}")
    if unsealed := sum(one.unsealed for one in finding.segments):
        sys.stderr.write(f"{_UNPROTECTED.format(counted(unsealed, 'line'))}\n")


def _folder(configuration: Configuration) -> Path:
    if configuration.audit_dir is None:
        raise ConfigError("settings", "audit.dir", "not set: there is no audit", "Set it, or auth.mode.")
    require_audit_place(configuration)
    return configuration.audit_dir


def _keys(configuration: Configuration, given: Sequence[str]) -> set[str]:
    for key in given:
        if not _KEY.fullmatch(key):
            problem = "not the 64 hexadecimal digits that `keys seal` prints"
            raise ConfigError("command line", "--public-key", problem, "Copy the whole key.")
    if given:
        return set(given)
    try:
        return {hex_of(read_seal_key(configuration.audit_seal_key).public_key())}
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise ConfigError("settings", "audit.seal_key", problem, "Give --public-key instead.") from None


async def _loaded(configuration: Configuration) -> Mapping[str, LoadedTo] | None:
    """Return how much of each segment the database has, None if it cannot be asked."""
    try:
        async with store_for_command(configuration, writes=False) as engine:
            return await AuditEntries(engine).places()
    except (StoreError, ConfigError) as error:
        sys.stderr.write(f"note: the database is not asked: a cut-off end or a lost file may not be found: {error}\n")
        return None


@dataclass(frozen=True, slots=True)
class PatientAsked:
    """Arguments of `audit who`: patients by ids or numbers, and a span."""

    numbers: tuple[str, ...] = field(repr=False)
    span: TimeSpan


@dataclass(frozen=True, slots=True)
class Disclosures(CommandAnswer):
    """Answer of `audit who`: accesses to patients' data, and messages sent; `canonical` begins our own addresses."""

    patients: tuple[PatientEvents, ...]
    canonical: str

    @property
    def exit_code(self) -> int:
        """1 if there is no such patient."""
        return 0 if self.patients else 1

    def json_lines(self) -> Iterator[str]:
        """Yield each event as a FHIR AuditEvent on a line."""
        for one in self.patients:
            yield from (_event(event, self.canonical) for event in one.events)
            yield from map(_delivery, one.messages)

    def lines(self) -> Iterator[str]:
        """Yield a line for each event, and the number of patients."""
        for one in self.patients:
            yield from (_line(one.patient_id, entry) for entry in one.entries)
            yield from map(_sent_line, one.messages)
        yield counted(len(self.patients), "patient")


async def who(engine: Engine, configuration: Configuration, asked: PatientAsked, shows: Shows) -> Disclosures:
    """Return who saw data of the patients with these ids or numbers.

    Raises:
        ConfigError: there is no audit.
        StoreUnavailable: the store cannot be reached.
    """
    await AuditLoading(engine, _folder(configuration)).turn()
    found = await disclosures_of(engine, asked.numbers, (asked.span.since, asked.span.until), shows)
    return Disclosures(found, configuration.site.canonical)


async def export(configuration: Configuration, span: TimeSpan, say: Say) -> int:
    """Print the AuditEvents of a span as NDJSON, newest first."""
    folder = _folder(configuration)
    async with store_for_command(configuration) as engine:
        await AuditLoading(engine, folder).turn()
        async for one in every_entry(engine, EntriesWanted(span.since, span.until)):
            say(_event(one, configuration.site.canonical))
    return 0


def _delivery(message: ShownMessage) -> str:
    return json.dumps(delivery_event(message, [f"DiagnosticReport/{fhir_id(one)}" for one in message.report_ids]))


def _sent_line(message: ShownMessage) -> str:
    said = f"{message.state} {message.reason}".rstrip()
    sent = instant_text(message.sent or 0)
    return f"{sent}  Patient/{message.patient_id}  sent to {message.destination} as {message.control_id}  {said}"


def _event(one: LoadedEntry, canonical: str) -> str:
    return json.dumps(audit_event(parsed(one.entry), event_id(one.segment, one.sequence, one.at), canonical))


def _line(patient: str, entry: AuditEntry) -> str:
    origin = f" from {entry.address}" if entry.address else ""
    said = f"{entry.status} {entry.code}".rstrip() if entry.status else entry.why
    return f"{instant_text(entry.at)}  Patient/{patient}  {asker(entry)}{origin}  {entry.route}  {said}".rstrip()
