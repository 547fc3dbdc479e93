"""Data within the limits of a client, found by SQL, against the rule told resource by resource; decision D41.

https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from random import Random

import pytest
from fakes.store import made, rows, write

from gateway.index.criteria import All, Is, Within
from gateway.index.keys import key
from gateway.store.database.engine import Statement, ask_each
from gateway.store.studies.fragments import found_by, holds

REPORT = "DiagnosticReport"
CLAIM = Statement(
    "INSERT INTO claim (patient_id, study_id, study_date, signed, body, content)"
    " VALUES (:patient_id, :study_id, '2026-01-05', 0, :body, '')"
)
FACILITIES = ["Organization/org-a", "Organization/org-b", "Organization/org-c"]
PATIENTS = [f"Patient/pat-{number}" for number in range(6)]
READERS = [f"Practitioner/usr-{number}" for number in range(5)]
ROLES = {f"PractitionerRole/{a[-5:]}-{b[-1]}": (a, b) for a in READERS for b in FACILITIES}


class Hospital:
    """Studies at random: each has reports about a patient, by a reader, of a facility that may be missing."""

    def __init__(self, dice: Random) -> None:
        self.reports = {}  # address -> (study, patient, reader, facility)
        self.others = {}  # address -> address of its report
        self.managed = {one: dice.choice(FACILITIES) for one in PATIENTS}
        for number in range(60):
            patient, facility = dice.choice(PATIENTS), dice.choice([*FACILITIES, None])
            for place in range(dice.choice((1, 1, 1, 2, 3))):
                odd = dice.random()
                about = dice.choice(PATIENTS) if odd < 0.1 else patient
                at = dice.choice([*FACILITIES, None]) if odd > 0.8 else facility
                address = f"{REPORT}/rep-{number}-{place}"
                self.reports[address] = (f"stu_{number}", about, dice.choice(READERS), at)
                self.others[f"Observation/rep-{number}-{place}-s1"] = address
                self.others[f"Provenance/rep-{number}-{place}-prov"] = address
                self.others[f"Provenance/rep-{number}-{place}-patient-prov"] = address

    def resources(self):
        for address, (study, patient, reader, facility) in self.reports.items():
            terms = {(key(REPORT, "patient"), patient), (key(REPORT, "performer"), reader)}
            terms |= {(key(REPORT, "performer"), facility)} if facility else set()
            yield made(address, owner=study, terms=terms)
        for address, report in self.others.items():
            study, patient, *_ = self.reports[report]
            term = (key("Observation", "patient"), patient)
            if address.startswith("Provenance"):
                term = (key("Provenance", "target"), patient if address.endswith("-patient-prov") else report)
            yield made(address, owner=study, terms={term})
        for patient, facility in self.managed.items():
            yield made(patient, terms={(key("Patient", "organization"), facility)})
        for role, (reader, facility) in ROLES.items():
            kind = "PractitionerRole"
            yield made(role, terms={(key(kind, "practitioner"), reader), (key(kind, "organization"), facility)})
        for address in (*FACILITIES, *READERS):
            yield made(address)

    def claims(self):
        pairs = sorted({(one[1].partition("/")[2], one[0]) for one in self.reports.values()})
        yield from ask_each(CLAIM, [{"patient_id": a, "study_id": b, "body": b"{}"} for a, b in pairs])

    def visible(self, organizations, patient):
        """Return the addresses within the limits."""
        named = {}
        for study, _, _, facility in self.reports.values():
            named.setdefault(study, set()).update({facility} - {None})
        reports = {
            address: one
            for address, one in self.reports.items()
            if (organizations is None or (named[one[0]] and named[one[0]] <= set(organizations)))
            and patient in {None, one[1]}
        }
        found = {*reports, *(one for one, report in self.others.items() if report in reports)}
        found |= {one[1] for one in reports.values()} if organizations is not None else {patient} - {None}
        found |= {one[2] for one in reports.values()} | {one[3] for one in reports.values()} - {None}
        found |= {role for role, pair in ROLES.items() if any(pair == one[2:] for one in reports.values())}
        return found


@pytest.fixture
async def hospital(engine):
    made_up = Hospital(Random(7))
    await write(engine, *made_up.resources())
    await engine.do(made_up.claims)
    return made_up


async def addresses(engine, sql, *values):
    return {address for (address,) in await rows(engine, sql, *values)}


LIMITS = [
    (("Organization/org-a",), None),
    (("Organization/org-b", "Organization/org-c"), None),
    (("Organization/org-none",), None),
    ((), None),
    (None, "Patient/pat-1"),
    (("Organization/org-a",), "Patient/pat-1"),
    (("Organization/org-a", "Organization/org-b"), "Patient/pat-2"),
]
KINDS = {one.partition("/")[0] for one in (*PATIENTS, *READERS, *FACILITIES, *ROLES)} | {
    REPORT,
    "Observation",
    "Provenance",
}


@pytest.mark.parametrize(("organizations", "patient"), LIMITS)
async def test_what_lies_within_facilities_and_a_patient(engine, hospital, organizations, patient):
    wanted, found = hospital.visible(organizations, patient), set()
    for kind in KINDS:
        within = holds(Within(kind, organizations, patient))
        sql = f"SELECT r.address FROM resource r WHERE r.type = ? AND {within.text}"
        found |= await addresses(engine, sql, kind, *within.values)
    assert found == wanted
    is_empty = organizations in {(), ("Organization/org-none",)}
    assert bool(wanted) is not is_empty
    assert len(wanted) < len(hospital.reports) + len(hospital.others)


async def test_a_study_of_two_facilities_is_visible_to_a_client_of_both_alone(engine):
    for place, facility in enumerate(FACILITIES[:2]):
        terms = {(key(REPORT, "performer"), facility)}
        await write(engine, made(f"{REPORT}/rep-{place}", owner="stu_1", terms=terms))
    for organizations, is_visible in (
        (FACILITIES[:1], False),
        (FACILITIES[1:2], False),
        (FACILITIES[:2], True),
        (FACILITIES, True),
    ):
        within = holds(Within(REPORT, tuple(organizations)))
        sql = f"SELECT r.address FROM resource r WHERE {within.text}"
        assert bool(await addresses(engine, sql, *within.values)) is is_visible


async def test_a_search_may_start_from_a_criterion_that_others_narrow(engine, hospital):
    subject = Is(key(REPORT, "patient"), "Patient/pat-1")
    narrowed = All(((subject,), (Within(REPORT, ("Organization/org-a",)),)))
    found = found_by(narrowed)
    sql = f"SELECT r.address FROM ({found.text}) d JOIN resource r ON r.number = d.resource"
    seen = hospital.visible(("Organization/org-a",), "Patient/pat-1")
    assert await addresses(engine, sql, *found.values) == {one for one in seen if one.startswith(REPORT)}
