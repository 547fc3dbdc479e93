"""https://hl7.org/fhir/R4/patient-operation-everything.html"""

import asyncio
from datetime import timedelta
from itertools import islice

import pytest
from fakes.crawled import crawled, entries, issues, links
from fakes.facade import BASE, resource_id
from fakes.outcomes import issue, refusal

from gateway.fhir_api.search.result_parameters import LIFETIME
from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask
from mappings.fhir.judge import judge

FHIR = {"Content-Type": "application/fhir+json"}
_SUPPRESS = Statement("UPDATE resource SET is_suppressed = 1 WHERE address = :address")


async def read_through(stage, *days):
    """A patient with several studies, all in the index; the first studies are of these days."""
    by_mrn = {}
    for report in stage.reports(status="completed"):
        if mrn := report["snapshotMetadata"].get("mrn"):
            by_mrn.setdefault(mrn, {}).setdefault(report["studyId"], report)
    several = max(by_mrn.values(), key=len)
    assert len(several) > max(1, len(days))
    for one, day in zip(several.values(), days, strict=False):
        stage.account.change_patient(one["reportId"], {"studyDate": day})
    for one in several.values():
        report = (await stage.get(f"DiagnosticReport/{resource_id(one)}")).json()
    return report["subject"]["reference"]


def addresses(bundle, *modes):
    modes = modes or ("match", "include")
    return [f"{one['resourceType']}/{one['id']}" for mode in modes for one in entries(bundle, mode)]


async def walk(stage, url):
    pages = []
    while url:
        response = await stage.client.get(url)
        assert response.status_code == 200, response.text
        pages.append(response.json())
        url = links(pages[-1]).get("next")
    return pages


@pytest.mark.full
async def test_it_is_all_that_speaks_of_the_patient_and_whom_that_refers_to():
    async with crawled() as world:
        for patient in world.some("Patient", 10):
            address = f"Patient/{patient['id']}"
            own = {
                name
                for name, one in world.by_address.items()
                if one.get("subject", {}).get("reference") == address or name == address
            }
            own |= {
                f"Provenance/{one['id']}"
                for one in world.resources["Provenance"]
                if own & {target["reference"] for target in one["target"]}
            }
            referred = {
                reference
                for name in own
                for reference in _references(world.by_address[name])
                if reference.startswith(("Practitioner/", "Organization/"))
            }
            bundle = (await world.get(f"{address}/$everything?_count=500")).json()
            assert sorted(addresses(bundle, "match")) == sorted(own)
            assert sorted(addresses(bundle, "include")) == sorted(referred)
            assert bundle["total"] == len(own)
            assert issues(bundle) == [one for one in issues(bundle) if one["severity"] == "warning"]


def _references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "reference":
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


async def test_pages_have_each_once_and_none_is_empty(stage):
    patient = await read_through(stage)
    whole = (await stage.get(f"{patient}/$everything?_count=500")).json()
    assert "next" not in links(whole)
    for size in (1, 7, len(addresses(whole)), len(addresses(whole)) - 1):
        pages = await walk(stage, f"{BASE}/{patient}/$everything?_count={size}")
        seen = [addresses(page) for page in pages]
        assert [len(one) for one in seen[:-1]] == [size] * (len(seen) - 1)
        assert 0 < len(seen[-1]) <= size
        assert sorted(name for page in seen for name in page) == sorted(addresses(whole))
        assert not any("total" in page for page in pages) or len(pages) == 1


async def test_a_page_keeps_what_was_asked_and_its_format(stage):
    patient = await read_through(stage)
    first = (await stage.get(f"{patient}/$everything?_type=Observation&_count=2&_pretty=true")).json()
    assert "_pretty=true" in links(first)["next"]
    pages = await walk(stage, links(first)["next"])
    assert {one.partition("/")[0] for page in [first, *pages] for one in addresses(page)} == {"Observation"}


