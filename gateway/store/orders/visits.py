"""Store the states of visits, one for each message that tells one, and read those of some visits.

HL7 v2.5.1 §3.4.3 (PV1), decision D48. A visit is named by the text of its number (PV1-19), `number_text` in keys.py.
Proved by tests/contract/test_visits.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from gateway.store.compression.stored_bytes import compressed
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each
from gateway.store.studies.kept import encoded, rebuilt, unpacked
from mappings.answered_order import HospitalMessageName
from mappings.hospital.authorities import OrderSource
from mappings.hospital.events import HospitalPatient, Visit
from mappings.hospital.known_order import NO_AGE, MessageAge

_ADD: Final = Statement(
    "INSERT INTO visit (key, at, inbound, body) VALUES (:key, :at, :inbound, :body) ON CONFLICT DO NOTHING"
)
_MOVE: Final = Statement(
    "UPDATE visit SET key = :now, body = :body WHERE key = :key AND at = :at AND inbound = :inbound"
)
_WITH_MESSAGE: Final = Statement(
    "SELECT key, at, body, inbound FROM visit WHERE key IN listed(:keys) ORDER BY key, at, inbound"
)
_DROP: Final = Statement("DELETE FROM visit WHERE key = :key AND at = :at AND inbound = :inbound")
_OF: Final = Statement("SELECT key, at, body FROM visit WHERE key IN listed(:keys) ORDER BY key, at, inbound")


_NO_PATIENT: Final = HospitalPatient()
_NO_SOURCE: Final = OrderSource("")


@dataclass(frozen=True, slots=True)
class _Stated:
    """Content of a row."""

    visit: Visit
    message: HospitalMessageName
    age: MessageAge = NO_AGE
    patient: HospitalPatient = _NO_PATIENT
    source: OrderSource = _NO_SOURCE
    refused_by: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredVisit:
    """State of a visit as one message told it. `at` is the time of the event, in microseconds, `age` the message's.

    `patient` is the message's, with the source of its numbers. `refused_by` are the
    orders of the visit, by number, if the message is about the patient of none: the row then has no more than the names
    of message and visit.
    """

    key: str
    at: int
    visit: Visit
    message: HospitalMessageName
    age: MessageAge = NO_AGE
    patient: HospitalPatient = _NO_PATIENT
    source: OrderSource = _NO_SOURCE
    refused_by: tuple[int, ...] = ()

    def refused(self, by: Iterable[int]) -> StoredVisit:
        """Return the row without what the message says of another patient."""
        return replace(self, visit=Visit(number=self.visit.number), patient=_NO_PATIENT, refused_by=tuple(by))


def add_visits(visits: Iterable[tuple[int, StoredVisit]]) -> Steps[None]:
    """Store states of visits, each with the number of its message."""
    yield from ask_each(
        _ADD, [{"key": one.key, "at": one.at, "inbound": number, "body": _body(one)} for number, one in visits]
    )


def moved_visit(key: str, at: int, inbound: int, now: StoredVisit) -> Steps[None]:
    """Store the state of a visit that a message told under another number, in the place of its row before."""
    yield from ask(_MOVE, key=key, at=at, inbound=inbound, now=now.key, body=_body(now))


def drop_states(keys: Iterable[str], is_gone: Callable[[StoredVisit], bool]) -> Steps[None]:
    """Delete those of the states of these visits that are gone."""
    rows = yield from ask(_WITH_MESSAGE, keys=json.dumps(sorted(keys)))
    gone = [row for row in rows if is_gone(stored_visit(row[:3]))]
    yield from ask_each(_DROP, [{"key": key, "at": at, "inbound": inbound} for key, at, _, inbound in gone])


async def visits_of(engine: Engine, keys: Iterable[str]) -> list[StoredVisit]:
    """Return what was told about these visits; of one visit by the time of the event, then in the order of arrival.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    listed = sorted(set(keys))
    return [stored_visit(row) for row in await engine.fetch(_OF, keys=json.dumps(listed))] if listed else []


def _body(visit: StoredVisit) -> bytes:
    stated = _Stated(visit.visit, visit.message, visit.age, visit.patient, visit.source, visit.refused_by)
    return compressed("visit", encoded(stated))


def stored_visit(row: Row) -> StoredVisit:
    """Return the state of a visit of a row: key, instant and content."""
    key, at, body = row
    stated = rebuilt(_Stated, unpacked(bytes(body)))
    known = (stated.visit, stated.message, stated.age, stated.patient, stated.source, stated.refused_by)
    return StoredVisit(str(key), int(at), *known)
