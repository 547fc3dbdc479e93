"""Decide the patient, the orders, and the filler order numbers (OBR-3) of a message to be written.

HL7 v2.5.1 §4.5.1.3, §4.5.3.3 (the filler order number names a result), decisions D12, D17-D19, D21. Messages already
sent do not affect a place: what was sent is looked up by its numbers.

| result | its number (EI.1 of OBR-3) |
|---|---|
| all signed reports of a patient, and drafts before | the patient's (patient/subjects.py), or the accession number |
| an addendum, in `new_order` | its own |
| a PDF in a separate message, after those of signed addenda | one made of the reportId |

A number under which reports were sent stays with them, even if the accession numbers change (`Facts`). A report about
another patient than the study's own gets no number of the study's orders: they belong to the study's patient.
Proved by tests/mappings/hl7v2/test_rendering.py and tests/mappings/hl7v2/test_messages.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mappings.issues import MappingIssue
from mappings.life.status import is_shown_draft, is_withdrawn, refusal
from mappings.model import Cause, Facts, Report, Study
from mappings.patient.identifiers import base62, short_id
from mappings.patient.subjects import Subject, subjects, subjects_as_before
from mappings.profile import Receiver, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.orders import Order, filed, orders, wanted_orders


class AskedMessage(NamedTuple):
    """Arguments of the mapping to one message."""

    study: Study
    cause: Cause
    site: Site
    receiver: Receiver
    facts: Facts


@dataclass(frozen=True, slots=True)
class MessagePlace:
    """Patient of a message, the reports that share its number, and the orders, each with its number.

    `report` caused the message; it is None if it is gone. `peers` are all reports about the patient. `lead` is the
    newest original among them: order and examination come from it. `number` is EI.1 of OBR-3 as the gateway makes it.
    `filler_order_numbers` and `parent_fillers` (of the orders they add to, or empty) belong to the `orders`. `orders`
    is empty, with the reason in `issues`, if the message must be held. `known` are all orders of the patient, `made`
    the numbers made by the gateway. `has_new_order`: one of the orders was missing when the others were sent.
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
    has_new_order: bool = False
    issues: tuple[MappingIssue, ...] = ()


def place(asked: AskedMessage, signed: Mapping[str, Subject] | None = None) -> MessagePlace | MappingIssue:
    """Find the place of a cause's message, or the reason that there is none.

    `signed` are the `signed_subjects`, which all messages of a study share; they are found here if None.
    """
    study, cause = asked.study, asked.cause
    if issue := refusal(study):
        return issue
    report = next((one for one in study.reports if one.report_id == cause.report_id), None)
    if cause.is_cancellation and not (report and report.is_completed and _is_standing(asked)):
        gone = next((one for one in asked.facts.gone if one.report_id == cause.report_id), None)
        return _taken_back(asked, report or gone)
    if report is None:
        return MappingIssue("report-absent", "error", "/reports", "the report that caused the message is not there")
    return _draft(asked, report) if cause.kind == "draft" else _final(asked, report, signed)


def _is_standing(asked: AskedMessage) -> bool:
    """False if a draft is withdrawn and the study's signed reports are withdrawn too."""
    return not (asked.cause.kind == "draft_cancelled" and is_withdrawn(asked.study, asked.site, asked.facts))


def _final(asked: AskedMessage, report: Report, signed: Mapping[str, Subject] | None) -> MessagePlace | MappingIssue:
    """Place a signed report, with all reports under its number."""
    if not report.is_completed:
        return MappingIssue("report-not-signed", "information", f"{report.pointer}/status", "nothing sent in v2")
    if asked.cause.kind == "draft_cancelled":
        return _unsent(f"{report.pointer}/status", "it is signed by now: no draft of it is taken back")
    known = signed_subjects(asked.study, asked.site, asked.facts) if signed is None else signed
    return _message_place(asked, known, known[report.report_id], report)


def is_apart(asked: AskedMessage, report: Report) -> bool:
    """True for a report with its own order: an addendum, if the receiver wants that."""
    return asked.receiver.addendum == "new_order" and report.is_addendum


def document_id(cause: Cause) -> str:
    """Id of the report whose PDF a PDF message presents."""
    return cause.document or cause.report_id


def pdf_number(report_id: str) -> str:
    """EI.1 of OBR-3 for the separate message of a report's PDF: 128 bits of a digest, in 22 characters."""
    digest = hashlib.sha256(f"pdf\x1f{report_id}".encode()).digest()
    return base62(int.from_bytes(digest[:16], "big"), 22)


