"""One round of the demo: a report is signed, read back as FHIR, sent as ORU^R01, and received.

HL7 v2.5.1 §2.9.2: the message counts as sent once an acknowledgement with its MSH-10 has come.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from gateway import clock
from gateway.demo.stage import Stage
from gateway.errors import AckUnreadable
from mappings import decode, to_oru
from mappings.hl7v2 import receiver
from mappings.hl7v2.ack import parse
from mappings.identifiers import fhir_id, message_control_id
from mappings.model import Cause

DESTINATION: Final = "demo"
_WAIT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one signed report."""

    report: Mapping[str, Any]
    diagnostic_report: Mapping[str, Any]
    patient: Mapping[str, Any]
    message: bytes
    acknowledgement: str


async def play(stage: Stage, report_id: str, study_id: str) -> Round:
    """Read the signed report as FHIR from the gateway, and send it over MLLP to the listener."""
    diagnostic_report = await asyncio.to_thread(_get, stage.fhir_base, f"DiagnosticReport/{fhir_id(report_id)}")
    patient = await asyncio.to_thread(_get, stage.fhir_base, diagnostic_report["subject"]["reference"])
    study = (await stage.client.study(study_id)).value
    reports = (await stage.client.reports(study_id=study_id)).value
    signers = {report["userId"] for report in reports["reports"]}
    users = [answer.value for user_id in sorted(signers) if (answer := await stage.client.user(user_id))]
    cause = Cause(report_id)
    control_id = message_control_id(cause, DESTINATION)
    mapped = to_oru(
        decode(study, reports, users),
        cause,
        stage.configuration.site,
        receiver("generic"),
        control_id=control_id,
        at=clock.now(),
    )
    if mapped.output is None:
        raise LookupError("a signed report made no message")
    ack = parse(await stage.connection.exchange(mapped.output))
    if ack.control_id != control_id:
        raise AckUnreadable(str(stage.connection.endpoint), "MSA-2 is not the MSH-10 that was sent")
    received = await stage.receiver.wait_for(control_id, within=_WAIT)
    report = next(report for report in reports["reports"] if report["reportId"] == report_id)
    return Round(report, diagnostic_report, patient, received.payload, ack.code)


def _get(base: str, path: str) -> dict[str, Any]:
    """Read a resource as any client would; httpx is the upstream client's alone."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_WAIT)
    with contextlib.closing(connection):
        connection.request("GET", f"{parts.path}/{path}", headers={"Accept": "application/fhir+json"})
        response = connection.getresponse()
        if response.status != 200:
            raise LookupError(f"the gateway answered {response.status}")
        resource: dict[str, Any] = json.load(response)
        return resource
