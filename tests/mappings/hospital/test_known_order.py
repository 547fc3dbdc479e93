"""HL7 v2.5.1 §4.5.1.1, §4.5.1.8, decision D48: what is known of an order after the events of its messages."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from fakes.hospital import CITY, ORDERED, event, message, number, order, patient

from mappings.hospital.authorities import OrderSource
from mappings.hospital.events import CodedText, HospitalMessage, OrderEvent, Visit
from mappings.hospital.known_order import Applied, KnownOrder, applied, combined

Step = tuple[OrderEvent, HospitalMessage]


def at(hours: int) -> datetime:
    return ORDERED + timedelta(hours=hours)


def step(hours: int | None, effect: str = "open", *, sender: str = "HIS", status: str = "", **changes: object) -> Step:
    about = changes.pop("about", None)
    one = event(effect, status=status, **changes)
    when = None if hours is None else at(hours)
    return one, message(one, at=when, sender=(sender, "CITY"), about=about)  # type: ignore[arg-type]


def after(*steps: Step, source: OrderSource = CITY) -> Applied:
    """Apply the steps in turn, each arriving a minute after the one before; the issues of the last."""
    now = Applied(None)
    for minute, (one, sent) in enumerate(steps):
        now = applied(now.order, one, sent, source, at(100) + timedelta(minutes=minute))
    return now


def known(*steps: Step) -> KnownOrder:
    order_now = after(*steps).order
    assert order_now is not None
    return order_now


def codes(one: Applied) -> list[str]:
    return [issue.code for issue in one.issues]


def test_a_first_event_makes_the_order_known_with_all_that_it_says() -> None:
    one = known(step(0, filler="F1", notes=("Fell.",), procedure=CodedText("CT")))
    assert (one.placer, one.filler, one.accession) == (number("P1"), number("F1"), number("A1"))
    assert (one.notes, one.procedure, one.patient, one.ended) == (("Fell.",), CodedText("CT"), patient(), "")
    assert (one.first_at, one.last_at, one.source) == (at(0), at(0), CITY)


def test_the_time_of_an_order_is_orc_9_then_the_message_s_then_the_arrival() -> None:
    assert known(step(5, at=at(3))).first_at == at(3)
    assert known(step(5)).first_at == at(5)
    assert known(step(None)).first_at == at(100)


def test_an_event_that_changes_no_order_makes_none_known_and_changes_none() -> None:
    assert after(step(0, "nothing")).order is None
    assert known(step(0), step(1, "nothing", accession="A2")) == known(step(0))


def test_a_newer_message_replaces_what_it_says_and_leaves_the_rest() -> None:
    one = known(step(0, filler="F1", priority="R"), step(1, "change", accession="A2", priority="S"))
    assert (one.accession, one.priority, one.filler) == (number("A2"), "S", number("F1"))
    assert (one.first_at, one.last_at) == (at(0), at(1))


def test_an_older_message_that_comes_late_adds_only_what_is_unknown() -> None:
    late = after(step(5, priority="S"), step(1, priority="R", filler="F1", section="CT"))
    assert late.order
    assert (late.order.priority, late.order.filler, late.order.section) == ("S", number("F1"), "CT")
    assert (late.order.first_at, late.order.last_at, late.issues) == (at(1), at(5), ())


def test_messages_of_one_sender_give_one_order_in_whatever_order_they_arrive() -> None:
    steps = (
        step(0, priority="R", filler="F1"),
        step(1, "change", priority="S", accession="A2", filler="F1"),
        step(2, "change", priority="A", accession="A3", filler="F2"),
        step(3, "cancel", accession=None),
    )
    made = {known(*mixed) for mixed in permutations(steps)}
    assert len(made) == 1
    one = next(iter(made))
    assert (one.ended, one.accession, one.filler, one.priority) == ("cancelled", number("A3"), number("F2"), "A")


def test_a_resent_message_changes_nothing() -> None:
    steps = (step(0), step(1, "change", accession="A2"), step(2, "cancel"))
    for again in steps:
        now = after(*steps, again)
        assert (now.order, now.issues) == (known(*steps), ())


def test_the_first_time_that_differs_decides_which_message_is_newer() -> None:
    def told(*hours: int, accession: str) -> Step:
        one = event(accession=accession)
        return one, replace(message(one), times=tuple(map(at, hours)), timed_by=("EVN-2", "MSH-7"))

    assert known(told(5, 1, accession="A1"), told(5, 2, accession="A2")).accession == number("A2")
    assert known(told(5, 9, accession="A1"), told(4, 99, accession="A2")).accession == number("A1")


def test_only_times_of_one_field_tell_which_message_is_newer() -> None:
    def told(accession: str, **hours: int) -> Step:
        one = event(accession=accession)
        fields = tuple(name.replace("_", "-") for name in hours)
        return one, replace(message(one), times=tuple(map(at, hours.values())), timed_by=fields)

    one = told("A1", EVN_6=5, MSH_7=7)
    assert known(one, told("A2", ORC_9=1, MSH_7=8)).accession == number("A2")
    assert known(one, told("A2", ORC_9=9, MSH_7=6)).accession == number("A1")
    now = after(one, told("A2", ORC_9=9))
    assert now.order
    assert (now.order.accession, codes(now)) == (number("A2"), ["order-by-arrival"])


def test_what_a_newer_message_deletes_is_unknown_and_an_empty_field_leaves_it() -> None:
    first = step(1, section="RAD", indication=("Fall",))
    assert known(first, step(2, "change", accession=None)).accession == number("A1")
    now = known(first, step(2, "change", accession=None, deleted=("OBR-18", "OBR-31")))
    assert (now.accession, now.indication, now.section) == (None, (), "RAD")
    older = known(step(3, section="RAD"), step(2, "change", accession=None, deleted=("OBR-18", "OBR-24")))
    assert (older.accession, older.section) == (number("A1"), "RAD")


@pytest.mark.parametrize("second", [step(1, accession="A2", sender="RIS"), step(None, accession="A2")])
def test_of_two_senders_or_without_times_what_arrives_later_counts_with_an_issue(second: Step) -> None:
    now = after(step(5), second)
    assert now.order
    assert (now.order.accession, codes(now)) == (number("A2"), ["order-by-arrival"])


def test_at_equal_times_what_arrives_later_counts_with_an_issue_but_a_cancellation_stands() -> None:
    now = after(step(5), step(5, accession="A2"))
    assert now.order
    assert (now.order.accession, codes(now)) == (number("A2"), ["order-by-arrival"])
    assert known(step(5), step(5, "cancel"), step(5)).ended == "cancelled"


def test_the_answer_with_the_placer_order_number_adds_it_and_nothing_else() -> None:
    now = known(step(5, placer=None, filler="F1"), step(9, "number", placer="P7", accession="A9"))
    assert (now.placer, now.accession, now.content_of.times) == (number("P7"), number("A1"), (at(5),))
    assert known(step(5, placer=None), step(9, "number"), step(7, "change", accession="A2")).accession == number("A2")


def test_another_placer_order_number_than_the_known_one_is_an_issue() -> None:
    now = after(step(5), step(9, "number", placer="P7"))
    assert now.order
    assert (now.order.placer, codes(now)) == (number("P1"), ["placer-differs"])


def test_a_cancellation_ends_the_order_at_its_time_and_replaces_nothing() -> None:
    now = known(step(0), step(4, "cancel", accession="A9", filler="F1", about=patient("9")))
    assert (now.ended, now.ended_at, now.is_void) == ("cancelled", at(4), True)
    assert (now.accession, now.filler, now.patient) == (number("A1"), number("F1"), patient())
    assert known(step(0), step(4, "cancel"), step(6, "cancel")).ended_at == at(4)


def test_a_cancellation_that_comes_before_its_order_still_ends_it() -> None:
    now = known(step(4, "cancel", accession=None), step(0))
    assert (now.ended, now.accession) == ("cancelled", number("A1"))


def test_an_order_that_is_sent_anew_after_its_cancellation_stands() -> None:
    now = known(step(0), step(1, "cancel"), step(2))
    assert (now.ended, now.ended_at) == ("", None)


def test_a_completed_order_stays_completed_until_a_message_says_another_status() -> None:
    done = (step(0), step(5, "change", status="CM"))
    assert (known(*done).ended, known(*done).ended_at, known(*done).is_void) == ("completed", at(5), False)
    assert known(*done, step(6, "change", priority="S")).ended_at == at(5)
    assert known(*done, step(6, "change", status="IP")).ended == ""
    assert known(*done, step(6, "cancel")).ended == "cancelled"


def test_a_replaced_order_names_the_order_of_the_message_whose_parent_it_is() -> None:
    old = event("replaced", filler="F1")
    heir = event(placer="P2", filler="F2", parent_placer=number("P1"))
    other = event(placer="P3", parent_placer=number("P9"))
    now = applied(order(filler="F1"), old, message(old, other, heir, at=at(1)), CITY, at(1)).order
    assert now
    assert (now.ended, now.replaced_by, now.is_void) == ("replaced", (number("P2"), number("F2")), True)
    by_filler = event(placer="P2", filler="F2", parent_filler=number("F1"))
    assert known((old, message(old, by_filler))).replaced_by == (number("P2"), number("F2"))
    assert known((old, message(old, other))).replaced_by == (None, None)


def test_a_replaced_order_and_a_replacement_that_orc_8_does_not_link_are_an_issue() -> None:
    old, heir = event("replaced", "RP"), event(control="RO", placer="P2")
    linked = event(control="RO", placer="P2", parent_placer=number("P1"))
    for one, others, issues in (
        (old, [linked], []),
        (linked, [old], []),
        (old, [heir], ["replacement-unlinked"]),
        (heir, [old], ["replacement-unlinked"]),
        (event("replaced", "RU"), [], ["replacement-unlinked"]),
    ):
        sent = message(one, *others, at=at(1))
        assert codes(applied(None, one, sent, CITY, at(1))) == issues
        assert codes(applied(order(at=at(0)), one, sent, CITY, at(1))) == issues


def test_a_newer_patient_or_visit_stands_as_a_whole() -> None:
    now = known(step(0, about=patient("4711", middle="ANN")), step(1, "change", about=patient("5000")))
    assert now.patient == patient("5000")
    first, second = step(0), step(1, "change")
    told = (first[0], replace(first[1], visit=Visit("I", ("W1",)))), (second[0], replace(second[1], visit=Visit("O")))
    assert known(*told).visit == Visit("O")
    assert known(*told, step(2, "change")).visit == Visit("O")


def test_of_two_records_of_one_order_the_newer_stands_and_the_older_adds() -> None:
    old, new = order(filler="F1", priority="R"), order(at=at(1), priority="S")
    assert combined(old, new) == combined(new, old)
    assert (combined(old, new).priority, combined(old, new).filler) == ("S", number("F1"))
