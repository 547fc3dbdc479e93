"""HL7 v2.5.1 §3.4.3: the visit of the hospital's orders that a study answers (D48)."""

from __future__ import annotations

from dataclasses import replace

from fakes.answered import VISIT, order

from mappings.model import StatedNumber
from mappings.study.orders import common_visit, message_pointer


def test_a_message_is_named_by_its_source_and_its_control_id() -> None:
    assert message_pointer(VISIT.message) == "order:EPIC/ADT0002"


def test_without_a_visit_there_is_none_and_nothing_to_say() -> None:
    assert common_visit([]) == common_visit([None, order(visit=None)]) == (None, ())


def test_orders_of_one_visit_have_it() -> None:
    bare = replace(VISIT, number=None, account=None)
    assert common_visit([order(1, visit=bare), order(2)]) == (VISIT, ())
    assert common_visit([order(1, visit=bare)]) == (bare, ())


def test_refused_news_and_numbers_without_an_authority_are_issues_beside_the_visit() -> None:
    bare = replace(VISIT, number=None, lacks=("visit", "account"))
    refused = replace(order(1, visit=bare), refused=(VISIT.message,))
    visit, issues = common_visit([refused, refused, None])
    assert visit == bare
    own = message_pointer(refused.message)
    assert [(one.code, one.severity, one.pointer) for one in issues] == [
        ("visit-of-other-patient", "warning", "order:EPIC/ADT0002"),
        ("visit-authority-unknown", "warning", own),
        ("account-authority-unknown", "warning", own),
    ]
    assert common_visit([replace(refused, visit=None)])[1][0].code == "visit-of-other-patient"


def test_orders_of_two_visits_or_two_accounts_have_none() -> None:
    for key in ("number", "account"):
        other = replace(VISIT, **{key: StatedNumber("V999", "MERCYVISIT", "urn:oid:1.2.3.19")})
        visit, issues = common_visit([order(1), order(2, visit=other)])
        assert visit is None
        assert [(one.code, one.pointer) for one in issues] == [("visit-differs", "order:EPIC/ADT0002")]
