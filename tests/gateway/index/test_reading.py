"""https://hl7.org/fhir/R4/search.html#chaining, #has, #modifiers, decision D30: names, chains, and narrowing."""

from __future__ import annotations

import pytest
from fakes.indexed import HERE, REPORT, STUDY, UID, search

from gateway.index.criteria import Not, Referred, Refers, Starts
from gateway.index.keys import key
from gateway.index.parameter_lookup import PARAMETERS, parameter
from gateway.index.reading import asked
from gateway.index.route import Step, find
from gateway.runtime.request_errors import BadRequest, NotSupported


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("patient.identifier=urn:mrn|0042", {"rep-1"}),
        ("patient.identifier=0042", {"rep-1"}),
        ("subject.identifier=0042", {"rep-1"}),
        ("patient:Patient.identifier=0042", {"rep-1"}),
        ("patient.identifier:of-type=urn:t|MR|0043", {"rep-2"}),
        ("patient.name=doe", {"rep-1"}),
        ("patient.name=muller", {"rep-2"}),
        ("patient.name=zoe", set()),
        ("patient.name:contains=zoe", {"rep-2"}),
        ("patient.gender=female", {"rep-1"}),
        ("patient._id=pat-2", {"rep-2"}),
        ("patient.family=do", {"rep-1"}),
        ("patient.given=jane", {"rep-1"}),
        ("patient.given:exact=jane", set()),
        ("patient.name.given=jane", {"rep-1"}),
        ("patient.name.family:exact=Doe", {"rep-1"}),
        ("patient.birthdate=1985-07-20", {"rep-1"}),
        ("subject:Patient.birthdate=lt1960", {"rep-2"}),
        ("based-on.identifier=A1", {"rep-1"}),
        ("basedOn.identifier=urn:acc|A1", {"rep-1"}),
        (r"based-on.identifier=urn:plac|P\|1\,2", {"rep-1"}),
        (f"imagingStudy.identifier=urn:dicom:uid|urn:oid:{UID}", {"rep-1"}),
        (f"imagingStudy:identifier=urn:dicom:uid|urn:oid:{UID}", {"rep-1"}),
        (f"imagingStudy.identifier=urn:dicom:uid|{UID}", {"rep-1"}),
        (f"imagingStudy.identifier=urn:oid:{UID}", {"rep-1"}),
        (f"imagingStudy.identifier={UID}", {"rep-1"}),
        (f"imagingStudy.identifier=stu_{STUDY}", {"rep-1"}),
        (f"imagingStudy.identifier=stu-{STUDY}", {"rep-1"}),
        (f"imagingStudy.identifier=urn:autoscribe-gateway:study|stu_{STUDY}", {"rep-1"}),
        ("imagingStudy.identifier=odd uid", {"rep-2"}),
        ("imagingStudy.identifier=urn:autoscribe-gateway:study-instance-uid:not-an-oid|odd uid", {"rep-2"}),
        ("imagingStudy.identifier=A1", {"rep-1"}),
        ("imagingStudy.identifier=urn:other|1.2.3.4", set()),
        ("imagingStudy.identifier=|1.2.3.4", set()),
        (f"imagingStudy.identifier=urn:other|urn:oid:{UID}", set()),
        ("imagingStudy.identifier=urn:oid:1.2.3.4", set()),
        ("imagingStudy.identifier=urn:dicom:uid|", {"rep-1"}),
        ("imagingStudy.modality=CT,MR", {"rep-1"}),
        ("imagingStudy.modality:text=fluoro", {"rep-2"}),
        ("imagingStudy.started=2024-03-15", {"rep-1"}),
        ("performer.name=smith", {"rep-1"}),
        ("performer.name=city", {"rep-1"}),
        ("performer:Practitioner.name=city", set()),
        ("performer:Organization.name=medical", set()),
        ("performer:Organization.name:contains=medical", {"rep-1"}),
        ("performer.family=smith", {"rep-1"}),
        ("based-on.patient.family=doe", {"rep-1"}),
        ("based-on.patient=pat-1", {"rep-1"}),
        ("imagingStudy.patient.birthdate=1950", set()),
        ("results-interpreter.name=alex", {"rep-1"}),
        ("results-interpreter.identifier=urn:npi|1234567893", {"rep-1"}),
        ("_has:Provenance:target:recorded=ge2024-03-16", {"rep-1"}),
        ("_has:Provenance:target:recorded=lt2024-03-16", set()),
        ("_has:Provenance:target:target=rep-1", {"rep-1"}),
    ],
)
def test_chains_find_what_refers_to_something_that_is_so(query, expected):
    assert search(query) == expected


@pytest.mark.parametrize(
    "name",
    [
        *("colour", "patients", "patient.colour", "patient.", "patient.phones", ".", "name", "colour:exact", "hasty"),
    ],
)
def test_a_parameter_or_chain_that_is_not_known_is_none(name):
    assert find(REPORT, name) is None
    assert asked(REPORT, name, "x", HERE) is None


