"""Decision D9: nothing of a patient, a secret or what a client typed in logs, error bodies, headers or links."""

import logging

import pytest
import structlog
from fakes.facade import BASE, facade, resource_id
from pydantic import SecretStr

CANARY = "CANARY"
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
    """Every kind of request, with what a client may type wrongly full of canaries too."""
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
    ]
    answers = [await stage.get(path) for path in paths]
    answers.append(await stage.get("metadata", headers={"Host": "CANARYHOST", "Accept": "CANARY/ACCEPT"}))
    answers.append(await stage.get("metadata", headers={"Accept": "CANARY/ACCEPT"}))
    for name in ("$addendum", "$cancel-addendum"):
        for key, body in ((f"CANARYKEY{name}", ""), ("CANARY KEY", ""), (f"CANARY{name}", '{"CANARY": 1}')):
            path = f"DiagnosticReport/{report_id}/{name}"
            headers = {"Content-Type": "application/fhir+json"}
            answers.append(await stage.post(path, key=key, content=body, headers=headers))
    answers.append(await stage.client.put(f"{BASE}/Patient/CANARYID", content="CANARYBODY"))
    return answers


def told(answer):
    """What of an answer is no resource that was asked for: headers, errors, outcomes, links."""
    parts = [str(dict(answer.headers))]
    if answer.status_code >= 400:
        parts.append(answer.text)
    elif answer.headers.get("content-type", "").startswith("application/fhir+json"):
        body = answer.json()
        parts.append(str(body.get("link")))
        parts += [str(one["resource"]) for one in body.get("entry", ()) if one["search"]["mode"] == "outcome"]
        parts += [one.get("fullUrl", "") for one in body.get("entry", ())]
    return parts


@pytest.fixture
def everything(caplog):
    """All log events before anything is taken out of them, and all that libraries logged."""
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    caplog.set_level(logging.INFO)
    with structlog.testing.capture_logs() as lines:
        yield lambda: str(lines) + caplog.text


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
    async with facade(timeout=0.2, attempts=1, read_timeout=0.2) as stage:
        stage.fail(*([fault] if fault else []))
        answers = await check(stage, everything)
        assert answers[0].status_code == (200 if fault in {"", "expired-pdf"} else answers[0].status_code)
        if fault == "":
            assert "CANARYFAMILY" in answers[0].text


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: next(iter(changes)))
async def test_no_json_of_the_upstream_that_is_not_understood_brings_a_value_to_light(changes, everything):
    async with facade() as stage:
        answers = await check(stage, everything, **changes)
        assert answers[0].status_code == 502


async def test_no_error_shows_the_api_key(everything):
    async with facade(api_key=SecretStr("CANARYAPIKEY")) as stage:
        assert (await check(stage, everything))[0].status_code == 502


async def test_no_bug_shows_what_it_stumbled_over(everything, monkeypatch):
    async def broken(*_):
        raise ValueError(f"{CANARY} Jane Doe")

    monkeypatch.setattr("gateway.sync.read_through.render", broken)
    async with facade() as stage:
        answers = await ask(stage, *seeded(stage))
        assert answers[0].status_code == 500
        assert all(CANARY not in part.upper() for answer in answers for part in told(answer))
