"""Messages as hospitals' systems send them, and any bytes at all, read through the door of the room."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import hl7
import pytest
from fakes.hospital_messages import (
    CERNER_ORM,
    EPC,
    EPIC_ORM,
    IHE_OMI,
    MEDITECH_ORM,
    MERCY,
    MIRTH_OMG,
    RIS,
    SOURCE,
    VISITS,
    merge_message,
    mrn,
    segment,
    taken_from,
    visit_message,
)
from fakes.scale import examples
from hl7apy.core import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.hl7v2.inbound import read_hospital_message
from mappings.hl7v2.received import Unreadable, read
from mappings.hospital.events import Authority, Clinician, CodedText, HospitalPatient, IssuedNumber, Visit

EXAMPLES = {
    "epic": EPIC_ORM.encode(),
    "cerner": CERNER_ORM,
    "meditech": MEDITECH_ORM.encode(),
    "ihe": IHE_OMI.encode(),
    "mirth": MIRTH_OMG.encode(),
    "visit": visit_message("A08").encode(),
    "merge": merge_message("A40", "PID|1||2^^^MERCY^MR", "MRG|1^^^MERCY^MR").encode(),
}


def codes(found) -> list[tuple[str, str]]:
    return [(one.code, one.place) for one in found.issues]


def test_an_order_as_epic_sends_it():
    found = taken_from(EPIC_ORM)
    holt = (
        IssuedNumber("1457", Authority("MERCY"), "EI"),
        IssuedNumber("1528000001", Authority("NPI"), "NPI"),
    )
    assert found.patient == HospitalPatient((mrn("E4477"),), "O'HARA", "MARY", "ANN", "19610309", "F")
    assert found.visit == Visit(
        "O",
        ("ED", "12", "A", "MERCY"),
        (Clinician(holt, "HOLT", "PETER", "", "", "DR", "MD"),),
        (Clinician((IssuedNumber("1900"),), "REYES", "ANA"),),
        IssuedNumber("900771", VISITS, "VN"),
    )
    (order,) = found.orders
    assert (order.effect, order.control, order.status) == ("open", "NW", "")
    assert (order.placer, order.filler) == (IssuedNumber("4455667", EPC), None)
    assert order.accession == IssuedNumber("ACC0042")
    assert order.study_uids == ("1.2.840.113619.2.1.42",)
    assert order.procedure == CodedText("IMG2001", "CT CHEST WITH CONTRAST", "EAP")
    assert (order.section, order.priority) == ("CT", "S")
    assert order.ordering == (Clinician((IssuedNumber("1457"),), "HOLT"),)
    assert order.indication == ("Chest pain", "rule out PE", "Dyspnea")
    assert order.notes == ("Patient has", "a pacemaker.")
    assert order.at == datetime(2026, 1, 5, 16, 15, tzinfo=UTC)
    assert codes(found) == [("authority-not-of-source", "PID-3[2]")]
    assert "000-11-2222" not in repr(found)
    assert "ELM" not in repr(found)


def test_a_status_as_cerner_sends_it():
    found = taken_from(CERNER_ORM, accession_field="OBR-20")
    assert (found.patient.family, found.patient.given, found.patient.born) == ("MÜLLER", "JÖRG", "")
    (order,) = found.orders
    assert (order.effect, order.status) == ("change", "CM")
    assert order.placer == IssuedNumber("881", Authority("HNAM_ORDERID"))
    assert (order.filler, order.accession) == (IssuedNumber("881-1", RIS), IssuedNumber("XR-26-8"))
    assert codes(found) == [("date-impossible", "PID-7")]


def test_a_cancellation_as_meditech_sends_it():
    found = taken_from(MEDITECH_ORM)
    assert found.patient.account == IssuedNumber("A500", MERCY, "AN")
    assert found.orders[0].effect == "cancel"
    assert found.orders[0].filler == IssuedNumber("0105:RA01", RIS)
    assert codes(found) == [("patient-class-unknown", "PV1-2"), ("time-not-exact", "MSH-7")]
    assert found.times == ()


def test_two_orders_as_ihe_has_them():
    found = taken_from(IHE_OMI)
    assert (found.patient.family, found.patient.given) == ("GARCÍA", "JOSÉ")
    assert [(one.accession.value, one.study_uids, one.priority, one.group.value) for one in found.orders] == [
        ("A1", ("1.2.3.4",), "S", "G7"),
        ("A2", ("1.2.3.5",), "", "G7"),
    ]
    assert codes(found) == []


def test_an_order_with_an_older_result_as_an_engine_sends_it():
    found = taken_from(MIRTH_OMG)
    assert [(one.placer.value, one.notes) for one in found.orders] == [("P1", ("for the order",))]
    assert codes(found) == [("several-patients", "PID[2]"), ("prior-result", "OBR[2]")]


@pytest.mark.parametrize("name", EXAMPLES)
def test_other_delimiters_give_the_same_values(name):
    sent = EXAMPLES[name]
    swapped = sent.translate(bytes.maketrans(b"|^~\\&", b"#$*!%"))
    assert taken_from(swapped) == taken_from(sent)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\r"])
def test_other_ends_of_segments_give_the_same_values(name, end):
    assert taken_from(EXAMPLES[name].replace(b"\r", end)) == taken_from(EXAMPLES[name])


def _read_or_unreadable(payload: bytes) -> None:
    try:
        received = read(payload)
    except Unreadable:
        return
    found = read_hospital_message(received, SOURCE)
    assert re.fullmatch(r"[\w-]*", found.held_for)


@settings(max_examples=examples(400))
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_unreadable(payload):
    _read_or_unreadable(payload)
    _read_or_unreadable(b"MSH|^~\\&|A|B|C|D|2026||ORM^O01|1|P|2.5.1\r" + payload)


@settings(max_examples=examples(1000))
@given(
    st.sampled_from(sorted(EXAMPLES)),
    st.lists(
        st.tuples(
            st.integers(0, 2000),
            st.sampled_from([b"", b"|", b"^", b"~", b"&", b"\\", b"\r", b'""', b"\xff", b"0", b"PID"]),
        ),
        max_size=12,
    ),
)
def test_a_damaged_message_is_read_or_unreadable(name, changes):
    payload = EXAMPLES[name]
    for place, bytes_there in changes:
        cut = place % len(payload)
        payload = payload[:cut] + bytes_there + payload[cut + 1 :] or b"M"
    _read_or_unreadable(payload)


NAMES = st.text(st.characters(min_codepoint=0x20, blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip() and text != '""' and "\ufffd" not in text
)
NUMBERS = st.text("ABCXYZ0123456789-./", min_size=1, max_size=16)


@settings(max_examples=examples(300))
@given(family=NAMES, given_name=NAMES, number=NUMBERS, placer=NUMBERS)
def test_what_python_hl7_writes_is_read_back(family, given_name, number, placer):
    library = hl7.parse(EPIC_ORM.replace("\n", "\r").replace("2.3.1", "2.3.1||||||UNICODE UTF-8"))
    # The library writes characters beyond ASCII as hexadecimal code points, of which HL7 does not say the meaning
    for number_of, name in enumerate((family, given_name), 1):
        text = "".join(library.escape(one) if one.isascii() else one for one in name)
        library.assign_field(text, "PID", 1, 5, 1, number_of)
    library.assign_field(number, "PID", 1, 3, 1, 1)
    library.assign_field(placer, "ORC", 1, 2, 1, 1)
    library.assign_field(placer, "OBR", 1, 2, 1, 1)
    found = taken_from(str(library).encode())
    assert (found.patient.family, found.patient.given) == (family, given_name)
    assert (found.patient.numbers, found.orders[0].placer) == ((mrn(number),), IssuedNumber(placer, EPC))


@settings(max_examples=examples(50))
@given(number=NUMBERS, placer=NUMBERS, accession=NUMBERS)
def test_what_hl7apy_writes_is_read_back(number, placer, accession):
    library = Message("ORM_O01", version="2.5.1")
    library.msh.msh_9 = "ORM^O01^ORM_O01"
    library.msh.msh_11 = "P"
    patient = library.add_group("orm_o01_patient")
    patient.pid.pid_3 = f"{number}^^^MERCY^MR"
    order = library.add_group("orm_o01_order")
    order.orc.orc_1, order.orc.orc_2 = "NW", f"{placer}^EPC"
    detail = order.add_group("orm_o01_order_detail").add_group("orm_o01_obrrqdrq1rxoodsodt_suppgrp")
    detail.obr.obr_4, detail.obr.obr_18 = "CTCH^CT Chest^L", accession
    found = taken_from(library.to_er7().encode())
    assert found.patient.numbers == (mrn(number),)
    (read_order,) = found.orders
    assert (read_order.placer, read_order.accession) == (IssuedNumber(placer, EPC), IssuedNumber(accession))
    assert read_order.procedure == CodedText("CTCH", "CT Chest", "L")


def test_an_issue_names_a_place_and_no_value():
    for sent in EXAMPLES.values():
        for issue in taken_from(sent).issues:
            assert re.fullmatch(r"[A-Z][A-Z0-9]{2}(\[\d+\])?(-\d+(\[\d+\])?)?", issue.place)


def test_a_segment_of_a_hundred_thousand_components_is_read_in_no_time():
    flood = segment("PV1", {2: "I", 3: "^" * 100_000 + "x", 7: "~" * 100_000})
    assert len(taken_from(visit_message("A08").replace("PV1|1|I", flood + "\rPV1|1|I")).visit.location) == 100_001
