"""Merges and changes of numbers (HL7 v2.5.1 §3.3.18 to §3.3.50, §3.5.2), and what is understood and held."""

import pytest
from fakes.hospital_messages import EPC, MERCY, VISITS, merge_message, mrn, segment, taken_from

from mappings.hl7v2.inbound import MERGE_TYPES
from mappings.hl7v2.inbound.mrg import LEVELS, NEVER_APPLIED
from mappings.hospital.events import IssuedNumber, NumberChange

PID = segment("PID", {1: "1", 3: "NEW^^^MERCY^MR", 18: "ANEW^^^MERCY^AN"})
PV1 = segment("PV1", {1: "1", 2: "I", 19: "VNEW^^^MERCYVN^VN"})
CHANGES = {
    "patient": NumberChange("patient", mrn("NEW"), mrn("OLD")),
    "account": NumberChange("account", IssuedNumber("ANEW", MERCY, "AN"), IssuedNumber("AOLD", MERCY, "AN")),
    "visit": NumberChange("visit", IssuedNumber("VNEW", VISITS, "VN"), IssuedNumber("VOLD", VISITS, "VN")),
}


def mrg(patient: str = "OLD^^^MERCY^MR", account: str = "AOLD^^^MERCY^AN", visit: str = "VOLD^^^MERCYVN^VN") -> str:
    return segment("MRG", {1: patient, 2: "X1^^^MERCY^MR", 3: account, 4: "X2^^^MERCY^MR", 5: visit, 7: "DOE^JANE"})


def merged(event: str, *segments: str):
    return taken_from(merge_message(event, *segments))


def pair(old: str, new: str) -> tuple[str, str]:
    """Write the PID and MRG of one PATIENT group, `OLD` merged into `NEW`."""
    return f"PID|1||{new}^^^MERCY^MR", f"MRG|{old}^^^MERCY^MR"


@pytest.mark.parametrize(
    ("event", "kinds", "patient"),
    [
        ("A18", ["patient", "account", "visit"], "OLD"),
        ("A34", ["patient"], "OLD"),
        ("A35", ["account"], "NEW"),
        ("A36", ["patient", "account"], "OLD"),
        ("A40", ["patient"], "OLD"),
        ("A41", ["account"], "NEW"),
        ("A42", ["visit"], "NEW"),
        ("A47", ["patient"], "OLD"),
        ("A50", ["visit"], "NEW"),
    ],
)
def test_an_event_changes_the_numbers_of_its_level_alone(event, kinds, patient):
    found = merged(event, PID, mrg(f"{patient}^^^MERCY^MR"), PV1)
    assert list(found.changes) == [CHANGES[kind] for kind in kinds]
    assert (found.held_for, found.taken, found.issues) == ("", "taken", ())


def test_every_event_of_merges_has_a_level_or_a_reason():
    assert {f"ADT^{event}" for event in {*LEVELS, *NEVER_APPLIED}} == MERGE_TYPES


@pytest.mark.parametrize(("event", "reason"), [("A37", "unlink"), ("A43", "move"), ("A44", "move"), ("A45", "move")])
def test_records_that_are_moved_or_separated_are_held(event, reason):
    found = merged(event, PID, mrg(), PV1)
    assert (found.taken, found.held_for, found.changes) == ("taken", reason, ())


def test_an_a18_changes_what_it_names():
    found = merged("A18", PID, mrg(account="", visit=""))
    assert (list(found.changes), found.held_for) == ([CHANGES["patient"]], "")
    assert merged("A18", PID, mrg("", "", "")).held_for == "prior-missing"


def test_an_a36_without_one_of_its_numbers_is_held():
    assert merged("A36", PID, mrg(account="")).held_for == "prior-missing"


def test_several_patients_are_merged_in_one_message():
    found = merged("A40", *pair("1", "2"), *pair("3", "4"), *pair("5", "4"))
    assert [(one.prior.value, one.surviving.value) for one in found.changes] == [("1", "2"), ("3", "4"), ("5", "4")]
    assert found.held_for == ""
    assert found.patient.numbers == ()


def test_a_merge_of_one_patient_tells_the_survivor():
    assert merged("A40", *pair("1", "2")).patient.numbers == (mrn("2"),)


