"""Decisions D12, D48: orders of one patient under one accession number are a group."""

from __future__ import annotations

from fakes.hospital import AUTHORITIES, CITY, MERCY, UID, merges_of, mrn, number, order, patient

from mappings.hospital.groups import NO_MERGES, Merges, compare_numbers, groups, hospital_person, indexed, order_keys
from mappings.hospital.known_order import KnownOrder


def grouped(*orders: KnownOrder, merges: Merges = NO_MERGES) -> list[list[str]]:
    made = groups(orders, AUTHORITIES, merges)
    return sorted(sorted(one.placer.value for one in group.orders if one.placer) for group in made)


def test_orders_of_one_patient_under_one_accession_number_are_a_group() -> None:
    assert grouped(order(), order(placer="P2")) == [["P1", "P2"]]


def test_another_accession_number_authority_or_patient_is_another_group() -> None:
    assert grouped(order(), order(placer="P2", accession="A2")) == [["P1"], ["P2"]]
    assert grouped(order(), order(placer="P2", accession=number("A1", "MERCYRIS"))) == [["P1"], ["P2"]]
    assert grouped(order(), order(placer="P2", about=patient("4712"))) == [["P1"], ["P2"]]
    assert grouped(order(), order(placer="P2", about=patient(None))) == [["P1"], ["P2"]]


def test_orders_without_an_accession_number_are_no_group() -> None:
    assert grouped(order(accession=None), order(accession=None, placer="P2")) == [["P1"], ["P2"]]


def test_numbers_of_two_authorities_join_what_shares_either() -> None:
    both = patient(None, numbers=(number("4711"), number("E9", "EMPI")))
    first, second = order(placer="P1"), order(placer="P2", about=patient(number("E9", "EMPI")))
    assert grouped(first, second) == [["P1"], ["P2"]]
    assert grouped(first, second, order(placer="P3", about=both)) == [["P1", "P2", "P3"]]


def test_a_merge_joins_the_orders_before_and_after_it() -> None:
    two = order(), order(placer="P2", about=patient("5000"))
    assert grouped(*two) == [["P1"], ["P2"]]
    assert grouped(*two, merges=merges_of(("4711", "5000"))) == [["P1", "P2"]]


def test_a_group_that_describes_two_people_is_contradictory() -> None:
    other = order(placer="P2", about=patient(born="19850721"))
    assert [one.is_contradictory for one in groups([order(), other], AUTHORITIES, NO_MERGES)] == [True]
    assert [one.is_contradictory for one in groups([order(), order(placer="P2")], AUTHORITIES, NO_MERGES)] == [False]


def test_numbers_are_compared_by_authority_and_type() -> None:
    one, other = frozenset([mrn("1")]), frozenset([mrn("2")])
    assert compare_numbers(one, one | other) == "agrees"
    assert compare_numbers(one, other) == "differs"
    assert compare_numbers(one, frozenset([mrn("1", "urn:oid:9")])) == "silent"
    assert compare_numbers(one, frozenset([mrn("2")._replace(type_code="PI")])) == "silent"
    assert compare_numbers(one, frozenset()) == "silent"


def test_an_order_is_found_by_its_numbers_and_by_its_study_uids_only_where_the_source_says_so() -> None:
    keyed = order(filler="F1", study_uids=(UID,))
    assert [(key.kind, key.value) for key in order_keys(keyed, AUTHORITIES)] == [
        ("accession", "A1"),
        ("placer", "P1"),
        ("filler", "F1"),
    ]
    theirs = order(source=MERCY, filler="F1")
    index = indexed([keyed, theirs], AUTHORITIES)
    assert len(index) == 5
    assert all(len(found) == 1 for found in index.values())


def test_a_patient_of_a_message_is_compared_in_the_form_of_a_snapshot() -> None:
    person = hospital_person(patient())
    assert (person.birth_date, person.sex, person.family, person.given) == ("1985-07-20", "female", "DOE", ("JANE",))
    unsaid = hospital_person(patient(family="", given="", born="", sex="A"))
    assert (unsaid.birth_date, unsaid.sex, unsaid.name) == ("", "", "")
    assert CITY.facility == "City"
