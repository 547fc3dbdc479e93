"""The orders that a study answers: accession and placer order numbers, from where a site keeps them.

HL7 v2.5.1 §4.5.3.2 (OBR-2), §4.5.3.18 (OBR-18), https://hl7.org/fhir/R4/servicerequest.html, decision D18. AutoScribe
has no field for either: a site names the keys of `Study.metadata` that hold them, and AutoScribe's PACS may have said
the accession number when it asked for the study's details.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Study
from mappings.profile import Receiver, Site


@dataclass(frozen=True, slots=True)
class Order:
    """One order; a number that is not known is empty. `pointer` is where the numbers stand in the study document.

    `exam_number` (RADTI-RACNI) and `case_number` are those of the exam in VistA.
    """

    accession_number: str = ""
    placer_order_number: str = ""
    pointer: str = "/metadata"
    exam_number: str = ""
    case_number: str = ""

    def filed_as(self, receiver: Receiver) -> str:
        """The number by which the receiver may file the order: the exam where it wants that, else the accession."""
        return self.exam_number if receiver.vista_exam == "required" else self.accession_number


def orders(study: Study, site: Site, facts: Facts) -> tuple[tuple[Order, ...], tuple[MappingIssue, ...]]:
    """The orders of a study, at least one: accession numbers with the placer order numbers that go with them.

    Several are read as one report. Numbers are paired by position, and only where there are as many of both. Where the
    study's metadata say accession numbers, another one that AutoScribe's PACS said makes no order of its own.
    """
    asked = _said(facts.accession_number)
    accessions = tuple(dict.fromkeys(_numbers(study, site.accession_keys, site))) or asked
    placers = tuple(_numbers(study, site.placer_keys, site))
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
    found = tuple([Order(*pair, pointer) for pair in zip_longest(accessions, placers, fillvalue="")]) or (Order(),)
    found, doubts = _with_exams(study, found, site)
    return found, (*issues, *doubts)


def _with_exams(
    study: Study, found: tuple[Order, ...], site: Site
) -> tuple[tuple[Order, ...], tuple[MappingIssue, ...]]:
    """The orders with the exams of VistA that go with them: by position, and only where there are as many of all."""
    exams = tuple(_numbers(study, site.vista.exam_keys, site))
    cases = tuple(_numbers(study, site.vista.case_keys, site))
    if not exams and not cases:
        return found, ()
    if not len(exams) == len(cases) == len(found):
        action = f"{len(exams)} exams, {len(cases)} case numbers, {len(found)} orders: no exam is said"
        return found, (MappingIssue("exam-unpaired", "warning", _pointer(site.vista.exam_keys), action),)
    pairs = zip(found, exams, cases, strict=True)
    return tuple([replace(order, exam_number=exam, case_number=case) for order, exam, case in pairs]), ()


def filed(
    known: tuple[Order, ...], own: str, fixed: Sequence[str], receiver: Receiver
) -> tuple[tuple[str, ...], tuple[MappingIssue, ...]]:
    """The filler order number of each order: the accession number or exam the receiver files by, else the `own` one.

    `fixed` are the numbers under which the result was sent: an order whose own number is among them keeps it, and the
    one number left stays with the one order left. Where one number stands for all orders (the gateway's own, or the
    receiver files by nothing else) it stays with all. A number that has no order any more is an issue: what was filed
    there stays as it was.
    """
    by_order = receiver.accession_field == "3" or receiver.vista_exam == "required"
    numbers = [order.filed_as(receiver) for order in known]
    left = [number for number in dict.fromkeys(fixed) if number not in numbers]
    others = sum(number not in fixed for number in numbers)
    is_kept = len(left) == 1 and (others == 1 or (others > 1 and (left == [own] or not by_order)))
    found = [number if number in fixed else left[0] if is_kept else (by_order and number) or own for number in numbers]
    issues: tuple[MappingIssue, ...] = ()
    if left and not is_kept:
        action = f"{len(left)} numbers under which the result was sent have no order: what was filed there stays"
        issues = (MappingIssue("filler-order-left", "error", known[0].pointer, action),)
    return tuple(found), issues


def wanted_orders(
    known: tuple[Order, ...], cause: Cause, receiver: Receiver, fixed: Sequence[str] = (), *, is_sent: bool = False
) -> tuple[tuple[Order, ...], tuple[MappingIssue, ...]]:
    """The orders that one message is about; none, with the reason, where it must be held (D18).

    A receiver of the first order keeps the one whose accession number is among `fixed`, under which the result was
    sent. Where the message's own number was (`is_sent`), nothing more is required. One that wants a message for each
    order is told of all in one by a cause that names none, as it was made when there was one:
    `mappings.hl7v2.messages` makes one each of it.
    """
    wanted = known
    issues: tuple[MappingIssue, ...] = ()
    if receiver.accessions == "messages" and len(known) > 1 and not cause.accession_number:
        action = f"the cause names no order: one message about all {len(known)}"
        issues = (MappingIssue("accessions-together", "warning", known[0].pointer, action),)
    elif receiver.accessions == "messages" and len(known) > 1:
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
    """What the receiver requires of orders and is not known."""
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
    return [number for value in values for number in _said(value)]


def _said(text: str | None) -> tuple[str, ...]:
    stripped = (text or "").strip()
    return (stripped,) if stripped else ()


def _pointer(keys: Sequence[str]) -> str:
    """The place of the first of the keys, `~` and `/` as RFC 6901 §3 has them."""
    return f"/metadata/{keys[0].replace('~', '~0').replace('/', '~1')}" if keys else "/metadata"
