"""Every kind of answer that the facade can give, as JSON text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
from fakes.facade import Stage, facade, resource_id, site

from gateway.errors import ConfigError, GatewayError
from gateway.fhir_api.outcome import of_error, outcome
from gateway.fhir_api.search_params import INCLUDES
from gateway.sandbox.seed import report_list
from mappings import decode, to_fhir
from mappings.identifiers import fhir_id

EVERY_INCLUDE = "".join(f"&_include=DiagnosticReport:{name}" for name in INCLUDES)
AS_RESOURCE = {"Accept": "application/fhir+json"}
# What it refuses, for a reason of its own each
REFUSED = (
    *("Patient/unknown", "Patient", "Nothing/1", "DiagnosticReport/rep-1/_history", "DiagnosticReport"),
    *("DiagnosticReport?study=no-id", "DiagnosticReport?study:not=stu-1", "metadata?_format=application/fhir%2Bxml"),
)


async def answers(stage: Stage) -> AsyncIterator[httpx.Response]:
    """A Bundle of every study that has a report, each resource of one study, and one of each other kind of answer."""
    for study_id in dict.fromkeys(report["studyId"] for report in stage.reports()):
        yield await stage.get(f"DiagnosticReport?study={fhir_id(study_id)}{EVERY_INCLUDE}&colour=blue")
    signed = stage.signed()
    report_id = resource_id(signed)
    for address in addresses(stage, signed["studyId"]):
        yield await stage.get(address)
    yield await stage.get("metadata")
    yield await stage.get("DiagnosticReport?study=stu-" + "0" * 32)
    for kind in ("text", "pdf"):
        yield await stage.get(f"Binary/{report_id}-{kind}", headers=AS_RESOURCE)
    for path in REFUSED:
        yield await stage.get(path)
    yield await stage.post("DiagnosticReport")
    yield await stage.post(f"DiagnosticReport/{report_id}/$addendum", key=None)
    yield await stage.post(f"DiagnosticReport/{report_id}/$addendum")
    yield await stage.post(f"DiagnosticReport/{report_id}/$addendum", key="k3")
    yield await stage.post(f"DiagnosticReport/{report_id}/$cancel-addendum", key="k2")


def addresses(stage: Stage, study_id: str) -> list[str]:
    """Where each resource of a study is read."""
    known, reports = stage.account.studies[study_id], stage.account.reports[study_id]
    study = decode(known, report_list(known, reports), tuple(stage.account.users.values()))
    return [f"{one['resourceType']}/{one['id']}" for one in to_fhir(study, site()).output]


async def bodies() -> list[str]:
    """The bodies of all answers, and the OperationOutcome of every error there is."""
    async with facade() as stage:
        made = [json.dumps(one.json()) async for one in answers(stage)]
    return made + [json.dumps(outcome([of_error(error)[1]])) for error in _errors(GatewayError)]


def _errors(kind: type[GatewayError]) -> list[GatewayError]:
    if below := kind.__subclasses__():
        return [error for one in below for error in _errors(one)]
    return [kind("settings", "a.b", "wrong", "Mend it.") if issubclass(kind, ConfigError) else kind("something")]
