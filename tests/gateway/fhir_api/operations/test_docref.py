"""http://hl7.org/fhir/us/core/OperationDefinition/docref"""

from datetime import UTC, datetime

import pytest
from fakes.crawled import crawled, entries, interval, links
from fakes.facade import BASE, resource_id
from fakes.outcomes import issue, refusal

from gateway.fhir_api.search import search_query
from mappings.fhir.judge import judge

FHIR = {"Content-Type": "application/fhir+json"}
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-documentreference"


@pytest.fixture
async def patient(stage):
    """A patient with several documents, all in the index."""
    by_mrn = {}
    for report in stage.reports(status="completed"):
        if mrn := report["snapshotMetadata"].get("mrn"):
            by_mrn.setdefault(mrn, {}).setdefault(report["studyId"], report)
    for one in max(by_mrn.values(), key=len).values():
        report = (await stage.get(f"DiagnosticReport/{resource_id(one)}")).json()
    return report["subject"]["reference"].partition("/")[2]


async def docref(stage, query):
    response = await stage.get(f"DocumentReference/$docref?{query}")
    assert response.status_code == 200, response.text
    bundle = response.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    assert {one["resourceType"] for one in entries(bundle)} <= {"DocumentReference"}
    assert [judge(one) for one in entries(bundle)] == [()] * len(entries(bundle))
    return bundle


async def post(stage, *parameters, **more):
    body = {"resourceType": "Parameters", "parameter": list(parameters)}
    return await stage.client.post(f"{BASE}/DocumentReference/$docref", json=body, headers=FHIR, **more)


def ids(bundle):
    return sorted(one["id"] for one in entries(bundle))


def cared_for(document):
    return interval(document["context"]["period"]["start"])


@pytest.mark.full
async def test_documents_are_those_of_the_patient_whose_care_was_in_the_time():
    async with crawled() as world:
        of_patient = {}
        for one in world.resources["DocumentReference"]:
            of_patient.setdefault(one["subject"]["reference"], []).append(one)
        for address, documents in sorted(of_patient.items(), key=lambda pair: -len(pair[1]))[:8]:
            patient = address.partition("/")[2]
            every = await docref(world.stage, f"patient={patient}&start=1900-01-01")
            assert ids(every) == sorted(one["id"] for one in documents)
            assert every["total"] == len(documents)
            times = sorted(cared_for(one) for one in documents)
            low, _ = times[len(times) // 2]
            day = datetime.fromtimestamp(low / 1_000_000, UTC).date().isoformat()
            later = await docref(world.stage, f"patient={patient}&start={day}")
            earlier = await docref(world.stage, f"patient={patient}&end={day}")
            both = await docref(world.stage, f"patient={patient}&start={day}&end={day}")
            assert set(ids(later)) | set(ids(earlier)) == {one["id"] for one in documents}
            assert set(ids(both)) == set(ids(later)) & set(ids(earlier))
            assert low in {cared_for(one)[0] for one in entries(both)}
            [recent] = entries(await docref(world.stage, f"patient={patient}"))
            assert cared_for(recent)[0] == times[-1][0]


async def test_without_a_time_it_is_the_most_recent_one(stage, patient):
    bundle = await docref(stage, f"patient={patient}")
    every = await docref(stage, f"patient={patient}&start=1900-01-01")
    assert len(entries(every)) > 1
    [found] = entries(bundle)
    assert cared_for(found) == max(map(cared_for, entries(every)))
    assert bundle["total"] == 1
    assert list(links(bundle)) == ["self"]
    assert links(bundle)["self"] == f"{BASE}/DocumentReference/$docref?patient={patient}"


async def test_get_and_post_find_the_same(stage, patient):
    every = await docref(stage, f"patient=Patient/{patient}&start=1900-01-01&type=http://loinc.org|18748-4")
    assert len(ids(every)) > 1
    for type_of in (
        {"name": "type", "valueCoding": {"system": "http://loinc.org", "code": "18748-4"}},
        {"name": "type", "valueCodeableConcept": {"coding": [{"code": "no"}, {"code": "18748-4"}]}},
        {"name": "type", "valueString": "18748-4"},
    ):
        response = await post(
            stage, {"name": "patient", "valueId": patient}, {"name": "start", "valueDate": "1900-01-01"}, type_of
        )
        assert ids(response.json()) == ids(every)
        assert links(response.json()) == {"self": f"{BASE}/DocumentReference/$docref"}


@pytest.mark.full
@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("type=http://loinc.org|34133-9", False),
        ("type=34133-9,18748-4", True),
        ("type=34133-9&type=18748-4", True),
        (f"profile={US_CORE}", True),
        (f"profile=http://hl7.org/cda/none&profile={US_CORE}", True),
        ("profile=http://hl7.org/cda/none", False),
        ("on-demand=false", True),
        ("on-demand=true", False),
        ("end=1900-01-01", False),
        ("start=2000-01-01T00:00:00Z&end=2100-01-01T00:00:00%2B02:00", True),
    ],
)
async def test_what_is_asked_for_is_what_is_found(stage, patient, query, is_found):
    assert bool(ids(await docref(stage, f"patient={patient}&{query}"))) is is_found


