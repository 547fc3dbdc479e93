"""A change of a study's orders is news for destinations that were sent the study (D48)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.stated_orders import ORDER

from gateway.ingest.plan_ingest import order_news
from gateway.store.database.kept import Kept
from mappings.model import Facts, HospitalMessageName, StatedVisit, Study

STUDY = Study("stu_1", ())
GONE = replace(ORDER, is_cancelled=True)
OTHER = replace(ORDER, order_number=8)
ADT = HospitalMessageName("adt", "2")
THERE = replace(ORDER, visit=StatedVisit(location=("WARD",), message=ADT))
REFUSED = replace(ORDER, visit=StatedVisit(message=HospitalMessageName("his", "1")), refused=(ADT,))
NONE, ONE, CANCELLED = Facts(order_reason="no-order"), Facts(orders=(ORDER,)), Facts(orders=(GONE,))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (NONE, ONE, ("sent-without-order",)),
        (Facts(), ONE, ("sent-without-order",)),
        (ONE, CANCELLED, ("order-cancelled-after-send",)),
        (Facts(orders=(ORDER, OTHER)), Facts(orders=(GONE, OTHER)), ()),
        (Facts(orders=(GONE, OTHER)), CANCELLED, ("order-cancelled-after-send",)),
        (NONE, CANCELLED, ()),
        (CANCELLED, CANCELLED, ()),
        (CANCELLED, ONE, ()),
        (ONE, ONE, ()),
        (Facts(orders=(THERE,)), Facts(orders=(REFUSED,)), ("wrong-visit-sent",)),
        (Facts(orders=(THERE, OTHER)), Facts(orders=(OTHER, REFUSED)), ("wrong-visit-sent",)),
        (Facts(orders=(REFUSED,)), Facts(orders=(REFUSED,)), ()),
        (ONE, Facts(orders=(REFUSED,)), ()),
        (Facts(orders=(THERE,)), Facts(orders=(replace(REFUSED, order_number=9),)), ()),
        (ONE, NONE, ()),
        (Facts(), Facts(), ()),
    ],
)
def test_news_are_an_order_that_came_and_one_that_was_cancelled_as_a_whole(before, after, expected) -> None:
    assert order_news(Kept(STUDY, "v", before), STUDY, after) == expected


def test_neither_a_new_study_nor_one_that_was_withdrawn_has_news() -> None:
    assert order_news(None, STUDY, ONE) == ()
    assert order_news(Kept(STUDY, "v", NONE), replace(STUDY, is_cancelled=True), ONE) == ()
