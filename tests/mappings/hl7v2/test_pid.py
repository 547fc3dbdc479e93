"""HL7 v2.5.1 §3.4.2."""

from dataclasses import replace

import pytest
from fakes.er7_reader import field
from fakes.oru_example import ADDENDUM_ID, SITE, STUDY_ID, codes, profile, report, send, sent, study

from mappings.model import Facts, MergedNumber
from mappings.patient.identifiers import short_id
from mappings.patient.subjects import subjects
from mappings.profile import AssigningAuthority, Site, parse_site

OF_A_CUSTOMER = {"expressCustomer": {"expressCustomerId": "cus_1", "expressCustomerName": "Tampa"}}

MERCY = """
[mapping]
[[mapping.facilities]]
name = "Mercy East"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
"""


def pid(number: int, site: Site = SITE, study_changes: dict | None = None, **snapshot: object) -> str:
    return field(sent(study(report(snapshot=snapshot), **(study_changes or {})), site=site), f"PID-{number}")


def test_the_mrn_has_its_facilitys_authority() -> None:
    assert pid(3) == "00412345^^^MERCY^MR"


def test_the_external_patient_id_is_a_second_repetition_of_type_u_where_nobody_says_whose_it_is() -> None:
    assert pid(3, study_changes={"externalPatientId": "E-7"}) == "00412345^^^MERCY^MR~E-7^^^AGWPI-787480F02CE37B^U"
    site = parse_site(f"{MERCY}external_patient_id_system = 'urn:oid:1.2.9'\nexternal_patient_id_namespace = 'EXT'\n")
    assert pid(3, site, {"externalPatientId": "E-7"}) == "00412345^^^MERCY^MR~E-7^^^EXT^PI"


def test_an_mrn_without_a_known_authority_follows_the_studys_own_id_and_is_no_record_number() -> None:
    own = "3oSAGvLY3tMWHhsMcmBrT8^^^AUTOSCRIBE_PATIENT^U"
    assert pid(3, site=Site()) == f"{own}~00412345^^^AGWMR-887454023C6026^U"


def authorities(made: str) -> list[tuple[str, str]]:
    """Authority and type of each number of PID-3."""
    return [(part.split("^")[3], part.split("^")[4]) for part in made.split("~")]


def test_two_clinics_with_the_same_mrn_are_never_one_patient_to_a_receiver() -> None:
    here, there = pid(3, Site(), mrn="00042"), pid(3, Site(), mrn="00042", facilityName="North Clinic")
    assert not set(authorities(here)[1:]) & set(authorities(there)[1:])
    assert "MR" not in {kind for _, kind in authorities(here) + authorities(there)}


@pytest.mark.parametrize("spelling", ["Mercy East", " mercy  east ", "MERCY EAST"])
def test_one_facility_has_one_made_authority_of_at_most_twenty_characters(spelling: str) -> None:
    made = authorities(pid(3, Site(), facilityName=spelling))[1][0]
    assert made == authorities(pid(3, Site()))[1][0]
    assert len(made) <= 20


@pytest.mark.parametrize("facility", [None, " "])
def test_numbers_of_facilities_that_are_not_said_are_never_under_one_authority(facility: str | None) -> None:
    one, other = (
        field(
            sent(study(report(snapshot={"facilityName": facility}, studyId=study_id), studyId=study_id), site=Site()),
            "PID-3",
        )
        for study_id in ("stu_" + "1" * 32, "stu_" + "2" * 32)
    )
    assert authorities(one)[1][0] != authorities(other)[1][0]


def test_an_mrn_and_an_external_id_of_one_facility_are_never_under_one_authority() -> None:
    made = authorities(pid(3, Site(), {"externalPatientId": "00412345"}))
    assert len(set(made)) == 3


@pytest.mark.parametrize("mrn", ["000000", "UNKNOWN", "N/A", None])
def test_a_placeholder_never_goes_out_as_an_mrn(mrn: str | None) -> None:
    assert pid(3, mrn=mrn) == "3oSAGvLY3tMWHhsMcmBrT8^^^AUTOSCRIBE_PATIENT^U"
    assert "patient-identifier-absent" in codes(study(report(snapshot={"mrn": mrn})))


def test_an_mrn_with_delimiters_stays_one_value() -> None:
    assert pid(3, mrn="A^B|C&D~E7") == r"A\S\B\F\C\T\D\R\E7^^^MERCY^MR"


def test_an_mrn_of_a_receivers_own_stands_alone_without_an_authority() -> None:
    receivers = replace(Site(), mrn_authority="receiver")
    assert pid(3, receivers) == "00412345^^^^MR"
    assert pid(3, replace(SITE, mrn_authority="receiver")) == "00412345^^^^MR"
    assert field(sent(site=receivers, to=profile(pid3_plain="on")), "PID-3") == "00412345"
    assert pid(3, receivers, {"externalPatientId": "E-7"}).startswith("00412345^^^^MR~E-7^^^AGWPI-")
    assert pid(3, receivers, mrn="00000") == "3oSAGvLY3tMWHhsMcmBrT8^^^AUTOSCRIBE_PATIENT^U"


