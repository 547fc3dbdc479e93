"""Read the orders of a study: numbers from metadata keys that the site names, and the hospital's matched orders.

HL7 v2.5.1 §4.5.3.2 (OBR-2), §4.5.3.18 (OBR-18), §3.4.3 (PV1), https://hl7.org/fhir/R4/servicerequest.html, decisions
D18, D48. AutoScribe has no field for either number: a site names the keys of `Study.metadata` that hold them.
AutoScribe's PACS may also have given the accession number when it requested the study's details. A hospital's order
completes the order of its number. Several orders under one accession number are as many orders here. A message and a
report have one visit: orders of different visits have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from mappings.issues import MappingIssue
from mappings.model import AnsweredOrder, Cause, Facts, HospitalMessageName, StatedNumber, StatedVisit, Study
from mappings.profile import Receiver, Site

# Kind of number -> field, and code of the issue that it has no authority
_LACKING: Final = {
    "visit": ("PV1-19", "visit-authority-unknown"),
    "account": ("PID-18", "account-authority-unknown"),
}


def message_pointer(name: HospitalMessageName) -> str:
    """Name a message in place of a pointer into the study document: `order:EPIC/MSG0001` (source, MSH-10)."""
    return f"order:{name.source}/{name.control_id}"


def common_visit(orders: Iterable[AnsweredOrder | None]) -> tuple[StatedVisit | None, tuple[MappingIssue, ...]]:
    """Return the visit that these orders share; none, with an issue, if their visits or accounts differ.

    Of several statements about one visit it is the first with a number. News of somebody else, and numbers without an
    authority, are issues.
    """
    answered = [order for order in orders if order]
    known = [order.visit for order in answered if order.visit]
    issues = tuple(dict.fromkeys(_unsaid(answered)))
    if not known:
        return None, issues
    if any(
        len(set(filter(None, map(_key, numbers)))) > 1 for numbers in zip(*map(_numbers_of_visit, known), strict=True)
    ):
        action = "the orders are of several visits or accounts: no visit is said"
        return None, (*issues, MappingIssue("visit-differs", "warning", message_pointer(known[0].message), action))
    return next((one for one in known if one.number), known[0]), issues


def _unsaid(orders: Iterable[AnsweredOrder]) -> Iterator[MappingIssue]:
    """Yield the issues about visits that are not stated."""
    for order in orders:
        for name in order.refused:
            action = "the message is about another patient: nothing of it is said of the order's visit"
            yield MappingIssue("visit-of-other-patient", "warning", message_pointer(name), action)
        for kind in order.visit.lacks if order.visit else ():
            field, code = _LACKING[kind]
            action = f"{field} has no authority, and the settings name none: the number is not said"
            yield MappingIssue(code, "warning", message_pointer(order.message), action)


def _numbers_of_visit(visit: StatedVisit) -> tuple[StatedNumber | None, StatedNumber | None]:
    return visit.number, visit.account


def _key(number: StatedNumber | None) -> tuple[str, str] | None:
    return (number.system or number.namespace, number.value) if number else None


@dataclass(frozen=True, slots=True)
class Order:
    """Order of a study; an unknown number is empty. `pointer` is the place of its numbers in the study document.

    `exam_number` (RADTI-RACNI) and `case_number` belong to the exam in VistA. `answered` is the hospital's order, if
    one is matched: then `pointer` names its message.
    """

    accession_number: str = ""
    placer_order_number: str = ""
    pointer: str = "/metadata"
    exam_number: str = ""
    case_number: str = ""
    answered: AnsweredOrder | None = None

    def filed_as(self, receiver: Receiver) -> str:
        """Number under which the receiver files the order: the exam number if required, else the accession number."""
        return self.exam_number if receiver.vista_exam == "required" else self.accession_number


def orders(study: Study, site: Site, facts: Facts) -> tuple[tuple[Order, ...], tuple[MappingIssue, ...]]:
    """Return the orders of a study, at least one: accession numbers with placer order numbers.

    Several orders are read as one report. Numbers are paired by position, if there are equally many of both. If the
    study's metadata have accession numbers, a different one from AutoScribe's PACS makes no order.
    """
    asked = _text_if_any(facts.accession_number)
    accessions = accession_numbers(study, site, facts)
    placers = placer_order_numbers(study, site)
    issues: tuple[MappingIssue, ...] = ()
    if asked and asked[0] not in accessions:
        action = "the accession number of the study's details is another: those of its metadata stand"
        issues = (MappingIssue("accession-conflict", "warning", _pointer(site.accession_keys), action),)
    if len(placers) > 1 and len(placers) != len(accessions):
        action = f"{len(placers)} placer order numbers, {len(accessions)} accession numbers: no placer is said"
        issues = (*issues, MappingIssue("placer-unpaired", "warning", "/metadata", action))
        placers = ()
    if len(placers) == 1 and len(accessions) > 1:
        placers *= len(accessions)
    pointer = _pointer(site.accession_keys)
    known = tuple([Order(*pair, pointer) for pair in zip_longest(accessions, placers, fillvalue="")]) or (Order(),)
    known, doubts = _with_exams(study, known, site)
    if facts.orders:
        known = _with_answers(known, facts.orders)
        told = {one.placer.value for one in facts.orders if one.placer}
        is_mended = told.issuperset(placer_order_numbers(study, site))
        issues = tuple([one for one in issues if not (is_mended and one.code == "placer-unpaired")])
    return known, (*issues, *doubts)


def accession_numbers(study: Study, site: Site, facts: Facts) -> tuple[str, ...]:
    """Accession numbers of a study, each once: those of its metadata, else the one from AutoScribe's PACS."""
    said = tuple(dict.fromkeys(_numbers(study, site.accession_keys, site)))
    return said or _text_if_any(facts.accession_number)


