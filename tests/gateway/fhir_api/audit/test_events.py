"""The audit is searched through the facade by those alone who have its own scope.

https://hl7.org/fhir/R4/auditevent.html#search
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import pytest
from fakes.assertions import CLIENT, claims, jwks, signed
from fakes.audited import noted
from fakes.facade import BASE, facade
from fakes.lanes import Scene, new
from fakes.token_site import form
from fhir.resources.R4B import get_fhir_model_class

from gateway.audit.loading import AuditLoading
from gateway.fhir_api.audit import events
from gateway.settings.auth import Auth
from gateway.store.clients import ClientKeySet, RegisteredClient, StoredClients
from gateway.store.feed.leases import Leases


@pytest.fixture
async def site(tmp_path):
    async with noted(tmp_path / "audit") as made:
        yield made


async def load(site):
    """Load what was noted; the service does this each second."""
    await AuditLoading(site.stage.app.state.facade.engine, site.folder).turn()


async def found(site, query):
    answer = await site.stage.get(f"AuditEvent?{query}")
    assert answer.status_code == 200, answer.text
    return [one["resource"] for one in answer.json().get("entry", ())]


def code(answer):
    [issue] = answer.json()["issue"]
    return answer.status_code, issue["details"]["coding"][0]["code"]


async def test_an_event_is_found_by_each_parameter_and_read_by_its_id(site):
    report = await site.read_report()
    subject = (await site.stage.get(f"DiagnosticReport/{report}")).json()["subject"]["reference"]
    await site.stage.get("Patient/pat-" + "0" * 32)
    await load(site)
    by_patient = await found(site, f"patient={subject}")
    assert len(by_patient) == 2
    for one in by_patient:
        get_fhir_model_class("AuditEvent").model_validate(one)
    same = [
        f"patient={subject.removeprefix('Patient/')}",
        f"entity=DiagnosticReport/{report}",
        f"entity=DiagnosticReport/{report}&patient={subject}",
        f"patient={subject}&action=R&type=rest&subtype=http://hl7.org/fhir/restful-interaction|read&outcome=0",
        f"patient={subject}&date=ge2020-01-01&date=lt2100",
        "outcome=0&subtype=read",
    ]
    for query in same:
        assert await found(site, query) == by_patient, query
    nothing = [f"patient={subject}&date=lt2020", f"patient={subject}&action=E", f"patient={subject}&outcome=8"]
    nothing += ["patient=pat-other", f"patient={subject}&agent:identifier=other", "type=110114"]
    for query in nothing:
        assert await found(site, query) == [], query
    [failed] = await found(site, "outcome=4")
    assert failed["outcomeDesc"] == "resource-not-found" or failed["outcome"] == "4"
    one = by_patient[0]
    answer = await site.stage.get(f"AuditEvent/{one['id']}")
    assert answer.json() == one
    again = await site.stage.get(f"AuditEvent/{one['id']}", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert await found(site, f"_id={one['id']}") == [one]
    xml = await site.stage.get(f"AuditEvent/{one['id']}", headers={"Accept": "application/fhir+xml"})
    assert xml.text.count("<AuditEvent") == 1


async def test_pages_lead_through_all_events_newest_first_and_each_stands_once(site, monkeypatch):
    monkeypatch.setattr(events, "_LARGE", 0)  # each page is rendered by a worker
    for number in range(7):
        await site.stage.get(f"Patient/pat-{number:032}")
    await load(site)
    url, instants = f"{BASE}/AuditEvent?_count=3&subtype=read", []
    while url:
        body = (await site.stage.client.get(url)).json()
        instants += [one["resource"]["recorded"] for one in body.get("entry", ())]
        url = next((one["url"] for one in body["link"] if one["relation"] == "next"), None)
    assert len(instants) == 7
    assert instants == sorted(instants, reverse=True)
    assert await found(site, "_count=0") == []


async def test_a_page_keeps_its_format_and_takes_nothing_that_would_narrow_it(site):
    for _ in range(2):
        await site.stage.get("Patient/pat-" + "0" * 32)
    await load(site)
    body = (await site.stage.get("AuditEvent?_count=1&_format=application/fhir%2Bjson&_pretty=true")).json()
    [url] = [one["url"] for one in body["link"] if one["relation"] == "next"]
    answer = await site.stage.client.get(url, headers={"Accept": "application/fhir+xml"})
    assert answer.json()["entry"]
    assert "\n" in answer.text
    assert code(await site.stage.client.get(f"{url}&patient=pat-1")) == (400, "not-supported")
    assert (await site.stage.client.get(f"{url}&_count=5")).status_code == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("colour=1", (400, "not-supported")),
        ("agent=Practitioner/1", (400, "not-supported")),
        ("date=CANARY", (400, "bad-request")),
        ("date=ne2020", (400, "bad-request")),
        ("patient=DiagnosticReport/1", (400, "bad-request")),
        ("entity=1", (400, "bad-request")),
        ("outcome=7", (400, "bad-request")),
        ("entity=A1/1", (400, "bad-request")),
        ("entity=Pa/1&entity=Pa/2&entity=Pa/3", (400, "not-supported")),
        ("_page=CANARY", (400, "bad-request")),
        ("_id=aud-1-0123456789abcdef&patient=pat-1", (400, "not-supported")),
        ("_id=aud-1-0123456789abcdef&colour=1", (400, "not-supported")),
        ("agent:identifier=one&agent:identifier=other", (400, "not-supported")),
    ],
)
async def test_what_cannot_be_answered_exactly_is_refused(site, query, said):
    assert code(await site.stage.get(f"AuditEvent?{query}")) == said


async def test_deliveries_about_a_patient_come_from_the_ledger(site):
    engine = site.stage.app.state.facade.engine
    scene = Scene(engine, await Leases(engine, "one", 60.0).take("ehr"))
    report = "rep_" + "1" * 32
    await scene.add("stu_a", new(1, patient_id="pat-1", report_ids=(report,)), new(2, patient_id="pat-2"))
    await scene.deliver()
    [event] = await found(site, "patient=pat-1&type=110106&date=gt1960")
    get_fhir_model_class("AuditEvent").model_validate(event)
    assert [one["who"]["display"] for one in event["agent"]] == ["autoscribe-gateway", "ehr"]
    references = [one["what"].get("reference") for one in event["entity"]]
    assert references == ["Patient/pat-1", "DiagnosticReport/rep-" + "1" * 32, None]
    assert event["entity"][-1]["what"]["identifier"]["value"] == "ID1"
    assert event["outcome"] == "0"
    assert (await site.stage.get(f"AuditEvent/{event['id']}")).json() == event
    assert await found(site, "patient=pat-1&type=110106&date=gt2200") == []
    assert await found(site, "patient=pat-2&type=110106") == []
    assert code(await site.stage.get("AuditEvent/dlv-999")) == (404, "resource-not-found")
    for query in ("type=110106", "type=110106&patient=pat-1&outcome=0"):
        assert code(await site.stage.get(f"AuditEvent?{query}")) == (400, "not-supported")


async def test_what_is_no_event_is_not_found_and_nothing_is_written(site):
    for path in ("AuditEvent/1", "AuditEvent/aud-1-0123456789abcdef"):
        assert code(await site.stage.get(path)) == (404, "resource-not-found")
    assert (await site.stage.client.post(f"{BASE}/AuditEvent", json={})).status_code == 405
    assert (await site.stage.client.delete(f"{BASE}/AuditEvent/1")).status_code == 405


async def test_the_service_loads_by_itself_what_it_noted(site):
    report = await site.read_report()
    for _ in range(100):
        if await found(site, f"entity=DiagnosticReport/{report}"):
            return
        await asyncio.sleep(0.1)
    pytest.fail("nothing was loaded within ten seconds")


async def test_to_look_at_the_audit_is_in_the_audit(site):
    await site.read_report()
    await load(site)
    [event] = await found(site, "subtype=read")
    last = site.new()[-1]
    assert (last.kind, last.route, last.shown) == ("search", "GET /AuditEvent", (f"AuditEvent/{event['id']}",))


async def test_without_an_audit_there_are_no_events(tmp_path):
    async with facade() as stage:
        assert code(await stage.get("AuditEvent?date=2026")) == (404, "resource-not-found")
        kinds = [one["type"] for one in (await stage.get("metadata")).json()["rest"][0]["resource"]]
        assert "AuditEvent" not in kinds


async def test_the_capability_statement_names_the_audit_where_there_is_one(site):
    kinds = {one["type"]: one for one in (await site.stage.get("metadata")).json()["rest"][0]["resource"]}
    assert [one["name"] for one in kinds["AuditEvent"]["searchParam"]] == list(events.SEARCHED)


async def test_a_client_that_may_read_everything_sees_the_audit_only_with_the_audits_own_scope(tmp_path):
    async with noted(tmp_path / "audit", auth=Auth(mode="builtin")) as site:
        keys = (ClientKeySet(jwks("RS384 a").decode()),)
        scopes = "system/*.cruds system/AuditEvent.rs"
        client = RegisteredClient(CLIENT, "c", scopes, None, int(time.time() * 1e6), key_sets=keys)
        await StoredClients(site.stage.app.state.facade.engine).add(client, "")
        root = "{0.scheme}://{0.netloc}".format(urlsplit(BASE))

        async def ask(scope, path):
            proof = signed(claims(time.time(), aud=f"{root}/auth/token", jti=f"{scope}{path}"))
            answer = await site.stage.client.post(f"{root}/auth/token", data=form(proof, scope=scope))
            bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            return await site.stage.get(path, headers=bearer)

        for path in ("AuditEvent?date=2026", "AuditEvent/aud-1-0123456789abcdef"):
            assert code(await ask("system/*.cruds", path)) == (403, "forbidden")
        assert (await ask("system/AuditEvent.rs", "AuditEvent?date=2026")).status_code == 200
        await load(site)
        answer = await ask("system/AuditEvent.rs", f"AuditEvent?agent:identifier={CLIENT}&type=110114")
        agents = {one["resource"]["agent"][0]["who"]["identifier"]["value"] for one in answer.json()["entry"]}
        assert agents == {CLIENT}
