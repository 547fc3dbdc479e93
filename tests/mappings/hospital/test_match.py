"""HL7 v2.5.1 §4.5.3.2, §4.5.3.3, decisions D12, D48: the orders that a study answers, or the reason why it has none."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fakes.hospital import (
    CITY,
    DAY,
    MERCY,
    NOW,
    ORDERED,
    SITE,
    UID,
    event,
    matched,
    merges_of,
    message,
    number,
    order,
    patient,
    report,
    snapshot,
    study,
)

from mappings.hospital.authorities import Authorities
from mappings.hospital.known_order import KnownOrder, applied
from mappings.hospital.match import REASONS, Match, keys_of_group
from mappings.model import Facts
from mappings.patient.identifiers import short_id
from mappings.profile import parse_site

ONE = order()


def said(one: Match) -> tuple[str, str]:
    assert one.orders == () or one.reason == ""
    return one.verdict, one.reason


def codes(one: Match) -> list[str]:
    return [issue.code for issue in one.issues]


def placers(one: Match) -> list[str]:
    return sorted(known.placer.value for known in one.orders if known.placer)


# Found by exact numbers


def test_a_study_answers_the_order_that_has_its_accession_number() -> None:
    found = matched(study(), ONE)
    assert said(found) == ("matched", "")
    assert found.orders == (ONE,)
    assert [key.kind for key in found.keys] == ["accession"]
    assert found.issues == ()


def test_a_study_answers_the_order_that_has_its_placer_order_number() -> None:
    found = matched(study("", "P1"), order(accession=None))
    assert placers(found) == ["P1"]
    assert [key.kind for key in found.keys] == ["placer"]


def test_a_filler_order_number_under_which_the_result_was_sent_finds_its_order() -> None:
    sent = Facts(filler_order_numbers={"rep_" + "3" * 32: ("F1",)})
    assert matched(study(""), order(accession=None, filler="F1"), facts=sent).verdict == "matched"
    assert said(matched(study(""), order(accession=None, filler="F2"), facts=sent)) == ("none", "no-order")


def test_a_filler_order_number_that_the_gateway_made_finds_nothing() -> None:
    own = short_id("stu_" + "1" * 32)
    sent = Facts(filler_order_numbers={"rep_" + "3" * 32: (own,)})
    assert matched(study(""), order(accession=None, filler=own), facts=sent).reason == "no-number"


def test_the_accession_number_of_autoscribe_s_request_counts_unless_we_told_it() -> None:
    asked = Facts(accession_number="A1")
    assert matched(study(""), ONE, facts=asked).verdict == "matched"
    assert said(matched(study(""), ONE, facts=asked, told=["A1"])) == ("none", "no-number")
    assert said(matched(study("A1"), ONE, told=["A1"])) == ("none", "no-number")


@pytest.mark.parametrize("near", ["a1", "A1 1", "0A1", "A10", "A"])
def test_a_number_that_is_only_similar_finds_nothing(near: str) -> None:
    assert said(matched(study(near), ONE)) == ("none", "no-order")


def test_the_same_number_of_another_kind_finds_nothing() -> None:
    assert said(matched(study("P1", "A1"), ONE)) == ("none", "no-order")


def test_without_a_number_there_is_no_match_though_the_patient_agrees() -> None:
    assert said(matched(study(""), ONE)) == ("none", "no-number")
    assert said(matched(study("", study_instance_uid=None), ONE)) == ("none", "no-number")


# Authorities


def test_a_number_matches_only_within_its_facility_s_authority() -> None:
    theirs = order(source=MERCY)
    assert said(matched(study(), theirs)) == ("none", "no-order")
    assert matched(study(facility_name="Mercy"), theirs).orders == (theirs,)


def test_equal_numbers_of_two_facilities_find_each_their_own_order() -> None:
    theirs = order(source=MERCY, about=patient(family="ROE", given="ANN", born="19700101"))
    assert matched(study(), ONE, theirs).orders == (ONE,)
    about = {"facility_name": "Mercy", "patient_name": "Ann Roe", "date_of_birth": "1970-01-01"}
    assert matched(study(**about), ONE, theirs).orders == (theirs,)


def test_a_named_authority_counts_more_than_the_facility_of_the_source() -> None:
    theirs = order(source=CITY, accession=number("A1", "MERCYRIS"), placer=None, about=patient(number("4711", "MERCY")))
    assert said(matched(study(), theirs)) == ("none", "no-order")
    assert matched(study(facility_name="Mercy"), theirs).orders == (theirs,)


def test_an_unknown_facility_matches_nothing_even_where_a_default_is_set() -> None:
    common = parse_site(
        """
        [mapping]
        accession_keys = ["acc"]
        default_facility = "City"
        accession_system = "urn:oid:1.2.2"
        accession_namespace = "RIS"
        [[mapping.facilities]]
        name = "City"
        mrn_system = "urn:oid:1.2.1"
        mrn_namespace = "CITY"
        """
    )
    assert matched(study(), ONE, site=common).verdict == "matched"
    assert said(matched(study(facility_name="Elsewhere"), ONE, site=common)) == ("none", "facility-unknown")
    assert said(matched(study(facility_name=None), ONE, site=common)) == ("none", "facility-unknown")


def test_a_number_without_any_authority_is_no_key() -> None:
    bare = replace(SITE.facilities["city"], accession=None)
    site = replace(SITE, facilities={"City": bare})
    assert said(matched(study(), ONE, site=site)) == ("none", "no-number")
    assert matched(study("", "P1"), ONE, site=site).verdict == "matched"


def test_an_order_whose_source_has_no_known_facility_has_only_the_numbers_that_name_their_authority() -> None:
    nowhere = replace(CITY, facility="")
    assert matched(study(), order(source=nowhere)).reason == "no-order"
    named = order(source=nowhere, accession=number("A1", "CITYRIS"), placer=None)
    assert matched(study(), named).verdict == "matched"


# Groups


def test_a_report_answers_all_orders_of_its_accession_number_each_with_its_own_placer() -> None:
    two = order(placer="P2", filler="F2")
    found = matched(study(), order(filler="F1"), two)
    assert placers(found) == ["P1", "P2"]
    assert sorted(one.filler.value for one in found.orders if one.filler) == ["F1", "F2"]


def test_one_placer_finds_the_whole_group() -> None:
    assert placers(matched(study("", "P2"), ONE, order(placer="P2"))) == ["P1", "P2"]
    assert placers(matched(study("A1", "P1,P2"), order(placer="P2"), ONE)) == ["P1", "P2"]
    assert placers(matched(study("", "P1,P2"), order(placer="P2"), ONE)) == ["P1", "P2"]


def test_several_accession_numbers_of_a_study_answer_all_their_groups() -> None:
    found = matched(study("A1,A2"), ONE, order(placer="P2", accession="A2"))
    assert placers(found) == ["P1", "P2"]
    assert codes(found) == []


def test_an_accession_number_without_an_order_beside_one_with_an_order_is_noted() -> None:
    found = matched(study("A1,A2"), ONE)
    assert (placers(found), codes(found)) == (["P1"], ["order-unknown"])


def test_groups_of_two_patients_under_two_accession_numbers_are_held() -> None:
    other = order(placer="P2", accession="A2", about=patient("4712"))
    assert said(matched(study("A1,A2", mrn=None), ONE, other)) == ("held", "several-groups")
    other = order(placer="P2", accession="A2", about=patient("4711", given="JOHN", sex="M"))
    nobody = {"patient_name": None, "sex": None, "date_of_birth": None}
    assert said(matched(study("A1,A2", **nobody), ONE, other)) == ("held", "group-contradictory")


def test_an_order_that_two_senders_report_is_answered_once() -> None:
    ris = order(source=replace(CITY, name="city-ris"), at=ORDERED + timedelta(hours=1), filler="F1")
    (both,) = matched(study(), ONE, ris).orders
    assert both.filler == number("F1")
    assert both.placer == number("P1")


def test_two_orders_of_one_placer_with_two_fillers_are_two() -> None:
    assert len(matched(study(), order(filler="F1"), order(filler="F2")).orders) == 2


def test_a_placer_with_two_accession_numbers_is_not_guessed() -> None:
    two = (ONE, order(accession="A2"))
    assert said(matched(study("", "P1"), *two)) == ("held", "several-groups")
    assert [one.accession for one in matched(study("A2", "P1"), *two).orders] == [number("A2")]


# The patient


def test_another_patient_number_of_the_same_authority_holds_the_match() -> None:
    assert said(matched(study(mrn="4712"), ONE)) == ("held", "patient-number-differs")


@pytest.mark.parametrize("spelling", ["004711", "47-11", " 4711 "])
def test_an_mrn_is_the_same_in_any_spelling(spelling: str) -> None:
    assert matched(study(mrn=spelling), ONE).verdict == "matched"


def test_a_number_of_another_authority_or_type_says_nothing() -> None:
    about = patient(number("9", "CITY", type_code="AN"))
    assert matched(study(), order(about=about)).verdict == "matched"
    assert matched(study(), order(about=patient(number("9", "EMPI")))).verdict == "matched"


def test_one_of_several_numbers_that_agrees_is_enough() -> None:
    about = patient(None, numbers=(number("99"), number("4711")))
    assert matched(study(), order(about=about)).verdict == "matched"


@pytest.mark.parametrize("said_mrn", [None, "UNKNOWN", "12345678"])
def test_without_a_good_number_name_birth_date_and_sex_may_still_refuse(said_mrn: str | None) -> None:
    assert matched(study(mrn=said_mrn), ONE).verdict == "matched"
    assert matched(study(mrn=said_mrn, patient_name="John Smith"), ONE).reason == "patient-conflict"


@pytest.mark.parametrize(
    "other",
    [{"date_of_birth": "1985-07-21"}, {"sex": "male"}, {"patient_name": "Ann Roe"}, {"patient_name": "Joan Doe"}],
)
def test_name_birth_date_and_sex_may_refuse_a_match_under_one_number(other: dict[str, str]) -> None:
    assert said(matched(study(**other), ONE)) == ("held", "patient-conflict")


def test_a_twin_s_order_is_not_the_study_s() -> None:
    twin = order(about=patient("4712", given="JOAN"))
    assert said(matched(study(), twin)) == ("held", "patient-number-differs")
    assert said(matched(study(mrn=None), twin)) == ("held", "patient-conflict")


def test_name_birth_date_and_sex_never_make_a_match() -> None:
    twice = (order(about=patient(None)), order(placer="P2", about=patient(None, given="JOAN", born="19850720")))
    assert said(matched(study(), *twice)) == ("held", "several-groups")


def test_a_changed_family_name_of_the_same_person_is_no_conflict() -> None:
    assert matched(study(patient_name="Jane Miller"), ONE).verdict == "matched"


def test_a_group_that_describes_two_people_under_one_number_is_held() -> None:
    other = order(placer="P2", about=patient(given="JOHN", sex="M"))
    assert said(matched(study(), ONE, other)) == ("held", "group-contradictory")


def test_what_a_cancelled_order_says_contradicts_nothing_that_stands() -> None:
    typo = order(placer="P2", effect="cancel", about=patient(given="JOHN", sex="M"))
    assert placers(matched(study(), ONE, typo)) == ["P1"]


def test_a_study_whose_reports_dispute_the_patient_is_held_until_an_operator_decides() -> None:
    two = study("A1", "", report("3"), report("4", snapshot=snapshot(mrn="4712", patient_name="Ann Roe")))
    assert said(matched(two, ONE)) == ("held", "identity-conflict")
    assert matched(two).reason == "no-order"


# Several groups under one number


def test_of_two_groups_the_study_s_patient_number_decides_and_nothing_else() -> None:
    other = order(placer="P2", about=patient("4712"))
    assert matched(study(), ONE, other).orders == (ONE,)
    assert matched(study(mrn="4712"), ONE, other).orders == (other,)
    assert said(matched(study(mrn=None), ONE, other)) == ("held", "several-groups")
    assert said(matched(study(mrn="4713"), ONE, other)) == ("held", "several-groups")


def test_a_group_whose_patient_cannot_be_compared_leaves_room_for_doubt() -> None:
    other = order(placer="P2", about=patient(None))
    assert said(matched(study(), ONE, other)) == ("held", "several-groups")


def test_a_cancelled_order_of_another_patient_gives_way_to_the_one_that_stands() -> None:
    wrong = order(placer="P2", effect="cancel", about=patient("4712"))
    assert matched(study(), ONE, wrong).orders == (ONE,)
    assert matched(study(mrn="4712"), ONE, wrong).reason == "several-groups"


# Time


@pytest.mark.parametrize(("days", "verdict"), [(400, "matched"), (401, "refused")])
def test_an_order_that_ended_too_long_before_the_study_is_another_study_s(days: int, verdict: str) -> None:
    begun = datetime.fromisoformat(f"{DAY}T12:00:00+00:00") - timedelta(days=days)
    for old in (order(at=begun, status="CM"), order(at=begun)):
        found = matched(study(), old)
        assert (found.verdict, found.reason) == (verdict, "" if verdict == "matched" else "accession-reused")


@pytest.mark.parametrize(("days", "verdict"), [(400, "matched"), (401, "refused")])
def test_an_order_that_begins_too_long_after_the_study_is_another_study_s(days: int, verdict: str) -> None:
    begun = datetime.fromisoformat(f"{DAY}T12:00:00+00:00") + timedelta(days=days)
    assert matched(study(), order(at=begun), at=begun).verdict == verdict


def test_a_number_that_was_used_again_finds_the_order_of_the_study_s_time() -> None:
    old = order(at=ORDERED - timedelta(days=900), about=patient("4712", family="ROE"))
    found = matched(study(), old, ONE)
    assert (found.orders, codes(found)) == ((ONE,), ["accession-reused"])
    assert placers(matched(study(), old, ONE, order(placer="P2"))) == ["P1", "P2"]


def test_without_a_study_date_the_creation_counts_and_else_the_present() -> None:
    old = order(at=ORDERED - timedelta(days=500))
    then = {"study_date": None, "created_at": "2025-01-10T08:00:00Z"}
    assert matched(study(**then), old).verdict == "matched"
    assert matched(study(study_date=None), old).verdict == "refused"


def test_a_study_date_in_the_future_counts_as_the_present() -> None:
    assert matched(study(study_date="2031-01-01"), ONE).verdict == "matched"


# Contradicting numbers


def test_a_placer_of_another_group_than_the_accession_number_s_holds_the_match() -> None:
    other = order(placer="P2", accession="A2")
    assert said(matched(study("A1", "P2"), ONE, other)) == ("held", "keys-disagree")


def test_a_placer_that_the_accession_number_s_orders_do_not_have_holds_the_match() -> None:
    assert said(matched(study("A1", "P9"), ONE)) == ("held", "keys-disagree")
    assert matched(study("A1", "P9"), order(placer=None)).verdict == "matched"


def test_an_accession_number_other_than_the_placer_s_order_has_holds_the_match() -> None:
    assert said(matched(study("A9", "P1"), ONE)) == ("held", "keys-disagree")
    assert matched(study("A9", "P1"), order(accession=None)).verdict == "matched"


# Study UID


def test_a_study_uid_finds_an_order_only_where_the_source_says_so() -> None:
    by_uid = order(accession=None, placer=None, study_uids=(UID,), source=replace(CITY, are_uids_keys=True))
    found = matched(study(""), by_uid)
    assert (found.orders, [key.kind for key in found.keys]) == ((by_uid,), ["study_uid"])
    assert matched(study(""), order(accession=None, placer=None, study_uids=(UID,))).reason == "no-number"


def test_a_study_uid_that_differs_beside_accession_and_patient_is_only_noted() -> None:
    for source in (CITY, replace(CITY, are_uids_keys=True)):
        found = matched(study(), order(study_uids=("1.9",), source=source))
        assert (found.verdict, codes(found)) == ("matched", ["study-uid-differs"])
    assert codes(matched(study(), order(study_uids=("1.9", UID)))) == []


def test_a_study_uid_that_differs_holds_where_nothing_shows_the_patient() -> None:
    other = order(study_uids=("1.9",), about=patient(None, family="", given=""))
    assert said(matched(study(), other)) == ("held", "study-uid-differs")


def test_a_study_uid_of_another_order_holds_the_match() -> None:
    other = order(accession="A2", placer="P2", study_uids=(UID,), source=replace(CITY, are_uids_keys=True))
    assert said(matched(study(), ONE, other)) == ("held", "keys-disagree")


# Cancelled and replaced orders


def test_a_cancelled_order_holds_the_match_and_one_beside_others_is_left_out() -> None:
    cancelled = order(effect="cancel")
    assert said(matched(study(), cancelled)) == ("held", "order-cancelled")
    assert placers(matched(study(), cancelled, order(placer="P2"))) == ["P2"]


def replaced(*new: KnownOrder) -> Match:
    old = event("replaced", "RP")
    heir = event("open", "RO", placer="P2", accession="A2", parent_placer=number("P1"))
    both = message(old, heir)
    first = applied(None, old, both, CITY, ORDERED).order
    second = applied(None, heir, both, CITY, ORDERED).order
    assert first and second
    assert {key.value for key in keys_of_group(first, Authorities(SITE))} == {"A1", "P2"}
    return matched(study(), first, *(new or (second,)))


def test_a_replaced_order_leads_to_the_one_that_took_its_place() -> None:
    assert placers(replaced()) == ["P2"]
    assert replaced(order(placer="P3", accession="A3")).reason == "order-cancelled"


def test_an_order_that_took_the_place_for_another_patient_is_not_answered() -> None:
    assert replaced(order(placer="P2", accession="A2", about=patient("4712"))).reason == "order-cancelled"


# Merges


def test_before_a_merge_the_numbers_differ_and_after_it_they_are_one() -> None:
    merges = merges_of(("4711", "5000"))
    assert matched(study(mrn="5000"), ONE).reason == "patient-number-differs"
    assert matched(study(mrn="5000"), ONE, merges=merges).orders == (ONE,)
    assert matched(study(), order(about=patient("5000")), merges=merges).verdict == "matched"
    assert matched(study(mrn="5001"), ONE, merges=merges).reason == "patient-number-differs"


def test_orders_before_and_after_a_merge_are_one_group() -> None:
    later = order(placer="P2", about=patient("5000"))
    assert placers(matched(study(), ONE, later, merges=merges_of(("4711", "5000")))) == ["P1", "P2"]


def test_a_number_of_a_held_merge_matches_nothing() -> None:
    swapped = merges_of(("4711", "5000"), ("5000", "4711"))
    assert said(matched(study(), ONE, merges=swapped)) == ("held", "merge-held")
    assert said(matched(study(mrn="5000"), ONE, merges=swapped)) == ("held", "merge-held")


# The study, and the reasons


def test_an_addendum_keeps_the_match_of_its_study() -> None:
    later = report("4", is_addendum=True, snapshot=snapshot(facility_name="Mercy", study_date="2020-01-01"))
    assert matched(study("A1", "", report(), later), ONE).orders == (ONE,)


def test_every_reason_is_given_by_a_test_and_has_a_sentence() -> None:
    here = "".join(Path(__file__).with_name(name).read_text() for name in ("test_match.py", "test_settle_match.py"))
    assert [code for code in REASONS if f'"{code}"' not in here] == []
    assert all(reason.sentence.endswith(".") for reason in REASONS.values())
    assert {reason.verdict for reason in REASONS.values()} == {"none", "refused", "held"}


def test_the_present_is_an_argument() -> None:
    assert matched(study(study_date=None), ONE, at=NOW + timedelta(days=500)).reason == "accession-reused"


def test_a_patient_number_that_autoscribe_has_from_us_agrees_with_no_order_and_may_contradict_one() -> None:
    mine, other = order(), order(placer="P2", about=patient("4712", family="ROE", given="MAX", sex="M"))
    assert matched(study(), mine, other).orders == (mine,)
    assert matched(study(), mine, other, told=["4711"]).reason == "several-groups"
    assert matched(study(), mine, told=["4711"]).orders == (mine,)
    assert matched(study(), other, told=["04711"]).reason == "patient-number-differs"
