"""Patient identity: only a value under a configured system links two studies (D11); ids are reversible (D3, D18)."""

import re
from dataclasses import replace

import pytest
from fakes.upstream_json import STUDY_ID, report_id, report_json, study_json

from mappings.codes import SID_EXTERNAL_UNASSIGNED, SID_MRN_UNASSIGNED, SID_STUDY_PATIENT
from mappings.model import Cause
from mappings.patient.identifiers import (
    PatientIdentifier,
    base62,
    fhir_id,
    identify,
    is_dicom_uid,
    is_doubtful,
    is_npi,
    is_oid,
    is_placeholder,
    long_id,
    message_control_id,
    mrn_key,
    organization_id,
    short_id,
    stand_alone,
    upstream_id,
)
from mappings.profile import AssigningAuthority, Facility, Site
from mappings.profile.vista import Vista
from mappings.study.autoscribe import decode

MERCY = Facility(
    "Mercy",
    aliases=("Mercy East",),
    mrn=AssigningAuthority("urn:oid:1.2.3", "MERCY"),
    external_patient_id=AssigningAuthority("urn:oid:1.2.3.9", "MERCYX"),
)
CITY = Facility("City", mrn=AssigningAuthority("urn:oid:4.5.6", "CITY"))
BARE = Facility("Bare")
SITE = Site(site_key=b"k" * 32, facilities={"Mercy": MERCY, "Mercy East": MERCY, "City": CITY, "Bare": BARE})
OTHER_STUDY = "stu_" + "9" * 32


def identity(study_id=STUDY_ID, site=SITE, external=None, customer=None, **snapshot):
    study = decode(
        study_json(studyId=study_id, externalPatientId=external, expressCustomer=customer),
        [report_json(studyId=study_id, snapshotMetadata=snapshot)],
    )
    return identify(study, study.reports[0].snapshot, site, "/reports/0/snapshotMetadata")


def codes(found):
    return [(issue.code, issue.pointer) for issue in found.issues]


def test_an_mrn_under_its_facilitys_system_is_the_key():
    found = identity(facilityName="Mercy", mrn="A-001")
    assert found.identifiers == (PatientIdentifier("MR", "urn:oid:1.2.3", "A-001", "MERCY"),)
    assert (found.is_linked, found.issues) == (True, ())
    assert found.patient_id == identity(OTHER_STUDY, facilityName="Mercy East", mrn=" A-001\n").patient_id


def test_the_same_mrn_at_two_facilities_is_two_patients():
    assert identity(facilityName="Mercy", mrn="1001").patient_id != identity(facilityName="City", mrn="1001").patient_id


@pytest.mark.parametrize(("one", "other"), [("001001", "1001"), ("A1", "a1"), ("1 001", "1001"), ("1001-", "1001")])
def test_mrns_that_differ_in_any_character_are_two_patients_and_keep_their_zeros(one, other):
    first, second = (identity(facilityName="Mercy", mrn=mrn) for mrn in (one, other))
    assert first.patient_id != second.patient_id
    assert [found.identifiers[0].value for found in (first, second)] == [one, other]


def test_another_site_key_makes_other_ids():
    other = Site(site_key=b"j" * 32, facilities=SITE.facilities)
    assert identity(facilityName="Mercy", mrn="1001").patient_id != (
        identity(site=other, facilityName="Mercy", mrn="1001").patient_id
    )
    assert identity().patient_id != identity(site=other).patient_id


@pytest.mark.parametrize("mrn", ["MRN-2024-001234", "abcdef7", "A7\ud800", "123 456 789"])
def test_a_patient_id_is_opaque(mrn):
    found = identity(facilityName="Mercy", mrn=mrn)
    assert re.fullmatch("pat-[0-9a-f]{32}", found.patient_id)
    assert found.is_linked


@pytest.mark.parametrize("facility", [None, "Bare", " Bare ", "bare", "Mercy West", ""])
def test_an_mrn_without_a_system_is_never_a_key(facility):
    found = identity(facilityName=facility, mrn="1001")
    other = identity(OTHER_STUDY, facilityName=facility, mrn="1001")
    assert found.patient_id != other.patient_id
    assert (found.is_linked, other.is_linked) == (False, False)
    assert found.identifiers[0] == PatientIdentifier("", SID_STUDY_PATIENT, STUDY_ID)
    (number,) = found.identifiers[1:]
    assert (number.type, number.value, number.assigner) == ("MR", "1001", (facility or "").strip())
    assert (number.is_assigned, [one.type for one in found.shown]) == (False, ["", "U"])
    assert codes(found) == [("identifier-system-unknown", "/reports/0/snapshotMetadata/mrn")]


