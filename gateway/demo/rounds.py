"""Play one round of the demo: follow a signed report to FHIR, and to the ORU^R01 message at the demo's MLLP listener.

HL7 v2.5.1 §2.9.2: the message counts as sent once the feed's ledger has its acknowledgement.
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

from gateway.demo.agreement import AgreementRow
from gateway.demo.orders import order_row
from gateway.demo.stage import Stage
from gateway.feed.fate import Kind, fate_of, fate_place
from gateway.runtime import clock
from gateway.store.feed.ledger import report_records
from gateway.store.feed.states import ORDER_AWAITED
from mappings.hl7v2.received import read
from mappings.patient.identifiers import fhir_id, short_id

_ANSWER: Final = 10.0  # seconds for an answer of the gateway
_DELIVERY: Final = 30.0  # seconds for the delivery of the message after that
_MOMENT: Final = 0.05
_ON_ITS_WAY: Final = frozenset({"not ingested", "queued"})


@dataclass(frozen=True, slots=True)
class DemoRound:
    """Result of one round; `state` is that of the report in a certificate, `AA` if the listener accepted it.

    `order` compares the order's number, if the hospital ordered the study.
    """

    report: Mapping[str, Any]
    diagnostic_report: Mapping[str, Any]
    patient: Mapping[str, Any]
    message: bytes
    state: Kind
    order: AgreementRow | None = None


async def play(stage: Stage, report_id: str, study_id: str) -> DemoRound:
    """Read a signed report from AutoScribe, as FHIR from the gateway, and as the message that the listener got.

    Raises:
        LookupError: the report is not signed, the gateway does not serve it, or the listener has no message of it.
    """
    diagnostic_report = await asyncio.to_thread(_get, stage.fhir_base, f"DiagnosticReport/{fhir_id(report_id)}")
    patient = await asyncio.to_thread(_get, stage.fhir_base, diagnostic_report["subject"]["reference"])
    reports = (await stage.client.reports(study_id=study_id)).value["reports"]
    report = next(report for report in reports if report["reportId"] == report_id)
    if report["status"] != "completed":
        raise LookupError("a report that is not signed makes no message")
    became = await _became(stage, report_id, study_id)
    message = _received(stage, report_id)
    order = await asyncio.to_thread(_order, stage, study_id, report_id, message)
    return DemoRound(report, diagnostic_report, patient, message, became, order)


async def _became(stage: Stage, report_id: str, study_id: str) -> Kind:
    """Wait until the report is delivered or stopped, and return its state in the ledger."""
    until = clock.monotonic() + _DELIVERY
    while True:
        study = (await report_records(stage.engine, [study_id])).get(study_id)
        state = fate_of(report_id, study.reports.get(report_id) if study else None, fate_place(stage.destination))
        is_on_its_way = state.kind in _ON_ITS_WAY or state.detail == ORDER_AWAITED
        if not is_on_its_way or clock.monotonic() > until:
            return state.kind
        await clock.sleep(_MOMENT)


def _received(stage: Stage, report_id: str) -> bytes:
    """Return the listener's newest message of the report, found by OBR-21."""
    for message in reversed(stage.receiver.messages):
        received = read(message.payload)
        fields = [one.field(21) for one in received.segments if one.name == "OBR"]
        if short_id(report_id) in [received.components(one)[0] for one in fields]:
            return message.payload
    raise LookupError("the listener has no message of the report")


def _order(stage: Stage, study_id: str, report_id: str, message: bytes) -> AgreementRow | None:
    """Compare the order's number at the hospital with FHIR now and with the message."""
    truth = stage.his.truths.get(study_id)
    if truth is None:
        return None
    report = _get(stage.fhir_base, f"DiagnosticReport/{fhir_id(report_id)}")
    requests = [_get(stage.fhir_base, one["reference"]) for one in report.get("basedOn", ())]
    return order_row(truth, requests, message)


def _get(base: str, path: str) -> dict[str, Any]:
    """Read a resource by plain HTTP; only the upstream client may use httpx."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER)
    with contextlib.closing(connection):
        connection.request("GET", f"{parts.path}/{path}", headers={"Accept": "application/fhir+json"})
        response = connection.getresponse()
        if response.status != 200:
            raise LookupError(f"the gateway answered {response.status}")
        resource: dict[str, Any] = json.load(response)
        return resource
