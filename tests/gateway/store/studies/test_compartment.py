"""https://hl7.org/fhir/R4/compartmentdefinition-patient.html"""

import pytest
from fakes.store import made, write

from gateway.index.keys import key
from gateway.store.studies.search import CARE_DATES, MEMBERS, TYPES, compartment

PATIENT = "Patient/pat-1"


def refers(address, name, *targets):
    """Return a resource that refers to these by a search parameter."""
    return made(address, terms=[(key(address.partition("/")[0], name), one) for one in targets])


WORLD = (
    refers("DiagnosticReport/rep-1", "patient", PATIENT),
    made("Organization/org-1"),
    made("Organization/org-2"),
    refers(PATIENT, "organization", "Organization/org-1"),
    made("Patient/pat-2"),
    made("Practitioner/usr-1"),
    made("Practitioner/usr-2"),
    made(
        "Observation/rep-1-s0",
        terms=[
            (key("Observation", "patient"), PATIENT),
            (key("Observation", "performer"), "Practitioner/usr-1"),
            (key("Observation", "code"), "Practitioner/usr-2\x1f"),
        ],
    ),
    refers("Encounter/stu-1-enc", "patient", PATIENT),
    refers("ImagingStudy/stu-1", "patient", PATIENT),
    refers("ServiceRequest/stu-1-req", "patient", PATIENT),
    refers("DocumentReference/rep-1-doc", "patient", PATIENT),
    refers("Provenance/rep-1-prov", "target", "DiagnosticReport/rep-1", "Observation/rep-1-s0"),
    refers("Provenance/pat-1-prov", "target", PATIENT),
    refers("Provenance/rep-2-prov", "target", "DiagnosticReport/rep-2"),
    refers("DiagnosticReport/rep-2", "patient", "Patient/pat-2"),
    refers("DiagnosticReport/rep-3", "result", PATIENT),
)
WHOLE = [
    one.address
    for one in WORLD
    if one.address
    not in {
        "Organization/org-2",
        "Patient/pat-2",
        "Practitioner/usr-2",
        "Provenance/rep-2-prov",
        "DiagnosticReport/rep-2",
        "DiagnosticReport/rep-3",
    }
]


async def found(engine, patient=PATIENT, **changes):
    asked = {"types": TYPES, "since": 0, "after": 0, "most": 100, **changes}
    return await compartment(engine, patient, **asked)


async def addresses(engine, **changes):
    return [one.address for one in await found(engine, **changes)]


async def test_it_is_what_speaks_of_the_patient_where_that_comes_from_and_whom_it_refers_to(engine):
    await write(engine, *WORLD)
    assert await addresses(engine) == WHOLE
    assert await addresses(engine, patient="Patient/pat-2") == [
        "Patient/pat-2",
        "Provenance/rep-2-prov",
        "DiagnosticReport/rep-2",
    ]
    assert await addresses(engine, patient="Patient/pat-3") == []


async def test_every_type_is_one_that_can_be_asked_for(engine):
    await write(engine, *WORLD)
    assert {one.partition("/")[0] for one in WHOLE} == set(TYPES)
    for kind in TYPES:
        assert await addresses(engine, types=[kind]) == [one for one in WHOLE if one.startswith(f"{kind}/")]
    assert await addresses(engine, types=MEMBERS[:2]) == ["DiagnosticReport/rep-1", "ImagingStudy/stu-1"]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
async def test_a_walk_sees_each_once_in_the_order_of_first_storing_and_what_is_new_last(engine, size):
    await write(engine, *WORLD)
    seen, after = [], 0
    while page := await found(engine, after=after, most=size):
        if not seen:
            again = made(WHOLE[0], "again", terms=WORLD[0].terms)
            await write(engine, refers("Observation/new", "patient", PATIENT), again)
        seen += [one.address for one in page]
        after = page[-1].position[0]
    assert seen == [*WHOLE, "Observation/new"]


async def test_only_what_was_stored_since_then(engine):
    await write(engine, *WORLD, now=1_000)
    (written,) = await write(engine, made("Organization/org-1", "renamed"), now=5_000)
    assert await addresses(engine, since=written.updated) == ["Organization/org-1"]
    assert await addresses(engine, since=written.updated + 1) == []
    [version] = await found(engine, since=written.updated)
    assert (version.version, version.updated, version.resource["said"]) == (2, written.updated, "renamed")


async def test_what_is_not_served_is_found_apart(engine):
    await write(engine, *WORLD, refers("Observation/bad", "patient", PATIENT))
    await write(engine, made("Observation/bad", faults="[]", terms=[(key("Observation", "patient"), PATIENT)]))
    assert await addresses(engine) == WHOLE
    assert await addresses(engine, suppressed=True) == ["Observation/bad"]


@pytest.mark.parametrize("limits", [None, dict.fromkeys(TYPES, ())])
async def test_dates_of_care_leave_out_members_of_other_dates_and_what_refers_to_these_alone(engine, limits):
    def member(kind, name, *moment):
        terms = [(key(kind, "patient"), PATIENT), (key("Observation", "performer"), f"Practitioner/{name}")]
        made_of = {} if kind != "Observation" else {"terms": terms}
        moments = {(key(kind, CARE_DATES[kind]), *moment)} if moment else set()
        return made(f"{kind}/{name}", **{"terms": terms[:1], "moments": moments, **made_of})

    for kind in MEMBERS:
        await write(
            engine, member(kind, "before", 1, 10), member(kind, "last-of-it", 5, 11), member(kind, "in", 12, 13)
        )
        await write(engine, member(kind, "after", 20, 30), member(kind, "longer", 1, 30), member(kind, "undated"))
    for name in ("before", "in"):
        await write(engine, made(f"Practitioner/{name}"), refers(f"Provenance/{name}", "target", f"Encounter/{name}"))
    await write(engine, made(PATIENT), refers("Provenance/pat", "target", PATIENT))
    seen = await addresses(engine, during=(10, 20), limits=limits)
    assert sorted(seen) == sorted(
        [
            *(f"{kind}/{name}" for kind in MEMBERS for name in ("last-of-it", "in", "longer", "undated")),
            *(PATIENT, "Provenance/pat", "Provenance/in", "Practitioner/in"),
        ]
    )