def test_an_mrn_that_two_people_have_is_the_second_ones_last_number_and_no_record_number() -> None:
    somebody_else = {"dateOfBirth": "1950-01-01", "sex": "male"}
    other = report(reportId=ADDENDUM_ID, signedAt="2026-01-05T18:00:00Z", snapshot=somebody_else)
    what, own = study(report(), other), f"{short_id(ADDENDUM_ID)}^^^AUTOSCRIBE_PATIENT^U"
    assert field(sent(what), "PID-3") == "00412345^^^MERCY^MR"
    assert field(sent(what, report_id=ADDENDUM_ID), "PID-3") == f"{own}~00412345^^^MERCY^U"
    receivers = replace(SITE, mrn_authority="receiver")
    assert field(sent(what, report_id=ADDENDUM_ID, site=receivers), "PID-3") == f"{own}~00412345^^^MERCY^U"
    bare = sent(what, report_id=ADDENDUM_ID, site=receivers, to=profile(pid3_plain="on"))
    assert field(bare, "PID-3") == short_id(ADDENDUM_ID)


def test_an_mrn_that_would_delete_is_not_null() -> None:
    assert pid(3, mrn='""', site=Site()) != '""^^^^MR'


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DOE^JANE^Q^DR^JR", "DOE^JANE^Q^JR^DR^^L"),
        ("DOE^JANE^Q^JR^DR", "DOE^JANE^Q^JR^DR^^L"),
        ("DOE, JANE M", "DOE^JANE^M^^^^L"),
        ("Jane Doe", "Doe^Jane^^^^^L"),
        ("Madonna", "Madonna^^^^^^L"),
        ("SMITH^ANN^^^MD", "SMITH^ANN^^^^MD^L"),
        ("O&MALLEY, PAT", r"O\T\MALLEY^PAT^^^^^L"),
    ],
)
def test_a_name_is_sent_as_xpn_in_the_order_of_xpn(name: str, expected: str) -> None:
    assert pid(5, patientName=name) == expected


def test_a_name_that_nothing_splits_is_whole_in_the_family_name() -> None:
    assert pid(5, site=Site(), patientName="Jane Mary Doe") == "Jane Mary Doe^^^^^^L"
    assert "name-not-split" in codes(study(report(snapshot={"patientName": "Jane Mary Doe"})), site=Site())


@pytest.mark.parametrize("name", [None, " ", "\x00"])
def test_a_name_that_is_not_known_is_said_to_be_unspecified(name: str | None) -> None:
    assert pid(5, patientName=name) == "~^^^^^^U"
    assert codes(study(report(snapshot={"patientName": name})))["patient-name-absent"].endswith("/patientName")


def test_a_name_longer_than_the_standard_has_it_is_sent_whole() -> None:
    assert pid(5, patientName="D" * 300 + "^JANE") == "D" * 300 + "^JANE^^^^^L"
    assert "length-exceeded" in codes(study(report(snapshot={"patientName": "D" * 300 + "^JANE"})))


@pytest.mark.parametrize(("born", "expected"), [("1971-02-14", "19710214"), ("1971-02", "197102"), ("1971", "1971")])
def test_a_date_of_birth_keeps_its_precision(born: str, expected: str) -> None:
    assert pid(7, dateOfBirth=born) == expected


def test_an_impossible_date_of_birth_is_dropped_and_reported() -> None:
    assert pid(7, dateOfBirth="1971-02-30") == ""
    assert "birth-date-impossible" in codes(study(report(snapshot={"dateOfBirth": "1971-02-30"})))


@pytest.mark.parametrize(("sex", "expected"), [("male", "M"), ("female", "F"), ("other", "O"), (None, "U"), ("x", "U")])
def test_the_sex_is_of_table_0001(sex: str | None, expected: str) -> None:
    assert pid(8, sex=sex) == expected
    assert ("sex-unknown-code" in codes(study(report(snapshot={"sex": sex})))) is (sex == "x")


def test_the_name_order_of_the_facility_splits_a_plain_name() -> None:
    site = parse_site('[mapping]\n[[mapping.facilities]]\nname = "Mercy East"\nname_order = "family_given"\n')
    assert pid(5, site=site, patientName="Nguyen An") == "Nguyen^An^^^^^L"


@pytest.mark.parametrize(
    ("order", "name", "expected", "issues"),
    [
        ("given_family", "Mary St. John", "St. John^Mary^^^^^L", []),
        ("given_family", "Mary Ann Smith", "Smith^Mary^Ann^^^^L", [("name-split-assumed", "information")]),
        ("given_family", "Robert (Bob) Smith", "Smith^Robert^^^^^L", [("name-part-unclear", "warning")]),
        ("given_family", "Mac Arthur", "Mac Arthur^^^^^^L", [("name-not-split", "warning")]),
        ("given_two_families", "María García López", "García López^María^^^^^L", [("name-split-assumed", "warning")]),
        ("given_two_families", "María García", "María García^^^^^^L", [("name-not-split", "warning")]),
        ("given_two_families", "García López, María José", "García López^María^José^^^^L", []),
    ],
)
def test_a_split_that_the_order_of_the_facility_assumes_is_noted(
    order: str, name: str, expected: str, issues: list[tuple[str, str]]
) -> None:
    site = parse_site(f'[mapping]\n[[mapping.facilities]]\nname = "Mercy East"\nname_order = "{order}"\n')
    what = study(report(snapshot={"patientName": name}))
    assert field(sent(what, site=site), "PID-5") == expected
    found = send(what, site=site).issues
    assert [(one.code, one.severity) for one in found if one.pointer.endswith("/patientName")] == issues