PLACEHOLDERS = [
    *("0", "0000", "999999999", "000-00-0000", "99-99", "UNKNOWN", "unknown", "Unk", "NA", "N/A", "n.a.", "None"),
    *("null", "TEMP", "test", "XXX", "xxxxxx", "-", "...", "?", "_", " - ", "０００", "\u200b"),
]


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_kept_but_never_links_two_studies(value):
    assert is_placeholder(value)
    found = identity(facilityName="Mercy", mrn=value, external=value)
    assert found.patient_id != identity(OTHER_STUDY, facilityName="Mercy", mrn=value, external=value).patient_id
    assert not found.is_linked
    assert [(one.type, one.system.rpartition(":")[0], one.value) for one in found.identifiers[1:]] == [
        ("MR", SID_MRN_UNASSIGNED, value.strip()),
        ("PI", SID_EXTERNAL_UNASSIGNED, value.strip()),
    ]
    assert found.identifiers[0] == PatientIdentifier("", SID_STUDY_PATIENT, STUDY_ID)
    assert codes(found) == [
        ("identifier-placeholder", "/reports/0/snapshotMetadata/mrn"),
        ("identifier-placeholder", "/externalPatientId"),
    ]


@pytest.mark.parametrize(
    "value", ["1", "0001", "9990", "A0", "TEMPA", "TESTA", "777", "UNKNOWN1", "NAOMI", "X1", "XX", "患者1", "0-1"]
)
def test_what_may_be_an_identifier_is_no_placeholder(value):
    assert not is_placeholder(value)


DOUBTFUL = [
    *(
        "1",
        "0001",
        "0-1",
        "111",
        "0077777",
        "123",
        "12345678",
        "123456789",
        "1234567890",
        "87654321",
        "0012345",
        "123-456",
    ),
    *("123-45-6789", "601-22-9083", "SEE ORDER", "see order 4", "ASK", "ABC", "DOE", "TRAUMA 3", "\uff11\uff12\uff13"),
    *("UNKNOWN 7", "NEW PATIENT 2", "A\ud800"),
]


@pytest.mark.parametrize("value", DOUBTFUL)
def test_a_doubtful_mrn_is_under_its_authority_in_v2_and_links_nobody(value):
    assert is_doubtful(value) and not is_placeholder(value)
    found = identity(facilityName="Mercy", mrn=value)
    assert found.patient_id != identity(OTHER_STUDY, facilityName="Mercy", mrn=value).patient_id
    assert not found.is_linked
    number = found.identifiers[1]
    assert (number.type, number.value) == ("MR", value)
    assert number.system.startswith(f"{SID_MRN_UNASSIGNED}:")
    assert number.namespace == "MERCY"
    assert codes(found) == [("identifier-doubtful", "/reports/0/snapshotMetadata/mrn")]


@pytest.mark.parametrize(
    "value",
    [
        *("123 456 789", "12 345", "MRN-001234", "4711", "42", "00042", "A1", "123-456-788", "6012290834", "112233"),
        *("601-229-083", "ORDER66X7", "NEW-4711", "1357", "13579", "1010"),
    ],
)
def test_a_number_that_somebody_may_have_is_not_doubtful(value):
    assert not is_doubtful(value)
    assert identity(facilityName="Mercy", mrn=value).is_linked


def test_the_pattern_of_a_facility_says_in_place_of_the_list_which_numbers_are_good():
    mercy = replace(MERCY, mrn_pattern=re.compile(r"[0-9]{8}|A+"))
    site = replace(SITE, facilities={"Mercy": mercy})
    for mrn, is_key in (
        ("12345678", True),
        ("11111111", True),
        ("4711", False),
        ("12345678 ", True),
        ("A" * 33, False),
    ):
        found = identity(site=site, facilityName="Mercy", mrn=mrn)
        assert found.is_linked is is_key
        assert codes(found) == ([] if is_key else [("identifier-doubtful", "/reports/0/snapshotMetadata/mrn")])
    nobodys = identity(site=site, facilityName="Mercy", mrn="00000000")
    assert codes(nobodys) == [("identifier-placeholder", "/reports/0/snapshotMetadata/mrn")]