def test_what_is_known_of_one_type_is_not_known_of_another():
    assert find("Patient", "status") is None
    assert find("Condition", "_id") is None


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("status:exact", "status"),
        ("status:text", "status"),
        ("status:", "status"),
        ("critical:missing", "critical"),
        ("_id:not", "_id"),
        ("_lastUpdated:missing", "_lastUpdated"),
        ("date:contains", "date"),
        ("patient:Group", "patient"),
        ("patient:patient", "patient"),
        ("_profile:below", "_profile"),
        ("study:not", "study"),
        ("patient:Group.name", "patient"),
        ("patient:identifier.value", "patient"),
        ("patient:.name", "patient"),
        ("patient.name:not", "patient.name"),
        ("patient.identifier:not", "patient.identifier"),
        ("patient.identifier:missing", "patient.identifier"),
        ("patient.name:", "patient.name"),
        ("patient.name.given:above", "patient.given"),
        ("media", "media"),
        ("specimen:missing", "specimen"),
        ("_text", "_text"),
        ("_has", "_has"),
        ("_filter", "_filter"),
        ("status.name", "status"),
        ("date.x", "date"),
        ("encounter.length", "encounter"),
        ("patient.phone", "patient"),
        ("patient.address-city", "patient"),
        ("patient._lastUpdated", "patient"),
        ("patient._tag", "patient"),
        ("based-on.patient.organization.name", "organization"),
        ("patient._has:Provenance:target:recorded", "patient"),
        ("_has:", "_has"),
        ("_has:AuditEvent:entity:date", "_has"),
        ("_has:Provenance:agent:recorded", "_has"),
        ("_has:Provenance:target:colour", "_has"),
        ("_has:Provenance:target:agent", "agent"),
        ("_has:Provenance:target:_lastUpdated", "_lastUpdated"),
        ("_has:Provenance:target:", "_has"),
        ("_has:Provenance:target:recorded:missing", "target.recorded"),
        ("_has:DiagnosticReport:performer:identifier", "_has"),
    ],
)
def test_a_modifier_that_is_not_offered_is_refused(name, plain):
    with pytest.raises(NotSupported) as error:
        asked(REPORT, name, "x", HERE)
    assert error.value.expression == f"http.{plain}"


@pytest.mark.parametrize(
    ("resource_type", "pairs"),
    [
        (REPORT, ["patient=pat-1", "subject=pat-1", "patient=Practitioner/1", "identifier=1", "identifier=|1"]),
        (REPORT, ["_id=rep-1", f"study=stu-{STUDY}", f"imagingStudy=stu-{STUDY}", "based-on=req-1", "basedOn=req-1"]),
        (REPORT, ["date=2024", "date=gt2024", "issued=lt2024", "signed=ap2024", "_lastUpdated=gt2024"]),
        (REPORT, ["patient.identifier=1", "patient.name=doe", "based-on.identifier=A1", "performer.name=smith"]),
        (REPORT, ["imagingStudy.identifier=1.2.3", "imagingStudy:identifier=1.2.3", "imagingStudy.started=2024"]),
        (REPORT, ["_has:Provenance:target:recorded=ge2024", "patient:identifier=urn:mrn|1", "patient:Patient=1"]),
        ("Patient", ["name=doe", "name:exact=Doe", "family=doe", "given=jane", "birthdate=1985", "address=main"]),
        ("Practitioner", ["name=smith", "identifier=1"]),
        ("Organization", ["name=mercy", "address=main"]),
        ("Provenance", ["target=rep-1", "patient=pat-1", "recorded=2024"]),
    ],
)
def test_a_search_is_allowed_by_what_narrows_it(resource_type, pairs):
    for pair in pairs:
        name, _, value = pair.partition("=")
        assert asked(resource_type, name, value, HERE).narrows, pair


@pytest.mark.parametrize(
    ("resource_type", "pairs"),
    [
        (REPORT, ["status=final", "category=RAD", "code=18748-4", "critical=true", "addendum=true", "performer=usr-1"]),
        (REPORT, ["identifier=urn:x|", "identifier=1,urn:x|", "identifier:not=1", "identifier:missing=false"]),
        (REPORT, ["date=ne2024", "date=2024,ne2025", "_lastUpdated=ne2024", "date:missing=false", "code:text=chest"]),
        (REPORT, ["patient:missing=false", "patient.identifier=urn:x|", "patient.birthdate=ne2024"]),
        (REPORT, ["patient.name:contains=a", "imagingStudy.modality=CT", "patient:identifier=urn:x|"]),
        (REPORT, ["_has:Provenance:target:recorded=ne2024", "imagingStudy.identifier=urn:dicom:uid|", "_tag=x"]),
        ("Patient", ["name:contains=doe", "gender=female", "family:missing=false", "birthdate=ne1985"]),
    ],
)
def test_a_search_is_not_allowed_by_what_almost_everything_has(resource_type, pairs):
    for pair in pairs:
        name, _, value = pair.partition("=")
        assert not asked(resource_type, name, value, HERE).narrows, pair


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("status", "final", False),
        ("status", "finished", True),
        ("status", "final,urn:x|finished", True),
        ("status:not", "finished", True),
        ("status", "http://hl7.org/fhir/diagnostic-report-status|", False),
        ("status:missing", "true", False),
        ("code", "finished", False),
    ],
)
def test_a_code_that_the_element_cannot_have_is_noted(name, value, expected):
    assert asked(REPORT, name, value, HERE).has_unknown_code is expected


