"""Orders of inbound messages: groups of segments, and each element that takes a decision (HL7 v2.5.1 §4.4, §4.5)."""

from datetime import UTC, datetime

import pytest
from fakes.hospital_messages import EPC, RIS, order_message, segment, taken_from

from mappings.hospital.events import CodedText, IssuedNumber


def orders(*segments: str, message_type: str = "ORM^O01", **rules: object):
    return taken_from(order_message(*segments, message_type=message_type), **rules).orders


def codes(*segments: str, message_type: str = "ORM^O01", **rules: object):
    found = taken_from(order_message(*segments, message_type=message_type), **rules)
    return [(one.code, one.place) for one in found.issues]


def obr(**fields: str) -> str:
    """Write an OBR; `f18` is OBR-18."""
    return segment("OBR", {int(name[1:]): text for name, text in fields.items()})


def test_each_orc_with_its_obr_is_an_order():
    found = orders("ORC|NW|1^EPC", "OBR|1|1^EPC||A^one", "NTE|1||first", "ORC|NW|2^EPC", "OBR|2|2^EPC||B^two")
    assert [(one.placer, one.procedure.code, one.notes) for one in found] == [
        (IssuedNumber("1", EPC), "A", ("first",)),
        (IssuedNumber("2", EPC), "B", ()),
    ]


def test_in_orm_each_obr_under_an_orc_is_an_order_with_its_own_number():
    found = orders("ORC|NW|1^EPC", "TQ1|1||||||||S", "OBR|1|8^EPC||A", "NTE|1||x", "OBR|2|9^EPC||B", "OBR|3|||C")
    assert [(one.placer.value, one.procedure.code, one.notes, one.priority) for one in found] == [
        ("8", "A", ("x",), "S"),
        ("9", "B", (), "S"),
        ("1", "C", (), "S"),
    ]


@pytest.mark.parametrize(("message_type", "code"), [("OMG^O19", "prior-result"), ("OMI^O23", "obr-without-orc")])
def test_elsewhere_a_second_obr_under_an_orc_is_no_order(message_type, code):
    segments = ("ORC|NW|1^EPC", "OBR|1|1^EPC||A", "OBR|2|2^EPC||B", "NTE|1||of the result")
    (found,) = orders(*segments, message_type=message_type)
    assert (found.placer.value, found.notes) == ("1", ())
    assert codes(*segments, message_type=message_type) == [(code, "OBR[2]")]


def test_an_obr_before_any_orc_is_no_order():
    segments = ("OBR|1|1^EPC||A", "ORC|NW|2^EPC", "OBR|2|2^EPC||B")
    assert [one.placer.value for one in orders(*segments)] == ["2"]
    assert codes(*segments) == [("obr-without-orc", "OBR[1]")]


def test_an_order_may_have_no_obr():
    (found,) = orders("ORC|CA|1^EPC|2^RIS")
    assert (found.effect, found.placer, found.filler) == ("cancel", IssuedNumber("1", EPC), IssuedNumber("2", RIS))
    assert (found.accession, found.procedure, found.section, found.indication) == (None, CodedText(), "", ())


def test_a_message_without_an_order_is_an_issue():
    assert orders() == ()
    assert codes() == [("order-missing", "ORC")]


@pytest.mark.parametrize("message_type", ["ORM^O01", "OMG^O19", "OMI^O23"])
def test_what_follows_a_second_patient_is_no_order_of_the_first(message_type):
    segments = ("ORC|NW|1^EPC", "OBR|1", "PID|2||E2^^^MERCY^MR", "ORC|NW|2^EPC", "OBR|2")
    assert [one.placer.value for one in orders(*segments, message_type=message_type)] == ["1"]
    assert codes(*segments, message_type=message_type) == [("several-patients", "PID[2]")]


def test_a_note_below_an_observation_is_not_the_order_s():
    (found,) = orders("ORC|NW|1^EPC", "NTE|1||a", "OBR|1", "NTE|1||b", "OBX|1", "NTE|1||c", "NTE|2||d")
    assert found.notes == ("a", "b")


