"""https://hl7.org/fhir/R4/http.html#transaction: each entry of a batch is answered as if sent alone."""

import asyncio
import xml.etree.ElementTree as ET
from functools import partial

import pytest
from fakes.facade import BASE, resource_id
from fakes.outcomes import issue, refusal
from fhir.resources.R4B.bundle import Bundle

from gateway.fhir_api import batch as module
from gateway.fhir_api.batch_entries import MOST_ENTRIES
from gateway.fhir_api.http import budget
from gateway.fhir_api.http.body import LARGE
from gateway.runtime.computing import workers
from gateway.runtime.metrics import PREFIX

FHIR = {"Content-Type": "application/fhir+json"}


def bundle(*urls, **more):
    return {"resourceType": "Bundle", "type": "batch", "entry": [{"request": get(url)} for url in urls], **more}


def get(url, **more):
    return {"method": "GET", "url": url, **more}


async def send(stage, body, path="", **headers):
    return await stage.client.post(f"{BASE}{path}", json=body, headers={**FHIR, **headers})


async def entries(stage, body, **headers):
    response = await send(stage, body, **headers)
    assert response.status_code == 200, response.text
    made = response.json()
    Bundle.model_validate(made)
    assert made["type"] == "batch-response"
    return made["entry"]


def status(entry):
    return int(entry["response"]["status"].partition(" ")[0])


def failure(entry):
    [found] = entry["response"]["outcome"]["issue"]
    assert "resource" not in entry
    return status(entry), found["severity"], found["code"]


async def test_an_entry_is_answered_as_if_it_came_alone(stage):
    report = resource_id(stage.signed())
    first = (await stage.get(f"DiagnosticReport/{report}")).json()
    urls = [
        f"DiagnosticReport/{report}",
        f"DiagnosticReport/{report}/_history/1",
        f"DiagnosticReport/{report}/_history",
        f"DiagnosticReport?_id={report}&_include=DiagnosticReport:subject",
        f"{first['subject']['reference']}?_summary=true",
        f"{first['subject']['reference']}/$everything?_type=Patient",
        f"DiagnosticReport/{report}/$hl7v2?receiver=generic",
        "OperationDefinition/trace",
        "metadata",
    ]
    found = await entries(stage, bundle(*urls))
    for url, entry in zip(urls, found, strict=True):
        alone = await stage.get(url)
        resource = entry["resource"]
        if "$hl7v2" not in url:  # MSH-7 is the instant
            assert resource == alone.json()
        assert entry["response"]["status"] == "200 OK"
        assert entry["response"].get("etag") == alone.headers.get("etag")
    assert found[0]["response"]["lastModified"] == first["meta"]["lastUpdated"].partition(".")[0] + "Z"
    assert not any("fullUrl" in entry for entry in found)


async def test_a_binary_is_answered_as_a_resource(stage):
    path = f"Binary/{resource_id(stage.signed())}-text"
    [found] = await entries(stage, bundle(path))
    assert found["resource"] == (await stage.get(path, headers={"Accept": "application/fhir+json"})).json()
    assert found["resource"]["resourceType"] == "Binary"


async def test_answers_stand_in_the_order_of_what_was_asked(stage):
    reports = [resource_id(one) for one in list(stage.reports(status="completed"))[:12]]
    found = await entries(stage, bundle(*(f"DiagnosticReport/{one}" for one in reports)))
    assert [one["resource"]["id"] for one in found] == reports


@pytest.mark.parametrize("path", ["", "/"])
async def test_the_base_is_the_base_with_and_without_a_slash(stage, path):
    response = await send(stage, bundle("metadata"), path)
    assert response.json()["entry"][0]["resource"]["resourceType"] == "CapabilityStatement"
    metrics = (await stage.client.get("http://127.0.0.1:8800/metrics")).text
    assert f'{PREFIX}http_requests_total{{method="POST",route="/",status="200"}} 1.0' in metrics
    assert "/metadata" not in metrics


async def test_no_other_address_is_the_base(stage):
    response = await send(stage, bundle("metadata"), "/fhir")
    assert refusal(response) == (404, "error", "not-found")


async def test_a_batch_of_nothing_is_answered_with_nothing(stage):
    for body in (bundle(), {"resourceType": "Bundle", "type": "batch"}):
        assert (await send(stage, body)).json() == {"resourceType": "Bundle", "type": "batch-response"}


