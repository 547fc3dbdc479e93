"""Encounter as it is served: read, search, compartment, and who may see it (US Core Encounter; D41, D48).

https://hl7.org/fhir/R4/encounter.html#search, https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fakes.answered import with_orders
from fakes.facade import BASE, facade, resource_id

import gateway.ingest.map_study as mapping
from gateway.auth.access import ACCESS, Access
from gateway.auth.scopes import scope_list

HERE, THERE = "Sandbox General Hospital", "Sandbox Lakeside Imaging"


async def ask(stage: Any, path: str, facility: str = "") -> httpx.Response:
    access = Access("client-a", scope_list("system/*.rs"), frozenset({facility}) if facility else None, 0, None, None)

    async def with_access(scope: Any, receive: Any, send: Any) -> None:
        await stage.app({**scope, ACCESS: access}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(with_access)) as client:
        return await client.get(f"{BASE}/{path}")


async def found(stage: Any, path: str, facility: str = "") -> list[str]:
    answer = await ask(stage, path, facility)
    assert answer.status_code == 200, answer.text
    resources = [one["resource"] for one in answer.json().get("entry", ())]
    return [f"{one['resourceType']}/{one['id']}" for one in resources if one["resourceType"] == "Encounter"]


async def test_an_encounter_is_read_and_found_by_those_alone_who_see_its_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "to_fhir", with_orders)
    async with facade() as stage:
        of_facility = (
            one
            for one in stage.reports(status="completed", isAddendum=False)
            if one["snapshotMetadata"].get("facilityName") == HERE and one.get("reportPlainText")
        )
        report = (await ask(stage, f"DiagnosticReport/{resource_id(next(of_facility))}")).json()
        address = report["encounter"]["reference"]
        read = await ask(stage, address)
        assert read.status_code == 200
        visit, patient = read.json(), report["subject"]["reference"]
        assert visit["subject"]["reference"] == patient
        number = visit["identifier"][0]["value"]
        for query in (
            f"_id={visit['id']}",
            f"patient={patient}",
            f"identifier=urn:oid:1.2.3.19|{number}",
            f"identifier={number}",
            f"patient={patient}&date=ge2026-02-28&date=le2026-03-02",
            f"patient={patient}&class=http://terminology.hl7.org/CodeSystem/v3-ActCode|EMER",
            f"patient={patient}&type=unknown",
            f"patient={patient}&status=finished",
        ):
            assert await found(stage, f"Encounter?{query}") == [address], query
            assert await found(stage, f"Encounter?{query}", HERE) == [address], query
            assert await found(stage, f"Encounter?{query}", THERE) == [], query
        assert await found(stage, f"Encounter?patient={patient}&date=lt2026-02-01") == []
        assert address in await found(stage, f"{patient}/$everything?_count=100")
        assert await found(stage, f"{patient}/Encounter") == [address]
        assert await found(stage, f"DiagnosticReport?_id={report['id']}&_include=DiagnosticReport:encounter") == [
            address
        ]
        assert (await ask(stage, address, HERE)).status_code == 200
        assert (await ask(stage, address, THERE)).status_code == 404