def test_an_external_id_that_may_be_anybodys_links_nobody():
    assert not identity(facilityName="Mercy", external="12345678").is_linked
    assert identity(facilityName="Mercy", external="E-7").is_linked


@pytest.mark.parametrize("mrn", ["A-00123", "a 123", "A123", "0A0123", "\uff21123"])
def test_an_mrn_is_compared_without_case_blanks_hyphens_and_leading_zeros(mrn):
    assert mrn_key(mrn) == "A123"
    assert mrn_key("A-1230") == "A1230"
    assert mrn_key("00") == "0"


@pytest.mark.parametrize("mrn", [None, "", "  \t"])
def test_without_an_mrn_the_study_stands_alone_with_an_issue(mrn):
    found = identity(facilityName="Mercy", mrn=mrn)
    assert found.identifiers == (PatientIdentifier("", SID_STUDY_PATIENT, STUDY_ID),)
    assert not found.is_linked
    assert codes(found) == [("mrn-absent", "/reports/0/snapshotMetadata/mrn")]
    assert found.patient_id != identity(OTHER_STUDY, facilityName="Mercy", mrn=mrn).patient_id
    assert found.patient_id == identity().patient_id


def test_an_external_patient_id_under_a_configured_system_stands_in_for_the_mrn():
    found = identity(external="EHR-9", facilityName="Mercy")
    assert found.identifiers == (PatientIdentifier("PI", "urn:oid:1.2.3.9", "EHR-9", "MERCYX"),)
    assert found.is_linked
    assert codes(found) == [("mrn-absent", "/reports/0/snapshotMetadata/mrn")]
    assert found.patient_id == identity(OTHER_STUDY, external="EHR-9", facilityName="Mercy", mrn="000").patient_id


def test_both_ids_are_shown_and_the_mrn_is_the_key():
    found = identity(external="EHR-9", facilityName="Mercy", mrn="1001")
    assert [(one.type, one.value, one.namespace) for one in found.identifiers] == [
        ("MR", "1001", "MERCY"),
        ("PI", "EHR-9", "MERCYX"),
    ]
    assert found.patient_id == identity(OTHER_STUDY, external="EHR-8", facilityName="Mercy", mrn="1001").patient_id


def test_an_external_patient_id_without_a_system_is_shown_under_its_customer_and_is_no_key():
    customer = {"expressCustomerId": "cus_1", "expressCustomerName": " South Tampa "}
    found = identity(external="EHR-9", customer=customer, facilityName="City", mrn="1001")
    number = found.identifiers[1]
    assert (number.type, number.value, number.assigner, number.is_assigned) == ("PI", "EHR-9", "South Tampa", False)
    assert found.patient_id == identity(facilityName="City", mrn="1001").patient_id
    alone = identity(external="EHR-9", facilityName="City")
    assert not alone.is_linked
    assert alone.patient_id != identity(OTHER_STUDY, external="EHR-9", facilityName="City").patient_id


def test_an_external_patient_id_is_the_customers_before_it_is_the_facilitys():
    tampa = AssigningAuthority("urn:oid:1.2.7", "TAMPA")
    site = replace(SITE, express_customers={"cus_1": tampa})
    customer = {"expressCustomerId": "cus_1", "expressCustomerName": "South Tampa"}
    found = identity(site=site, external="EHR-9", customer=customer, facilityName="Mercy")
    assert found.identifiers == (PatientIdentifier("PI", "urn:oid:1.2.7", "EHR-9", "TAMPA"),)
    elsewhere = identity(OTHER_STUDY, site=site, external="EHR-9", customer=customer, facilityName="City")
    assert elsewhere.patient_id == found.patient_id
    assert found.is_linked


def test_the_system_of_one_customer_is_not_that_of_another_nor_of_a_study_without_one():
    site = replace(SITE, express_customers={"cus_1": AssigningAuthority("urn:oid:1.2.7", "TAMPA")})
    other = {"expressCustomerId": "cus_2", "expressCustomerName": "South Tampa"}
    for customer in (other, None):
        found = identity(site=site, external="EHR-9", customer=customer, facilityName="City")
        assert not found.is_linked
        assert ("identifier-system-unknown", "/externalPatientId") in codes(found)
        assert identity(site=site, external="EHR-9", customer=customer, facilityName="Mercy").identifiers == (
            PatientIdentifier("PI", "urn:oid:1.2.3.9", "EHR-9", "MERCYX"),
        )


