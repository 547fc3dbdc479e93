"""Store audit entries loaded from the audit journal, exactly once each, and find them by patient, resource or client.

IHE BALP 1.1.4 (https://profiles.ihe.net/ITI/BALP/): who saw the data of which patient. Instants are in microseconds.
Proved by tests/contract/test_audit_entries.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each, storable

_LOADED: Final = Statement("SELECT sequence, size FROM audit_segment WHERE segment = :segment")
_BEGIN: Final = Statement("INSERT INTO audit_segment (segment, sequence, size) VALUES (:segment, -1, 0)"
    " ON CONFLICT DO NOTHING")  # fmt: skip
_LOCK: Final = Statement("SELECT sequence FROM audit_segment WHERE segment = :segment FOR UPDATE")
_MOVE: Final = Statement("UPDATE audit_segment SET sequence = :sequence, size = :size WHERE segment = :segment")
_PLACES: Final = Statement("SELECT segment, sequence, size FROM audit_segment")
_FORGET: Final = Statement("DELETE FROM audit_segment WHERE segment = :segment")
_ENTRY: Final = Statement(
    "INSERT INTO audit_entry (segment, sequence, at, client, kind, status, entry)"
    " VALUES (:segment, :sequence, :at, :client, :kind, :status, :entry)"
)
_SUBJECT: Final = Statement(
    "INSERT INTO audit_subject (subject, at, segment, sequence) VALUES (:subject, :at, :segment, :sequence)"
)
_REMOVE_ENTRY: Final = Statement("DELETE FROM audit_entry WHERE segment = :segment AND sequence = :sequence")
_REMOVE_SUBJECT: Final = Statement(
    "DELETE FROM audit_subject WHERE subject = :subject AND at = :at AND segment = :segment AND sequence = :sequence"
)
_COLUMNS: Final = "SELECT entry.segment, entry.sequence, entry.at, entry.client, entry.kind, entry.status, entry.entry"
_OF_SEGMENT: Final = Statement(
    _COLUMNS + " FROM audit_entry AS entry WHERE entry.segment = :segment ORDER BY entry.sequence LIMIT :most"
)
_ORDER: Final = " ORDER BY {0}.at DESC, {0}.segment DESC, {0}.sequence DESC LIMIT :most"
_SPAN: Final = (
    " AND {0}.at >= :since AND {0}.at < :until"
    " AND ({0}.at, {0}.segment, {0}.sequence) < (:last_at, :last_segment, :last_sequence)"
)
_CHOSEN: Final = " AND entry.kind IN listed(:kinds) AND entry.status >= :least AND entry.status < :below"


def _finding(source: str, place: str) -> Statement:
    """Return the statement that selects entries from `source`; `place` is the table with their segment and sequence."""
    return Statement(_COLUMNS + source + _CHOSEN + _SPAN.format(place) + _ORDER.format(place))


_ABOUT: Final = _finding(
    " FROM audit_subject AS about JOIN audit_entry AS entry"
    " ON entry.segment = about.segment AND entry.sequence = about.sequence"
    " WHERE about.subject = :subject AND (:client = '' OR entry.client = :client)"
    " AND (:other = '' OR EXISTS (SELECT 1 FROM audit_subject AS beside WHERE beside.subject = :other"
    " AND beside.at = about.at AND beside.segment = about.segment AND beside.sequence = about.sequence))",
    "about",
)
_BY_CLIENT: Final = _finding(" FROM audit_entry AS entry WHERE entry.client = :client", "entry")
_BETWEEN: Final = _finding(" FROM audit_entry AS entry WHERE entry.at >= :since", "entry")
SECONDS: Final = 5.0
KINDS: Final = ("read", "vread", "history", "search", "operation", "binary", "act", "login", "logout", "refusal")
_LATEST: Final = 2**62


@dataclass(frozen=True, slots=True)
class LoadedEntry:
    """Audit entry as printed, with its place in the journal; `subjects` are addresses (`Type/id`), if read."""

    segment: str
    sequence: int
    at: int
    client: str
    kind: str
    status: int
    entry: bytes
    subjects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntriesWanted:
    """Criteria for finding entries: from `since` (included) until `until` (excluded), and after the place `last`.

    `subjects` are at most two addresses that an entry must all be about. `least` and `below` bound the HTTP status.
    """

    since: int = 0
    until: int = _LATEST
    subjects: tuple[str, ...] = ()
    client: str = ""
    kinds: tuple[str, ...] = KINDS
    least: int = 0
    below: int = 1_000
    last: tuple[int, str, int] = (_LATEST, "", 0)
    most: int = 100


@dataclass(frozen=True, slots=True)
class LoadedTo:
    """Progress of loading a segment: the last loaded sequence number (-1: none), and the bytes of the file up to it."""

    sequence: int = -1
    size: int = 0


class AuditEntries:
    """Loaded audit entries. Every method raises `StoreUnavailable`; results are newest first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def places(self) -> dict[str, LoadedTo]:
        """Return the loading progress of every segment."""
        rows = await self._engine.fetch(_PLACES)
        return {str(row[0]): LoadedTo(int(row[1]), int(row[2])) for row in rows}

    async def loaded_to(self, segment: str) -> LoadedTo:
        """Return the loading progress of a segment."""
        rows = await self._engine.fetch(_LOADED, segment=segment)
        return LoadedTo(int(rows[0][0]), int(rows[0][1])) if rows else LoadedTo()

    async def load(self, segment: str, before: LoadedTo, entries: Sequence[LoadedEntry], after: LoadedTo) -> bool:
        """Store the entries of a segment between two places (`before`, `after`), in one transaction.

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

    async def find(self, wanted: EntriesWanted) -> list[LoadedEntry]:
        """Return the entries that meet the criteria, newest first.

        Raises:
            StoreTooSlow: too many entries had to be looked at.
        """
        subject, other = (*map(storable, wanted.subjects), "", "")[:2]
        client = storable(wanted.client)
        statement = _ABOUT if subject else _BY_CLIENT if client else _BETWEEN
        last_at, last_segment, last_sequence = wanted.last
        values = {
            "subject": subject,
            "other": other,
            "client": client,
            "kinds": json.dumps(wanted.kinds),
            "least": wanted.least,
            "below": wanted.below,
            "since": wanted.since,
            "until": wanted.until,
            "last_at": last_at,
            "last_segment": last_segment,
            "last_sequence": last_sequence,
            "most": wanted.most,
        }
        compiled = statement.compiled(self._engine.dialect)
        return _found(await self._engine.scan(compiled.sql, compiled.positional(values), SECONDS))

    async def first_of(self, segment: str, most: int) -> list[LoadedEntry]:
        """Return the first loaded entries of a segment."""
        return _found(await self._engine.fetch(_OF_SEGMENT, segment=segment, most=most))

    async def remove(self, entries: Sequence[LoadedEntry]) -> None:
        """Delete entries; each must have its `subjects`, whose rows are deleted too."""

        def work() -> Steps[None]:
            yield from ask_each(_REMOVE_SUBJECT, [row for one in entries for row in _subjects(one)])
            yield from ask_each(_REMOVE_ENTRY, [{"segment": one.segment, "sequence": one.sequence} for one in entries])

        await self._engine.do(work)

    async def forget(self, segment: str) -> None:
        """Delete the loading progress of a segment, once its entries and its file are removed."""

        def work() -> Steps[None]:
            yield from ask(_FORGET, segment=segment)

        await self._engine.do(work)


def _columns(one: LoadedEntry) -> dict[str, object]:
    values = {"client": storable(one.client), "kind": one.kind, "status": one.status, "entry": one.entry}
    return {**values, **_place(one)}


def _subjects(one: LoadedEntry) -> list[dict[str, object]]:
    return [{"subject": subject, **_place(one)} for subject in sorted({storable(subject) for subject in one.subjects})]


def _place(one: LoadedEntry) -> dict[str, object]:
    return {"segment": one.segment, "sequence": one.sequence, "at": one.at}


def _found(rows: Sequence[Row]) -> list[LoadedEntry]:
    return [
        LoadedEntry(str(row[0]), int(row[1]), int(row[2]), str(row[3]), str(row[4]), int(row[5]), bytes(row[6]))
        for row in rows
    ]
