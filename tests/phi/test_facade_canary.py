"""Decision D9: no patient data, secret or client input in logs, metrics, error bodies, headers or links.

The only place that repeats client input is the self link of a search by GET, as FHIR requires.
"""

import asyncio
import base64
import dataclasses
import sqlite3
import zlib
from pathlib import Path

import pytest
from fakes.audited import noted
from fakes.facade import BASE, facade, resource_id
from fakes.inbox import SECRET, body, signed
from fakes.store import rows
from pydantic import SecretStr

from gateway.audit.loading import AuditLoading
from gateway.ingest import pipeline
from gateway.runtime import clock
from gateway.runtime.errors import StoreError
from gateway.store.database.engine import Statement
from gateway.store.database.engine import ask as asked_of_store
from gateway.webhooks.event import Verifier

CANARY = "CANARY"
ROOT = "http://127.0.0.1:8800"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SNAPSHOT = {
    "patientName": "CANARYFAMILY^CANARYGIVEN",
    "mrn": "CANARYMRN77",
    "dateOfBirth": "CANARY-BIRTH",
    "facilityName": "CANARY Hospital",
    "procedure": "CANARY MRI",
    "referringPhysicianName": "Dr. CANARYREF",
    "age": "CANARYAGE",
    "studyTime": "CANARYTIME",
    "studyDate": "CANARYDATE",
    "sex": "CANARYSEX",
}
TEXT = "FINDINGS: CANARYFINDING \x00\x0b. IMPRESSION: CANARYIMPRESSION."
FAULTS = ("", "429", "500", "503", "cut-off", "non-json", "broken-json", "timeout", "expired-pdf")
WRONG = (
    {"isCritical": "CANARYCRITICAL"},
    {"status": ["CANARYSTATUS"]},
    {"userId": "CANARYUSER"},
    {"snapshotMetadata": {**SNAPSHOT, "patientName": {"family": "CANARYNAME"}}},
    {"snapshotMetadata": {**SNAPSHOT, "weight": {"unit": "CANARYUNIT", "value": "CANARYVALUE"}}},
    {"isAddendum": "CANARYADDENDUM"},
)


def seeded(stage, **changes):
    """A signed report full of canaries, and its study."""
    report = {**stage.signed(), "snapshotMetadata": SNAPSHOT, "reportPlainText": TEXT, **changes}
    study_id = stage.signed()["studyId"]
    stage.account.reports[study_id] = (report,)
    study = stage.account.studies[study_id]
    stage.account.studies[study_id] = {
        **study,
        "reportMetadata": SNAPSHOT,
        "studyDescription": "CANARY description",
        "clinicalHistory": "CANARY history",
        "externalPatientId": "CANARYEXTERNAL",
        "modality": "CANARYMODALITY",
    }
    return resource_id(report), study_id


async def ask(stage, report_id, study_id):
    """Send every kind of request, with canaries in all client input."""
    paths = [
        f"DiagnosticReport/{report_id}",
        f"DiagnosticReport?study={study_id}&_include=DiagnosticReport:subject&patient.name=CANARYQUERY",
        "DiagnosticReport?study=CANARYVALUE",
        "DiagnosticReport?_id=CANARY VALUE",
        "DiagnosticReport?imagingStudy.identifier=urn:dicom:uid|CANARYUID",
        "DiagnosticReport?patient.name=CANARYQUERY",
        "DiagnosticReport?study=%ffCANARY",
        f"DiagnosticReport?study={study_id}&_include=CANARYINCLUDE:x&_total=CANARYTOTAL",
        f"Binary/{report_id}-pdf",
        f"Binary/{report_id}-text?_format=CANARYFORMAT",
        "Patient/CANARYID",
        "CANARYTYPE/1",
        "Observation/CANARYID",
        "Practitioner/CANARYID",
        "Patient?name=CANARYFAMILY",
        "Patient?name:exact=CANARYFAMILY&_count=1&_total=accurate",
        "Patient?identifier=CANARYMRN77&_explain=true",
        "Patient?identifier=CANARYSYSTEM|CANARYMRN77&birthdate=CANARYBIRTH",
        "DiagnosticReport?patient.identifier=CANARYMRN77&_sort=CANARYSORT",
        "DiagnosticReport?code:text=CANARYCODE&_lastUpdated=ge2020&_explain=true",
        "DiagnosticReport?conclusion:contains=CANARYIMPRESSION&_lastUpdated=ge2020",
        "DiagnosticReport?_page=CANARYPAGE",
        "DiagnosticReport?_lastUpdated=ge2020&_count=1&_include=DiagnosticReport:subject",
        f"DiagnosticReport/{report_id}/_history?_since=CANARYSINCE",
        f"DiagnosticReport/{report_id}/_history?_count=1&colour=CANARYVALUE",
        f"DiagnosticReport/{report_id}/_history/CANARYVERSION",
        f"DiagnosticReport/{report_id}?_elements=CANARYELEMENT",
        f"DiagnosticReport/{report_id}?_summary=CANARYSUMMARY",
    ]
    answers = [await stage.get(path) for path in paths]
    forms = ("name=CANARYFAMILY&_count=1", "identifier=CANARYMRN77&colour=CANARYCOLOUR", "name=%ffCANARY")
    answers += [await stage.client.post(f"{BASE}/Patient/_search", content=one, headers=FORM) for one in forms]
    answers += [await stage.client.get(f"{ROOT}{path}") for path in ("/readyz", "/livez", "/metrics", "/CANARYPATH")]
    answers.append(await stage.get("metadata", headers={"Host": "CANARYHOST", "Accept": "CANARY/ACCEPT"}))
    answers.append(await stage.get("metadata", headers={"Accept": "CANARY/ACCEPT"}))
    for name in ("$addendum", "$cancel-addendum"):
        for key, content in ((f"CANARYKEY{name}", ""), ("CANARY KEY", ""), (f"CANARY{name}", '{"CANARY": 1}')):
            path = f"DiagnosticReport/{report_id}/{name}"
            headers = {"Content-Type": "application/fhir+json"}
            answers.append(await stage.post(path, key=key, content=content, headers=headers))
    answers.append(await stage.client.put(f"{BASE}/Patient/CANARYID", content="CANARYBODY"))
    return answers


