"""Messages of a hospital that are taken, and what is read of them (HL7 v2.5.1 §2.15.9, §3.3, §4.4)."""

from datetime import UTC, datetime

import pytest
from fakes.hospital_messages import header, message, order_message, segment, taken_from, visit_message

from mappings.hl7v2.inbound import MERGE_TYPES, ORDER_TYPES, READABLE, VISIT_TYPES
from mappings.hospital.events import HospitalPatient

NEW_ORDER = order_message("ORC|NW|1^EPC", segment("OBR", {1: "1", 24: "CT"}))


def codes(found) -> list[tuple[str, str]]:
    return [(one.code, one.place) for one in found.issues]


@pytest.mark.parametrize("structure", sorted(READABLE))
def test_every_listed_type_is_taken(structure):
    found = taken_from(message(header(structure), "PID|1||E1^^^MERCY^MR", "ORC|NW"))
    assert (found.taken, found.structure, found.trigger) == ("taken", structure, structure[4:])


def test_the_types_are_those_of_orders_visits_and_merges():
    assert len(READABLE) == len(ORDER_TYPES) + len(VISIT_TYPES) + len(MERGE_TYPES) == 3 + 13 + 13


@pytest.mark.parametrize(
    ("sent", "rules", "taken"),
    [
        (NEW_ORDER, {}, "taken"),
        (NEW_ORDER, {"message_types": frozenset({"ADT^A08"})}, "not-listed"),
        (NEW_ORDER.replace("ORM^O01", "ORU^R01"), {"message_types": frozenset({"ORU^R01"})}, "not-listed"),
        (NEW_ORDER.replace("ORM^O01", ""), {}, "not-listed"),
        (NEW_ORDER.replace("|P|2", "|T|2"), {}, "wrong-processing-id"),
        (NEW_ORDER.replace("|P|2", "||2"), {}, "wrong-processing-id"),
        (NEW_ORDER.replace("|P|2", "|P^T|2"), {}, "taken"),
        (NEW_ORDER.replace("|P|2", "|T|2"), {"processing_ids": frozenset({"T"})}, "taken"),
        (NEW_ORDER, {"senders": frozenset({("EPIC", "MERCY")})}, "taken"),
        (NEW_ORDER, {"senders": frozenset({("EPIC", "OTHER"), ("X", "MERCY")})}, "other-sender"),
        (NEW_ORDER, {"receiving_applications": frozenset({"RIS"})}, "taken"),
        (NEW_ORDER, {"receiving_applications": frozenset({"LAB"})}, "not-radiology"),
        (NEW_ORDER, {"receiving_facilities": frozenset({"MERCY"})}, "taken"),
        (NEW_ORDER, {"receiving_facilities": frozenset({"OTHER"})}, "not-radiology"),
        (NEW_ORDER, {"sections": frozenset({"CT"})}, "taken"),
        (NEW_ORDER, {"sections": frozenset({"LAB"})}, "not-radiology"),
    ],
)
def test_a_message_is_taken_or_the_reason_is_said(sent, rules, taken):
    assert taken_from(sent, **rules).taken == taken


@pytest.mark.parametrize("rules", [{"message_types": frozenset()}, {"sections": frozenset({"LAB"})}])
def test_of_a_message_that_is_not_taken_only_the_header_is_read(rules):
    found = taken_from(NEW_ORDER, **rules)
    assert (found.patient, found.visit, found.orders, found.times) == (HospitalPatient(), None, (), ())
    assert (found.control_id, found.sender, found.structure) == ("1", ("EPIC", "MERCY"), "ORM^O01")


def test_a_sender_is_named_by_its_universal_id_if_it_has_no_name():
    found = taken_from(NEW_ORDER.replace("|EPIC|MERCY|", "|^1.2.3^ISO|MERCY^4.5^ISO|"))
    assert found.sender == ("1.2.3", "MERCY")


@pytest.mark.parametrize(
    ("msh_9", "structure"),
    [("ORM", "ORM^O01"), ("OMG", "OMG^O19"), ("ADT", "ADT^A08"), ("ADT^A04", "ADT^A04"), ("ADT^^ADT_A01", "ADT^A08")],
)
def test_an_event_that_msh_9_lacks_is_evn_1_or_the_only_one(msh_9, structure):
    found = taken_from(message(header(msh_9), "EVN|A08", "PID|1", "ORC|NW"))
    assert (found.structure, found.taken) == (structure, "taken")


def test_a_message_type_without_any_event_is_not_listed():
    assert taken_from(message(header("ADT"))).structure == "ADT"


