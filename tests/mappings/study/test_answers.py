"""HL7 v2.5.1 §3.4.3: the visit of the hospital's orders that a study answers (D48)."""

from __future__ import annotations

from dataclasses import replace

from fakes.answered import VISIT, order

from mappings.answered_order import StatedNumber
from mappings.study.answers import common_visit, message_pointer


def test_a_message_is_named_by_its_source_and_its_control_id() -> None:
    assert message_pointer(VISIT.message) == "order:EPIC/ADT0002"


def test_without_a_visit_there_is_none_and_nothing_to_say() -> None:
    assert common_visit([]) == common_visit([None, order(visit=None)]) == (None, ())


def test_orders_of_one_visit_have_it() -> None:
    bare = replace(VISIT, number=None, account=None)
    assert common_visit([order(1, visit=bare), order(2)]) == (VISIT, ())
    assert common_visit([order(1, visit=bare)]) == (bare, ())


def test_orders_of_two_visits_or_two_accounts_have_none() -> None:
    for key in ("number", "account"):
        other = replace(VISIT, **{key: StatedNumber("V999", "MERCYVISIT", "urn:oid:1.2.3.19")})
        visit, issues = common_visit([order(1), order(2, visit=other)])
        assert visit is None
        assert [(one.code, one.pointer) for one in issues] == [("visit-differs", "order:EPIC/ADT0002")]