def told(answer):
    """Return the parts of an answer outside the requested resources: headers, errors, outcomes, links."""
    parts = [str(dict(answer.headers))]
    if answer.status_code >= 400 or not answer.request.url.path.startswith("/fhir"):
        parts.append(answer.text)
    elif answer.headers.get("content-type", "").startswith("application/fhir+json"):
        bundle = answer.json()
        parts += [one["url"] for one in bundle.get("link", ()) if not repeats(answer, one)]
        entries = bundle.get("entry", ())
        parts += [str(one["resource"]) for one in entries if one.get("search", {}).get("mode") == "outcome"]
        parts += [one.get("fullUrl", "") for one in entries]
    return parts


def repeats(answer, link):
    """True for a self link of a GET, which repeats the client's parameters."""
    return answer.request.method == "GET" and link["relation"] in {"self", "first"} and "_page=" not in link["url"]


def tokens(answers):
    """Return the bytes of every page token in the links of answers."""
    for answer in answers:
        for part in told(answer):
            token = part.partition("_page=")[2].partition("&")[0]
            if token:
                yield base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


async def check(stage, everything, **changes):
    answers = await ask(stage, *seeded(stage, **changes))
    for answer in answers:
        for part in told(answer):
            assert CANARY not in part.upper()
            assert "/storage/" not in part
    assert CANARY not in everything().upper()
    return answers


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_of_the_upstream_brings_a_patient_to_light(fault, everything):
    async with facade(timeout=0.2, attempts=1) as stage:
        stage.fail(*([fault] if fault else []))
        answers = await check(stage, everything)
        assert answers[0].status_code == (200 if fault in {"", "expired-pdf"} else answers[0].status_code)
        if fault == "":
            assert "CANARYFAMILY" in answers[0].text
            assert "study-ingested" in everything()  # what debug says is among it


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: next(iter(changes)))
async def test_no_json_of_the_upstream_that_is_not_understood_brings_a_value_to_light(changes, everything):
    async with facade() as stage:
        answers = await check(stage, everything, **changes)
        assert answers[0].status_code == 502


async def test_no_error_shows_the_api_key(everything):
    async with facade(api_key=SecretStr("CANARYAPIKEY")) as stage:
        assert (await check(stage, everything))[0].status_code == 502


async def test_no_bug_shows_what_it_stumbled_over(everything, monkeypatch):
    def broken(*_):
        raise ValueError(f"{CANARY} Jane Doe")

    monkeypatch.setattr(pipeline, "plan_ingest", broken)
    async with facade() as stage:
        answers = await ask(stage, *seeded(stage))
        assert answers[0].status_code == 500
        assert all(CANARY not in part.upper() for answer in answers for part in told(answer))


async def test_the_audit_has_every_access_and_nothing_of_a_patient_or_of_what_clients_wrote(everything, tmp_path):
    async with noted(tmp_path / "audit") as site:
        answers = await check(site.stage, everything)
        assert "CANARYFAMILY" in answers[0].text
        engine = site.stage.app.state.facade.engine
        await AuditLoading(engine, site.folder).turn()
        columns = "entry FROM audit_entry UNION ALL SELECT CAST(subject AS BLOB) FROM audit_subject"
        loaded = await rows(engine, f"SELECT {columns}")
        found = await site.stage.get("AuditEvent?date=gt2020&_count=500")
        files = [one.read_bytes() for one in site.folder.iterdir()]
        assert len(site.new()) >= 30
        assert len(found.json()["entry"]) >= 30
        for text in (*files, *(bytes(one) for (one,) in loaded), found.content):
            assert CANARY.encode() not in text.upper()