def shown_drafts(asked: AskedMessage) -> tuple[Report, ...]:
    """Unsigned reports that the site publishes, without their critical flag (D16)."""
    return tuple(replace(one, is_critical=None) for one in asked.study.reports if is_shown_draft(one, asked.site))


def _unsent(pointer: str, action: str) -> MappingIssue:
    return MappingIssue("withdrawn-unsent", "information", pointer, action)


def signed_subjects(study: Study, site: Site, facts: Facts, reuse: Reuse = NO_REUSE) -> dict[str, Subject]:
    """Find the subjects of the signed reports.

    Unsigned reports that were sent to this destination are placed like reports that are gone: their numbers belong to
    nobody else.
    """
    sent = facts.filler_order_numbers
    kept = [one for one in study.reports if sent and not one.is_completed and one.report_id in sent]
    facts = replace(facts, gone=(*facts.gone, *kept)) if kept else facts
    return subjects_as_before(study, study.completed, site, facts, reuse)


def _subjects(asked: AskedMessage, drafts: Iterable[Report]) -> dict[str, Subject]:
    """Subjects of the signed reports and of `drafts`."""
    return subjects(asked.study, (*asked.study.completed, *drafts), asked.site, asked.facts)


def _draft(asked: AskedMessage, report: Report) -> MessagePlace | MappingIssue:
    """Place an unsigned report. Drafts about one patient share a message; an addendum with its own order is alone."""
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
    made = _message_place(asked, known, subject, report)
    return replace(made, subject=replace(made.subject, reports=tuple(carried)))


def _taken_back(asked: AskedMessage, report: Report | None) -> MessagePlace | MappingIssue:
    """Place a cancellation, with the reports left under its number: none if it had its own number."""
    study, is_draft = asked.study, asked.cause.kind == "draft_cancelled"
    if report is None:
        return _unclear("whose addendum it was is not known: an operator takes it back")
    if is_draft and (asked.cause.part == "pdf" or asked.receiver.send_drafts == "off"):
        return _unsent("/reports", "no draft of it was sent")
    drafts = [one for one in study.reports if not one.is_completed] if is_draft else []
    known = _subjects(asked, drafts)
    subject = known[report.report_id]
    is_own = asked.cause.part == "pdf" and not asked.cause.document
    if is_own or is_apart(asked, report):
        return _empty_place(asked, known, subject, report)
    if not is_draft:
        placed = (
            _message_place(asked, known, subject, report)
            if subject.reports
            else _empty_place(asked, known, subject, report)
        )
        return placed if isinstance(placed, MappingIssue) else replace(placed, report=None)
    if _is_standing(asked) and any(one.is_completed for one in subject.reports):
        return _unsent("/reports", "a signed report stands in its place")
    left = [one for one in shown_drafts(asked) if known[one.report_id] is subject and not is_apart(asked, one)]
    restated = _draft(asked, left[0]) if left and not study.is_cancelled else None
    return restated if isinstance(restated, MessagePlace) else _empty_place(asked, known, subject, report)


def _empty_place(
    asked: AskedMessage, known: Mapping[str, Subject], subject: Subject, report: Report
) -> MessagePlace | MappingIssue:
    """Return a place with no reports left, if its patient is known."""
    snapshot = subject.snapshot
    if not (subject.identity.is_linked or snapshot.mrn or snapshot.patient_name):
        return _unclear("nothing says whose report it was: an operator takes it back")
    made = _message_place(asked, known, subject, report)
    return replace(made, report=None, subject=replace(made.subject, reports=()))


def _unclear(action: str) -> MappingIssue:
    return MappingIssue("withdrawal-patient-unclear", "error", "/reports", action)


