"""HL7 v2.5.1 §4.5.3.2, §4.5.3.18: accession and placer order numbers, and the orders of a message (D18)."""

from __future__ import annotations

from dataclasses import replace

from fakes.upstream_json import response_json, study_json

from mappings import decode
from mappings.model import Cause, Facts
from mappings.profile import Site, receiver
from mappings.study.orders import Order, orders, wanted_orders

SITE = Site(accession_keys=("acc", "acc/2"), placer_keys=("placer",), number_separator=",")
PLACE = "/metadata/acc"


def found(site: Site = SITE, *, said: str | None = None, **metadata: str) -> list[tuple[str, str]]:
    study = decode(study_json(metadata=metadata), response_json())
    return [
        (one.accession_number, one.placer_order_number) for one in orders(study, site, Facts(accession_number=said))[0]
    ]


def wanted(known: tuple[Order, ...], *, named: str = "", **switches: str) -> tuple[list[str], list[tuple[str, str]]]:
    cause = Cause("rep_" + "3" * 32, accession_number=named)
    chosen, issues = wanted_orders(known, cause, replace(receiver("generic"), **switches))
    return [one.accession_number for one in chosen], [(issue.code, issue.severity) for issue in issues]


TWO = (Order("A1", "P1", PLACE), Order("A2", "P2", PLACE))


def test_a_study_of_which_no_number_is_known_has_one_order() -> None:
    assert found() == found(Site(), acc="A1") == [("", "")]


def test_numbers_are_read_from_the_keys_that_the_site_names_and_from_what_was_asked() -> None:
    assert found(acc=" A1 ", placer="P1") == [("A1", "P1")]
    assert found(said="A1") == found(acc="A1", said="A1") == [("A1", "")]
    assert found(**{"acc": "A1", "acc/2": "A2"}) == [("A1", ""), ("A2", "")]


def test_several_numbers_in_one_value_are_parted_and_paired_by_position() -> None:
    assert found(acc="A1, A2,", placer="P1,P2") == [("A1", "P1"), ("A2", "P2")]
    assert found(acc="A1,A2", placer="P1") == [("A1", "P1"), ("A2", "P1")]
    assert found(replace(SITE, number_separator=""), acc="A1,A2") == [("A1,A2", "")]


def test_placer_numbers_that_cannot_be_paired_are_not_guessed() -> None:
    study = decode(study_json(metadata={"acc": "A1", "placer": "P1,P2"}), response_json())
    known, (issue,) = orders(study, SITE, Facts())
    assert known == (Order("A1", "", PLACE),)
    assert (issue.code, issue.pointer) == ("placer-unpaired", "/metadata")


def test_a_pointer_escapes_what_rfc_6901_asks_for() -> None:
    study = decode(study_json(metadata={"a/~b": "A1"}), response_json())
    assert orders(study, Site(accession_keys=("a/~b",)), Facts())[0][0].pointer == "/metadata/a~1~0b"


def test_a_receiver_of_groups_is_told_of_all_orders() -> None:
    assert wanted(TWO) == (["A1", "A2"], [])


def test_a_receiver_of_the_first_order_is_told_how_many_more_there_are() -> None:
    assert wanted(TWO, accessions="first") == (["A1"], [("accessions-left-out", "warning")])
    assert wanted(TWO[:1], accessions="first") == (["A1"], [])


def test_a_receiver_of_a_message_each_gets_the_order_that_the_cause_names() -> None:
    assert wanted(TWO, accessions="messages", named="A2") == (["A2"], [])
    assert wanted(TWO[:1], accessions="messages") == (["A1"], [])


def test_a_cause_that_names_another_order_is_held() -> None:
    assert wanted(TWO, accessions="messages", named="A3") == ([], [("accession-unknown", "error")])


def test_a_cause_that_names_no_order_of_several_tells_of_all() -> None:
    assert wanted(TWO, accessions="messages") == (["A1", "A2"], [("accessions-together", "warning")])


def test_a_message_without_a_number_that_is_required_is_held() -> None:
    nothing = (Order(),)
    assert wanted(nothing) == ([""], [])
    assert wanted(nothing, accession="required") == ([], [("accession-missing", "error")])
    assert wanted(nothing, placer_required="on") == ([], [("placer-missing", "error")])
    both = wanted((*TWO, Order("", "")), accession="required", placer_required="on")
    assert both == ([], [("accession-missing", "error"), ("placer-missing", "error")])
    assert wanted(TWO, accession="required", placer_required="on") == (["A1", "A2"], [])
