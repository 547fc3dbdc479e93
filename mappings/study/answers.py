"""Choose the visit of the hospital's orders that a study answers, and name their messages as places of values.

HL7 v2.5.1 §3.4.3 (PV1), decision D48. A message and a report have one visit: orders of different visits have none.
Proved by tests/mappings/study/test_answers.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from mappings.answered_order import AnsweredOrder, HospitalMessageName, StatedNumber, StatedVisit
from mappings.issues import MappingIssue

# Kind of number -> field, and code of the issue that it has no authority
_LACKING: Final = {
    "visit": ("PV1-19", "visit-authority-unknown"),
    "account": ("PID-18", "account-authority-unknown"),
}


def message_pointer(name: HospitalMessageName) -> str:
    """Name a message in place of a pointer into the study document: `order:EPIC/MSG0001` (source, MSH-10)."""
    return f"order:{name.source}/{name.control_id}"


def common_visit(orders: Iterable[AnsweredOrder | None]) -> tuple[StatedVisit | None, tuple[MappingIssue, ...]]:
    """Return the visit of these orders; none, with an issue, if their visits or accounts have different numbers.

    Of several statements about one visit it is the first with a number. News of somebody else, and numbers without an
    authority, are issues.
    """
    answered = [order for order in orders if order]
    known = [order.visit for order in answered if order.visit]
    issues = tuple(dict.fromkeys(_unsaid(answered)))
    if not known:
        return None, issues
    if any(len(set(filter(None, map(_key, numbers)))) > 1 for numbers in zip(*map(_numbers, known), strict=True)):
        action = "the orders are of several visits or accounts: no visit is said"
        return None, (*issues, MappingIssue("visit-differs", "warning", message_pointer(known[0].message), action))
    return next((one for one in known if one.number), known[0]), issues


def _unsaid(orders: Iterable[AnsweredOrder]) -> Iterator[MappingIssue]:
    """Yield the issues of what is not said of visits."""
    for order in orders:
        for name in order.refused:
            action = "the message is about another patient: nothing of it is said of the order's visit"
            yield MappingIssue("visit-of-other-patient", "warning", message_pointer(name), action)
        for kind in order.visit.lacks if order.visit else ():
            field, code = _LACKING[kind]
            action = f"{field} has no authority, and the settings name none: the number is not said"
            yield MappingIssue(code, "warning", message_pointer(order.message), action)


def _numbers(visit: StatedVisit) -> tuple[StatedNumber | None, StatedNumber | None]:
    return visit.number, visit.account


def _key(number: StatedNumber | None) -> tuple[str, str] | None:
    return (number.system or number.namespace, number.value) if number else None