def _message_place(asked: AskedMessage, known: Mapping[str, Subject], subject: Subject, report: Report) -> MessagePlace:
    """Place all reports about a patient that share the number of the message's report."""
    study, cause, is_own = asked.study, asked.cause, subject.number == asked.study.study_id
    has_own_order = is_apart(asked, report)
    every, doubts = orders(study, asked.site, asked.facts)
    if not is_own:
        every, doubts = (Order(pointer=every[0].pointer),), ()
    fixed = _fixed_numbers(asked, known, subject)
    shared = _shared(asked, known, subject, fixed)
    fillers, lost = filed(every, shared, fixed, asked.receiver)
    parents = ("",) * len(every)
    number, sent = shared, fixed
    if cause.part == "pdf" or has_own_order:
        if cause.part == "report" and any(one.is_completed and not one.is_addendum for one in subject.reports):
            parents = fillers
        number = pdf_number(document_id(cause)) if cause.part == "pdf" else short_id(cause.report_id)
        fillers, lost, sent = (number,) * len(every), (), asked.facts.filler_order_numbers.get(cause.report_id, ())
    wanted, reasons = wanted_orders(every, cause, asked.receiver, fixed, is_sent=bool(sent))
    chosen = [number for number, order in enumerate(every) if order in wanted]
    filed_under = tuple([fillers[one] for one in chosen])
    return MessagePlace(
        report=report,
        subject=replace(subject, reports=tuple(_sharing(asked, subject, report))),
        peers=subject.reports,
        lead=_newest_original(subject.reports) or report,
        number=number,
        orders=wanted,
        filler_order_numbers=filed_under,
        parent_fillers=tuple([parents[one] for one in chosen]),
        known=every,
        made=frozenset((number, shared, *_own_numbers(asked))),
        has_new_order=bool(sent) and not set(filed_under).issubset(sent),
        issues=(*subject.issues, *doubts, *lost, *reasons),
    )


def _sharing(asked: AskedMessage, subject: Subject, report: Report) -> Iterator[Report]:
    """Yield the reports about a patient under one number with the message's report."""
    if asked.cause.part == "pdf":
        yield from _documents(asked, subject)
        return
    is_alone = is_apart(asked, report)
    for other in subject.reports:
        if other.report_id == asked.cause.report_id or not (is_alone or is_apart(asked, other)):
            yield other


def _documents(asked: AskedMessage, subject: Subject) -> Iterator[Report]:
    """Yield the reports whose PDFs share a message: an original with its addenda, or a single addendum (D36)."""
    whose = document_id(asked.cause)
    is_original = any(one.report_id == whose and not one.is_addendum for one in subject.reports)
    for one in subject.reports:
        if one.report_id == whose or (is_original and one.is_addendum and not is_apart(asked, one)):
            yield one


def _fixed_numbers(asked: AskedMessage, known: Mapping[str, Subject], subject: Subject) -> tuple[str, ...]:
    """Numbers under which a patient's reports were sent, unless an earlier patient has them."""
    sent, facts = asked.facts.filler_order_numbers, asked.facts
    if not sent:
        return ()
    places = {report_id: number for number, report_id in enumerate(facts.seen)}
    reports = {report.report_id: report for report in (*facts.gone, *asked.study.reports)}
    shared = [one for one in known if one in sent and one in reports and not is_apart(asked, reports[one])]
    shared.sort(key=lambda report_id: places.get(report_id, len(places)))
    claimed: set[str] = set()
    for patient in dict.fromkeys(known.values()):
        told = [sent[report_id] for report_id in shared if known[report_id] is patient]
        numbers = dict.fromkeys(number for found in told if claimed.isdisjoint(found) for number in found)
        if patient is subject:
            return tuple(numbers)
        claimed.update(numbers or (short_id(patient.number),))
    return ()


def _shared(asked: AskedMessage, known: Mapping[str, Subject], subject: Subject, fixed: Sequence[str]) -> str:
    """Number that the gateway makes for a patient's reports; no other patient or separate addendum has it."""
    sent = asked.facts.filler_order_numbers
    sharing = [one for one in subject.reports if not is_apart(asked, one)]
    own = next((one for one in subject.reports if one.report_id == subject.number), None)
    number = short_id(sharing[0].report_id if own and sharing and is_apart(asked, own) else subject.number)
    others = (one for one in sent if known.get(one, subject) is not subject)
    if fixed or not subject.reports or not any(number in sent[one] for one in others):
        return number
    return short_id(subject.reports[0].report_id)


def _own_numbers(asked: AskedMessage) -> Iterator[str]:
    """Yield the numbers that the gateway makes for reports of the study, one of which may be fixed."""
    if asked.facts.filler_order_numbers:
        reports = (report.report_id for report in asked.study.reports)
        yield from map(short_id, {asked.study.study_id, *reports, *asked.facts.seen})


def _newest_original(reports: Sequence[Report]) -> Report | None:
    return next((one for one in reversed(reports) if not one.is_addendum), reports[-1] if reports else None)