def placer_order_numbers(study: Study, site: Site) -> tuple[str, ...]:
    """Placer order numbers of a study's metadata as they stand there."""
    return tuple(_numbers(study, site.placer_keys, site))


def _with_answers(known: tuple[Order, ...], answered: Sequence[AnsweredOrder]) -> tuple[Order, ...]:
    """Complete the study's orders by the hospital's matched orders; none of either is left out (D48)."""
    left = list(answered)
    made: list[Order] = []
    for order in known:
        own = [one for one in left if _is_of(one, order, is_only=len(known) == 1)]
        left = [one for one in left if one not in own]
        made += [_completed(order, one, is_alone=len(own) == 1) for one in own] or [order]
    return (*made, *[_completed(Order(), one, is_alone=True) for one in left])


def _is_of(answered: AnsweredOrder, order: Order, *, is_only: bool) -> bool:
    """True if a hospital's order is this order of the study, by accession or else placer order number."""
    accession = answered.accession.value if answered.accession else ""
    placer = answered.placer.value if answered.placer else ""
    if accession and accession == order.accession_number:
        return True
    if placer and placer == order.placer_order_number:
        return True
    return is_only and not (accession and order.accession_number)


def _completed(order: Order, answered: AnsweredOrder, *, is_alone: bool) -> Order:
    """Add a hospital's order to an order of the study; the study's values fill gaps.

    The placer of several orders under one accession number is known only from each order itself.
    """
    said = order.placer_order_number if is_alone else ""
    return replace(
        order,
        accession_number=order.accession_number or (answered.accession.value if answered.accession else ""),
        placer_order_number=answered.placer.value if answered.placer else said,
        pointer=message_pointer(answered.message),
        answered=answered,
    )


def _with_exams(
    study: Study, known: tuple[Order, ...], site: Site
) -> tuple[tuple[Order, ...], tuple[MappingIssue, ...]]:
    """Add the VistA exams to the orders, by position, and only if there are equally many of all."""
    exams = tuple(_numbers(study, site.vista.exam_keys, site))
    cases = tuple(_numbers(study, site.vista.case_keys, site))
    if not exams and not cases:
        return known, ()
    if not len(exams) == len(cases) == len(known):
        action = f"{len(exams)} exams, {len(cases)} case numbers, {len(known)} orders: no exam is said"
        return known, (MappingIssue("exam-unpaired", "warning", _pointer(site.vista.exam_keys), action),)
    pairs = zip(known, exams, cases, strict=True)
    return tuple([replace(order, exam_number=exam, case_number=case) for order, exam, case in pairs]), ()


