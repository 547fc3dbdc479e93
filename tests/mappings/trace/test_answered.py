"""Decisions D6 and D48: each enriched field names the hospital's message that stated it, and no other field does."""

from __future__ import annotations

import json

from mappings.model import AnsweredOrder, Facts
from mappings.trace import trace
from mappings.trace.sample import document, everything, facts, rows, site

ROWS = {row.pointer: row for row in trace(document(), site(), everything(), facts(), is_wanted=lambda _: False)}
ORDER, VISIT = ROWS["order:SAMPLE/ORM0001"], ROWS["order:SAMPLE/ADT0002"]


def test_without_orders_no_message_is_named() -> None:
    assert not [row for row in rows() if row.pointer.startswith("order:")]


def test_each_field_of_the_order_names_the_message_of_the_order() -> None:
    assert {"ORC-2", "OBR-2", "ORC-12", "OBR-16", "PID-3"} <= set(ORDER.hl7v2)
    assert {"ServiceRequest.identifier.value", "ServiceRequest.code.text", "ServiceRequest.authoredOn"} <= set(
        ORDER.fhir
    )
    assert {"ServiceRequest.requester.display", "Patient.identifier.value"} <= set(ORDER.fhir)
    assert not {"OBR-3", "ORC-3", "PV1-19", "PID-5"} & set(ORDER.hl7v2)
    assert ORDER.kind in ("exact", "normalised")


def test_each_field_of_the_visit_names_the_message_of_the_visit() -> None:
    assert {"PV1-2", "PV1-3", "PV1-7", "PV1-8", "PV1-19", "PID-18"} == set(VISIT.hl7v2)
    assert "Encounter" in VISIT.fhir
    assert any(target.startswith("DiagnosticReport.encounter") for target in VISIT.fhir)
    assert "pv1_19_visit_number" in VISIT.rules


def test_no_row_of_a_message_has_a_value() -> None:
    said = json.dumps([[row.pointer, row.fhir, row.hl7v2, row.rules] for row in ROWS.values()])
    assert not [value for value in ("P1", "V1", "A1", "CTX", "4 WEST") if f'"{value}"' in said]


def test_a_message_whose_statements_change_nothing_is_dropped() -> None:
    [known] = facts().orders
    silent = AnsweredOrder(known.order_number, message=known.message)
    [row] = trace(document(), site(), everything(), Facts(orders=(silent,)), is_wanted=lambda _: False)
    assert (row.pointer, row.kind) == ("order:SAMPLE/ORM0001", "dropped")