async def test_types_that_are_not_there_are_named_and_find_nothing(stage):
    patient = await read_through(stage)
    bundle = (await stage.get(f"{patient}/$everything?_type=Patient,Condition&_type=Practitioner")).json()
    assert {one.partition("/")[0] for one in addresses(bundle)} == {"Patient", "Practitioner"}
    assert [(one["code"], one["expression"]) for one in issues(bundle) if one["detail"] == "parameter-ignored"] == [
        ("not-supported", ["http._type"])
    ]
    assert addresses((await stage.get(f"{patient}/$everything?_type=Condition")).json()) == []


async def test_only_what_was_stored_since_then(stage):
    patient = await read_through(stage)
    whole = (await stage.get(f"{patient}/$everything?_count=500")).json()
    times = sorted(one["meta"]["lastUpdated"] for one in [*entries(whole), *entries(whole, "include")])
    since = times[len(times) // 2]
    bundle = (await stage.get(f"{patient}/$everything?_count=500&_since={since}")).json()
    assert len(addresses(bundle)) == sum(one >= since for one in times)


def dated(resources):
    """Return the day of care of each resource that has one, by address."""
    found = {f"{one['resourceType']}/{one['id']}": _day(one) for one in resources}
    return {address: day for address, day in found.items() if day}


def _day(one):
    period = one.get("context", {}).get("period") or one.get("period") or {}
    when = one.get("effectiveDateTime") or one.get("started") or one.get("occurrenceDateTime") or period.get("start")
    return (when or "")[:10]


async def test_care_dates_bound_what_is_of_one_study_and_leave_what_has_no_date(stage):
    """R4: the date range relates to care dates, not record currency dates."""
    patient = await read_through(stage, "2019-02-03")
    whole = entries((await stage.get(f"{patient}/$everything?_count=500")).json())
    days = dated(whole)
    first, *_, last = sorted(set(days.values()))
    assert first < last
    bounded = {"DiagnosticReport", "ImagingStudy", "Observation", "DocumentReference", "ServiceRequest"}
    assert {one.partition("/")[0] for one in days} == bounded
    for bounds, is_in in (
        (f"start={last}", lambda day: day >= last),
        (f"end={first}", lambda day: day <= first),
        (f"start={first}&end={last}", lambda _: True),
        (f"start={first[:4]}&end={first}", lambda day: day <= first),
        (f"start={last}&_type=DiagnosticReport", lambda day: day >= last),
        ("start=2999-01-01", lambda _: False),
    ):
        pages = await walk(stage, f"{BASE}/{patient}/$everything?_count=3&{bounds}")
        seen = [name for page in pages for name in addresses(page, "match")]
        within = {name for name, day in days.items() if is_in(day)}
        if "_type" in bounds:
            within = {name for name in within if name.startswith("DiagnosticReport/")}
            assert sorted(seen) == sorted(within)
        assert {name for name in seen if name in days} == within
        assert patient in seen or "_type" in bounds
        assert len(seen) == len(set(seen))


async def test_provenance_and_people_come_with_what_is_within_the_dates(stage):
    patient = await read_through(stage, "2019-02-03")
    whole = entries((await stage.get(f"{patient}/$everything?_count=500")).json())
    last = max(dated(whole).values())
    bundle = (await stage.get(f"{patient}/$everything?_count=500&start={last}")).json()
    seen = set(addresses(bundle, "match"))
    for one in whole:
        if one["resourceType"] == "Provenance":
            targets = {target["reference"] for target in one["target"]}
            assert (f"Provenance/{one['id']}" in seen) is bool(targets & seen)
    referred = {name for one in entries(bundle) for name in _references(one)}
    assert set(addresses(bundle, "include")) == {
        one for one in referred if one.startswith(("Practitioner/", "Organization/"))
    }


async def test_it_is_asked_for_by_post_too(stage):
    patient = await read_through(stage)
    parameters = [
        {"name": "_type", "valueCode": "Patient"},
        {"name": "_type", "valueCode": "Organization"},
        {"name": "_count", "valueInteger": 9},
        {"name": "start", "valueDate": "2001-01-01"},
    ]
    response = await stage.client.post(
        f"{BASE}/{patient}/$everything", json={"resourceType": "Parameters", "parameter": parameters}, headers=FHIR
    )
    assert {one.partition("/")[0] for one in addresses(response.json())} == {"Patient", "Organization"}


async def test_every_resource_passes_its_judge_and_xml_is_offered(stage):
    patient = await read_through(stage)
    bundle = (await stage.get(f"{patient}/$everything?_count=500")).json()
    assert [judge(one) for one in [*entries(bundle), *entries(bundle, "include")]] == [()] * len(addresses(bundle))
    response = await stage.get(f"{patient}/$everything?_count=1&_format=xml")
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"


async def test_what_is_not_served_is_said_and_left_out(stage):
    patient = await read_through(stage)
    bundle = (await stage.get(f"{patient}/$everything?_count=500")).json()
    [bad, *_] = [one for one in addresses(bundle) if one.startswith("Observation/")]
    await stage.app.state.facade.engine.do(lambda: ask(_SUPPRESS, address=bad))
    after = (await stage.get(f"{patient}/$everything?_count=500")).json()
    assert set(addresses(bundle)) - set(addresses(after)) == {bad}
    [said] = [one for one in issues(after) if one["code"] == "suppressed"]
    assert said["diagnostics"].startswith(f"{bad} is not served")


async def test_an_index_that_is_not_complete_is_said(stage):
    patient = await read_through(stage)
    bundle = (await stage.get(f"{patient}/$everything")).json()
    assert "index-incomplete" in [one["detail"] for one in issues(bundle)]


async def test_nothing_is_asked_of_autoscribe(stage):
    patient = await read_through(stage)
    stage.routes_seen()
    response = await stage.get(f"{patient}/$everything", headers={"Cache-Control": "no-cache"})
    assert (response.status_code, stage.routes_seen()) == (200, [])


@pytest.mark.full
@pytest.mark.parametrize(
    ("query", "expected", "place"),
    [
        ("_count=0", (400, "error", "invalid"), "http._count"),
        ("_count=x", (400, "error", "invalid"), "http._count"),
        ("_since=yesterday", (400, "error", "invalid"), "http._since"),
        ("_since=2024&_since=2025", (400, "error", "invalid"), "http._since"),
        ("start=ge2024", (400, "error", "invalid"), "http.start"),
        ("end=yesterday", (400, "error", "invalid"), "http.end"),
        ("start=2024-05&end=2024-04", (400, "error", "invalid"), "http.end"),
        ("start=2024&start=2025", (400, "error", "invalid"), "http.start"),
        ("begin=2024", (400, "error", "not-supported"), "http.begin"),
        ("_summary=true", (400, "error", "not-supported"), "http._summary"),
        ("_page=none", (400, "error", "invalid"), None),
        ("_page=none&_type=Patient", (400, "error", "not-supported"), "http._type"),
    ],
)
async def test_what_cannot_be_is_refused_and_says_where(stage, query, expected, place):
    patient = await read_through(stage)
    response = await stage.get(f"{patient}/$everything?{query}")
    assert refusal(response) == expected
    assert issue(response).get("expression", [None]) == [place]


async def test_a_patient_that_is_not_known_is_a_404(stage):
    response = await stage.get(f"Patient/pat-{'0' * 32}/$everything")
    assert refusal(response) == (404, "error", "not-found")


async def test_a_page_is_of_one_patient_and_for_a_time(stage, monkeypatch):
    patient = await read_through(stage)
    page = links((await stage.get(f"{patient}/$everything?_count=1")).json())["next"]
    reports = [
        (await stage.get(f"DiagnosticReport/{resource_id(one)}")).json()
        for one in islice(stage.reports(status="completed"), 5)
    ]
    other = next(one["subject"]["reference"] for one in reports if one["subject"]["reference"] != patient)
    assert refusal(await stage.client.get(page.replace(patient, other))) == (400, "error", "invalid")
    later = clock.now() + LIFETIME + timedelta(seconds=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert refusal(await stage.client.get(page)) == (410, "error", "expired")


async def test_walks_at_the_same_time_do_not_meet(stage):
    patient = await read_through(stage)
    pages = await asyncio.gather(*(walk(stage, f"{BASE}/{patient}/$everything?_count={size}") for size in (1, 2, 3)))
    found = [sorted(name for page in one for name in addresses(page)) for one in pages]
    assert found[0] == found[1] == found[2]
