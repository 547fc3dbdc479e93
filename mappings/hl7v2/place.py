"""Where one cause is filed: whom its message is about, on which orders, and under which filler order numbers.

HL7 v2.5.1 §4.5.1.3, §4.5.3.3 (the filler order number names a result), decisions D12, D17-D19, D21. None of it depends
on what was sent before: that is asked of a place, by its numbers.

| what | its number (EI.1 of OBR-3) |
|---|---|
| all of a patient's signed reports, and drafts before | the patient's (mappings/subjects.py), or the accession number |
| an addendum, in `new_order` | its own |
| a PDF in a message of its own | one made of the reportId |

A number under which reports were sent stays with them, whatever the accession numbers are by now (`Facts`). What is not
about the study's own patient has no number of the study's orders: they are that patient's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from mappings.identifiers import base62, short_id
from mappings.issues import MappingIssue
from mappings.model import Cause, Facts, Report, Study
from mappings.orders import Order, filed, orders, wanted_orders
from mappings.profile import Receiver, Site
from mappings.status import is_shown_draft, refusal
from mappings.subjects import Subject, subjects

_CANCELLED: Final = frozenset({"addendum_cancelled", "draft_cancelled"})


class Asked(NamedTuple):
    """What is asked: the arguments of the mapping."""

    study: Study
    cause: Cause
    site: Site
    receiver: Receiver
    facts: Facts


@dataclass(frozen=True, slots=True)
class Place:
    """Whom a message is about, with the reports that its number stands for, and the orders, each with its number.

    `report` is what caused it, None where that is gone; `peers` are all reports about the patient. `lead` is the newest
    original of them: order and examination are its own. `number` is what the gateway itself makes EI.1 of OBR-3 of;
    `filler_order_numbers` and `parent_fillers` (of the orders that these add to, or empty) are those of the `orders`,
    which are none, with the reason in `issues`, where the message must be held. `known` are all orders of the patient,
    `made` those of the numbers that the gateway made.
    """

    report: Report | None
    subject: Subject
    peers: tuple[Report, ...]
    lead: Report
    number: str
    orders: tuple[Order, ...] = ()
    filler_order_numbers: tuple[str, ...] = ()
    parent_fillers: tuple[str, ...] = ()
    known: tuple[Order, ...] = ()
    made: frozenset[str] = frozenset()
    issues: tuple[MappingIssue, ...] = ()


def place(asked: Asked) -> Place | MappingIssue:
    """Where a cause is filed, or why there is nothing to be filed."""
    study, cause = asked.study, asked.cause
    if issue := refusal(study):
        return issue
    report = next((one for one in study.reports if one.report_id == cause.report_id), None)
    if cause.kind in _CANCELLED and not (report and report.is_completed):
        return _gone(asked, report)
    if report is None:
        return MappingIssue("report-absent", "error", "/reports", "the report that caused the message is not there")
    return _draft(asked, report) if cause.kind == "draft" else _final(asked, report)


def _final(asked: Asked, report: Report) -> Place | MappingIssue:
    """A signed report, with all that stands under its number."""
    if not report.is_completed:
        return MappingIssue("report-not-signed", "information", f"{report.pointer}/status", "nothing sent in v2")
    if asked.cause.kind == "draft_cancelled":
        return _unsent(f"{report.pointer}/status", "it is signed by now: no draft of it is taken back")
    known = _subjects(asked)
    return _placed(asked, known, known[report.report_id], report)


def is_apart(asked: Asked, report: Report | None) -> bool:
    """True for what has an order of its own: an addendum (what is gone was one), where the receiver wants that."""
    return asked.receiver.addendum == "new_order" and (report is None or report.is_addendum)


def pdf_number(report_id: str) -> str:
    """EI.1 of OBR-3 of the message that has a report's PDF alone: 128 bits of a digest, in 22 characters."""
    digest = hashlib.sha256(f"pdf\x1f{report_id}".encode()).digest()
    return base62(int.from_bytes(digest[:16], "big"), 22)