def test_times_stand_in_the_order_of_their_worth_each_with_its_field():
    found = taken_from(visit_message("A08"))
    assert found.times == (
        datetime(2026, 1, 5, 16, 13, tzinfo=UTC),
        datetime(2026, 1, 5, 16, 14, tzinfo=UTC),
        datetime(2026, 1, 5, 16, 15, 2, tzinfo=UTC),
    )
    assert found.timed_by == ("EVN-6", "EVN-2", "MSH-7")


def test_the_time_of_orders_counts_if_all_have_the_same():
    one = segment("ORC", {1: "NW", 9: "20260105101500-0600"})
    other = segment("ORC", {1: "NW", 9: "20260105101600-0600"})
    assert taken_from(order_message(one, one)).timed_by == ("ORC-9", "MSH-7")
    assert taken_from(order_message(one, other)).timed_by == ("MSH-7",)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        ("A01", "open"),
        ("A02", "open"),
        ("A03", "ended"),
        ("A04", "open"),
        ("A05", "planned"),
        ("A06", "open"),
        ("A07", "open"),
        ("A08", ""),
        ("A11", "cancelled"),
        ("A12", "open"),
        ("A13", "open"),
    ],
)
def test_an_event_leaves_a_visit_in_a_state(event, state):
    visit = taken_from(visit_message(event)).visit
    assert (visit.state, visit.number.value, visit.location) == (state, "V77", ("4W", "401", "02", "MERCY"))
    assert visit.begun == datetime(2026, 1, 4, 14, 15, tzinfo=UTC)
    assert (visit.ended is None) == (event == "A13")


def test_a_cancelled_discharge_deletes_the_end_of_the_visit():
    assert taken_from(visit_message("A13")).deleted == ("PV1-8", "PV1-45")
    assert taken_from(visit_message("A13", {45: '""'})).deleted == ("PV1-8", "PV1-45")
    assert taken_from(visit_message("A12")).deleted == ("PV1-8",)


@pytest.mark.parametrize("event", ["A28", "A31"])
def test_an_event_of_a_person_tells_no_visit(event):
    found = taken_from(visit_message(event, {2: "N"}))
    assert (found.visit, found.patient.family, found.deleted) == (None, "DOE", ())


def test_another_event_in_evn_1_is_an_issue():
    assert codes(taken_from(visit_message("A08").replace("EVN|A08", "EVN|A01"))) == [("event-differs", "EVN-1")]


def test_a_message_without_a_patient_is_an_issue():
    found = taken_from(message(header("ADT^A08"), "PV1|1|I"))
    assert (found.patient, found.visit.patient_class) == (HospitalPatient(), "I")
    assert codes(found) == [("patient-missing", "PID")]


def test_a_visit_after_an_order_is_not_the_patient_s():
    found = taken_from(order_message("ORC|NW", "OBR|1", "PV1|1|I", message_type="OMG^O19"))
    assert found.visit is None


@pytest.mark.parametrize(
    ("pid", "issue"),
    [
        ({8: "F"}, []),
        ({8: "X"}, [("sex-unknown", "PID-8")]),
        ({7: "19700230"}, [("date-impossible", "PID-7")]),
        ({3: "1^^^USSSA^SS"}, [("authority-not-of-source", "PID-3")]),
        ({3: "1^^^MERCY~1^^^MERCY"}, []),
        ({18: "1^^^X"}, [("authority-not-of-source", "PID-18")]),
        ({3: '""', 18: '""'}, []),
    ],
)
def test_what_of_a_patient_cannot_be_used_is_an_issue(pid, issue):
    assert codes(taken_from(message(header("ADT^A31"), segment("PID", pid)))) == issue


def test_fields_that_a_message_deletes_are_named():
    found = taken_from(message(header("ADT^A31"), segment("PID", {3: '""', 5: "", 7: ' "" ', 18: '""'})))
    assert found.deleted == ("PID-3", "PID-7", "PID-18")
    assert (found.patient.numbers, found.patient.born, found.patient.account) == ((), "", None)


def test_equal_numbers_of_a_patient_are_one():
    found = taken_from(message(header("ADT^A31"), segment("PID", {3: "1^^^MERCY~1^^^MERCY&2.16.840.1.113883.3.7"})))
    assert len(found.patient.numbers) == 1


def test_a_local_patient_class_is_an_issue_and_no_class():
    found = taken_from(visit_message("A08", {2: "IN"}))
    assert found.visit.patient_class == ""
    assert ("patient-class-unknown", "PV1-2") in codes(found)