def unassigned(site=SITE, study_id=STUDY_ID, **said):
    """System and namespace of the only number without an authority."""
    found = identity(study_id, site=site, **said).identifiers
    return next((one.system, one.namespace) for one in found if one.value == "7")


def test_numbers_without_an_authority_share_one_only_where_they_come_from_the_same_place():
    bare = unassigned(facilityName="Bare", mrn="7")
    assert bare == unassigned(study_id=OTHER_STUDY, facilityName=" bare ", mrn="7")
    assert len(bare[1]) <= 20
    one, other = ({"expressCustomerId": f"cus_{number}", "expressCustomerName": "Tampa"} for number in "12")
    apart = [
        bare,
        unassigned(facilityName="City West", mrn="7"),
        unassigned(facilityName=None, mrn="7"),
        unassigned(study_id=OTHER_STUDY, facilityName=None, mrn="7"),
        unassigned(facilityName="Bare", external="7"),
        unassigned(customer=one, facilityName="Bare", external="7"),
        unassigned(customer=other, facilityName="Bare", external="7"),
        unassigned(facilityName=None, external="7"),
    ]
    assert len({system for system, _ in apart}) == len({namespace for _, namespace in apart}) == len(apart)
    assert unassigned(customer=one, facilityName="City", external="7") == apart[5]


def test_an_mrn_of_a_facility_that_nobody_configured_is_of_the_default_one():
    site = replace(SITE, default_facility=MERCY)
    known = identity(facilityName="Mercy", mrn="1001")
    for facility in ("Elsewhere", None):
        found = identity(OTHER_STUDY, site=site, facilityName=facility, mrn="1001")
        assert (found.patient_id, found.identifiers) == (known.patient_id, known.identifiers)
        assert codes(found) == [("facility-default", "/reports/0/snapshotMetadata/facilityName")]
        assert not identity(site=site, external="EHR-9", facilityName=facility).is_linked
    assert identity(site=site, facilityName="Mercy", mrn="1001") == known


def test_an_mrn_of_a_facility_that_has_no_authority_is_never_of_the_default_one():
    found = identity(site=replace(SITE, default_facility=MERCY), facilityName="Bare", mrn="1001")
    assert (found.is_linked, found.lacks_authority) == (False, True)


def test_what_lacks_an_authority_is_an_mrn_that_is_said_and_nobodys():
    assert identity(facilityName="Bare", mrn="1001", external="E-1").lacks_authority
    assert not identity(facilityName="Mercy", mrn="1001", external="E-1").lacks_authority
    assert not identity(facilityName="Bare", mrn="UNKNOWN").lacks_authority
    assert not identity(facilityName="Bare", external="E-1").lacks_authority


def test_in_a_conflict_every_number_is_unspecified_and_the_mrn_comes_last():
    found = identity(external="EHR-9", facilityName="Mercy", mrn="1001")
    assert [(one.type, one.value) for one in found.shown] == [("MR", "1001"), ("PI", "EHR-9")]
    alone = stand_alone(found, STUDY_ID, SITE)
    assert [(one.type, one.value) for one in alone.shown] == [("", STUDY_ID), ("U", "EHR-9"), ("U", "1001")]
    assert [one.namespace for one in alone.shown] == ["", "MERCYX", "MERCY"]


def test_a_number_with_an_authority_comes_before_one_without():
    customers = {"cus_1": AssigningAuthority("urn:oid:1.2.7", "TAMPA")}
    customer = {"expressCustomerId": "cus_1", "expressCustomerName": "South Tampa"}
    site = replace(SITE, express_customers=customers)
    found = identity(site=site, external="EHR-9", customer=customer, facilityName="Bare", mrn="1001")
    assert [(one.type, one.value) for one in found.shown] == [("PI", "EHR-9"), ("U", "1001")]