async def test_an_address_below_the_base_may_be_absolute(stage):
    [found] = await entries(stage, bundle(f"{BASE}/OperationDefinition/trace"))
    assert found["resource"]["id"] == "trace"


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example/fhir/metadata",
        "//other.example/fhir/metadata",
        "../metrics",
        "/metrics",
        "metadata/../../livez",
        "http://127.0.0.1:8800/fhirmetadata",
        "urn:uuid:4",
        "Condition/1",
        "%2e%2e/metrics",
        "DiagnosticReport/rep-1/$trace",
    ],
)
async def test_an_address_that_is_none_of_this_server_is_a_404_in_its_place(stage, url):
    before, found, after = await entries(stage, bundle("metadata", url, "metadata"))
    assert failure(found) == (404, "error", "not-found")
    assert [status(before), status(after)] == [200, 200]


@pytest.mark.parametrize(
    "url", ["Patient?name=Müller", "Patient?name=\ud800", "Patient?\x7f", "http://[/fhir/metadata"]
)
async def test_an_address_that_cannot_be_one_is_a_400_in_its_place(stage, url):
    body = f'{{"resourceType":"Bundle","type":"batch","entry":[{{"request":{{"method":"GET","url":"{url}"}}}}]}}'
    body = body.encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00")
    response = await stage.client.post(BASE, content=body, headers=FHIR)
    assert failure(response.json()["entry"][0]) == (400, "error", "invalid")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("DiagnosticReport", (400, "error", "too-costly")),
        ("Patient?name=M%FFller", (400, "error", "invalid")),
        ("Patient/pat-" + "0" * 32, (404, "error", "not-found")),
        ("", (405, "error", "not-supported")),
        ("DiagnosticReport/rep-1/$addendum", (405, "error", "not-supported")),
        ("metadata?_format=turtle", (406, "error", "not-supported")),
        ("metadata?_format=xml", (406, "error", "not-supported")),
    ],
)
async def test_what_is_refused_alone_is_refused_in_its_place(stage, url, expected):
    [found] = await entries(stage, bundle(url))
    assert failure(found) == expected


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "PATCH"])
async def test_only_get_is_offered_in_a_batch(stage, method):
    body = bundle("metadata")
    body["entry"].append(
        {"request": {"method": method, "url": "Patient/pat-1"}, "resource": {"resourceType": "Patient"}}
    )
    good, bad = await entries(stage, body)
    assert (status(good), failure(bad)) == (200, (405, "error", "not-supported"))


async def test_a_batch_in_a_batch_is_refused(stage):
    body = bundle()
    body["entry"] = [{"request": {"method": "POST", "url": ""}, "resource": bundle("metadata")}]
    [found] = await entries(stage, body)
    assert failure(found) == (405, "error", "not-supported")


async def test_a_condition_of_an_entry_counts_and_one_of_the_batch_does_not(stage):
    report = resource_id(stage.signed())
    await stage.get(f"DiagnosticReport/{report}")
    body = bundle(f"DiagnosticReport/{report}")
    body["entry"] += [
        {"request": get(f"DiagnosticReport/{report}", ifNoneMatch='W/"1"')},
        {"request": get(f"DiagnosticReport/{report}", ifModifiedSince="Fri, 01 Jan 2100 00:00:00 GMT")},
    ]
    found = await entries(stage, body, **{"If-None-Match": "*"})
    assert [status(one) for one in found] == [200, 304, 304]
    assert found[1] == {"response": {**found[0]["response"], "status": "304 Not Modified"}}


async def test_preferences_of_the_batch_are_those_of_its_entries(stage):
    found = await entries(stage, bundle("Patient?_id=pat-1&colour=red"), Prefer="handling=strict")
    assert failure(found[0]) == (400, "error", "not-supported")


async def test_the_answer_is_xml_where_that_is_asked_for(stage):
    response = await send(stage, bundle("OperationDefinition/trace", "Patient/none"), Accept="application/fhir+xml")
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    root = ET.fromstring(response.content)
    name = "{http://hl7.org/fhir}"
    assert [one.tag for one in root[1][0]] == [f"{name}OperationDefinition"]
    assert root[2][0][1].tag == f"{name}outcome"