def test_a_receiver_that_wants_no_name_type_gets_none() -> None:
    assert field(sent(to=profile(xpn_type="off")), "PID-5") == "DOE^JANE^Q"


def test_a_receiver_that_wants_a_plain_number_gets_the_mrn_alone() -> None:
    assert field(sent(to=profile(pid3_plain="on")), "PID-3") == "00412345"


def test_the_second_number_of_a_patient_is_not_sent_plain_and_that_is_said() -> None:
    what = study(externalPatientId="E-7")
    assert field(sent(what, to=profile(pid3_plain="on")), "PID-3") == "00412345"
    assert codes(what, to=profile(pid3_plain="on"))["identifier-not-sent"] == "/reports/0/snapshotMetadata"


def test_a_number_without_an_authority_is_never_sent_plain() -> None:
    bare = sent(site=Site(), to=profile(pid3_plain="on"))
    assert field(bare, "PID-3") == "3oSAGvLY3tMWHhsMcmBrT8"
    assert "patient-identifier-absent" in codes(site=Site(), to=profile(pid3_plain="on"))


def test_an_external_patient_id_is_never_sent_plain_as_if_it_were_a_record_number() -> None:
    known = parse_site(f"{MERCY}external_patient_id_system = 'urn:oid:1.2.9'\nexternal_patient_id_namespace = 'EXT'\n")
    what, plain = study(report(snapshot={"mrn": None}), externalPatientId="P77"), profile(pid3_plain="on")
    for site in (known, replace(known, mrn_authority="receiver")):
        assert field(sent(what, site=site, to=plain), "PID-3") == "3oSAGvLY3tMWHhsMcmBrT8"
        assert "patient-identifier-absent" in codes(what, site=site, to=plain)
    elsewhere = study(report(snapshot={"facilityName": "North Clinic"}), externalPatientId="P77", **OF_A_CUSTOMER)
    site = replace(known, express_customers={"cus_1": AssigningAuthority("urn:oid:1.2.9", "EXT")})
    assert field(sent(elsewhere, site=site), "PID-3").startswith("P77^^^EXT^PI~")
    assert field(sent(elsewhere, site=site, to=plain), "PID-3") == "3oSAGvLY3tMWHhsMcmBrT8"


SOMEBODY_ELSE = {"dateOfBirth": "1950-01-01", "sex": "male"}


def test_a_number_that_stands_for_two_people_is_never_sent_plain_for_the_second() -> None:
    other = report(reportId=ADDENDUM_ID, signedAt="2026-01-05T18:00:00Z", snapshot=SOMEBODY_ELSE)
    what, plain = study(report(), other), profile(pid3_plain="on")
    assert field(sent(what, to=plain), "PID-3") == "00412345"
    assert field(sent(what, report_id=ADDENDUM_ID, to=plain), "PID-3") == short_id(ADDENDUM_ID)
    told = codes(what, report_id=ADDENDUM_ID, to=plain)
    assert told["patient-identifier-contested"] == "/reports/1/snapshotMetadata/mrn"
    assert "patient-identifier-contested" not in codes(what, to=plain)


MERGED = (MergedNumber("urn:oid:1.2.3", "MR", "412345", "00599"),)


def test_a_number_that_the_hospital_merged_is_never_sent_again_and_the_surviving_one_stands_in_its_place() -> None:
    made = sent(study(report()), merged=MERGED)
    assert field(made, "PID-3") == "00599^^^MERCY^MR"
    assert "412345" not in made.decode()
    assert field(made, "OBR-3") == field(sent(study(report())), "OBR-3")


@pytest.mark.parametrize(("changes", "number"), [({"pid3_plain": "on"}, "00599"), ({}, "00599^^^^MR")])
def test_so_it_is_for_a_receiver_whose_own_numbers_they_are(changes: dict[str, str], number: str) -> None:
    site = replace(SITE, mrn_authority="receiver")
    assert field(sent(study(report()), to=profile(**changes), site=site, merged=MERGED), "PID-3") == number


def test_in_a_conflict_neither_number_is_one_to_match_by() -> None:
    survivor = subjects(study(report()), study(report()).reports, SITE, Facts(merged=MERGED))[STUDY_ID].identity
    taken = sent(study(report()), merged=MERGED, taken=frozenset({survivor.patient_id}))
    assert field(taken, "PID-3").split("~")[1:] == ["00599^^^MERCY^U"]