def test_a_report_alone_is_a_patient_of_its_own_who_keeps_what_was_shown_and_said():
    study = decode(study_json(), [report_json("3", snapshotMetadata={"mrn": "1001"}), report_json("4")])
    first, second = study.reports
    found = identify(study, first.snapshot, SITE, "/reports/0/snapshotMetadata")
    alone = stand_alone(found, first.report_id, SITE)
    assert len({found.patient_id, alone.patient_id, stand_alone(found, second.report_id, SITE).patient_id}) == 3
    own, number = alone.identifiers
    assert own == PatientIdentifier("", SID_STUDY_PATIENT, report_id("3"))
    assert replace(number, system="") == replace(found.identifiers[1], system="")
    assert number.system not in (found.identifiers[1].system, stand_alone(found, STUDY_ID, SITE).identifiers[1].system)
    assert (alone.is_linked, alone.is_contested, alone.issues) == (False, True, found.issues)


@pytest.mark.parametrize("number", ["1234567893", "1679576722", "1003000126"])
def test_an_npi_has_ten_digits_and_a_luhn_check_digit(number):
    assert is_npi(number)
    for digit in "0123456789".replace(number[-1], ""):
        assert not is_npi(number[:-1] + digit)


@pytest.mark.parametrize(
    "number", ["", "123456789", "12345678930", "123456789A", "１２３４５６７８９３", " 1234567893"]
)
def test_what_has_no_ten_ascii_digits_is_no_npi(number):
    assert not is_npi(number)


@pytest.mark.parametrize("text", ["1.2.840.113619", "0.1", "2.25.0"])
def test_an_oid_is_dots_and_numbers_without_leading_zeros(text):
    assert is_oid(text)
    assert is_dicom_uid(text)
    assert not is_dicom_uid(text + ".1" * 32)


@pytest.mark.parametrize("text", ["", "1", "3.1", "1.02", "1.", "1..2", "1.2 ", "\u0661.2", "MERCY"])
def test_what_is_no_oid_is_none(text):
    assert not is_oid(text)
    assert not is_dicom_uid(text)


@pytest.mark.parametrize(
    ("digits", "short"),
    [
        ("7d4f0c2a9b1e4f6f8a3d5c7e9f1b2d4a", "3oSAGvLY3tMWHhsMcmBrT8"),
        ("1b9e6f0d3c5a4e7f8091a2b3c4d5e6f7", "0q7CEKJEfPH4C86NS9l66J"),
        ("0" * 32, "0" * 22),
        ("f" * 32, "7n42DGM5Tflk9n8mt7Fhc7"),
    ],
)
def test_an_id_has_22_characters_in_base_62_and_comes_back(digits, short):
    assert short_id(f"rep_{digits}") == short
    assert long_id("rep", short) == f"rep_{digits}"


def test_what_is_not_base_62_is_no_short_id():
    with pytest.raises(ValueError, match="substring"):
        long_id("stu", "-" * 22)


@pytest.mark.parametrize(("number", "length", "text"), [(0, 3, "000"), (61, 1, "z"), (62, 2, "10"), (35, 0, "Z")])
def test_base_62_counts_in_digits_upper_case_and_lower_case(number, length, text):
    assert base62(number, length) == text


def test_a_fhir_id_is_the_upstream_id_without_its_underscore():
    assert fhir_id(report_id("3")) == "rep-" + "3" * 32
    assert upstream_id("stu-" + "3" * 32) == "stu_" + "3" * 32


@pytest.mark.parametrize(("key", "here", "elsewhere"), [("mrn", "MERCY", "MERCYX"), ("external", "MERCYX", "MERCY")])
def test_a_social_security_number_names_its_patient_where_the_site_says_that_it_is_one(key, here, elsewhere):
    def known(number, namespace):
        return identity(site=replace(SITE, vista=Vista(ssn_namespace=namespace)), facilityName="Mercy", **{key: number})

    assert known("123-45-6780", here).is_linked
    for number, namespace in (("123-45-6780", elsewhere), ("123-45-6780", ""), ("123-45-6789", here)):
        found = known(number, namespace)
        assert not found.is_linked
        assert "identifier-doubtful" in [issue.code for issue in found.issues]


def test_an_authority_without_a_namespace_issues_no_social_security_numbers():
    nameless = Facility("Mercy", mrn=AssigningAuthority("urn:oid:2.999.1", ""))
    site = replace(SITE, facilities={"Mercy": nameless}, vista=Vista(ssn_namespace=""))
    found = identity(site=site, facilityName="Mercy", mrn="123-45-6780")
    assert "identifier-doubtful" in [issue.code for issue in found.issues]