@pytest.mark.parametrize(
    ("body", "expected", "place"),
    [
        ([], (400, "error", "invalid"), "Bundle"),
        ({"resourceType": "Patient"}, (400, "error", "invalid"), "Bundle"),
        ({"resourceType": "Bundle"}, (400, "error", "invalid"), "Bundle.type"),
        (bundle(type="document"), (400, "error", "invalid"), "Bundle.type"),
        (bundle(type="transaction"), (400, "error", "not-supported"), "Bundle.type"),
        (bundle(entry={}), (400, "error", "invalid"), "Bundle.entry"),
        (bundle(entry=[7]), (400, "error", "invalid"), "Bundle.entry[0].request"),
        (bundle(entry=[{"request": get("metadata")}, {}]), (400, "error", "invalid"), "Bundle.entry[1].request"),
        (bundle(entry=[{"request": []}]), (400, "error", "invalid"), "Bundle.entry[0].request"),
        (bundle(entry=[{"request": {"url": "x"}}]), (400, "error", "invalid"), "Bundle.entry[0].request.method"),
        (
            bundle(entry=[{"request": {"method": "get", "url": "x"}}]),
            (400, "error", "invalid"),
            "Bundle.entry[0].request.method",
        ),
        (
            bundle(entry=[{"request": {"method": [], "url": "x"}}]),
            (400, "error", "invalid"),
            "Bundle.entry[0].request.method",
        ),
        (bundle(entry=[{"request": {"method": "GET"}}]), (400, "error", "invalid"), "Bundle.entry[0].request.url"),
        (
            bundle(entry=[{"request": get("x", ifNoneMatch=7)}]),
            (400, "error", "invalid"),
            "Bundle.entry[0].request.ifNoneMatch",
        ),
        (bundle(*["metadata"] * 101), (413, "error", "too-long"), "Bundle.entry"),
    ],
)
async def test_a_body_that_is_no_batch_is_refused_as_a_whole_and_says_where(stage, body, expected, place):
    response = await send(stage, body)
    assert refusal(response) == expected
    assert issue(response)["expression"] == [place]


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"<Bundle/>", "application/fhir+xml", (415, "error", "not-supported")),
        (b"{", "application/fhir+json", (400, "error", "invalid")),
        (b"", "application/fhir+json", (400, "error", "invalid")),
        (b" " * (2**20 + 1), "application/fhir+json", (413, "error", "too-long")),
    ],
)
async def test_a_body_that_is_not_read_is_refused(stage, body, content_type, expected):
    response = await stage.client.post(BASE, content=body, headers={"Content-Type": content_type})
    assert refusal(response) == expected


async def test_a_format_that_is_not_offered_is_refused_before_anything_is_asked_for(stage):
    body = bundle(f"DiagnosticReport/{resource_id(stage.signed())}")
    assert refusal(await send(stage, body, Accept="text/turtle")) == (406, "error", "not-supported")
    assert stage.requests == []


async def test_searches_and_histories_across_types_are_not_offered_at_the_base(stage):
    for path in ("", "/", "?_id=1"):
        response = await stage.client.get(f"{BASE}{path}")
        assert refusal(response) == (405, "error", "not-supported")
        assert response.headers["allow"] == "POST"


async def test_answers_that_are_too_large_together_are_told_from_those_that_fit(stage, monkeypatch):
    report = resource_id(stage.signed())
    size = len((await stage.get(f"DiagnosticReport/{report}")).content)
    monkeypatch.setattr(budget, "AT_ONCE", 1)
    monkeypatch.setattr(module, "_BytesLeft", partial(module._BytesLeft, left=2 * size + 1))
    found = await entries(stage, bundle(*[f"DiagnosticReport/{report}"] * 3))
    assert [status(one) for one in found[:2]] == [200, 200]
    assert failure(found[2]) == (413, "error", "too-long")


async def test_an_answer_that_breaks_off_is_a_502_in_its_place():
    async def broken(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})

    answer = module._Answer(module._BytesLeft("https://own.example"))
    await broken({}, None, answer.take)
    assert b'"status":"502 Bad Gateway"' in answer.entry()


@pytest.mark.full
async def test_no_more_entries_are_answered_at_once_than_the_limit(stage, monkeypatch):
    running, most = 0, 0
    serving = stage.app.state.facade
    read = type(serving.reads).report

    async def counted(self, *given, **more):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        try:
            return await read(self, *given, **more)
        finally:
            running -= 1

    monkeypatch.setattr(type(serving.reads), "report", counted)
    reports = [resource_id(one) for one in list(stage.reports(status="completed"))[:30]]
    found = await entries(stage, bundle(*(f"DiagnosticReport/{one}" for one in reports)))
    assert {status(one) for one in found} == {200}
    assert 1 < most <= budget.AT_ONCE


@pytest.mark.full
async def test_a_batch_with_a_large_body_is_parsed_in_the_worker_apart_with_the_same_result(stage):
    large = bundle("metadata", "Nothing/x", **{"note": "x" * LARGE})
    here = await entries(stage, large)
    async with workers(1, (), ()):
        there = await entries(stage, large)
        refused = await send(stage, bundle(*["metadata"] * (MOST_ENTRIES + 1), note="x" * LARGE))
    assert [status(one) for one in here] == [status(one) for one in there] == [200, 404]
    assert refusal(refused) == (413, "error", "too-long")