def test_every_chain_of_the_table_can_be_asked():
    for row in PARAMETERS:
        for inner in row.chains:
            rows = tuple(one for target in row.targets if (one := parameter(target, inner)))
            assert find(row.resource_type, f"{row.name}.{inner}").steps == (Step(row, is_back=False),)
            assert find(row.resource_type, f"{row.name}.{inner}").parameters == rows
            for one in rows:
                assert find(row.resource_type, f"{row.name}:{one.resource_type}.{inner}").parameters == (one,)


@pytest.mark.parametrize(
    ("resource_type", "query", "expected"),
    [
        ("Patient", "_has:DiagnosticReport:patient:status=registered", {"pat-2"}),
        ("Patient", "_has:DiagnosticReport:subject:based-on.identifier=A1", {"pat-1"}),
        ("Patient", "_has:DiagnosticReport:patient:_has:Provenance:target:recorded=ge2024-03-16", {"pat-1"}),
        ("Practitioner", "_has:DiagnosticReport:performer:code=18748-4", {"usr-1"}),
        ("Practitioner", "_has:DiagnosticReport:results-interpreter:patient=pat-2", set()),
        ("Organization", "_has:DiagnosticReport:performer:patient.family=doe", {"org-1"}),
        ("ServiceRequest", "patient.gender=female", {"req-1"}),
    ],
)
def test_has_finds_what_is_referred_to_by_something_that_is_so(resource_type, query, expected):
    assert search(query, resource_type) == expected


def test_a_refusal_names_what_is_offered():
    for name, said in (
        ("media", "status"),
        ("patient.phone", "birthdate"),
        ("status:exact", "not, missing"),
        ("patient:Group.name", "Patient"),
        ("_has:DiagnosticReport:performer:identifier", "Provenance:target"),
    ):
        with pytest.raises(NotSupported, match=said):
            find(REPORT, name)


def test_what_a_chain_and_has_read_are_the_types_on_the_way():
    assert find(REPORT, "patient").other_types == frozenset()
    assert find(REPORT, "based-on.patient.organization").other_types == {"ServiceRequest", "Patient"}
    assert find("Patient", "_has:DiagnosticReport:patient:based-on.identifier").other_types == {
        "DiagnosticReport",
        "ServiceRequest",
    }
    assert find("Patient", "_has:DiagnosticReport:patient:_has:Provenance:target:recorded").other_types == {
        "DiagnosticReport",
        "Provenance",
    }


TYPE_OF = {number: row.resource_type for row in PARAMETERS for number in (row.key, *map(row.key_with, row.modifiers))}


def types_read(criterion):
    """Yield the types of the resources whose values a criterion compares, beyond the first reference."""
    match criterion:
        case Refers(criterion=inner) | Referred(criterion=inner):
            yield from [TYPE_OF[one.key] for one in (inner,) if hasattr(one, "key")]
            yield from types_read(inner)


@pytest.mark.parametrize("row", PARAMETERS, ids=lambda row: f"{row.resource_type}.{row.name}")
def test_what_reads_another_type_says_so_so_that_the_client_needs_its_scope(row):
    names = [row.name, *(f"{row.name}:{one}" for one in (*row.modifiers, *row.targets))]
    names += [f"{row.name}.{one}" for one in row.chains]
    for name in names:
        value = {"date": "2024", "reference": "a-1"}.get(row.type, "a|b") if "missing" not in name else "true"
        try:
            asking = asked(row.resource_type, name, value if "." not in name else "2024-01-01", HERE)
        except (BadRequest, NotSupported):
            continue
        read = {one for clause in asking.clauses for criterion in clause for one in types_read(criterion)}
        assert read <= asking.route.other_types, name


def test_none_of_several_alternatives_may_hold_under_not():
    asking = asked(REPORT, "status:not", "final,registered", HERE)
    status = key(REPORT, "status")
    assert asking.clauses == ((Not(Starts(status, "final\x1f")),), (Not(Starts(status, "registered\x1f")),))