def shown_drafts(asked: Asked) -> tuple[Report, ...]:
    """The unsigned reports that the site lets out; never that they are critical (D16)."""
    return tuple(replace(one, is_critical=None) for one in asked.study.reports if is_shown_draft(one, asked.site))


def _unsent(pointer: str, action: str) -> MappingIssue:
    return MappingIssue("withdrawn-unsent", "information", pointer, action)


def _subjects(asked: Asked, drafts: Sequence[Report] = ()) -> dict[str, Subject]:
    study, facts = asked.study, asked.facts
    return subjects(study, (*study.completed, *drafts), asked.site, facts.taken_patient_ids, facts.seen)


def _draft(asked: Asked, report: Report) -> Place | MappingIssue:
    """Unsigned reports share a message, if they are about one patient; an addendum apart is alone."""
    study, pointer = asked.study, f"{report.pointer}/status"
    if study.is_cancelled or asked.receiver.send_drafts == "off" or not is_shown_draft(report, asked.site):
        return MappingIssue("report-not-signed", "information", pointer, "no draft is sent in v2")
    has_own_order = is_apart(asked, report)
    if study.completed and not has_own_order:
        return MappingIssue(
            "draft-after-final", "information", pointer, "a signed report was sent: no draft follows it"
        )
    shown = shown_drafts(asked)
    known = _subjects(asked, shown)
    subject = known[report.report_id]
    carried = [one for one in shown if not is_apart(asked, one)]
    if has_own_order:
        carried = [one for one in shown if one.report_id == report.report_id]
    if any(known[one.report_id] is not subject for one in carried):
        action = "the study has drafts about several people: none is sent"
        return MappingIssue("draft-patient-unclear", "warning", pointer, action)
    made = _placed(asked, known, subject, report)
    return replace(made, subject=replace(made.subject, reports=tuple(carried)))


def _gone(asked: Asked, report: Report | None) -> Place | MappingIssue:
    """What is cancelled: the number of its own, or what is left under the number that it shared."""
    if asked.cause.part == "report" and not is_apart(asked, report):
        return _rest(asked, report)
    if asked.cause.kind == "draft_cancelled" and (asked.cause.part == "pdf" or asked.receiver.send_drafts == "off"):
        return _unsent("/reports", "no draft of it was sent")
    known = _subjects(asked, () if asked.study.completed else asked.study.reports)
    subject = known[report.report_id if report and report.report_id in known else asked.study.study_id]
    if len(set(map(id, known.values()))) > 1 and report is None:
        return _unclear("the study is about several people: whose addendum it was is not known, nothing is sent")
    return _emptied(asked, known, subject)


def _rest(asked: Asked, report: Report | None) -> Place | MappingIssue:
    """What is left under the number that a cancelled addendum or draft shared with other reports."""
    study, is_draft = asked.study, asked.cause.kind == "draft_cancelled"
    if is_draft and (study.completed or asked.receiver.send_drafts == "off"):
        return _unsent("/reports", "no draft of it was sent, or a signed report stands in its place")
    if is_draft and not study.is_cancelled and (left := shown_drafts(asked)):
        return _draft(asked, left[0])
    known = _subjects(asked, () if study.completed else study.reports)
    subject = known[report.report_id if report and report.report_id in known else study.study_id]
    if not study.completed:
        return _emptied(asked, known, subject)
    if numbers := asked.facts.filler_order_numbers.get(asked.cause.report_id):
        told = [one for one in dict.fromkeys(known.values()) if not set(numbers).isdisjoint(_fixed(asked, known, one))]
        if not told:
            return _unclear("it was sent under a number that no other report has: an operator takes it back")
        subject = told[0]
    return _placed(asked, known, subject, None)


def _emptied(asked: Asked, known: Mapping[str, Subject], subject: Subject) -> Place | MappingIssue:
    """A place of which nothing is left to be said, if it is known whose it is."""
    said = subject.snapshot
    if not (subject.identity.is_linked or said.mrn or said.patient_name):
        return _unclear("nothing is left that says whose report it was: an operator takes it back")
    made = _placed(asked, known, subject, None)
    return replace(made, subject=replace(made.subject, reports=()))


