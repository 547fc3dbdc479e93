"""Find sent and waiting messages for an operator: by control id, report, study, accession number, or patient number.

Carries out no clause of a standard; decision D39. The results hold patient data, for authorized readers only.
Proved by tests/contract/test_looking.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.index.keys import SEPARATOR, key
from gateway.index.terms import code_start
from gateway.store.compression.stored_bytes import served_version
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, storable
from gateway.store.feed.leases import PAUSED

_MOST: Final = 1_000
_AFTER: Final = chr(ord(SEPARATOR) + 1)
_BY_TERM: Final = Statement(
    "SELECT DISTINCT r.address, r.owner FROM term t CROSS JOIN resource r WHERE t.key = :key AND t.value >= :first"
    " AND t.value < :beyond AND r.number = t.resource ORDER BY r.address LIMIT :most"
)
_STUDY_OF_REPORT: Final = Statement("SELECT study_id FROM report WHERE report_id = :report_id")
_STUDY_OF_MESSAGE: Final = Statement(
    "SELECT study_id FROM message WHERE destination = :destination AND control_id = :control_id"
)
_STUDIES_OF_PATIENT: Final = Statement(
    "SELECT DISTINCT study_id FROM message WHERE patient_id = :patient_id ORDER BY study_id LIMIT :most"
)
_MESSAGE: Final = (
    "SELECT destination, number, control_id, study_id, report_id, kind, state, reason, ack, filler_order_numbers,"
    " report_ids, patient_id, superseded_by, made, sent, committed, accepted, closed, size, body_hash,"
    " (SELECT b.body FROM message_body b WHERE b.number = message.number) FROM message"
)
_OF_STUDY: Final = Statement(_MESSAGE + " WHERE study_id = :study_id ORDER BY destination, number")
_NUMBERED: Final = Statement(_MESSAGE + " WHERE number = :number")
_LANE: Final = Statement("SELECT reason FROM lane WHERE destination = :destination AND study_id = :study_id")
_VERSIONS: Final = Statement(
    "SELECT v.version, v.updated, v.body FROM resource r CROSS JOIN version v WHERE r.address = :address"
    " AND v.resource = r.number ORDER BY v.version"
)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Reasons that keep a destination from sending: for one study (`lane`), or at all (`paused`); empty if none."""

    lane: str = ""
    paused: str = ""


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """Message as in the ledger; instants in microseconds. `body` is None once its bytes were deleted."""

    destination: str
    number: int
    control_id: str
    study_id: str
    report_id: str
    kind: str
    state: str
    reason: str
    ack: str
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    superseded_by: int | None
    made: int
    sent: int | None
    committed: int | None
    accepted: int | None
    closed: int | None
    size: int
    body_hash: str
    body: bytes | None = field(repr=False)


async def study_of_report(engine: Engine, report_id: str) -> list[str]:
    """Return the id of a report's study, if it is stored."""
    return [str(study_id) for (study_id,) in await engine.fetch(_STUDY_OF_REPORT, report_id=report_id)]


async def study_of_message(engine: Engine, destination: str, control_id: str) -> list[str]:
    """Return the study id of the message with that control id, if there is one."""
    rows = await engine.fetch(_STUDY_OF_MESSAGE, destination=destination, control_id=storable(control_id))
    return [str(study_id) for (study_id,) in rows]


async def studies_of_accession(engine: Engine, number: str) -> list[str]:
    """Return the ids of the studies that have this accession number at present."""
    rows = await _with_identifier(engine, "ImagingStudy", number)
    return list(dict.fromkeys(str(owner) for _, owner in rows if owner))


async def patients_of_number(engine: Engine, number: str) -> list[str]:
    """Return the ids of the patients who have, or had, this number, from any authority."""
    rows = await _with_identifier(engine, "Patient", number)
    return [str(address).removeprefix("Patient/") for address, _ in rows]


async def studies_of_patient(engine: Engine, patient_id: str) -> list[str]:
    """Return the ids of the studies with a message about a patient."""
    rows = await engine.fetch(_STUDIES_OF_PATIENT, patient_id=patient_id, most=_MOST)
    return [str(study_id) for (study_id,) in rows]


async def messages_of_study(engine: Engine, study_id: str) -> list[ShownMessage]:
    """Return all messages of a study, by destination, in the order in which they were made.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_shown(row) for row in await engine.fetch(_OF_STUDY, study_id=study_id)]


async def message_numbered(engine: Engine, number: int) -> ShownMessage | None:
    """Return the message with that number in the ledger, None if there is none."""
    rows = await engine.fetch(_NUMBERED, number=number)
    return _shown(rows[0]) if rows else None


async def messages_of_patient(engine: Engine, patient_id: str) -> list[ShownMessage]:
    """Return the messages about a patient that were sent, newest first."""
    studies = await studies_of_patient(engine, patient_id)
    every = [one for study_id in studies for one in await messages_of_study(engine, study_id)]
    sent = [one for one in every if one.patient_id == patient_id and one.sent is not None]
    return sorted(sent, key=lambda one: (one.sent or 0, one.number), reverse=True)


async def versions_of(engine: Engine, address: str) -> list[tuple[int, int, dict[str, Any]]]:
    """Return every version of a resource: its number, its instant in microseconds, and the resource."""
    rows = await engine.fetch(_VERSIONS, address=address)
    return [(int(row[0]), int(row[1]), json.loads(served_version(row[2], row[0], row[1]))) for row in rows]


async def held_back(engine: Engine, destination: str, study_id: str) -> HeldBack:
    """Return why a study's lane is held at a destination, and why the destination is paused."""
    lanes = await engine.fetch(_LANE, destination=destination, study_id=study_id)
    pauses = await engine.fetch(PAUSED, name=destination)
    return HeldBack(*(str(rows[0][0]) if rows else "" for rows in (lanes, pauses)))


async def _with_identifier(engine: Engine, resource_type: str, number: str) -> Sequence[Row]:
    first = code_start(number)
    beyond = first.removesuffix(SEPARATOR) + _AFTER
    found = {"key": key(resource_type, "identifier"), "first": first, "beyond": beyond}
    return await engine.fetch(_BY_TERM, **found, most=_MOST)


def _shown(row: Row) -> ShownMessage:
    columns: list[Any] = list(row)
    columns[9:11] = [tuple(json.loads(one)) for one in columns[9:11]]
    body = columns[-1]
    columns[-1] = None if body is None else bytes(body)
    return ShownMessage(*columns)
