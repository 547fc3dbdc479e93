"""Every kind of answer that the facade can give, as JSON text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import httpx
from fakes.answered import with_orders
from fakes.audited import Noted, noted
from fakes.facade import BASE, Stage, facade, resource_id, site

import gateway.ingest.map_study as mapping
from gateway.audit.loading import AuditLoading
from gateway.fhir_api.http.outcome import issue_of_error, outcome
from gateway.fhir_api.search.result_parameters import includes_of, revincludes_of
from gateway.fhir_api.served import DEFINITIONS, RESOURCES
from gateway.runtime.errors import ConfigError, GatewayError
from gateway.sandbox.seed import report_list
from mappings import decode, to_fhir
from mappings.codes import CANONICAL
from mappings.patient.identifiers import fhir_id

EVERY_INCLUDE = "".join(f"&_include={one}" for one in includes_of("DiagnosticReport"))
EVERY_INCLUDE += "".join(f"&_revinclude={one}" for one in revincludes_of("DiagnosticReport"))
# Every type that is searched by patient
OF_A_PATIENT = ("DiagnosticReport", "Observation", "DocumentReference", "ServiceRequest", "ImagingStudy")
AS_RESOURCE = {"Accept": "application/fhir+json"}
# What it refuses, for a reason of its own each
REFUSED = (
    *("Patient/unknown", "Patient", "Nothing/1", "DiagnosticReport/rep-1/_history", "DiagnosticReport"),
    *("DiagnosticReport?study=no-id", "DiagnosticReport?study:not=stu-1", "metadata?_format=text/html"),
)


async def answers(stage: Stage) -> AsyncIterator[httpx.Response]:
    """A Bundle of every study that has a report, each resource of one study, and one of each other kind of answer."""
    for study_id in dict.fromkeys(report["studyId"] for report in stage.reports()):
        yield await stage.get(f"DiagnosticReport?study={fhir_id(study_id)}{EVERY_INCLUDE}&colour=blue")
    signed = stage.signed()
    report_id = resource_id(signed)
    for address in addresses(stage, signed["studyId"]):
        yield await stage.get(address)
        yield await stage.get(f"{address}/_history")
    for query in searches(report_id):
        yield await stage.get(query)
    yield await stage.get("metadata")
    yield await stage.get("DiagnosticReport?study=stu-" + "0" * 32)
    for kind in ("text", "pdf"):
        yield await stage.get(f"Binary/{report_id}-{kind}", headers=AS_RESOURCE)
    patient = (await stage.get(f"DiagnosticReport/{report_id}")).json()["subject"]["reference"]
    for path in (
        *(f"{kind}?patient={patient}&_explain=true" for kind in OF_A_PATIENT),
        *(f"Patient?_id={patient.partition('/')[2]}", "DiagnosticReport?date=ge2000&_count=3&_sort=-date"),
        *(f"DiagnosticReport/{report_id}/_history", f"DiagnosticReport/{report_id}/_history/1"),
        *(f"{patient}/$everything", f"DocumentReference/$docref?patient={patient.partition('/')[2]}"),
        *(f"DiagnosticReport/{report_id}/$trace", f"DiagnosticReport/{report_id}/$hl7v2?receiver=generic"),
        *(row.resource_type for row in DEFINITIONS),
    ):
        yield await stage.get(path)
    entries = [
        {"request": {"method": "GET", "url": url}} for url in (patient, "Nothing/1", f"Observation?patient={patient}")
    ]
    batch = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    yield await stage.client.post(BASE, json=batch, headers={"Content-Type": "application/fhir+json"})
    for path in REFUSED:
        yield await stage.get(path)
    yield await stage.post("DiagnosticReport")
    yield await stage.post(f"DiagnosticReport/{report_id}/$addendum", key=None)
    yield await stage.post(f"DiagnosticReport/{report_id}/$addendum")
    yield await stage.post(f"DiagnosticReport/{report_id}/$addendum", key="k3")
    yield await stage.post(f"DiagnosticReport/{report_id}/$cancel-addendum", key="k2")
    for path in histories_and_compartment(patient):
        yield await stage.get(path)


def searches(report_id: str) -> list[str]:
    """Searches whose answers have pages, parts of resources, or a count alone."""
    window = "_lastUpdated=ge2020"
    return [
        *(f"{kind}?{window}&_count=3&_total=accurate" for kind in ("DiagnosticReport", "Patient", "Observation")),
        *(f"DiagnosticReport?{window}&_count=2&_summary={how}" for how in ("true", "text", "data", "count")),
        f"DiagnosticReport?{window}&_count=2&_elements=issued&_explain=true",
        f"DiagnosticReport/{report_id}?_summary=true",
    ]


def histories_and_compartment(patient: str) -> list[str]:
    """Histories of each type and of all, where some resources have several versions, and searches of a compartment."""
    return [
        "_history?_count=200",
        *(f"{row.resource_type}/_history?_count=20" for row in RESOURCES if not row.is_binary),
        *(f"{patient}/{kind}?_count=20" for kind in OF_A_PATIENT),
    ]


def addresses(stage: Stage, study_id: str) -> list[str]:
    """Return the address of each resource of a study."""
    known, reports = stage.account.studies[study_id], stage.account.reports[study_id]
    study = decode(known, report_list(known, reports), tuple(stage.account.users.values()))
    return [f"{one['resourceType']}/{one['id']}" for one in to_fhir(study, site()).output]


async def bodies() -> list[str]:
    """The bodies of all answers, and the OperationOutcome of every error there is."""
    with TemporaryDirectory() as folder:
        async with noted(Path(folder) / "audit") as noting:
            made = [json.dumps(one.json()) async for one in answers(noting.stage)]
            made += [json.dumps(one.json()) for one in await _audited(noting)]
    made += [json.dumps(one.json()) for one in await _of_a_visit()]
    return made + [json.dumps(outcome([issue_of_error(error)[1]], CANONICAL)) for error in _errors(GatewayError)]


async def _audited(noting: Noted) -> list[httpx.Response]:
    """The events of the audit about all these answers, and one event alone."""
    await AuditLoading(noting.stage.app.state.facade.engine, noting.folder).turn()
    found = await noting.stage.get("AuditEvent?date=gt2020&_count=500")
    [event, *_] = found.json()["entry"]
    return [found, await noting.stage.get(f"AuditEvent/{event['resource']['id']}")]


async def _of_a_visit() -> list[httpx.Response]:
    """The Encounter of a report that answers a hospital's order, and all that leads to it."""
    with patch.object(mapping, "to_fhir", with_orders):
        async with facade() as stage:
            report = f"DiagnosticReport/{resource_id(stage.signed())}"
            visit = (await stage.get(report)).json()["encounter"]["reference"]
            patient = (await stage.get(visit)).json()["subject"]["reference"]
            found = f"Encounter?patient={patient}&_revinclude=DiagnosticReport:encounter"
            paths = (visit, f"{visit}/_history", found, f"{patient}/Encounter", "Encounter/_history")
            return [await stage.get(one) for one in paths]


def _errors(kind: type[GatewayError]) -> list[GatewayError]:
    if below := kind.__subclasses__():
        return [error for one in below for error in _errors(one)]
    return [kind("settings", "a.b", "wrong", "Mend it.") if issubclass(kind, ConfigError) else kind("something")]