def test_each_prior_number_is_paired_within_its_authority_and_type():
    found = merged("A40", "PID|1||2^^^MERCY^MR~9^^^MERCY^PI~7^^^EPC^MR", "MRG|1^^^MERCY^MR~8^^^MERCY^PI~6^^^EPC^MR")
    assert [(one.prior.value, one.surviving.value) for one in found.changes] == [("1", "2"), ("8", "9"), ("6", "7")]
    assert found.changes[2].surviving == IssuedNumber("7", EPC, "MR")
    assert found.held_for == ""


def test_a_type_that_is_not_said_fits_if_there_is_one_number_of_the_authority():
    assert merged("A40", "PID|1||2^^^MERCY^MR", "MRG|1^^^MERCY").changes[0].surviving == mrn("2")
    assert merged("A40", "PID|1||2^^^MERCY^MR~9^^^MERCY^PI", "MRG|1^^^MERCY").held_for == "survivor-ambiguous"


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        (("PID|1||2^^^EPC^MR", "MRG|1^^^MERCY^MR"), "survivor-missing"),
        (("PID|1||2^^^MERCY^PI", "MRG|1^^^MERCY^MR"), "survivor-missing"),
        (("PID|1||2", "MRG|1^^^MERCY^MR"), "survivor-missing"),
        (("PID|1||2^^^MERCY^MR", "MRG|1"), "survivor-missing"),
        (("PID|1", "MRG|1^^^MERCY^MR"), "survivor-missing"),
        (("MRG|1^^^MERCY^MR",), "survivor-missing"),
        (("PID|1||2^^^MERCY^MR~3^^^MERCY^MR", "MRG|1^^^MERCY^MR"), "survivor-ambiguous"),
        (("PID|1||2^^^MERCY^MR~1^^^MERCY^MR", "MRG|1^^^MERCY^MR"), "survivor-ambiguous"),
        (("PID|1||2^^^MERCY^MR", "MRG"), "prior-missing"),
        (("PID|1||2^^^MERCY^MR",), "prior-missing"),
        (("PID|1||2^^^MERCY^MR", "MRG|1^^^USSSA^SS"), "prior-missing"),
        (pair("1", "1"), "same-number"),
        ((*pair("1", "2"), *pair("1", "3")), "prior-twice"),
        ((*pair("1", "2"), *pair("2", "3")), "chain"),
        ((*pair("2", "3"), *pair("1", "2")), "chain"),
        ((*pair("1", "2"), *pair("2", "1")), "swap"),
        ((*pair("1", "2"), *pair("2", "3"), *pair("3", "1")), "loop"),
        ((*pair("0", "1"), *pair("1", "2"), *pair("2", "3"), *pair("3", "1")), "loop"),
        ((*pair("1", "2"), *pair("7", "7")), "same-number"),
        ((*pair("1", "2"), "PID|1||5^^^EPC^MR", "MRG|4^^^MERCY^MR"), "survivor-missing"),
    ],
)
def test_a_merge_that_cannot_be_done_whole_is_held(segments, reason):
    found = merged("A40", *segments)
    assert (found.taken, found.held_for) == ("taken", reason)


def test_a_merge_that_repeats_a_group_is_one_change():
    found = merged("A40", *pair("1", "2"), *pair("1", "2"))
    assert (len(found.changes), found.held_for) == (1, "")


def test_equal_values_of_two_authorities_are_no_chain():
    found = merged("A40", *pair("1", "2"), "PID|1||3^^^EPC^MR", "MRG|2^^^EPC^MR")
    assert (len(found.changes), found.held_for) == (2, "")


@pytest.mark.parametrize("event", ["A35", "A41", "A42", "A50"])
def test_a_change_of_visits_or_accounts_that_names_two_patients_is_held(event):
    found = merged(event, PID, mrg("OTHER^^^MERCY^MR"), PV1)
    assert (found.held_for, found.changes) == ("superior-differs", ())
    assert merged(event, PID, mrg(""), PV1).held_for == ""


def test_a_visit_without_a_survivor_is_held():
    assert merged("A42", PID, mrg("NEW^^^MERCY^MR")).held_for == "survivor-missing"


def test_two_events_in_one_message_are_held():
    found = taken_from(merge_message("A40", *pair("1", "2")).replace("EVN|A40", "EVN|A47"))
    assert found.held_for == "event-differs"
    assert [(one.code, one.place) for one in found.issues] == [("event-differs", "EVN-1")]


def test_a_long_chain_is_read_in_no_time():
    groups = [part for number in range(4_000) for part in pair(str(number), str(number + 1))]
    assert merged("A40", *groups).held_for == "chain"
