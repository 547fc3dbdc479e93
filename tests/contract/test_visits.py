"""HL7 v2.5.1 §3.4.3, decision D48: what was told about a visit is read in the order of the events."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.store.orders.hospital import StoredVisit, add_visits, visits_of
from mappings.hospital.events import Authority, Clinician, IssuedNumber, Visit
from mappings.model import HospitalMessageName

MESSAGE = HospitalMessageName("adt", "7")


def told(key: str, at: int, location: str) -> StoredVisit:
    doctor = Clinician((IssuedNumber("7", Authority("STAFF")),), "HOLT", "PETER")
    begun = datetime(2026, 1, 5, 8, tzinfo=UTC)
    visit = Visit("I", (location, "12"), (doctor,), (), IssuedNumber("V1"), begun, None, "open")
    return StoredVisit(key, at, visit, MESSAGE)


async def test_the_states_of_a_visit_come_by_their_times_and_those_of_others_not_at_all(engine):
    later, earlier, other = told("v1", 9, "ICU"), told("v1", 5, "ED"), told("v2", 7, "ED")
    await engine.do(lambda: add_visits([(0, later), (1, earlier), (2, other), (2, later), (2, later)]))
    assert await visits_of(engine, ["v1"]) == [earlier, later, later]
    assert await visits_of(engine, ["v2", "v3"]) == [other]
    assert await visits_of(engine, []) == []
