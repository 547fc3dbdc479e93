"""Laws of ids: reversible or opaque as they must be, never shared by two identities."""

import re

from fakes.upstream_json import STUDY_ID, report_json, study_json
from hypothesis import assume, given
from hypothesis import strategies as st

from mappings.patient.identifiers import (
    base62,
    fhir_id,
    identify,
    is_doubtful,
    is_placeholder,
    long_id,
    short_id,
    upstream_id,
)
from mappings.profile import AssigningAuthority, Facility, Site, exact
from mappings.study.autoscribe import decode

digits = st.integers(0, 2**128 - 1).map(lambda number: f"{number:032x}")
prefixes = st.sampled_from(["rep", "stu", "usr"])
values = st.text(st.characters(), max_size=20)
numbers = values.map(lambda text: f"A47-{text}")
keys = st.binary(min_size=32, max_size=40)
studies = digits.map(lambda text: f"stu_{text}")


def patient(value, study_id=STUDY_ID, facility="Mercy", key=b"k" * 32):
    site = Site(
        site_key=key,
        facilities={
            "Mercy": Facility("Mercy", mrn=AssigningAuthority("urn:oid:1.2.3", "MERCY")),
            "City": Facility("City", mrn=AssigningAuthority("urn:oid:1.2.31", "CITY")),
        },
    )
    snapshot = {"facilityName": facility, "mrn": value}
    study = decode(study_json(studyId=study_id), [report_json(studyId=study_id, snapshotMetadata=snapshot)])
    return identify(study, study.reports[0].snapshot, site, "/reports/0/snapshotMetadata")


@given(prefixes, digits)
def test_ids_are_reversible_and_legal(prefix, text):
    upstream = f"{prefix}_{text}"
    assert upstream_id(fhir_id(upstream)) == upstream
    assert re.fullmatch(r"[A-Za-z0-9\-.]{1,64}", fhir_id(upstream))
    assert long_id(prefix, short_id(upstream)) == upstream
    assert re.fullmatch("[0-9A-Za-z]{22}", short_id(upstream))


@given(digits, digits)
def test_short_ids_sort_as_their_ids_do_so_no_two_are_one(one, other):
    assert (short_id(f"rep_{one}") < short_id(f"rep_{other}")) == (one < other)


@given(st.integers(0, 2**160), st.integers(0, 30))
def test_base_62_is_at_least_as_long_as_asked(number, length):
    text = base62(number, length)
    assert len(text) >= length
    assert len(text) <= max(length, 27)


@given(st.text())
def test_any_other_text_has_no_upstream_id(text):
    found = upstream_id(text)
    assert found is None or fhir_id(found) == text


@given(values, values)
def test_two_values_of_one_system_are_one_patient_only_if_they_are_the_same(one, other):
    first, second = patient(one), patient(other, "stu_" + "9" * 32)
    same = first.patient_id == second.patient_id
    assert same == (first.is_linked and one.strip() == other.strip())


@given(values)
def test_a_value_links_exactly_when_it_is_said_and_neither_nobodys_nor_doubtful(value):
    found = patient(value)
    assert found.is_linked == (bool(value.strip()) and not is_placeholder(value) and not is_doubtful(value))
    if value.strip():
        assert found.identifiers[-1].value == value.strip()


@given(values, studies, studies)
def test_the_study_moves_a_patient_only_where_nothing_links_it(value, one, other):
    assume(one != other)
    first, second = patient(value, one), patient(value, other)
    assert (first.patient_id == second.patient_id) == first.is_linked == second.is_linked


@given(numbers, keys, keys)
def test_facility_and_site_key_each_make_another_patient_of_one_value(value, key, other):
    assume(key != other and patient(value).is_linked)
    assert patient(value).patient_id != patient(value, facility="City").patient_id
    assert (patient(value, key=key).patient_id == patient(value, key=other).patient_id) == (
        key.rstrip(b"\0") == other.rstrip(b"\0")
    )


@given(values)
def test_ids_and_issues_hold_nothing_of_the_value(value):
    found = patient(value)
    assert re.fullmatch("pat-[0-9a-f]{32}", found.patient_id)
    assert set(found.issues) <= {issue for known in ("4711", "1", "0", "") for issue in patient(known).issues}


@given(values, values, studies, studies)
def test_two_places_never_share_the_authority_of_their_numbers(one, other, here, there):
    assume(here != there and not {exact(one), exact(other)} & {"mercy", "city"})
    made = [patient("A-1", study_id, facility) for study_id, facility in ((here, one), (there, other))]
    first, second = (found.shown[-1] for found in made)
    assert (first.type, second.type) == ("U", "U")
    is_one = bool(exact(one)) and exact(one) == exact(other)
    assert (first.namespace == second.namespace) == (first.system == second.system) == is_one
    assert re.fullmatch("AGWMR-[0-9A-F]{14}", first.namespace)
