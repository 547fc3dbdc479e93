"""A verdict counts for the persons judged, however they are written, and stores nothing readable of them (D12)."""

from __future__ import annotations

import pytest

from gateway.ingest.map_study import judged
from mappings.patient.people import Person

KEY = b"k" * 32


def patient(one):
    return {"birthDate": one.birth_date, "gender": one.sex, "name": [{"text": one.name}]}


def person(name, born="1985-07-20", sex="female"):
    return Person(born, sex, name)


JANE, JOAN, PETER = person("Jane Doe"), person("Joan Doe"), person("Peter Smith", "1950-01-01", "male")


def stands(verdict, then, now, beside, key=KEY):
    """Judge an earlier verdict again, with other persons beside the patient."""
    first = judged({"P": verdict}, {}, {"P": then[0]}, {}, {}, {"P": [patient(one) for one in then[1:]]}, key)["P"]
    others = {"P": [patient(one) for one in beside]}
    return judged({"P": verdict}, {"P": first.digests}, {}, {"P": now}, {"P": now}, others, key)["P"]


@pytest.mark.parametrize("name", ["JOAN DOE", "Doe, Joan", "DOE^JOAN", "  joan   doe "])
def test_it_counts_for_the_same_words_in_any_order_and_case(name):
    assert stands("link", (JOAN, JANE), person(name), [JANE]).counts


@pytest.mark.parametrize("now", [person("Joan Roe"), person("Joan Doe", "1985-07-21"), person("Joan Doe", sex="male")])
@pytest.mark.parametrize("verdict", ["link", "separate"])
def test_it_counts_no_longer_where_name_birth_date_or_sex_is_another(verdict, now):
    assert not stands(verdict, (JOAN, JANE), now, [JANE]).counts


def test_a_link_counts_no_longer_beside_somebody_who_was_not_judged_and_cannot_be_the_same():
    assert stands("link", (JOAN, JANE), JOAN, [JANE, person("J Doe")]).counts
    assert not stands("link", (JOAN, JANE), JOAN, [JANE, PETER]).counts


def test_a_separation_counts_no_longer_beside_somebody_who_was_not_judged_and_may_be_the_same():
    assert stands("separate", (JOAN, JANE), JOAN, [JANE, PETER]).counts
    assert not stands("separate", (JOAN, JANE), JOAN, [JANE, person("J Doe")]).counts


def test_a_verdict_that_no_look_has_seen_is_about_those_of_the_look_before():
    for now, counts in ((JOAN, True), (PETER, False)):
        found = judged({"P": "link"}, {}, {"P": JOAN}, {"P": now}, {"P": now}, {"P": [patient(JANE)]}, KEY)
        assert found["P"].counts is counts


def test_a_verdict_on_a_patient_whom_the_study_does_not_name_is_left_as_it_is():
    assert judged({"P": "link"}, {}, {"P": JOAN}, {}, {}, {}, KEY)["P"].counts


def test_its_digests_say_nothing_of_the_people_without_the_key():
    one = stands("link", (JOAN, JANE), JOAN, [JANE])
    other = stands("link", (JOAN, JANE), JOAN, [JANE], b"l" * 32)
    assert set(one.digests.split()).isdisjoint(other.digests.split())
    assert len(one.digests.split()) == 2
    assert "doe" not in one.digests.casefold()
