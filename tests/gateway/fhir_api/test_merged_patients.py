"""Patients whose number was merged into another, over the facade (D48), also for clients that see some data (D41).

https://hl7.org/fhir/R4/patient.html#merge, https://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

import httpx
import pytest
from fakes.facade import BASE, facade, resource_id
from fakes.merging import knowing, merge

from gateway.auth.access import ACCESS, Access
from gateway.auth.scopes import scope_list

HERE, THERE = "Sandbox General Hospital", "Sandbox Lakeside Imaging"


class Merged:
    """Facade that has one report, whose patient's number was merged; `old` and `new` are addresses of the Patients."""

    def __init__(self, stage, system, number, report, old):
        self.stage, self.system, self.number, self.report, self.old = stage, system, number, report, old
        self.new = ""

    async def ask(self, path, access=None):
        app = self.stage.app

        async def with_access(scope, receive, send):
            await app(scope if access is None else {**scope, ACCESS: access}, receive, send)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(with_access)) as client:
            return await client.get(f"{BASE}/{path}")

    async def found(self, path, access=None):
        """Return the addresses of what a search or `$everything` finds."""
        answer = await self.ask(path, access)
        assert answer.status_code == 200, answer.text
        resources = [one["resource"] for one in answer.json().get("entry", ())]
        return [f"{one['resourceType']}/{one['id']}" for one in resources if "id" in one]


@pytest.fixture
async def merged():
    async with facade() as stage:
        serving = stage.app.state.facade
        report = next(
            one
            for one in stage.reports(status="completed", isAddendum=False)
            if one["snapshotMetadata"].get("facilityName") == HERE
            and one["snapshotMetadata"].get("mrn")
            and one.get("reportPlainText")
        )
        address, number = f"DiagnosticReport/{resource_id(report)}", report["snapshotMetadata"]["mrn"]
        subject = (await stage.get(address)).json()["subject"]["reference"]
        system = serving.site.facility(HERE).mrn.system
        made = Merged(stage, system, number, address, subject)
        await merge(serving.engine, number, f"{number}7", system)
        with knowing(serving.site):
            await serving.reads._pipeline.refresh(report["studyId"])
            made.new = (await stage.get(address)).json()["subject"]["reference"]
            yield made


def at(*facilities, patient=None):
    """Return the access of a client of these facilities, or of the Patient at this address."""
    scopes = "patient/*.rs" if patient else "system/*.rs"
    own = patient.partition("/")[2] if patient else None
    return Access("client-a", scope_list(scopes), frozenset(facilities) or None, 0, None, own)


async def test_the_old_patient_answers_at_its_address_and_leads_to_the_survivor(merged):
    old = (await merged.ask(merged.old)).json()
    assert (old["active"], old["link"]) == (False, [{"other": {"reference": merged.new}, "type": "replaced-by"}])
    new = (await merged.ask(merged.new)).json()
    assert new["link"] == [{"other": {"reference": merged.old}, "type": "replaces"}]
    assert (await merged.ask(f"{merged.old}/_history/1")).json().get("active", True) is True


async def test_the_old_number_finds_the_old_patient_and_the_survivor(merged):
    found = await merged.found(f"Patient?identifier={merged.system}|{merged.number}")
    assert sorted(found) == sorted([merged.old, merged.new])
    assert await merged.found(f"Patient?identifier={merged.system}|{merged.number}7") == [merged.new]
    assert merged.report in await merged.found(f"DiagnosticReport?patient.identifier={merged.system}|{merged.number}")


async def test_what_belongs_to_the_patient_is_the_survivors_alone(merged):
    everything = await merged.found(f"{merged.new}/$everything?_count=200")
    assert {merged.new, merged.report} <= set(everything)
    assert merged.old not in everything
    beside_it = await merged.found(f"{merged.old}/$everything")
    assert (beside_it[0], {one.partition("/")[0] for one in beside_it[1:]}) == (merged.old, {"Organization"})
    assert await merged.found(f"DiagnosticReport?patient={merged.old.partition('/')[2]}") == []


async def test_a_client_of_the_facility_follows_and_a_client_of_another_learns_of_neither(merged):
    by_number = f"Patient?identifier={merged.system}|{merged.number}"
    assert await merged.found(by_number, at(HERE)) == [merged.old]
    assert (await merged.ask(merged.old, at(HERE))).json()["link"][0]["other"]["reference"] == merged.new
    assert (await merged.ask(merged.new, at(HERE))).status_code == 200
    assert await merged.found(by_number, at(THERE)) == []
    for address in (merged.old, merged.new, merged.report):
        assert (await merged.ask(address, at(THERE))).status_code == 404


async def test_a_client_of_the_old_patient_sees_no_more_than_the_old_patient(merged):
    old = at(patient=merged.old)
    assert (await merged.ask(merged.old, old)).status_code == 200
    for address in (merged.new, merged.report):
        assert (await merged.ask(address, old)).status_code == 404
    assert (await merged.ask(merged.report, at(patient=merged.new))).status_code == 200