@pytest.mark.parametrize(
    ("segments", "placer"),
    [
        (("ORC|NW|1^EPC", "OBR|1|1^EPC"), IssuedNumber("1", EPC)),
        (("ORC|NW|1^EPC", "OBR|1"), IssuedNumber("1", EPC)),
        (("ORC|NW", "OBR|1|1^EPC"), IssuedNumber("1", EPC)),
        (("ORC|NW|1", "OBR|1|1^EPC"), IssuedNumber("1", EPC)),
        (("ORC|NW|1^EPC", "OBR|1|1"), IssuedNumber("1", EPC)),
        (("ORC|NW|1^EPC", "OBR|1|2^EPC"), None),
        (("ORC|NW|1^EPC", "OBR|1|1^RIS"), None),
    ],
)
def test_orc_2_and_obr_2_are_one_number_and_none_where_they_contradict(segments, placer):
    (found,) = orders(*segments)
    assert found.placer == placer
    assert codes(*segments) == ([] if placer else [("placer-differs", "ORC-2")])


def test_orc_3_and_obr_3_are_one_number():
    assert orders("ORC|NW||5^RIS", "OBR|1")[0].filler == IssuedNumber("5", RIS)
    assert orders("ORC|NW", "OBR|1||5^RIS")[0].filler == IssuedNumber("5", RIS)
    assert codes("ORC|NW||5^RIS", "OBR|1||6^RIS") == [("filler-differs", "ORC-3")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("", "I"),
        ("IPC-1", "I"),
        ("OBR-18", "18"),
        ("OBR-19", "19"),
        ("OBR-20", "20"),
        ("OBR-21", "21"),
        ("OBR-2", "2"),
        ("OBR-3", "3"),
        ("ORC-2", "2"),
        ("ORC-3", "3"),
        ("ORC-4", "4"),
    ],
)
def test_the_accession_number_is_in_the_field_of_the_source(field, value):
    segments = (
        "ORC|NW|2^RIS|3^RIS|4^RIS",
        obr(f2="2^RIS", f3="3^RIS", f18="18^RIS", f19="19^RIS", f20="20^RIS", f21="21^RIS"),
        "IPC|I^RIS",
    )
    assert orders(*segments, accession_field=field)[0].accession == IssuedNumber(value, RIS)


def test_without_an_ipc_the_accession_number_is_obr_18():
    assert orders("ORC|NW", obr(f18="18"))[0].accession == IssuedNumber("18")
    assert orders("ORC|NW", obr(f18="18"), accession_field="IPC-1")[0].accession is None
    assert orders("ORC|NW", accession_field="OBR-18")[0].accession is None


def test_procedure_steps_of_several_accession_numbers_name_none():
    segments = ("ORC|NW", obr(f18="18"), "IPC|A^RIS", "IPC|B^RIS")
    assert orders(*segments)[0].accession is None
    assert codes(*segments) == [("accession-differs", "IPC[1]-1")]
    assert orders("ORC|NW", obr(f18="18"), "IPC|A^RIS", "IPC|A^RIS")[0].accession == IssuedNumber("A", RIS)


def test_a_replacement_names_the_order_it_replaces():
    found = orders("ORC|RP|1^EPC", "OBR|1", segment("ORC", {1: "RO", 2: "2^EPC", 8: "1&EPC"}), "OBR|1")
    assert [(one.effect, one.parent_placer) for one in found] == [
        ("replaced", None),
        ("open", IssuedNumber("1", EPC)),
    ]


def test_orc_8_has_the_placer_and_the_filler_of_the_parent():
    (found,) = orders(segment("ORC", {1: "CH", 2: "2^EPC", 8: "1&EPC^7&RIS"}))
    assert (found.parent_placer, found.parent_filler) == (IssuedNumber("1", EPC), IssuedNumber("7", RIS))


def test_a_single_zds_at_the_end_belongs_to_all_orders_and_any_other_to_its_own():
    last = orders("ORC|NW|1^EPC", "OBR|1", "ORC|NW|2^EPC", "OBR|2", "ZDS|1.2.3^EPIC^Application^DICOM")
    assert [one.study_uids for one in last] == [("1.2.3",), ("1.2.3",)]
    first = orders("ORC|NW|1^EPC", "OBR|1", "ZDS|1.2.3^EPIC", "ORC|NW|2^EPC", "OBR|2")
    assert [one.study_uids for one in first] == [("1.2.3",), ()]
    each = orders("ORC|NW|1^EPC", "OBR|1", "ZDS|1.2.3", "ORC|NW|2^EPC", "OBR|2", "ZDS|1.2.4")
    assert [one.study_uids for one in each] == [("1.2.3",), ("1.2.4",)]


