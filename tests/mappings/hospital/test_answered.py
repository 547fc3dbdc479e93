"""HL7 v2.5.1 §2.A.36 (HD), §3.4.3 (PV1), decision D48: what is said of an order and its visit, with whose numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.hospital import AUTHORITIES, CITY, DAY, ORDERED, merges_of, mrn, number, order, patient

from mappings.hospital.authorities import HospitalNumber, OrderSource
from mappings.hospital.events import Clinician, CodedText, IssuedNumber, Visit
from mappings.hospital.groups import NO_MERGES, ResolvedChange, merged
from mappings.hospital.settle_match import (
    AppliedChange,
    HospitalRecords,
    MatchedOrder,
    VisitEvent,
    answered_orders,
    merged_numbers,
    stated_number,
)
from mappings.model import HospitalMessageName, MergedNumber, StatedClinician, StatedCode, StatedNumber

SEVERAL = OrderSource("hub")
AT = ORDERED + timedelta(hours=10)
ADT = HospitalMessageName("adt", "V1")
VISIT_NUMBER = number("V7", "CITYADT")
VISIT = HospitalNumber("visit", "hd:CITYADT&", "", "V7")


def dr(*numbers: IssuedNumber, **names: str) -> Clinician:
    return Clinician(numbers, **{"family": "Chen", "given": "Mi"} | names)


def answered(one, visits=None, at=AT, changes=(), merges=NO_MERGES, is_cancelled=False):
    records = HospitalRecords(AUTHORITIES, visits or {}, merges, changes)
    (made,) = answered_orders([MatchedOrder((4, 9), one, is_cancelled)], records, at)
    return made


@pytest.mark.parametrize(
    ("kind", "given", "source", "wanted"),
    [
        ("placer", number("P1"), CITY, StatedNumber("P1", "CITYHIS", "urn:oid:1.2.3")),
        ("filler", number("F1"), CITY, StatedNumber("F1", "CITYFILL", "urn:oid:1.2.4")),
        ("accession", number("A1"), CITY, StatedNumber("A1", "CITYRIS", "urn:oid:1.2.2")),
        ("accession", number(" A1 "), CITY, StatedNumber("A1", "CITYRIS", "urn:oid:1.2.2")),
        ("accession", number("A1", "MERCYRIS"), CITY, StatedNumber("A1", "MERCYRIS", "urn:oid:1.3.2")),
        ("accession", number("A1", "", "1.2.2"), CITY, StatedNumber("A1", "CITYRIS", "urn:oid:1.2.2")),
        ("accession", number("A1", "OTHER", "2.16.9"), CITY, StatedNumber("A1", "OTHER", "urn:oid:2.16.9")),
        ("accession", number("A1", "OTHER", "no oid"), CITY, StatedNumber("A1", "OTHER")),
        ("accession", number("A1", "", "no oid"), CITY, None),
        ("accession", number("A1", "CITYRIS", "2.16.9"), CITY, None),
        ("accession", number("A1"), SEVERAL, None),
        ("filler", number("F1"), SEVERAL, None),
        ("filler", number("F1"), OrderSource("m", "Mercy"), None),
        ("patient", number("4711"), CITY, StatedNumber("4711", "CITY", "urn:oid:1.2.1", "MR")),
        ("patient", number("4711", type_code="PI"), CITY, StatedNumber("4711", "CITY", "urn:oid:1.2.1", "PI")),
        ("patient", number("4711", "MERCY"), CITY, StatedNumber("4711", "MERCY", "urn:oid:1.3.1", "MR")),
        ("patient", number("4711"), SEVERAL, None),
        ("visit", number("V7"), CITY, None),
        ("visit", number("V7", "CITY"), CITY, StatedNumber("V7", "CITY")),
        ("visit", number("V7", "CITY", "1.5", type_code="VN"), CITY, StatedNumber("V7", "CITY", "urn:oid:1.5")),
        ("account", number("K7", "CITYADT"), CITY, StatedNumber("K7", "CITYADT")),
        ("clinician", number("D7"), CITY, None),
        ("clinician", number("D7", "NPI", "2.16.840.1.113883.4.6"), CITY,
         StatedNumber("D7", "NPI", "urn:oid:2.16.840.1.113883.4.6")),
        ("placer", None, CITY, None),
        ("placer", number("  "), CITY, None),
    ],
)  # fmt: skip
def test_a_number_is_stated_with_its_authority_or_not_at_all(kind, given, source, wanted):
    assert stated_number(kind, given, AUTHORITIES, source) == wanted


def test_an_authority_has_the_name_by_which_the_message_calls_it_if_the_settings_know_several():
    both = replace(
        AUTHORITIES.site.facilities["mercy"], mrn=replace(AUTHORITIES.site.facilities["city"].mrn, namespace="C2")
    )
    known = type(AUTHORITIES)(replace(AUTHORITIES.site, facilities={**AUTHORITIES.site.facilities, "mercy": both}))
    for name in ("CITY", "C2"):
        found = stated_number("patient", number("4711", name), known, CITY)
        assert found == StatedNumber("4711", name, "urn:oid:1.2.1", "MR")
    assert stated_number("patient", number("4711", "X", "1.2.1"), known, CITY).system == "urn:oid:1.2.1"


def test_an_order_is_stated_with_all_that_its_messages_say():
    about = patient(numbers=(number("4711"), number("123-45-6789", type_code="SS"), number("77", "EAST"), number("0")))
    one = order(
        about=about,
        filler="F1",
        procedure=CodedText("CTHEAD", "CT Head", "L", "70450", "CT", "C4"),
        priority="S",
        ordering=(dr(number("D1", "CITY"), number("D2")),),
        indication=("Headache",),
        notes=("Fast",),
    )
    found = answered(one, is_cancelled=True)
    assert (found.order_number, found.is_cancelled) == (4, True)
    assert [each.value for each in (found.placer, found.filler, found.accession)] == ["P1", "F1", "A1"]
    assert found.procedure == StatedCode("CTHEAD", "CT Head", "L", "70450", "CT", "C4")
    assert (found.priority, found.indication, found.notes) == ("S", ("Headache",), ("Fast",))
    assert found.ordering == (StatedClinician((StatedNumber("D1", "CITY"),), "Chen", "Mi"),)
    assert found.patient_numbers == (
        StatedNumber("4711", "CITY", "urn:oid:1.2.1", "MR"),
        StatedNumber("77", "EAST", "", "MR"),
    )
    assert (found.visit, found.at) == (None, ORDERED.isoformat())
    assert found.message == HospitalMessageName("city-his", "1")


def visit(**changes) -> Visit:
    return Visit(**{"number": VISIT_NUMBER, "patient_class": "E", "location": ("ED",), "state": "open"} | changes)


def of_visit(own: Visit | None = None, **changes):
    return replace(order(), visit=own or visit(), **changes)


def events(*given: tuple[int, Visit]):
    """Events of the visit, each so many hours after the order."""
    return {VISIT: [VisitEvent(ORDERED + timedelta(hours=hours), one, ADT) for hours, one in given]}


@pytest.mark.parametrize(
    ("hours", "wanted"),
    [(-1, ("ED",)), (0, ("ED",)), (1, ("ED",)), (2, ("WARD",)), (4, ("WARD",)), (5, ("ICU",)), (99, ("ICU",))],
)
def test_a_visit_is_stated_as_it_was_at_the_time_of_the_study(hours, wanted):
    later = events((2, visit(patient_class="I", location=("WARD",))), (5, visit(patient_class="I", location=("ICU",))))
    found = answered(of_visit(), later, at=ORDERED + timedelta(hours=hours)).visit
    assert found.location == wanted
    assert found.message == (HospitalMessageName("city-his", "1") if wanted == ("ED",) else ADT)
    assert found.number == StatedNumber("V7", "CITYADT")


def test_what_an_event_does_not_say_of_a_visit_is_as_it_was_before():
    attending = (dr(number("D1", "CITY")),)
    own = visit(attending=attending, referring=(dr(family="Roe"),), begun=ORDERED)
    found = answered(of_visit(own), events((2, Visit(location=("WARD",), state="open")))).visit
    assert (found.patient_class, found.location) == ("E", ("WARD",))
    assert [each.family for each in (*found.attending, *found.referring)] == ["Chen", "Roe"]
    assert (found.begun, found.ended) == (ORDERED.isoformat(), "")


def test_a_discharge_that_was_cancelled_is_no_end():
    ended = visit(ended=ORDERED + timedelta(hours=1), state="ended")
    found = answered(of_visit(), events((1, ended), (2, visit()))).visit
    assert found.ended == ""
    assert answered(of_visit(), events((1, ended))).visit.ended == (ORDERED + timedelta(hours=1)).isoformat()


def test_a_visit_that_was_cancelled_before_the_study_has_its_number_and_nothing_else():
    cancelled = (2, visit(patient_class="I", state="cancelled"))
    found = answered(of_visit(), events(cancelled)).visit
    assert (found.number.value, found.patient_class, found.location) == ("V7", "", ())
    again = answered(of_visit(), events(cancelled, (3, visit(location=())))).visit
    assert (again.patient_class, again.location) == ("E", ())
    bare = replace(order(), visit=Visit(patient_class="I", state="cancelled"))
    assert answered(bare).visit is None


def test_visit_number_and_account_number_are_never_swapped():
    about = patient(account=number("K7", "CITYADT"))
    found = answered(replace(order(about=about), visit=visit())).visit
    assert (found.number.value, found.account.value) == ("V7", "K7")
    alone = answered(order(about=about)).visit
    assert (alone.number, alone.account) == (None, StatedNumber("K7", "CITYADT"))


def test_a_visit_whose_number_was_changed_has_the_surviving_one_and_the_events_under_both():
    new = VISIT._replace(value="V8")
    change = ResolvedChange(VISIT, new)
    moved = {new: [VisitEvent(ORDERED + timedelta(hours=3), visit(location=("WARD",)), ADT)]}
    found = answered(of_visit(), moved, changes=[AppliedChange(change, "V8", ADT)], merges=merged([change])).visit
    assert (found.number, found.location) == (StatedNumber("V8", "CITYADT"), ("WARD",))


def applied(*pairs: tuple[str, str], system="urn:oid:1.2.1"):
    return [
        AppliedChange(ResolvedChange(mrn(old, system), mrn(new, system)), f" {new}", HospitalMessageName("adt", old))
        for old, new in pairs
    ]


def merges_for(numbers, changes):
    records = HospitalRecords(AUTHORITIES, {}, merged([one.change for one in changes]), changes)
    return merged_numbers(records, numbers)


def test_numbers_of_a_chain_of_merges_all_lead_to_its_end_each_by_its_own_message():
    chain = applied(("1", "2"), ("2", "3"))
    wanted = tuple(
        MergedNumber("urn:oid:1.2.1", "MR", one, " 3", HospitalMessageName("adt", one)) for one in ("1", "2")
    )
    for own in ("1", "2", "3"):
        assert merges_for([("urn:oid:1.2.1", own)], chain) == wanted
    assert merges_for([("urn:oid:1.2.1", "4")], chain) == ()
    assert merges_for([("urn:oid:1.3.1", "1")], chain) == ()
    assert merges_for([("urn:oid:1.2.1", "1")], [*chain, *applied(("8", "9"))]) == wanted


def test_a_number_in_doubt_is_not_said_to_have_given_way():
    assert merges_for([("urn:oid:1.2.1", "1")], applied(("1", "2"), ("2", "1"))) == ()
    assert merges_of(("1", "2"), ("2", "1")).is_doubtful(mrn("1"))


def test_a_number_of_an_authority_without_a_system_is_not_said_to_have_given_way():
    assert merges_for([("hd:EAST&", "1")], applied(("1", "2"), system="hd:EAST&")) == ()


def test_a_changed_visit_number_is_no_merged_patient():
    change = AppliedChange(ResolvedChange(VISIT, VISIT._replace(value="V8")), "V8", ADT)
    assert merges_for([(VISIT.authority, "V7")], [change]) == ()


def test_the_day_of_the_tests_lies_after_their_orders():
    assert ORDERED.date().isoformat() < DAY
