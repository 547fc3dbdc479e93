"""Find who saw data of a patient: the loaded entries of the audit, and the messages that were sent about the patient.

https://profiles.ihe.net/ITI/BALP/; decision D42. The command `audit who` and the console show the same answer.
Proved by tests/gateway/cli/test_audit.py.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from gateway.audit.audit_entry import AuditEntry, parsed
from gateway.store.audit_entries import AuditEntries, EntriesWanted, LoadedEntry
from gateway.store.database.engine import Engine
from gateway.store.feed.ledger import ShownMessage, messages_of_patient, patients_of_number

_PATIENT: Final = re.compile(r"(?:Patient/)?(pat-[0-9a-f]{32})")
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class PatientEvents:
    """Events about a patient, and the messages sent about the patient, each newest first."""

    patient_id: str
    events: tuple[LoadedEntry, ...]
    messages: tuple[ShownMessage, ...]

    @property
    def entries(self) -> list[AuditEntry]:
        """The events as entries of the audit."""
        return [parsed(event.entry) for event in self.events]


def asker(entry: AuditEntry) -> str:
    """Return who asked, in words: an operator with the machine, or a client, for a person if one is known."""
    if entry.kind == "act":
        return f"{entry.user}@{entry.host}"
    return (entry.client or "(not authenticated)") + (f" for {entry.user}" if entry.user else "")


async def disclosures_of(
    engine: Engine,
    numbers: Collection[str],
    span: tuple[int, int],
    shows: Callable[[Collection[str], Collection[str]], None],
    most: int | None = None,
) -> tuple[PatientEvents, ...]:
    """Return who saw data of the patients with these ids or numbers, as far as the journals are loaded.

    `span` is from one instant to another, in microseconds.
    `shows` gets the patients before anything is read of them. With `most`, only so many events of each are returned.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    patients = dict.fromkeys([one for number in numbers for one in await _patients(engine, number)])
    shows([], patients)
    found = []
    for patient in patients:
        events: list[LoadedEntry] = []
        async for one in every_entry(engine, EntriesWanted(*span, (f"Patient/{patient}",))):
            events.append(one)
            if len(events) == most:
                break
        messages = await messages_of_patient(engine, patient)
        sent = tuple(one for one in messages if span[0] <= (one.sent or 0) < span[1])
        found.append(PatientEvents(patient, tuple(events), sent[:most]))
    return tuple(found)


async def every_entry(engine: Engine, wanted: EntriesWanted) -> AsyncIterator[LoadedEntry]:
    """Yield all loaded entries that are wanted, newest first."""
    entries, page = AuditEntries(engine), replace(wanted, most=_PAGE)
    while found := await entries.find(page):
        for one in found:
            yield one
        page = replace(page, last=(found[-1].at, found[-1].segment, found[-1].sequence))


async def _patients(engine: Engine, number: str) -> list[str]:
    """Return the ids of the patients that an id or a number of theirs names."""
    match = _PATIENT.fullmatch(number)
    return [match[1]] if match else list(await patients_of_number(engine, number))
