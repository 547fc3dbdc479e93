"""Third-party MLLP clients send orders, visits and merges: each is acknowledged, stored once and applied.

HL7 Transport Specification: MLLP, Release 1; HL7 v2.5.1 §2.9.2; decision D48. Needs Node.js with npm, and a JDK with
Maven.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from conformance.outside import java, node, run
from conformance.receivers.servers import HERE
from fakes.hospital_source import Hospital, merging, ordering, visiting
from hl7 import parse
from hl7.client import MLLPClient

from gateway.ingest.orders.inbox import source_listener
from gateway.runtime.loops import alongside

pytestmark = pytest.mark.timeout(300)
Sends = Callable[[int, Sequence[str]], list[list[str]]]
MESSAGES = (
    ordering(control_id="A1"),
    ordering(control_id="A1"),
    ordering("XO", accession="A2", control_id="A2", minute=1),
    visiting(control_id="A3", minute=2),
    merging(control_id="A4", minute=3),
    ordering("CA", accession="A2", control_id="A5", minute=4),
)


def python_hl7(port: int, messages: Sequence[str]) -> list[list[str]]:
    with MLLPClient("127.0.0.1", port) as client:
        answers = [parse(client.send_message(one).strip(b"\x0b\x1c\r").decode()) for one in messages]
    return [[str(one.segment("MSA")[1]), str(one.segment("MSA")[2])] for one in answers]


SENDERS: dict[str, Sends] = {
    "hl7": python_hl7,
    "@medplum/hl7": lambda port, sent: run(node("send.mjs", "@medplum/hl7", str(port), under=HERE), sent),
    "simple-hl7": lambda port, sent: run(node("send.mjs", "simple-hl7", str(port), under=HERE), sent),
    "HAPI HL7v2": lambda port, sent: run(java("hapi", "Send.java", str(port), under=HERE), sent),
}


@pytest.mark.parametrize("name", SENDERS)
async def test_what_a_client_of_others_sends_is_acknowledged_stored_once_and_applied(sqlite_engine, name):
    his = Hospital(sqlite_engine)
    texts = [one.decode() for one in MESSAGES]
    async with alongside([source_listener(his.source, sqlite_engine, his.metrics).run()]):
        await asyncio.sleep(0.2)
        answers = await asyncio.to_thread(SENDERS[name], his.source.port, texts)
    assert answers == [["AA", control_id] for control_id in ("A1", "A1", "A2", "A3", "A4", "A5")]
    assert await his.sends() == [("applied", "")] * len(await his.bodies())
    (stored,) = await his.orders()
    assert (stored.order.placer.value, stored.order.accession.value, stored.order.ended) == ("P1", "A2", "cancelled")
    assert stored.order.patient.family == "DOE-MILLER"