def test_study_uids_are_of_zds_and_ipc_each_once_and_valid():
    (found,) = orders("ORC|NW", "OBR|1", "ZDS|1.2.3", "IPC|A|B|1.2.3^RIS", "IPC|A|B|1.2.4")
    assert found.study_uids == ("1.2.3", "1.2.4")
    assert codes("ORC|NW", "OBR|1", "ZDS|1.2.x") == [("uid-invalid", "ZDS-1")]


@pytest.mark.parametrize(
    "segments",
    [
        ("ORC|NW", "OBR|1", "TQ1|1||||||||S^STAT"),
        ("ORC|NW", "TQ1|1||||||||S", obr(f27="^^^^^R")),
        ("ORC|NW", obr(f27="^^^^^S")),
        (segment("ORC", {1: "NW", 7: "^^^20260105^^S"}), "OBR|1"),
        ("ORC|NW", obr(f5="S")),
    ],
)
def test_the_priority_is_where_each_version_has_it(segments):
    assert orders(*segments)[0].priority == "S"


def test_the_ordering_clinician_is_orc_12_else_obr_16():
    assert orders(segment("ORC", {1: "NW", 12: "1^A"}), obr(f16="2^B"))[0].ordering[0].family == "A"
    assert orders("ORC|NW", obr(f16="2^B"))[0].ordering[0].family == "B"
    assert orders("ORC|NW")[0].ordering == ()


@pytest.mark.parametrize("code", [".br", "X0D", "X0A", "X0D0A", "X0D\\\\X0A", "X0B", "X0C", "X1C"])
def test_a_text_keeps_its_lines_however_a_line_break_is_escaped(code):
    mark = f"\\{code}\\"
    text = f"chest pain{mark}rule out PE{mark}"
    segments = ("ORC|NW|1^EPC", obr(f4=f"CTCH^CT{mark}Chest", f31=f"R07^{text}"), f"NTE|1||{text}")
    (found,) = orders(*segments)
    assert (found.indication, found.notes) == (("chest pain", "rule out PE"), ("chest pain", "rule out PE"))
    assert (orders("ORC|NW|1^EPC", obr(f13=text))[0].indication, found.procedure.text) == (found.notes, "CT Chest")
    assert codes(*segments) == []


def test_the_indication_is_obr_31_else_obr_13():
    assert orders("ORC|NW", obr(f13="old", f31=r"R07^pain\.br\fever~^PE"))[0].indication == ("pain", "fever", "PE")
    assert orders("ORC|NW", obr(f13=r"old \T\ new"))[0].indication == ("old & new",)


def test_orc_9_is_the_time_of_the_order():
    (found,) = orders(segment("ORC", {1: "NW", 9: "20260105101500-0600"}))
    assert found.at == datetime(2026, 1, 5, 16, 15, tzinfo=UTC)


def test_a_field_that_is_deleted_is_told_apart_from_an_empty_one():
    (found,) = orders(segment("ORC", {1: "XO", 2: "1^EPC", 12: '""'}), obr(f4="A", f31='""'))
    assert found.deleted == ("ORC-12", "OBR-31")
    assert (found.ordering, found.indication) == ((), ())


def test_an_issue_of_the_order_control_names_its_place():
    assert codes("ORC|ZZ") == [("order-control-unknown", "ORC-1")]
    assert codes("ORC|NW", "ORC|SC") == [("order-status-missing", "ORC[2]-5")]
    assert codes("ORC|NW|||||") == []


def test_only_orders_of_the_listed_sections_are_read():
    segments = ("ORC|NW|1^EPC", obr(f24="LAB", f4="GLU"), "ORC|NW|2^EPC", obr(f24="CT"), "ORC|NW|3^EPC", obr(f4="A"))
    found = taken_from(order_message(*segments), sections=frozenset({"CT", "MR"}))
    assert [one.placer.value for one in found.orders] == ["2"]
    assert [(one.code, one.place) for one in found.issues] == [
        ("order-not-radiology", "OBR[1]"),
        ("order-not-radiology", "OBR[3]"),
    ]


@pytest.mark.parametrize(("control", "count"), [("CA", 1), ("NA", 1), ("RP", 1), ("HD", 1), ("NW", 0), ("XO", 0)])
def test_without_a_section_only_an_order_that_makes_none_known_passes(control, count):
    assert len(orders(f"ORC|{control}|1^EPC", "OBR|1", sections=frozenset({"CT"}))) == count
    assert len(orders(f"ORC|{control}|1^EPC", obr(f24="LAB"), sections=frozenset({"CT"}))) == 0