async def test_no_page_token_can_be_looked_into(everything):
    async with facade() as stage:
        answers = await check(stage, everything)
        found = list(tokens(answers))
        assert len(found) >= 2
        for one in found:
            assert CANARY.encode() not in one
            with pytest.raises(zlib.error):
                zlib.decompress(one)


async def test_what_the_index_holds_of_a_patient_is_in_no_log_and_no_metric(everything):
    """The crawl covers the seeded study, its identity conflicts, and its mapping issues."""
    async with facade(roles=("api", "sync")) as stage:
        report_id, study_id = seeded(stage)
        await swept(stage)
        whole = await stage.get(f"DiagnosticReport/{report_id}", headers={"Cache-Control": "no-cache"})
        assert "CANARYFAMILY" in whole.text
        answers = await ask(stage, report_id, study_id)
        assert any("CANARYFAMILY" in answer.text for answer in answers)
        for answer in answers:
            for part in told(answer):
                assert CANARY not in part.upper()
        metrics = (await stage.client.get(f"{ROOT}/metrics")).text
        assert 'loop="sweep"' in metrics
        assert CANARY not in metrics.upper()
    assert "sweep-ended" in everything()
    assert CANARY not in everything().upper()


async def swept(stage):
    for _ in range(600):
        if (await stage.client.get(f"{ROOT}/readyz")).json()["index"]["complete"]:
            return
        await asyncio.sleep(0.1)
    raise TimeoutError


async def test_no_failure_of_the_store_brings_a_patient_to_light(everything):
    """The tables are dropped, so each statement fails with patient values bound to it."""
    async with facade() as stage:
        report_id, study_id = seeded(stage)
        assert (await stage.get(f"DiagnosticReport/{report_id}")).status_code == 200
        with sqlite3.connect(Path(stage.app.state.facade.engine.path)) as database:
            for table in ("term", "moment", "version", "study", "claim", "person"):
                database.execute(f"DROP TABLE {table}")
        database.close()
        answers = await ask(stage, report_id, study_id)
        assert [answers[0].status_code, answers[14].status_code] == [503, 503]
        assert all(CANARY not in part.upper() for answer in answers for part in told(answer))
        assert all("SELECT" not in part for answer in answers for part in told(answer))
    assert CANARY not in everything().upper()


async def test_no_exception_of_the_store_holds_a_value(engine):
    missing = Statement("INSERT INTO nowhere (name) VALUES (:name)")
    refused = Statement("INSERT INTO fact (name, value) VALUES (:name, :value)")
    for work in (
        lambda: asked_of_store(missing, name="CANARYNAME"),
        lambda: asked_of_store(refused, name="CANARYNAME", value=None),
        lambda: asked_of_store(refused, name="CANARYNAME", value="CANARY\ud800VALUE"),
    ):
        with pytest.raises(StoreError) as error:
            await engine.do(work)
        seen, kept = [], error.value
        while kept is not None and kept not in seen:
            seen.append(kept)
            kept = kept.__cause__ or (None if kept.__suppress_context__ else kept.__context__)
        assert CANARY not in "".join(f"{one} {one!r}" for one in seen)


async def test_no_webhook_brings_a_patient_to_light(everything):
    async with facade() as stage:
        stage.app.state.inbox = replaced(stage.app.state.inbox)
        contents = (
            body("CANARY.kind", CANARYKEY="CANARYVALUE"),
            body("report.delivered", reportId="CANARYREPORT", studyId="CANARYSTUDY"),
            body("patient_study.enrichment_requested", studyInstanceUid="1.2.3", patientName="CANARYNAME"),
            b"CANARY no JSON",
        )
        deliveries = [(content, signed(content, at=clock.now())) for content in contents]
        for content, headers in (*deliveries, (b'{"CANARY": "CANARYBODY"}', {"webhook-id": "CANARYID"})):
            answer = await stage.client.post(f"{ROOT}/webhooks/autoscribe", content=content, headers=headers)
            assert CANARY not in (answer.text + str(answer.headers)).upper()
        assert CANARY not in (await stage.client.get(f"{ROOT}/metrics")).text.upper()
    assert CANARY not in everything().upper()


def replaced(inbox):
    """The inbox with a key that the test can sign with."""
    return dataclasses.replace(inbox, verifier=Verifier((base64.b64decode(SECRET.removeprefix("whsec_")),)))
