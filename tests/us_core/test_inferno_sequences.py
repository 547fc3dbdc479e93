"""The us-core-test-kit's sequences for DiagnosticReport (note exchange) and Patient, 6.1.0 and 8.0.0, re-stated.

https://github.com/inferno-framework/us-core-test-kit: from their public description, without their code. What the kit
asks of one server with one list of patients is here asked of the sandbox with all of its patients.
"""

from __future__ import annotations

from itertools import islice

import pytest
from fakes.crawled import asked_for, entries, ids, interval
from fakes.criteria import compares

from mappings.fhir.judge import judge

pytestmark = pytest.mark.asyncio(loop_scope="session")
CATEGORIES = ("LP29684-5", "LP29708-2", "LP7839-6")
LOINC = "http://loinc.org"
RESULT = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-clinical-result"
# Must-support element of a report -> why no report of ours has it; None: some report must have it
REPORT_ELEMENTS = {
    "status": None,
    "category": None,
    "category:us-core": None,
    "code": None,
    "subject->Patient": None,
    "encounter->Encounter": "AutoScribe knows no encounters",
    "effectiveDateTime": None,
    "issued": None,
    "performer->Practitioner": None,
    "performer->Organization": None,
    "resultsInterpreter->Practitioner": None,
    "result->Observation": None,
    "presentedForm": None,
}
# Must-support element of a patient, or one that USCDI asks for -> the same
PATIENT_ELEMENTS = {
    "identifier": None,
    "identifier.system": None,
    "identifier.value": None,
    "name": None,
    "name.family": None,
    "name.given": None,
    "name.suffix": None,
    "name.use": "AutoScribe has one name for a patient and does not say of what use",
    "name.period.end": "AutoScribe has no previous names",
    "gender": None,
    "birthDate": None,
    "address": "AutoScribe knows no addresses of patients",
    "telecom": "AutoScribe knows no telephone numbers of patients",
    "communication": "AutoScribe knows no languages of patients",
    "deceasedDateTime": "AutoScribe does not say who has died",
    "extension:race": "AutoScribe does not know it",
    "extension:ethnicity": "AutoScribe does not know it",
    "extension:tribal-affiliation": "AutoScribe does not know it",
    "extension:birthsex": "AutoScribe does not know it, and it does not follow from sex",
    "extension:sex": "AutoScribe does not know it, and it does not follow from sex",
    "extension:genderIdentity": "AutoScribe does not know it",
}


async def every_patient(world, query, **more):
    """Yield the reports that a search finds for every patient, page by page."""
    found = []
    for patient in world.resources["Patient"]:
        bundle = await world.bundle(query.format(patient=patient["id"]), **more)
        for one in entries(bundle):
            assert one["subject"]["reference"] == f"Patient/{patient['id']}"
            found.append(one)
    return found


async def test_reports_by_patient_and_category(world):
    """Inferno, DiagnosticReport for Report and Note, 1: the first search, each category; POST gives as many as GET."""
    found = {}
    for category in CATEGORIES:
        for one in await every_patient(world, f"DiagnosticReport?patient={{patient}}&category={category}"):
            assert category in [coding["code"] for concept in one["category"] for coding in concept.get("coding", ())]
            found[one["id"]] = one
    assert set(found) == {one["id"] for one in world.resources["DiagnosticReport"]}
    for patient in world.some("Patient", 5):
        pairs = [("patient", patient["id"]), ("category", CATEGORIES[0])]
        by_get = await world.bundle(f"DiagnosticReport?patient={patient['id']}&category={CATEGORIES[0]}")
        by_post = world.seen(await world.post("DiagnosticReport", pairs))
        by_type = await world.bundle(f"DiagnosticReport?patient=Patient/{patient['id']}&category={CATEGORIES[0]}")
        by_system = await world.bundle(f"DiagnosticReport?patient={patient['id']}&category={LOINC}|{CATEGORIES[0]}")
        assert ids(by_get) == ids(by_post) == ids(by_type) == ids(by_system) != []


async def test_reports_by_patient(world):
    """Inferno, DiagnosticReport for Report and Note, 2: patient."""
    found = await every_patient(world, "DiagnosticReport?patient={patient}")
    assert len(found) == len(world.resources["DiagnosticReport"])


async def test_reports_by_patient_category_and_last_update(world):
    """Inferno, DiagnosticReport for Report and Note, 3 (8.0.0): patient + category + _lastUpdated."""
    await compared(world, "_lastUpdated", lambda one: one["meta"]["lastUpdated"])