NO_IDS = [
    *("", "rep-", "rep_" + "3" * 32, "rep-" + "3" * 31, "rep-" + "G" * 32, "rep-" + "A" * 32, "pat-" + "3" * 32),
    *("rep-" + "3" * 32 + "-pdf", "rep-" + "3" * 32 + "\n", "rep-" + "３" * 32),
]


@pytest.mark.parametrize("resource_id", NO_IDS)
def test_what_no_upstream_id_can_have_become_has_none(resource_id):
    assert upstream_id(resource_id) is None


def test_a_control_id_is_the_same_on_a_retry_and_another_when_anything_else_changes():
    cause = Cause(report_id("3"))
    made = [
        message_control_id(cause, "EHR"),
        message_control_id(cause, "PACS"),
        message_control_id(Cause(report_id("4")), "EHR"),
        message_control_id(Cause(report_id("3"), content_version="2"), "EHR"),
        message_control_id(Cause(report_id("3"), "text_changed"), "EHR"),
    ]
    assert message_control_id(Cause(report_id("3"), sent_before=True), "EHR") == made[0]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch("[0-9A-Za-z]{20}", control_id) for control_id in made)


def test_an_organization_has_an_id_by_its_name_alone():
    names = ["Mercy", "mercy", "Mercy ", "Clínica", "\ud800", "\ud801", "?"]
    ids = [organization_id(name) for name in names]
    assert len(set(ids)) == len(names)
    assert all(re.fullmatch("org-[0-9a-f]{32}", made) for made in ids)
    assert organization_id("Mercy") == ids[0]


@pytest.mark.parametrize(
    "value", ["TBD", "pending", "UNASSIGNED", "Not Available", "no mrn", "TEMP1", "TEST 02", "not-given"]
)
def test_what_people_type_for_want_of_a_number_links_nobody(value):
    assert is_placeholder(value)


OWN_FORMS = ["41235^^^MERCY^MR", " 41235 ^^^ MERCY", "41235^5^M11^MERCY^MR^HOSPITAL"]
OTHER_FORMS = [
    *("41235^^^CITY^MR", "41235^^^MERCY^PI", "41235^^^^MR", "41235^^^", "^^^MERCY^MR", "^^^^"),
    *("41235^^^mercy^MR", "41235^^^MERCY&1.2.3&ISO^MR", "41235^^^MERCY^MR~7^^^X^PI"),
]


@pytest.mark.parametrize("mrn", OWN_FORMS)
def test_an_mrn_written_with_the_authority_of_its_facility_is_its_number(mrn):
    """HL7 v2.5.1 §2.A.14: CX.1, with CX.4 as `mrn_namespace`, and CX.5 MR or empty."""
    assert identity(facilityName="Mercy", mrn=mrn) == identity(facilityName="Mercy", mrn="41235")


@pytest.mark.parametrize("mrn", OTHER_FORMS)
def test_an_mrn_written_with_another_authority_is_no_number_and_links_nobody(mrn):
    found = identity(facilityName="Mercy", mrn=mrn, external="PAT-7731")
    assert codes(found) == [("mrn-unreadable", "/reports/0/snapshotMetadata/mrn")]
    assert not found.is_linked
    assert found.patient_id == identity(facilityName="Mercy").patient_id
    assert [(one.type, one.value) for one in found.shown] == [("", STUDY_ID), ("U", "PAT-7731")]
    assert found.identifiers[1].system != "urn:oid:1.2.3.9"


def test_an_mrn_in_which_nothing_stands_where_an_authority_does_is_a_number_as_it_is_written():
    for mrn in ("41235^", "A7^B", "A7^5^M11"):
        assert identity(facilityName="Mercy", mrn=mrn).identifiers[0].value == mrn


def test_an_mrn_with_an_authority_is_no_number_of_a_facility_that_has_none_itself():
    for facility in ("Bare", "Elsewhere", None):
        assert codes(identity(facilityName=facility, mrn="41235^^^MERCY^MR")) == [
            ("mrn-unreadable", "/reports/0/snapshotMetadata/mrn")
        ]
    known = replace(SITE, default_facility=MERCY)
    assert identity(site=known, facilityName="Elsewhere", mrn="41235^^^MERCY^MR").is_linked