def filed(
    known: tuple[Order, ...], own: str, fixed: Sequence[str], receiver: Receiver
) -> tuple[tuple[str, ...], tuple[MappingIssue, ...]]:
    """Filler order number of each order: the accession number or exam that the receiver files by, else `own`.

    `fixed` are the numbers under which the result was sent. An order whose number is among them keeps it, and a single
    remaining number stays with the single remaining order. A number that stands for all orders (the gateway's own, or
    where the receiver files by nothing else) stays with all. A number without an order is an issue: the result filed
    there stays.
    """
    by_order = receiver.accession_field == "3" or receiver.vista_exam == "required"
    numbers = [order.filed_as(receiver) for order in known]
    left = [number for number in dict.fromkeys(fixed) if number not in numbers]
    distinct = dict.fromkeys(
        (number, None if order.answered and number else place)
        for place, (number, order) in enumerate(zip(numbers, known, strict=True))
    )
    others = sum(number not in fixed for number, _ in distinct)
    is_kept = len(left) == 1 and (others == 1 or (others > 1 and (left == [own] or not by_order)))
    filed_as = [
        number if number in fixed else left[0] if is_kept else (by_order and number) or own for number in numbers
    ]
    issues: tuple[MappingIssue, ...] = ()
    if left and not is_kept:
        action = f"{len(left)} numbers under which the result was sent have no order: what was filed there stays"
        issues = (MappingIssue("filler-order-left", "error", known[0].pointer, action),)
    return tuple(filed_as), issues


def messages_by_accession(known: Sequence[Order]) -> tuple[str, ...]:
    """Return the accession number of each message, for receivers of one message per order."""
    numbers = [(one.accession_number, None if one.answered else place) for place, one in enumerate(known)]
    return tuple([number for number, _ in dict.fromkeys(numbers)])


def wanted_orders(
    known: tuple[Order, ...], cause: Cause, receiver: Receiver, fixed: Sequence[str] = (), *, is_sent: bool = False
) -> tuple[tuple[Order, ...], tuple[MappingIssue, ...]]:
    """Orders of one message; none, with the reason, if the message must be held (D18).

    A receiver of the first order keeps the one whose accession number is among `fixed`, under which the result was
    sent. If it was sent under this message's own number (`is_sent`), nothing more is required. For a receiver of one
    message per order, a cause without an order number makes one message about all orders, as it did when there was one
    order. `mappings.hl7v2.oru_r01` splits it into one message per order.
    """
    wanted = known
    issues: tuple[MappingIssue, ...] = ()
    has_several = receiver.accessions == "messages" and len(messages_by_accession(known)) > 1
    if has_several and not cause.accession_number:
        action = f"the cause names no order: one message about all {len(known)}"
        issues = (MappingIssue("accessions-together", "warning", known[0].pointer, action),)
    elif has_several:
        wanted = tuple(order for order in known if order.accession_number == cause.accession_number)
        if not wanted:
            action = "the cause names none of the study's accession numbers: no message of its own"
            return (), (MappingIssue("accession-unknown", "error", known[0].pointer, action),)
    if receiver.accessions == "first" and len(known) > 1:
        wanted = tuple(order for order in known if order.accession_number in fixed)[:1] or known[:1]
        action = f"the first order only, {len(known) - 1} more are not said"
        issues = (MappingIssue("accessions-left-out", "warning", known[0].pointer, action),)
    missing = () if is_sent else _missing(wanted, receiver)
    return ((), missing) if missing else (wanted, issues)


def _missing(wanted: Sequence[Order], receiver: Receiver) -> tuple[MappingIssue, ...]:
    """Issues for the order numbers that the receiver requires and that are missing."""
    lacks: list[tuple[str, Order]] = []
    for order in wanted:
        if receiver.accession == "required" and not order.accession_number:
            lacks.append(("accession", order))
        if receiver.placer_required == "on" and not order.placer_order_number:
            lacks.append(("placer", order))
        if receiver.vista_exam == "required" and not (order.exam_number and order.case_number):
            lacks.append(("vista_exam", order))
    action = "the receiver requires it: held until a study's metadata say it under one of the site's {}_keys"
    return tuple(
        [
            MappingIssue(f"{what.removeprefix('vista_')}-missing", "error", order.pointer, action.format(what))
            for what, order in lacks
        ]
    )


def _numbers(study: Study, keys: Sequence[str], site: Site) -> Sequence[str]:
    if not keys:
        return ()
    values = [study.metadata.get(key, "") for key in keys]
    if site.number_separator:
        values = [part for value in values for part in value.split(site.number_separator)]
    return [number for value in values for number in _text_if_any(value)]


def _text_if_any(text: str | None) -> tuple[str, ...]:
    stripped = (text or "").strip()
    return (stripped,) if stripped else ()


def _pointer(keys: Sequence[str]) -> str:
    """Pointer to the first of the keys; `~` and `/` are escaped by RFC 6901 §3."""
    return f"/metadata/{keys[0].replace('~', '~0').replace('/', '~1')}" if keys else "/metadata"