async def test_of_a_patient_that_is_not_known_nothing_is_found(stage):
    bundle = await docref(stage, f"patient=pat-{'0' * 32}&start=2000-01-01")
    assert (ids(bundle), bundle["total"]) == ([], 0)


@pytest.mark.parametrize("way", ["get", "post"])
async def test_pages_have_each_once_and_say_nothing_that_was_posted(stage, patient, monkeypatch, way):
    every = ids(await docref(stage, f"patient={patient}&start=1900-01-01"))
    monkeypatch.setattr(search_query, "USUAL_COUNT", 1)
    if way == "get":
        bundle = await docref(stage, f"patient={patient}&start=1900-01-01")
    else:
        bundle = (
            await post(stage, {"name": "patient", "valueId": patient}, {"name": "start", "valueDateTime": "1900-01-01"})
        ).json()
    seen, back = [], []
    while True:
        assert len(entries(bundle)) == 1
        seen += ids(bundle)
        if way == "post":
            assert patient not in "".join(links(bundle).values())
        if "next" not in links(bundle):
            break
        bundle = (await stage.client.get(links(bundle)["next"])).json()
        back.append(links(bundle)["previous"])
    assert sorted(seen) == every
    before = (await stage.client.get(back[-1])).json()
    assert ids(before) == [seen[-2]]


@pytest.mark.parametrize(
    ("query", "expected", "place"),
    [
        ("", (400, "error", "invalid"), "http.patient"),
        ("start=2024", (400, "error", "invalid"), "http.patient"),
        ("patient=a,b", (400, "error", "invalid"), "http.patient"),
        ("patient=Group/1", (400, "error", "invalid"), "http.patient"),
        ("patient=a&patient=b", (400, "error", "invalid"), "http.patient"),
        ("patient=a&start=yesterday", (400, "error", "invalid"), "http.start"),
        ("patient=a&end=2024,2025", (400, "error", "invalid"), "http.end"),
        ("patient=a&end=gt2024", (400, "error", "invalid"), "http.end"),
        ("patient=a&on-demand=maybe", (400, "error", "invalid"), "http.on-demand"),
        ("patient=a&date=2024", (400, "error", "not-supported"), "http.date"),
        ("_page=none", (400, "error", "invalid"), None),
    ],
)
async def test_what_cannot_be_is_refused_and_says_where(stage, query, expected, place):
    response = await stage.get(f"DocumentReference/$docref?{query}")
    assert refusal(response) == expected
    assert issue(response).get("expression", [None]) == [place]


async def test_other_methods_are_not_offered(stage):
    response = await stage.client.put(f"{BASE}/DocumentReference/$docref")
    assert refusal(response) == (405, "error", "not-supported")
    assert response.headers["allow"] == "GET, POST, HEAD"
