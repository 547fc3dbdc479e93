"""CPU time of reading one inbound message, bytes to events; `make bench` prints it last."""

from __future__ import annotations

import time
from collections.abc import Callable

from fakes.hospital_messages import EPIC_ORM, IHE_OMI, SOURCE, merge_message, visit_message

from mappings.hl7v2.inbound import read_hospital_message
from mappings.hl7v2.received import read

MESSAGES = {
    "ORM^O01 with one order": EPIC_ORM.encode(),
    "OMI^O23 with two orders": IHE_OMI.encode(),
    "ADT^A08": visit_message("A08").encode(),
    "ADT^A40": merge_message("A40", "PID|1||2^^^MERCY^MR", "MRG|1^^^MERCY^MR").encode(),
}
ROUNDS, TIMES = 7, 200


def milliseconds(payload: bytes) -> float:
    start = time.process_time()
    for _ in range(TIMES):
        assert read_hospital_message(read(payload), SOURCE).taken == "taken"
    return (time.process_time() - start) / TIMES * 1000


def test_reading_of_one_message(say: Callable[[str], None]) -> None:
    for name, payload in MESSAGES.items():
        fastest = min(milliseconds(payload) for _ in range(ROUNDS))
        say(f"reading {name}, {len(payload)} bytes: {fastest:.2f} ms CPU (to reach: <= 1 ms)")