async def test_reports_by_patient_and_status(world):
    """Inferno, DiagnosticReport for Report and Note, 4: patient + status, all that a server has at once."""
    statuses = {one["status"] for one in world.resources["DiagnosticReport"]}
    found = []
    for status in sorted(statuses):
        some = await every_patient(world, f"DiagnosticReport?patient={{patient}}&status={status}")
        assert {one["status"] for one in some} == {status}
        found += some
    together = await every_patient(world, f"DiagnosticReport?patient={{patient}}&status={','.join(sorted(statuses))}")
    assert sorted(one["id"] for one in together) == sorted(one["id"] for one in found)


async def test_reports_by_patient_category_and_date(world):
    """Inferno, DiagnosticReport for Report and Note, 5: patient + category + date, with gt, ge, lt and le."""
    await compared(world, "date", lambda one: one["effectiveDateTime"])


async def compared(world, name, value_of):
    """Check the results of each comparator, and that ge and le find the report itself."""
    hits = dict.fromkeys(("gt", "ge", "lt", "le"), 0)
    for report in world.some("DiagnosticReport", 10):
        patient, value = report["subject"]["reference"], value_of(report)
        query = f"DiagnosticReport?patient={patient}&category={LOINC}|{CATEGORIES[0]}&{name}="
        for comparator in hits:
            found = entries(await world.bundle(f"{query}{comparator}{value}".replace("+", "%2B")))
            assert all(compares(comparator, interval(value_of(one)), interval(value)) for one in found)
            assert (comparator in {"ge", "le"}) == (report["id"] in [one["id"] for one in found])
            hits[comparator] += len(found)
    assert all(hits.values())


async def test_reports_by_patient_and_code(world):
    """Inferno, DiagnosticReport for Report and Note, 6: patient + code."""
    for report in world.some("DiagnosticReport", 10):
        for coding in report["code"]["coding"]:
            for code in (coding["code"], f"{coding['system']}|{coding['code']}"):
                query = f"DiagnosticReport?patient={report['subject']['reference']}&code={code}"
                found = entries(await world.bundle(query))
                assert all(coding["code"] in [other["code"] for other in one["code"]["coding"]] for one in found)
                assert report["id"] in [one["id"] for one in found]


async def test_reports_by_patient_code_and_date(world):
    """Inferno, DiagnosticReport for Report and Note, 7: patient + code + date."""
    for report in world.some("DiagnosticReport", 10):
        patient, code = report["subject"]["reference"], asked_for(report, "code")
        for date in (asked_for(report, "date"), report["effectiveDateTime"]):
            query = f"DiagnosticReport?patient={patient}&code={code}&date={date}".replace("+", "%2B")
            assert report["id"] in ids(await world.bundle(query))


async def test_every_report_is_read(world):
    """Inferno, DiagnosticReport for Report and Note, 8: read gives what the search gave."""
    for report in world.resources["DiagnosticReport"]:
        response = await world.get(f"DiagnosticReport/{report['id']}")
        assert (response.status_code, response.json()["id"]) == (200, report["id"])


async def test_reports_come_with_their_provenance(world):
    """Inferno, DiagnosticReport for Report and Note, 9: patient + category + _revinclude=Provenance:target."""
    for report in world.some("DiagnosticReport", 10):
        patient = report["subject"]["reference"]
        query = f"DiagnosticReport?patient={patient}&category={CATEGORIES[0]}&_revinclude=Provenance:target"
        bundle = await world.bundle(query)
        assert set(ids(bundle, "include")) == {f"{one}-prov" for one in ids(bundle)} != set()


async def test_every_report_passes_the_judge(world):
    """Inferno, DiagnosticReport for Report and Note, 10: what is given conforms to the profile it claims."""
    for report in world.resources["DiagnosticReport"]:
        assert report["meta"]["profile"][0].endswith("us-core-diagnosticreport-note")
        assert judge(report) == ()


@pytest.mark.parametrize("element", REPORT_ELEMENTS)
async def test_every_must_support_element_of_reports_is_there_or_accounted_for(world, element):
    """Inferno, DiagnosticReport for Report and Note, 11: must support, but for what the table says."""
    has = any(_has(world, one, element) for one in world.resources["DiagnosticReport"])
    assert has == (REPORT_ELEMENTS[element] is None)


async def test_every_reference_of_a_report_leads_somewhere(world):
    """Inferno, DiagnosticReport for Report and Note, 12: references resolve, and to the profile that is asked for."""
    every = set()
    for report in world.resources["DiagnosticReport"]:
        for element in ("subject", "performer", "resultsInterpreter", "result", "basedOn", "imagingStudy"):
            every |= set(_references(report, element))
        for one in _references(report, "result"):
            assert world.by_address[one]["meta"]["profile"] == [RESULT]
    for one in islice(sorted(every), 0, None, 4):
        assert (await world.get(one)).status_code == 200
    assert every <= set(world.by_address)