def _unclear(action: str) -> MappingIssue:
    return MappingIssue("withdrawal-patient-unclear", "error", "/reports", action)


def _placed(asked: Asked, known: Mapping[str, Subject], subject: Subject, report: Report | None) -> Place:
    """The place of all reports about a patient that share their number with what caused the message."""
    study, cause, is_own = asked.study, asked.cause, subject.number == asked.study.study_id
    has_own_order = is_apart(asked, report)
    every, doubts = orders(study, asked.site, asked.facts)
    if not is_own:
        every, doubts = (Order(pointer=every[0].pointer),), ()
    shared = short_id(subject.number)
    fixed = _fixed(asked, known, subject)
    fillers, lost = filed(every, shared, fixed, asked.receiver)
    parents = ("",) * len(every)
    number = shared
    if cause.part == "pdf" or has_own_order:
        if cause.part == "report" and _has_one_original(subject):
            parents = fillers
        number = pdf_number(cause.report_id) if cause.part == "pdf" else short_id(cause.report_id)
        fillers, lost = (number,) * len(every), ()
    wanted, reasons = wanted_orders(every, cause, asked.receiver, fixed)
    chosen = [number for number, order in enumerate(every) if order in wanted]
    return Place(
        report=report,
        subject=replace(subject, reports=tuple(_sharing(asked, subject, report))),
        peers=subject.reports,
        lead=_newest_original(subject.reports) or _nothing(study, subject),
        number=number,
        orders=wanted,
        filler_order_numbers=tuple([fillers[one] for one in chosen]),
        parent_fillers=tuple([parents[one] for one in chosen]),
        known=every,
        made=frozenset((number, shared, *_own_numbers(asked))),
        issues=(*subject.issues, *doubts, *lost, *reasons),
    )


def _sharing(asked: Asked, subject: Subject, report: Report | None) -> Iterator[Report]:
    """The reports about a patient that stand under one number with the one that caused a message."""
    is_alone = asked.cause.part == "pdf" or is_apart(asked, report)
    for one in subject.reports:
        if one.report_id == asked.cause.report_id or not (is_alone or is_apart(asked, one)):
            yield one


def _fixed(asked: Asked, known: Mapping[str, Subject], subject: Subject) -> tuple[str, ...]:
    """The numbers under which a patient's reports were first sent, unless a patient who was there before has them."""
    numbers: tuple[str, ...] = ()
    claimed: set[str] = set()
    sent = asked.facts.filler_order_numbers
    places = {report_id: number for number, report_id in enumerate(asked.facts.seen)}
    for one in dict.fromkeys(known.values()) if sent else ():
        shared = [report.report_id for report in one.reports if not is_apart(asked, report)]
        shared.sort(key=lambda report_id: places.get(report_id, len(places)))
        told = (sent[report_id] for report_id in shared if report_id in sent)
        numbers = next((found for found in told if claimed.isdisjoint(found)), ())
        if one is subject:
            return numbers
        claimed.update(numbers or (short_id(one.number),))
    return ()


def _own_numbers(asked: Asked) -> Iterator[str]:
    """The numbers that the gateway makes for a patient's reports, of which one may have been fixed."""
    if asked.facts.filler_order_numbers:
        reports = (report.report_id for report in asked.study.reports)
        yield from map(short_id, {asked.study.study_id, *reports, *asked.facts.seen})


def _has_one_original(subject: Subject) -> bool:
    return sum(one.is_completed and not one.is_addendum for one in subject.reports) == 1


def _newest_original(reports: Sequence[Report]) -> Report | None:
    return next((one for one in reversed(reports) if not one.is_addendum), reports[-1] if reports else None)


def _nothing(study: Study, subject: Subject) -> Report:
    """What stands for the report where none is left: what the study itself says."""
    return Report(
        report_id=study.study_id,
        study_id=study.study_id,
        user_id="",
        status="completed",
        is_addendum=False,
        is_critical=None,
        created_at=None,
        signed_at=None,
        updated_at=None,
        snapshot=subject.snapshot,
        text=None,
        sections=(),
        pointer="",
    )
