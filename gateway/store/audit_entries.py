"""Store audit entries loaded from the audit journal, exactly once each, and find them by patient, resource or client.

IHE BALP 1.1.4 (https://profiles.ihe.net/ITI/BALP/): who saw the data of which patient. Instants are in microseconds.
Proved by tests/contract/test_audit_entries.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each, storable

_LOADED: Final = Statement("SELECT sequence, size FROM audit_segment WHERE segment = :segment")
_BEGIN: Final = Statement("INSERT INTO audit_segment (segment, sequence, size) VALUES (:segment, -1, 0)"
    " ON CONFLICT DO NOTHING")  # fmt: skip
_LOCK: Final = Statement("SELECT sequence FROM audit_segment WHERE segment = :segment FOR UPDATE")
_MOVE: Final = Statement("UPDATE audit_segment SET sequence = :sequence, size = :size WHERE segment = :segment")
_ENTRY: Final = Statement(
    "INSERT INTO audit_entry (segment, sequence, at, client, entry) VALUES (:segment, :sequence, :at, :client, :entry)"
)
_SUBJECT: Final = Statement(
    "INSERT INTO audit_subject (subject, at, segment, sequence) VALUES (:subject, :at, :segment, :sequence)"
)
_ABOUT: Final = Statement(
    "SELECT entry.segment, entry.sequence, entry.at, entry.client, entry.entry FROM audit_subject AS about"
    " JOIN audit_entry AS entry ON entry.segment = about.segment AND entry.sequence = about.sequence"
    " WHERE about.subject = :subject AND about.at >= :since AND about.at < :until"
    " ORDER BY about.at DESC, about.segment DESC, about.sequence DESC LIMIT :most"
)
_BY_CLIENT: Final = Statement(
    "SELECT segment, sequence, at, client, entry FROM audit_entry"
    " WHERE client = :client AND at >= :since AND at < :until"
    " ORDER BY at DESC, segment DESC, sequence DESC LIMIT :most"
)
_BETWEEN: Final = Statement(
    "SELECT segment, sequence, at, client, entry FROM audit_entry WHERE at >= :since AND at < :until"
    " ORDER BY at DESC, segment DESC, sequence DESC LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class LoadedEntry:
    """Audit entry as printed, with its place in the journal; `subjects` are addresses (`Type/id`), empty if found."""

    segment: str
    sequence: int
    at: int
    client: str
    entry: bytes
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedTo:
    """Place in a segment behind what is loaded: the last sequence, -1 if none, and the bytes of the file up to it."""

    sequence: int = -1
    size: int = 0


class AuditEntries:
    """Loaded audit entries. Every method raises `StoreUnavailable`; results are newest first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def loaded_to(self, segment: str) -> LoadedTo:
        """Return how far a segment is loaded."""
        rows = await self._engine.fetch(_LOADED, segment=segment)
        return LoadedTo(int(rows[0][0]), int(rows[0][1])) if rows else LoadedTo()

    async def load(self, segment: str, before: LoadedTo, entries: Sequence[LoadedEntry], after: LoadedTo) -> bool:
        """Store entries of a segment that lie between two places, in one transaction.

        Return False, and store nothing, if the segment is not loaded up to `before` any more: another process was
        first.
        """

        def work() -> Steps[bool]:
            yield from ask(_BEGIN, segment=segment)
            [row] = yield from ask(_LOCK, segment=segment)
            if int(row[0]) != before.sequence:
                return False
            yield from ask_each(_ENTRY, [_columns(one) for one in entries])
            yield from ask_each(_SUBJECT, [row for one in entries for row in _subjects(one)])
            yield from ask(_MOVE, segment=segment, sequence=after.sequence, size=after.size)
            return True

        return await self._engine.do(work)

    async def about(self, subject: str, since: int, until: int, most: int) -> list[LoadedEntry]:
        """Return entries about a patient or resource, from `since` up to, not at, `until`."""
        subject = storable(subject)
        return _found(await self._engine.fetch(_ABOUT, subject=subject, since=since, until=until, most=most))

    async def of_client(self, client: str, since: int, until: int, most: int) -> list[LoadedEntry]:
        """Return the entries of a client, from `since` up to, not at, `until`."""
        client = storable(client)
        return _found(await self._engine.fetch(_BY_CLIENT, client=client, since=since, until=until, most=most))

    async def between(self, since: int, until: int, most: int) -> list[LoadedEntry]:
        """Return all entries from `since` up to, not at, `until`."""
        return _found(await self._engine.fetch(_BETWEEN, since=since, until=until, most=most))


def _columns(one: LoadedEntry) -> dict[str, object]:
    return {"client": storable(one.client), "entry": one.entry, **_place(one)}


def _subjects(one: LoadedEntry) -> list[dict[str, object]]:
    return [{"subject": subject, **_place(one)} for subject in sorted({storable(subject) for subject in one.subjects})]


def _place(one: LoadedEntry) -> dict[str, object]:
    return {"segment": one.segment, "sequence": one.sequence, "at": one.at}


def _found(rows: Sequence[Row]) -> list[LoadedEntry]:
    return [LoadedEntry(str(row[0]), int(row[1]), int(row[2]), str(row[3]), bytes(row[4])) for row in rows]
