"""IHE RAD.IMR 1.1.0, RAD-143 Find Multimedia Report, and the parameters of our own that worklists need.

https://profiles.ihe.net/RAD/IMR/: GET and POST, JSON and XML, a total in every answer. All of the sandbox is in the
index; what must be found the resources and AutoScribe's own reports say.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from urllib.parse import quote, urlencode

import pytest
from fakes.crawled import BASE, World, asked_for, entries, escaped, ids, interval, links

from mappings.patient.identifiers import fhir_id, upstream_id

pytestmark = pytest.mark.asyncio(loop_scope="session")
FHIR = "{http://hl7.org/fhir}"
REPORT = "DiagnosticReport"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def referring(world: World, element: str, addresses: set[str]) -> set[str]:
    """Return the ids of reports whose element refers to one of these."""
    found = set()
    for one in world.resources[REPORT]:
        references = one.get(element, [])
        every = references if isinstance(references, list) else [references]
        if addresses & {reference.get("reference") for reference in every}:
            found.add(one["id"])
    return found


async def found(world: World, query: str) -> set[str]:
    """Return the ids that a search of reports finds; check its total, and the same search by POST."""
    bundle = await world.bundle(f"{REPORT}?{query}&_count=500")
    pairs = [tuple(pair.split("=", 1)) for pair in query.split("&")]
    posted = world.seen(await world.post(REPORT, [*pairs, ("_count", "500")]))
    assert bundle["total"] == posted["total"] == len(ids(bundle))
    assert ids(bundle) == ids(posted)
    return set(ids(bundle))


async def test_reports_of_an_imaging_study_by_its_id_and_by_its_uid(world):
    for report in world.some(REPORT, 6):
        study = world.by_address[report["imagingStudy"][0]["reference"]]
        wanted = referring(world, "imagingStudy", {f"ImagingStudy/{study['id']}"})
        urn = next(one["value"] for one in study["identifier"] if one["system"] == "urn:dicom:uid")
        uid = urn.removeprefix("urn:oid:")
        for query in (
            f"imagingStudy={study['id']}",
            f"imagingStudy=ImagingStudy/{study['id']}",
            f"imagingStudy={BASE}/ImagingStudy/{study['id']}",
            f"imagingStudy:identifier=urn:dicom:uid|{urn}",
            f"imagingStudy.identifier=urn:dicom:uid|{urn}",
            f"imagingStudy.identifier=urn:dicom:uid|{uid}",
            f"imagingStudy.identifier={urn}",
            f"imagingStudy.identifier={uid}",
            f"study={study['id']}",
            f"study={upstream_id(study['id'])}",
        ):
            assert await found(world, query) == wanted
        assert report["id"] in wanted


def modalities(study):
    return [coding["code"] for coding in study.get("modality", ()) if "code" in coding]


async def test_reports_by_modality_and_by_when_the_study_was_made(world):
    studies = world.resources["ImagingStudy"]
    for code in sorted({code for one in studies for code in modalities(one)}):
        addresses = {f"ImagingStudy/{one['id']}" for one in studies if code in modalities(one)}
        wanted = referring(world, "imagingStudy", addresses)
        for text in (code, f"http://dicom.nema.org/resources/ontology/DCM|{code}"):
            assert await found(world, f"imagingStudy.modality={text}&date=ge2000") == wanted != set()
            assert await found(world, f"imagingStudy.modality={text}&imagingStudy.started=ge2000") <= wanted
    low, high = interval("2026-01-20")
    started = {
        f"ImagingStudy/{one['id']}"
        for one in world.resources["ImagingStudy"]
        if "started" in one and low <= interval(one["started"])[0] and interval(one["started"])[1] <= high
    }
    assert await found(world, "imagingStudy.started=2026-01-20") == referring(world, "imagingStudy", started) != set()


async def test_reports_of_an_order(world):
    for order in world.some("ServiceRequest", 5):
        address = f"ServiceRequest/{order['id']}"
        wanted = referring(world, "basedOn", {address})
        for query in (f"basedOn={address}", f"based-on={order['id']}", f"basedOn:ServiceRequest={order['id']}"):
            assert await found(world, query) == wanted != set()
    for chain in ("basedOn.identifier", "based-on.identifier", "basedOn:identifier"):
        assert await found(world, f"{chain}=urn:accession|none-has-this") == set()


@pytest.mark.parametrize(
    ("chain", "name"),
    [
        ("patient.identifier", "identifier"),
        ("patient:identifier", "identifier"),
        ("patient.name", "name"),
        ("patient.name.family", "family"),
        ("patient.name.given", "given"),
        ("patient.family", "family"),
        ("patient.birthdate", "birthdate"),
    ],
)
async def test_reports_by_what_is_known_of_the_patient(world, chain, name):
    hits = 0
    for patient in world.some("Patient", 12):
        value = asked_for(patient, name)
        if value is None:
            continue
        patients = {f"Patient/{one}" for one in world.expected("Patient", [(name, value)])}
        wanted = referring(world, "subject", patients)
        assert await found(world, f"{chain}={value}") == wanted
        hits += len(wanted)
    assert hits


async def test_reports_by_who_read_them_and_where(world):
    for practitioner in world.some("Practitioner", 4):
        wanted = referring(world, "performer", {f"Practitioner/{practitioner['id']}"})
        assert await found(world, f"date=ge2000&performer={practitioner['id']}") == wanted
        assert await found(world, f"date=ge2000&results-interpreter=Practitioner/{practitioner['id']}") == wanted
    [one] = world.some("Organization", 1)
    wanted = referring(world, "performer", {f"Organization/{one['id']}"})
    name = quote(escaped(one["name"]))
    bundle = await world.bundle(f"{REPORT}?date=ge2000&performer:Organization.name={name}&_count=500")
    assert set(ids(bundle)) == wanted != set()


async def test_critical_has_three_values(world):
    said = {"true": True, "false": False, "unknown": None}
    every = {fhir_id(one["reportId"]): one.get("isCritical") for one in world.stage.reports()}
    seen = set()
    for value, wanted in said.items():
        here = await found(world, f"date=ge2000&critical={value}")
        assert here == {one for one, is_critical in every.items() if is_critical is wanted}
        seen |= here
    assert seen == set(every) == {one["id"] for one in world.resources[REPORT]}
    assert await found(world, "date=ge2000&critical:not=true") == {one for one, it in every.items() if it is not True}


async def test_addenda_are_told_from_originals(world):
    for value in (True, False):
        wanted = {fhir_id(one["reportId"]) for one in world.stage.reports(isAddendum=value)}
        assert await found(world, f"date=ge2000&addendum={str(value).lower()}") == wanted != set()


async def test_unsigned_reports_are_found_and_signed_ones_by_when(world):
    """`issued` of a report with an addendum is the addendum's signature; `signed` is the report's own."""
    every = {fhir_id(one["reportId"]): one.get("signedAt") for one in world.stage.reports()}
    assert await found(world, "date=ge2000&signed:missing=true") == {one for one, at in every.items() if not at}
    signed = {one: at for one, at in every.items() if at}
    for day in ("2026-01-20", "2026-01-21"):
        low, high = interval(day)
        wanted = {one for one, at in signed.items() if low <= interval(at)[0] < high}
        assert await found(world, f"signed={day}") == wanted != set()


async def test_reports_by_when_their_source_was_last_changed(world):
    of_reports = [one for one in world.resources["Provenance"] if not one["id"].endswith("-patient-prov")]
    recorded = {one["id"].removesuffix("-prov"): one["recorded"] for one in of_reports}
    for value in ("2026-01-21", "2026-01-20T20:00:00Z"):
        low, high = interval(value)
        after = {one for one, at in recorded.items() if interval(at)[1] > high}
        assert await found(world, f"_has:Provenance:target:recorded=gt{value}") == after
        within = {one for one, at in recorded.items() if low <= interval(at)[0] and interval(at)[1] <= high}
        assert await found(world, f"_has:Provenance:target:recorded={value}") == within
    assert after


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_in_xml_says_what_the_one_in_json_says(world, method):
    [report] = world.some(REPORT, 1)
    pairs = [
        ("patient", report["subject"]["reference"]),
        ("_include", "DiagnosticReport:subject"),
        ("_sort", "-date"),
        ("_count", "10"),
    ]
    accept = {"Accept": "application/fhir+xml"}
    if method == "GET":
        answer = await world.get(f"{REPORT}?{urlencode(pairs)}", headers=accept)
    else:
        answer = await world.stage.client.post(
            f"{BASE}/{REPORT}/_search", content=urlencode(pairs), headers={**accept, **FORM}
        )
    bundle = await world.bundle(f"{REPORT}?{urlencode(pairs)}")
    root = ET.fromstring(answer.content)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/fhir+xml; charset=utf-8")
    assert root.tag == f"{FHIR}Bundle"
    assert root.find(f"{FHIR}total").get("value") == str(bundle["total"])
    modes = [one.get("value") for one in root.iterfind(f"{FHIR}entry/{FHIR}search/{FHIR}mode")]
    urls = [one.get("value") for one in root.iterfind(f"{FHIR}entry/{FHIR}fullUrl")]
    assert modes == [one["search"]["mode"] for one in bundle["entry"]]
    assert urls == [one["fullUrl"] for one in bundle["entry"]]


@pytest.mark.parametrize("summary", ["true", "text", "data", "count", "false"])
async def test_a_summary_has_a_total_too_for_who_asks(world, summary):
    bundle = await world.bundle(f"{REPORT}?date=ge2000&_summary={summary}&_count=3&_total=accurate")
    assert bundle["total"] == len(world.resources[REPORT])
    assert len(entries(bundle)) == (0 if summary == "count" else 3)


async def test_a_posted_search_takes_parameters_from_its_address_too(world):
    [report] = world.some(REPORT, 1)
    url = f"{BASE}/{REPORT}/_search?status={report['status']}"
    answer = await world.stage.client.post(url, content=f"_id={report['id']}", headers=FORM)
    assert ids(answer.json()) == [report["id"]]
    other = await world.stage.client.post(f"{url}&status=cancelled", content=f"_id={report['id']}", headers=FORM)
    assert ids(other.json()) == []
    assert list(links(answer.json())) == ["self"]
