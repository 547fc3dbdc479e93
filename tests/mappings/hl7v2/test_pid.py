"""HL7 v2.5.1 §3.4.2."""

import pytest
from fakes.er7_reader import field
from fakes.oru_example import ADDENDUM_ID, SITE, codes, profile, report, sent, study

from mappings.identifiers import short_id
from mappings.profile import Site, parse_site


def pid(number: int, site: Site = SITE, study_changes: dict | None = None, **snapshot: object) -> str:
    return field(sent(study(report(snapshot=snapshot), **(study_changes or {})), site=site), f"PID-{number}")


def test_the_mrn_has_its_facilitys_authority() -> None:
    assert pid(3) == "00412345^^^MERCY^MR"


def test_the_external_patient_id_is_a_second_repetition() -> None:
    assert pid(3, study_changes={"externalPatientId": "E-7"}) == "00412345^^^MERCY^MR~E-7^^^UNASSIGNED_PI^PI"


def test_an_mrn_without_a_known_authority_follows_the_studys_own_id_and_claims_no_authority() -> None:
    assert pid(3, site=Site()) == "3oSAGvLY3tMWHhsMcmBrT8^^^AUTOSCRIBE_PATIENT^U~00412345^^^UNASSIGNED^MR"


@pytest.mark.parametrize("mrn", ["000000", "UNKNOWN", "N/A", None])
def test_a_placeholder_never_goes_out_as_an_mrn(mrn: str | None) -> None:
    assert pid(3, mrn=mrn) == "3oSAGvLY3tMWHhsMcmBrT8^^^AUTOSCRIBE_PATIENT^U"
    assert "patient-identifier-absent" in codes(study(report(snapshot={"mrn": mrn})))


def test_an_mrn_with_delimiters_stays_one_value() -> None:
    assert pid(3, mrn="A^B|C&D~E7") == r"A\S\B\F\C\T\D\R\E7^^^MERCY^MR"


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


def test_a_receiver_that_wants_no_name_type_gets_none_but_for_a_name_that_is_not_known() -> None:
    assert field(sent(to=profile(xpn_type="off")), "PID-5") == "DOE^JANE^Q"
    nameless = study(report(snapshot={"patientName": None}))
    assert field(sent(nameless, to=profile(xpn_type="off")), "PID-5") == "~^^^^^^U"


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


SOMEBODY_ELSE = {"dateOfBirth": "1950-01-01", "sex": "male"}


def test_a_number_that_stands_for_two_people_is_never_sent_plain_for_the_second() -> None:
    other = report(reportId=ADDENDUM_ID, signedAt="2026-01-05T18:00:00Z", snapshot=SOMEBODY_ELSE)
    what, plain = study(report(), other), profile(pid3_plain="on")
    assert field(sent(what, to=plain), "PID-3") == "00412345"
    assert field(sent(what, report_id=ADDENDUM_ID, to=plain), "PID-3") == short_id(ADDENDUM_ID)
    told = codes(what, report_id=ADDENDUM_ID, to=plain)
    assert told["patient-identifier-contested"] == "/reports/1/snapshotMetadata/mrn"
    assert "patient-identifier-contested" not in codes(what, to=plain)