async def test_what_reports_show_documents_show_too(world):
    """Inferno, clinical notes: every attachment of a DiagnosticReport is one of a DocumentReference of the patient."""
    hits = 0
    for patient in world.resources["Patient"]:
        reports = entries(await world.bundle(f"DiagnosticReport?patient={patient['id']}&_count=500"))
        documents = entries(await world.bundle(f"DocumentReference?patient={patient['id']}&_count=500"))
        shown = {one["url"] for report in reports for one in report.get("presentedForm", ()) if "url" in one}
        found = {one["attachment"]["url"] for document in documents for one in document["content"]}
        assert shown <= found
        hits += len(shown)
    assert hits


async def test_patients_by_id(world):
    """Inferno, Patient: _id first, by GET and POST."""
    for patient in world.resources["Patient"][::7]:
        assert ids(await world.bundle(f"Patient?_id={patient['id']}")) == [patient["id"]]
        assert ids(world.seen(await world.post("Patient", [("_id", patient["id"])]))) == [patient["id"]]


@pytest.mark.parametrize(
    "names",
    [
        ("identifier",),
        ("name",),
        ("birthdate", "name"),
        ("gender", "name"),
        ("birthdate", "family"),
        ("family", "gender"),
    ],
)
async def test_patients_by_what_is_known_of_them(world, names):
    """Inferno, Patient: identifier, name, birthdate + name, gender + name, birthdate + family, family + gender."""
    for patient in world.resources["Patient"][::7]:
        pairs = [(name, asked_for(patient, name)) for name in names]
        if all(value for _, value in pairs):
            assert patient["id"] in await world.check("Patient", pairs)


async def test_every_patient_is_read(world):
    """Inferno, Patient: read."""
    for patient in world.resources["Patient"]:
        assert (await world.get(f"Patient/{patient['id']}")).json()["id"] == patient["id"]


async def test_patients_come_with_their_provenance(world):
    """Inferno, Patient: _id + _revinclude=Provenance:target. Each study that describes the patient has one."""
    for patient in world.resources["Patient"][:8]:
        bundle = await world.bundle(f"Patient?_id={patient['id']}&_revinclude=Provenance:target")
        assert ids(bundle, "match") == [patient["id"]]
        found = entries(bundle, "include")
        assert found
        assert {(one["resourceType"], one["target"][0]["reference"]) for one in found} == {
            ("Provenance", f"Patient/{patient['id']}")
        }


async def test_every_patient_passes_the_judge(world):
    """Inferno, Patient: validation."""
    assert [judge(one) for one in world.resources["Patient"]] == [()] * len(world.resources["Patient"])


@pytest.mark.parametrize("element", PATIENT_ELEMENTS)
async def test_every_must_support_element_of_patients_is_there_or_accounted_for(world, element):
    """Inferno, Patient: must support and USCDI, but for what the table says."""
    has = any(_has(world, one, element) for one in world.resources["Patient"])
    assert has == (PATIENT_ELEMENTS[element] is None)


async def test_only_200_is_success_and_a_400_has_an_outcome(world):
    """Inferno, all sequences: a search answers 200; one that the server wants more of, 400 with an OperationOutcome."""
    refused = await world.get("DiagnosticReport?status=final")
    assert (refused.status_code, refused.json()["resourceType"]) == (400, "OperationOutcome")
    patient = world.resources["DiagnosticReport"][0]["subject"]["reference"]
    assert (await world.get(f"DiagnosticReport?status=final&patient={patient}")).status_code == 200


def _has(world, resource, element):
    plain, arrow, target = element.partition("->")
    if arrow:
        return any(one.startswith(f"{target}/") for one in _references(resource, plain))
    plain, colon, part = element.partition(":")
    if colon and plain == "extension":
        return any(one["url"].endswith(f"us-core-{part}") for one in resource.get("extension", ()))
    if colon:
        codings = [coding for concept in resource[plain] for coding in concept.get("coding", ())]
        return any(one["code"] in CATEGORIES and one["system"] == LOINC for one in codings)
    found = [resource]
    for step in plain.split("."):
        found = [inner for one in found if step in one for inner in _listed(one[step])]
    return bool(found)


def _listed(value):
    return value if isinstance(value, list) else [value]


def _references(resource, element):
    return [one["reference"] for one in _listed(resource.get(element, [])) if "reference" in one]
