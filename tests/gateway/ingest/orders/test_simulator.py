"""The RIS simulator of hl7v2-fhir-bridge, with its own client: its orders are applied, its reports are not stored.

HL7 Transport Specification: MLLP, Release 1; HL7 v2.5.1 §2.9.2; decision D48.
"""

from __future__ import annotations

import asyncio

from fakes.hospital_source import Hospital, hospital_source
from fakes.store import rows
from v2fhir.mllp import MLLPClient
from v2fhir.tools.ris_sim import demo_script

from gateway.ingest.orders.inbox import source_listener
from gateway.runtime.loops import alongside
from mappings.hl7v2.ack import parse
from mappings.hospital.events import Authority

NAMES = ("SYNTH_HOSP", "SYNTH_EMPI", "SYNTH_HIS", "SYNTH_RIS")


def sent(port: int, messages: list[str]) -> list[str]:
    with MLLPClient("127.0.0.1", port) as client:
        answers = [client.send(one.encode()) for one in messages]
    return [parse(bytes(one)).code for one in answers]


async def test_its_orders_are_applied_and_its_reports_are_acknowledged_and_not_stored(engine):
    his = Hospital(engine, hospital_source(authorities=tuple(map(Authority, NAMES)), bare={}))
    messages = [text for _, text in demo_script()]
    async with alongside([source_listener(his.source, engine, his.metrics).run()]):
        await asyncio.sleep(0.2)
        assert await asyncio.to_thread(sent, his.source.port, messages) == ["AA"] * 9
    stored = await rows(engine, "SELECT structure FROM inbound ORDER BY number")
    assert [one for (one,) in stored] == ["ADT^A04", "ORM^O01", "ORM^O01", "ADT^A08", "ORM^O01", "ORM^O01"]
    assert his.counted("orders_received_total", outcome="not-listed") == 3
    states = [state for state, _ in await his.sends()]
    assert states == ["nothing", "applied", "applied", "applied", "applied", "applied"]
    first, second = [one.order for one in await his.orders()]
    assert (first.placer.value, first.ended, first.patient.family) == ("ORD1001", "completed", "NÚÑEZ-GARCÍA")
    assert (second.placer.value, second.ended, second.accession.value) == ("ORD1002", "cancelled", "ACC2002")
