"""Tokens of an external issuer at the whole facade: what scopes of a patient and of a user open there.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html; decision D41.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest_asyncio
from fakes.facade import Stage, facade, resource_id
from fakes.issuer import APP, AUDIENCE, ISSUER, REGISTERED, Documents, minted
from fakes.outcomes import issue, refusal
from structlog.testing import capture_logs

from gateway.runtime import clock
from gateway.settings import Auth
from gateway.store.clients import StoredClients

SEARCH = "DiagnosticReport?_lastUpdated=ge2000&_total=accurate&_count=100"


class City:
    """Facade that trusts the issuer, with reports that were read, by the patient whom they are about."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.reports: dict[str, list[str]] = {}

    async def get(self, path: str, **claims: Any) -> Any:
        """Ask for an address with a new token that makes these claims."""
        token = minted(exp=int(clock.now().timestamp()) + 300, iat=None, **claims)
        return await self.stage.get(path, headers={"Authorization": f"Bearer {token}"})

    async def read(self, number: int) -> None:
        """Read signed reports, so that the index has their studies, and note all reports that it has then."""
        for report in list(self.stage.reports(status="completed", isAddendum=False))[:number]:
            assert (await self.get(f"DiagnosticReport/{resource_id(report)}", scope="system/*.rs")).status_code == 200
        for report in matches((await self.get(SEARCH, scope="system/*.rs")).json()):
            patient = report["subject"]["reference"].partition("/")[2]
            self.reports.setdefault(patient, []).append(report["id"])


def matches(bundle: Any) -> list[Any]:
    """Return the resources that a search found, without the outcome that may stand beside them."""
    return [one["resource"] for one in bundle["entry"] if one["search"]["mode"] == "match"]


@pytest_asyncio.fixture
async def city(monkeypatch):
    monkeypatch.setattr("gateway.auth.external.KeySetFetch", lambda **_: Documents().fetch)
    auth = Auth(mode="external", issuer=ISSUER, audience=AUDIENCE)
    async with facade(groups={"auth": auth}) as stage:
        registered = replace(REGISTERED, scopes="system/*.rs user/*.rs patient/*.rs")
        assert await StoredClients(stage.app.state.facade.engine).add(registered, "") == "done"
        made = City(stage)
        await made.read(12)
        yield made


async def test_a_patient_scope_opens_the_compartment_of_the_patient_in_the_token_alone(city):
    patient, other = list(city.reports)[:2]
    claims = {"scope": "patient/*.rs", "patient": patient}
    for address in (f"Patient/{patient}", *(f"DiagnosticReport/{one}" for one in city.reports[patient])):
        assert (await city.get(address, **claims)).status_code == 200, address
    for address in (f"Patient/{other}", *(f"DiagnosticReport/{one}" for one in city.reports[other])):
        assert (await city.get(address, **claims)).status_code == 404, address
    found = (await city.get(SEARCH, **claims)).json()
    assert found["total"] == len(city.reports[patient])
    assert {one["id"] for one in matches(found)} == set(city.reports[patient])


async def test_a_patient_scope_without_the_patient_opens_nothing(city):
    patient = next(iter(city.reports))
    assert (await city.get(f"Patient/{patient}", scope="patient/*.rs")).status_code == 403
    assert (await city.get(SEARCH, scope="patient/*.rs")).status_code == 403


async def test_a_user_scope_opens_its_types_for_a_person_and_nothing_for_a_program(city):
    patient, reports = next(iter(city.reports.items()))
    person, program = {"scope": "user/DiagnosticReport.rs"}, {"scope": "user/DiagnosticReport.rs", "sub": APP}
    assert (await city.get(f"DiagnosticReport/{reports[0]}", **person)).status_code == 200
    assert (await city.get(f"Patient/{patient}", **person)).status_code == 403
    assert (await city.get(SEARCH, **person)).json()["total"] == sum(map(len, city.reports.values()))
    assert (await city.get(f"DiagnosticReport/{reports[0]}", **program)).status_code == 403


async def number_of(city, patient):
    """Return the number that is the key of a Patient, as an EHR's launch names it."""
    [number] = [
        one
        for one in (await city.get(f"Patient/{patient}", scope="system/*.rs")).json()["identifier"]
        if one["type"]["coding"][0]["code"] == "MR"
    ]
    return f"{number['system']}|{number['value']}"


async def test_a_launch_that_names_the_patient_by_its_number_opens_what_its_id_opens(city):
    patient = next(iter(city.reports))
    by_id, by_number = ({"scope": "patient/*.rs", "patient": one} for one in (patient, await number_of(city, patient)))
    for path in (f"Patient/{patient}", SEARCH, f"Patient/{patient}/$everything", "Patient?_id=pat-1"):
        named, numbered = await city.get(path, **by_id), await city.get(path, **by_number)
        assert (numbered.status_code, numbered.json()) == (named.status_code, named.json())


async def test_a_number_of_nobody_opens_nothing_of_a_patient_and_the_answer_and_the_log_say_why(city):
    patient, reports = next(iter(city.reports.items()))
    system, _, value = (await number_of(city, patient)).partition("|")
    claims = {"scope": "patient/Patient.rs user/DiagnosticReport.rs", "patient": f"{system}|{value}0"}
    with capture_logs() as logs:
        refused = await city.get(f"Patient/{patient}", **claims)
    assert refusal(refused) == (403, "error", "forbidden")
    assert "is not the key of a Patient" in issue(refused)["diagnostics"]
    assert value not in refused.text
    assert [one["code"] for one in logs if one["event"] == "patient-not-found"] == ["patient-unknown"]
    assert value not in str(logs)
    assert (await city.get(f"DiagnosticReport/{reports[0]}", **claims)).status_code == 200
    missing = issue(await city.get(f"Observation/{reports[0]}-1", **claims))["diagnostics"]
    assert missing == "the scope system/Observation.r is needed"
