"""Each access to the facade is in the audit before its answer; without an entry there is no data. Decision D42."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from fakes.assertions import CLIENT, claims, jwks, signed
from fakes.audited import noted
from fakes.facade import BASE
from fakes.token_site import form

from gateway.audit import audit_entry
from gateway.audit.audit_event import audit_event
from gateway.auth.console_gate import ConsoleSeen
from gateway.fhir_api.audit.shown import Shown, show
from gateway.fhir_api.audit.trail import MOST_REFUSALS, RefusalBound
from gateway.fhir_api.served import OPERATIONS
from gateway.runtime import clock
from gateway.runtime.metrics import ROUTE
from gateway.settings import Configuration, Database, Settings
from gateway.settings.auth import Auth
from gateway.store.clients import ClientKeySet, RegisteredClient, StoredClients
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.studies.search import Version
from gateway.upstream.client import UpstreamClient
from mappings.profile import Site

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ROOT = BASE.removesuffix("/fhir")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
async def site(tmp_path):
    async with noted(tmp_path / "audit") as made:
        yield made


def addresses(bundle):
    every = [one["resource"] for one in bundle.get("entry", ()) if "resource" in one]
    return {f"{one['resourceType']}/{one['id']}" for one in every if one["resourceType"] != "OperationOutcome"}


def code(answer):
    [issue] = answer.json()["issue"]
    return issue["details"]["coding"][0]["code"]


def subject(resource):
    return resource["subject"]["reference"].removeprefix("Patient/")


async def test_a_read_says_what_was_shown_of_which_patient_to_whom_and_when(site, monkeypatch):
    report = await site.read_report()
    monkeypatch.setattr(clock, "now", lambda: NOON)
    answer, entry = await site.one(f"DiagnosticReport/{report}")
    assert (entry.kind, entry.status, entry.route) == ("read", 200, "GET /DiagnosticReport/{id}")
    assert (entry.shown, entry.shown_count) == ((f"DiagnosticReport/{report}",), 1)
    assert (entry.patients, entry.patient_count) == ((subject(answer.json()),), 1)
    assert (entry.address, entry.client, entry.user) == ("127.0.0.1", "", "")
    assert entry.at == micros(NOON)
    assert len(entry.request) == 16


@pytest.mark.full
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("DiagnosticReport/{0}/_history/1", "vread"),
        ("DiagnosticReport/{0}/_history", "history"),
        ("DiagnosticReport/{0}/$trace", "operation"),
        ("DiagnosticReport/{0}/$hl7v2?receiver=generic", "operation"),
        ("Binary/{0}-text", "binary"),
        ("Binary/{0}-pdf", "binary"),
    ],
)
async def test_each_way_to_a_report_names_the_report_and_its_patient(site, path, kind):
    report = await site.read_report()
    patient = subject((await site.stage.get(f"DiagnosticReport/{report}")).json())
    answer, entry = await site.one(path.format(report))
    assert (answer.status_code, entry.status, entry.kind) == (200, 200, kind)
    assert f"DiagnosticReport/{report}" in entry.shown
    assert entry.patients == (patient,)


async def test_a_read_of_a_patient_names_the_patient_and_an_answer_304_is_an_access_too(site):
    report = await site.read_report()
    patient = subject((await site.stage.get(f"DiagnosticReport/{report}")).json())
    answer, entry = await site.one(f"Patient/{patient}")
    assert (entry.shown, entry.patients) == ((f"Patient/{patient}",), (patient,))
    answer, entry = await site.one(f"Patient/{patient}", headers={"If-None-Match": answer.headers["etag"]})
    assert (answer.status_code, entry.status, entry.patients) == (304, 304, (patient,))


async def test_a_search_names_all_resources_in_its_bundle_and_all_their_patients(site):
    report = await site.read_report()
    study = (await site.stage.get(f"DiagnosticReport/{report}")).json()["imagingStudy"][0]["reference"]
    path = f"DiagnosticReport?imagingStudy={study}&_include=DiagnosticReport:subject&_revinclude=Provenance:target"
    answer, entry = await site.one(path)
    assert entry.kind == "search"
    assert len(addresses(answer.json())) >= 3
    assert set(entry.shown) == addresses(answer.json())
    assert entry.patients == tuple(one.removeprefix("Patient/") for one in entry.shown if one.startswith("Patient/"))
    _, shortened = await site.one(f"{path}&_summary=text")
    assert shortened.patients == entry.patients


async def test_an_access_too_large_for_one_entry_has_several_and_without_them_no_data(site, full_disk, monkeypatch):
    monkeypatch.setattr(audit_entry, "MOST_BYTES", 700)
    report = await site.read_report()
    site.new()
    path = f"DiagnosticReport?_id={report}&_include=DiagnosticReport:subject&_revinclude=Provenance:target"
    answer = await site.stage.get(path)
    noted = site.new()
    assert [one.part for one in noted] == list(range(len(noted)))
    assert len(noted) > 1
    assert {address for one in noted for address in one.shown} == addresses(answer.json())
    full_disk[0] = True
    answer = await site.stage.get(path)
    assert (answer.status_code, code(answer), report in answer.text) == (503, "audit-unavailable", False)


async def test_a_patient_whom_a_warning_names_is_noted_also_if_nothing_is_found(site):
    report = await site.read_report()
    number = site.stage.signed()["snapshotMetadata"]["mrn"]
    patient = subject((await site.stage.get(f"DiagnosticReport/{report}")).json())
    held = Statement("INSERT INTO conflict (patient_id, study_id, since) VALUES (:patient_id, 'stu_1', 1)")
    await site.stage.app.state.facade.engine.do(lambda: ask(held, patient_id=patient))
    answer, entry = await site.one(f"DiagnosticReport?patient.identifier={number}&status=cancelled")
    assert addresses(answer.json()) == set()
    assert f"Patient/{patient}: 1 studies" in answer.text
    assert (entry.shown, entry.patients) == ((f"Patient/{patient}",), (patient,))


async def test_everything_and_docref_name_what_they_return(site):
    report = await site.read_report()
    patient = subject((await site.stage.get(f"DiagnosticReport/{report}")).json())
    for path in (f"Patient/{patient}/$everything", f"DocumentReference/$docref?patient={patient}"):
        answer, entry = await site.one(path)
        assert set(entry.shown) - {f"Patient/{patient}"} == addresses(answer.json()) - {f"Patient/{patient}"}
        assert entry.patients == (patient,)
        assert entry.kind == "operation"


async def test_an_addendum_names_the_report_and_its_patient(site):
    report = await site.read_report()
    site.new()
    answer = await site.stage.post(f"DiagnosticReport/{report}/$addendum")
    [entry] = site.new()
    assert (answer.status_code, entry.status) == (201, 201)
    assert entry.route == "POST /DiagnosticReport/{id}/$addendum"
    assert (entry.shown, len(entry.patients)) == ((f"DiagnosticReport/{report}",), 1)


async def test_a_refused_addendum_tells_of_the_report_so_it_names_the_patient_too(site):
    report = await site.read_report()
    patient = subject((await site.stage.get(f"DiagnosticReport/{report}")).json())
    for operation, headers, status in (
        ("$cancel-addendum", {}, 409),
        ("$addendum", {"If-Match": 'W/"7"'}, 412),
    ):
        site.new()
        answer = await site.stage.post(f"DiagnosticReport/{report}/{operation}", key=operation, headers=headers)
        [entry] = site.new()
        assert (answer.status_code, entry.status) == (status, status)
        assert (entry.shown, entry.patients) == ((f"DiagnosticReport/{report}",), (patient,))


async def test_a_batch_has_an_entry_for_each_of_its_requests(site):
    report = await site.read_report()
    urls = [f"DiagnosticReport/{report}", f"DiagnosticReport?_id={report}", "Patient/pat-" + "0" * 32, "metadata"]
    rows = [{"request": {"method": "GET", "url": one}} for one in urls]
    site.new()
    answer = await site.stage.client.post(BASE, json={"resourceType": "Bundle", "type": "batch", "entry": rows})
    assert answer.status_code == 200
    found = site.new()
    assert sorted((one.kind, one.status) for one in found) == [
        ("operation", 200),
        ("read", 200),
        ("read", 404),
        ("search", 200),
    ]
    assert len({one.request for one in found}) == 4
    assert [one.shown for one in found if one.status == 404] == [("Patient/pat-" + "0" * 32,)]


async def test_names_of_parameters_are_in_clear_and_values_and_strange_names_are_not(site):
    _, entry = await site.one("Patient?name:exact=CANARY&birthdate=1970-01-01&CANARY=1&_count=2")
    assert [name for name, _ in entry.parameters] == ["name:exact", "birthdate", "(unknown)", "_count"]
    site.new()
    await site.stage.client.post(f"{BASE}/Patient/_search", content="name=CANARY&_count=1", headers=FORM)
    [posted] = site.new()
    assert [name for name, _ in posted.parameters] == ["name", "_count"]
    for path in ("Patient/CANARY", "Patient/rep-CANARY", "Patient?name=%ffCANARY", "CANARY/1", "Binary/CANARY-pdf"):
        await site.stage.get(path)
    body = {"resourceType": "Parameters", "parameter": [{"name": "patient", "valueId": "CANARY"}]}
    await site.stage.post("DocumentReference/$docref", json=body)
    text = b"".join(one.read_bytes() for one in site.folder.iterdir())
    assert b"CANARY" not in text
    assert ["_id"] in [[name for name, _ in one.parameters] for one in site.new()]


async def test_what_shows_nothing_of_a_patient_has_no_entry(site):
    site.new()
    for path in ("metadata", "OperationDefinition", "nothing/1"):
        await site.stage.get(path)
    for path in ("/livez", "/readyz", "/metrics", "/docs"):
        await site.stage.client.get(ROOT + path)
    assert site.new() == []


async def test_the_description_which_is_not_noted_names_no_stored_resource(site):
    report = await site.read_report()
    site.new()
    for path in ("/openapi.json", "/docs"):
        text = (await site.stage.client.get(ROOT + path)).text
        assert report not in text and not re.search(r"(rep|pat|stu|usr|org)-[0-9a-f]{32}", text)
    assert site.new() == []


@pytest.fixture
def full_disk(monkeypatch):
    """Return a switch that fills the disk for lines of the audit."""
    write, is_full = os.write, [False]

    def written(file, row):
        if is_full[0] and row.startswith(b'{"v":1,"seq"'):
            raise OSError(28, "full")
        return write(file, row)

    monkeypatch.setattr(os, "write", written)
    return is_full


async def test_without_an_entry_there_is_no_data_and_the_rest_goes_on(site, full_disk):
    report = await site.read_report()
    full_disk[0] = True
    paths = [f"DiagnosticReport/{report}", f"DiagnosticReport?_id={report}", f"Binary/{report}-text", "Patient/none"]
    for path in paths:
        answer = await site.stage.get(path)
        assert (answer.status_code, code(answer)) == (503, "audit-unavailable")
        assert answer.headers["retry-after"] == "5"
        assert report not in answer.text
    rows = [{"request": {"method": "GET", "url": one}} for one in paths]
    batch = await site.stage.client.post(BASE, json={"resourceType": "Bundle", "type": "batch", "entry": rows})
    assert (batch.status_code, report in batch.text) == (503, False)
    ready = await site.stage.client.get(f"{ROOT}/readyz")
    assert (ready.status_code, ready.json()["audit"]) == (503, {"writable": False})
    assert site.stage.app.state.audit.trouble == "audit-unavailable"
    assert (await site.stage.client.get(f"{ROOT}/livez")).status_code == 200
    assert "autoscribe_gateway_audit_writable 0.0" in (await site.stage.client.get(f"{ROOT}/metrics")).text
    assert (await site.stage.get("metadata")).status_code == 200
    full_disk[0] = False
    for _ in range(100):
        answer = await site.stage.get(f"DiagnosticReport/{report}")
        if answer.status_code == 200:
            break
        await asyncio.sleep(0.1)
    assert answer.status_code == 200
    assert (await site.stage.client.get(f"{ROOT}/readyz")).json()["audit"] == {"writable": True}


async def test_without_an_entry_no_stream_of_a_document_stays_open(site, full_disk, monkeypatch):
    report, streams, stream_pdf = await site.read_report(), [], UpstreamClient.stream_pdf

    @asynccontextmanager
    async def counted(upstream, report_id):
        async with stream_pdf(upstream, report_id) as stream:
            streams.append("opened")
            yield stream
        streams.append("closed")

    monkeypatch.setattr(UpstreamClient, "stream_pdf", counted)
    full_disk[0] = True
    answer = await site.stage.get(f"Binary/{report}-pdf")
    assert (answer.status_code, code(answer), streams) == (503, "audit-unavailable", ["opened", "closed"])


async def test_without_an_entry_nothing_is_changed_in_autoscribe(site, full_disk):
    report = await site.read_report()
    full_disk[0] = True
    await site.stage.get("Patient/none")
    site.stage.routes_seen()
    answer = await site.stage.post(f"DiagnosticReport/{report}/$addendum")
    assert (answer.status_code, code(answer)) == (503, "audit-unavailable")
    assert site.stage.routes_seen() == []
    assert {one.name for one in OPERATIONS if one.affects_state} == {"addendum", "cancel-addendum"}


async def test_who_signs_in_to_the_console_is_noted_and_a_crowd_of_strangers_is_counted(tmp_path):
    async with noted(tmp_path / "audit", auth=Auth(mode="builtin")) as site:
        trail = site.stage.app.state.audit
        scope = {"type": "http", "method": "POST", "client": ("10.1.2.3", 1), ROUTE: "/console/sign-in"}
        site.new()
        trail.console(ConsoleSeen(scope, "login", "oidc:248", 200, "", "a1"))
        trail.console(ConsoleSeen(scope, "logout", "oidc:248", 200, "", "a2"))
        [login, logout] = site.new()
        assert (login.kind, login.client, login.user, login.address) == ("login", "console", "oidc:248", "10.1.2.3")
        assert (logout.kind, logout.route, logout.request) == ("logout", "POST /console/sign-in", "a2")
        for number in range(200):
            trail.console(ConsoleSeen(scope, "login", "", 401, "unknown", str(number)))
        assert 60 <= len(site.new()) < 70
        event = audit_event(logout, "aud-1", "https://gateway.example")
        assert event["subtype"][0]["code"] == "110123" and event["agent"][-1]["requestor"] is True


async def test_a_client_that_is_refused_is_named_and_one_without_a_token_is_noted(tmp_path, full_disk):
    async with noted(tmp_path / "audit", auth=Auth(mode="builtin")) as site:
        engine = site.stage.app.state.facade.engine
        keys = (ClientKeySet(jwks("RS384 a").decode()),)
        now = int(time.time() * 1e6)
        await StoredClients(engine).add(RegisteredClient(CLIENT, "c", "system/Patient.r", None, now, key_sets=keys), "")
        fields = {"scope": "system/Patient.r"}
        signed_now = signed(claims(time.time(), aud=f"{ROOT}/auth/token"))
        answer = await site.stage.client.post(f"{ROOT}/auth/token", data=form(signed_now, **fields))
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        again = await site.stage.client.post(f"{ROOT}/auth/token", data=form(signed_now, **fields))
        assert [(one.kind, one.client, one.status, one.code) for one in site.new()] == [
            ("login", CLIENT, 200, ""),
            ("login", "", 400, "replayed"),
        ]
        assert again.status_code == 400
        await site.stage.get("DiagnosticReport/rep-1", headers=bearer)
        await site.stage.get("Patient/CANARY")
        await site.stage.get("Patient/CANARY?access_token=CANARY")
        await site.stage.get("Patient/pat-" + "0" * 32, headers=bearer)
        found = site.new()
        assert [(one.kind, one.client, one.status, one.code) for one in found] == [
            ("refusal", CLIENT, 403, "forbidden"),
            ("refusal", "", 401, "not-authenticated"),
            ("refusal", "", 400, "credentials-malformed"),
            ("read", CLIENT, 404, "resource-not-found"),
        ]
        text = b"".join(one.read_bytes() for one in site.folder.iterdir())
        assert b"CANARY" not in text
        assert answer.json()["access_token"].encode() not in text
        full_disk[0] = True
        other = signed(claims(time.time(), aud=f"{ROOT}/auth/token", jti="other"))
        answer = await site.stage.client.post(f"{ROOT}/auth/token", data=form(other, **fields))
        assert (answer.status_code, "access_token" in answer.text) == (503, False)
        assert (await site.stage.get("Patient/none")).status_code == 503


async def test_with_authentication_there_is_an_audit_that_nothing_switches_off(tmp_path):
    async with noted(tmp_path / "x", auth=Auth(mode="builtin")) as site:
        assert site.stage.app.state.audit.is_open
    settings = Settings.model_construct(auth=Auth(mode="builtin"), database=Database(url=f"sqlite:///{tmp_path}/g.db"))
    assert Configuration(settings, Site(), "test").audit_dir == tmp_path / "audit"
    assert Configuration(settings.model_copy(update={"auth": Auth(mode="none")}), Site(), "test").audit_dir is None


def test_of_a_flood_of_refusals_a_client_has_so_many_entries_and_the_rest_is_counted():
    bound = RefusalBound()
    taken = [bound.taken("", 0.0) for _ in range(MOST_REFUSALS + 40)]
    assert taken == [0] * MOST_REFUSALS + [None] * 40
    assert bound.taken("other", 0.0) == 0
    assert bound.taken("", 1.0) == 40
    assert bound.taken("", 1.5) is None
    assert bound.taken("", 2.0) == 1


def test_clients_without_number_take_no_memory_without_bound():
    bound = RefusalBound()
    for number in range(5_000):
        bound.taken(str(number), 0.0)
    assert len(bound._left) <= 1_024


def test_a_reference_in_a_text_is_no_patient():
    text = json.dumps({"reference": "Patient/text"})
    body = json.dumps({"text": text, "subject": {"reference": "Patient/p1"}}, separators=(",", ":")).encode()
    shown = Shown()
    show({"gateway.shown": shown}, [Version("DiagnosticReport/r", 1, 1, body)])
    assert list(shown.patients) == ["p1"]


async def test_a_history_of_a_type_and_a_search_of_a_compartment_name_what_they_show(site):
    report = await site.read_report()
    patient = subject((await site.stage.get(f"DiagnosticReport/{report}")).json())
    for path, kind in (
        ("DiagnosticReport/_history", "history-type"),
        ("_history", "history-system"),
        (f"Patient/{patient}/DiagnosticReport", "search"),
    ):
        answer, entry = await site.one(path)
        assert (answer.status_code, entry.kind) == (200, kind)
        assert f"DiagnosticReport/{report}" in entry.shown
        assert patient in entry.patients
    _, entry = await site.one(f"Patient/{patient}/Observation?status=registered")
    assert (entry.kind, entry.shown) == ("search", (f"Patient/{patient}",))
