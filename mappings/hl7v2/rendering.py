"""Choose the content of a message: patient, order numbers (OBR-3), reports, and their status (final, corrected, …).

HL7 v2.5.1 tables 0123 and 0085, §4.5.1.3, §4.5.3.3 (the filler order number names a result), §3.4.2.3 (PID-3);
decisions D12, D13, D16-D21, D31, D32. By the receiver's switch `addendum`:

| switch | a signature, `F` | any other cause, `C` |
|---|---|---|
| `replace` | all signed reports; `C` after an earlier message | all signed reports |
| `append` | the report alone, `A` after an earlier message; an addendum before one takes all reports | all reports |
| `new_order` | an original: all originals, under the study's number; an addendum alone, under its own | as for `F` |

A report's number never depends on the order in which reports are signed, nor on messages already sent:

| result | its number (EI.1 of OBR-3) |
|---|---|
| all signed reports of a patient, and drafts before | the patient's (patient/subjects.py), or the accession number |
| an addendum, in `new_order` | its own |
| a PDF in a separate message, after those of signed addenda | one made of the reportId |

A number under which reports were sent stays with them, even if the accession numbers change (`Facts`). A report about
another patient than the study's own gets no number of the study's orders: they belong to the study's patient. If
addenda are sent separately (`append`, `new_order`), the original goes first. An addendum is held until the study has an
original, and an original repeats addenda sent before it. Drafts (D16) are sent as `P` while no report of the study is
signed; in `new_order` also an open addendum, under its own number. A withdrawn report is sent in its last version, as
`W`. If nothing is left under the number, the report is withdrawn without its text. So is a PDF with a separate message,
also if an addendum has no PDF to precede it (D36). `outline` lists numbers, reports and patient without writing a
message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from mappings.hl7v2.er7 import value
from mappings.hl7v2.vista import vista_numbers
from mappings.issues import MappingIssue
from mappings.life.status import (
    STATUS,
    Status,
    addendum_parent,
    is_shown_draft,
    is_withdrawn,
    obr_25,
    refusal,
    report_status,
)
from mappings.model import Cause, Facts, Report, Study
from mappings.patient.identifiers import base62, mrn_number, short_id
from mappings.patient.merged import of_other_numbers
from mappings.patient.subjects import Subject, subjects, subjects_as_before
from mappings.profile import Receiver, Site
from mappings.reuse import NO_REUSE, Reuse
from mappings.study.orders import Order, filed, orders, wanted_orders
from mappings.values.text import is_merged


class AskedMessage(NamedTuple):
    """Study, cause, settings, receiver and facts: all that one message is mapped from."""

    study: Study
    cause: Cause
    site: Site
    receiver: Receiver
    facts: Facts


@dataclass(frozen=True, slots=True)
class MessagePlace:
    """Patient of a message, the reports filed under its number, and the orders, each with its number.

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
    """Find patient, reports and orders of a cause's message, or the reason that there is none.

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
    return _place_of_draft(asked, report) if cause.kind == "draft" else _final(asked, report, signed)


def _is_standing(asked: AskedMessage) -> bool:
    """False if a draft is withdrawn and the study's signed reports are withdrawn too."""
    return not (asked.cause.kind == "draft_cancelled" and is_withdrawn(asked.study, asked.site, asked.facts))


def _final(asked: AskedMessage, report: Report, signed: Mapping[str, Subject] | None) -> MessagePlace | MappingIssue:
    """Find the place of a signed report's message, with all reports under its number."""
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


def filing_numbers(study: Study, site: Site, facts: Facts) -> Iterator[str]:
    """Yield the accession and exam numbers by which receivers may file a study."""
    for one in orders(study, site, facts)[0]:
        yield from filter(None, (one.accession_number, one.exam_number))


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


def _place_of_draft(asked: AskedMessage, report: Report) -> MessagePlace | MappingIssue:
    """Find the place of a draft's message; the patient's drafts share one, except addenda with their own order."""
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
    """Find the place of a cancellation's message, with the reports left under its number."""
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
    restated = _place_of_draft(asked, left[0]) if left and not study.is_cancelled else None
    return restated if isinstance(restated, MessagePlace) else _empty_place(asked, known, subject, report)


def _empty_place(
    asked: AskedMessage, known: Mapping[str, Subject], subject: Subject, report: Report
) -> MessagePlace | MappingIssue:
    """Return the place of a message that leaves no reports under its number; an issue if its patient is unknown."""
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
        yield from _documents_of(asked, subject)
        return
    is_alone = is_apart(asked, report)
    for other in subject.reports:
        if other.report_id == asked.cause.report_id or not (is_alone or is_apart(asked, other)):
            yield other


def _documents_of(asked: AskedMessage, subject: Subject) -> Iterator[Report]:
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
    """Return the number made for a patient's reports; no other patient or separate addendum has it."""
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


@dataclass(frozen=True, slots=True)
class Rendering:
    """Content of one message: its `place`, its `subject` with the reports that it carries, and their `status`.

    `is_whole`: the message leaves out nothing that stands under its number.
    """

    place: MessagePlace
    subject: Subject
    status: Status
    is_whole: bool = True
    issues: tuple[MappingIssue, ...] = ()


def rendering(study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts) -> Rendering | MappingIssue:
    """Return the content that a cause sends to a receiver, or the reason that nothing is sent."""
    asked = AskedMessage(study, cause, site, receiver, facts)
    placement = place(asked)
    return placement if isinstance(placement, MappingIssue) else rendered(asked, placement)


def rendered(asked: AskedMessage, placed: MessagePlace) -> Rendering | MappingIssue:
    """Return the content of a cause's message at its place, or the reason that nothing is sent."""
    if placed.subject.reports and not placed.subject.reports[0].is_completed:
        made = _draft(asked, placed)
    else:
        made = _signed(asked, placed)
    return made if isinstance(made, MappingIssue) else _as_received(made, asked.site, asked.receiver)


def _as_received(made: Rendering, site: Site, receiver: Receiver) -> Rendering | MappingIssue:
    """Apply the receiver's codes and requirements, or return the reason that nothing is sent."""
    if site.on_conflict == "hold" and any(issue.code == "identity-conflict" for issue in made.issues):
        action = "the site's on_conflict asks to hold it: nothing sent in v2"
        return MappingIssue("identity-conflict-held", "error", made.subject.pointer, action)
    if held := _without_authority(made.subject, site):
        return held
    if lack := _lacking(made.subject, site, receiver):
        return lack
    status = obr_25(made.status, receiver)
    if status is None:
        action = f"the receiver's status_map has no code for {made.status.obr_25}, {made.status.obx_11}: nothing sent"
        return MappingIssue("status-not-received", "warning", f"{made.place.lead.pointer}/status", action)
    return made if status is made.status else replace(made, status=status)


def _without_authority(subject: Subject, site: Site) -> MappingIssue | None:
    """Find a reason to hold a message because nobody says whose number the MRN is (D11)."""
    pointer = f"{subject.pointer}/mrn"
    if any(mrn_number(one, site) is None for one in (subject.snapshot, *(one.snapshot for one in subject.reports))):
        action = "the MRN names another authority or type than that of its facility's MRNs: held"
        return MappingIssue("mrn-unreadable", "error", pointer, action)
    if site.mrn_authority == "facility" and subject.identity.lacks_authority:
        action = "no mrn_namespace for its facility, and the destination does not say mrn_authority: held"
        return MappingIssue("authority-unknown", "error", pointer, action)
    if site.bare_namespace is not None and not subject.identity.mrn_namespaces <= {site.bare_namespace}:
        action = "PID-3 is a bare number there, and the MRN is not of the one namespace that is told so: held"
        return MappingIssue("authority-unknown", "error", pointer, action)
    return None


def _lacking(subject: Subject, site: Site, receiver: Receiver) -> MappingIssue | None:
    """Find a required fact about the patient that is missing: the message is then held."""
    if receiver.xpn_type == "off" and not value(subject.snapshot.patient_name):
        action = "the receiver takes no type of a name, by which alone PID-5 says that it is not known: held"
        return MappingIssue("name-absent", "error", f"{subject.pointer}/patientName", action)
    if receiver.vista_patient != "off" and not vista_numbers(subject.identity, site, receiver).is_known:
        action = "no number by which VistA knows the patient: held until there is one (vista_ settings of [mapping])"
        return MappingIssue("vista-patient-unknown", "error", f"{subject.pointer}/mrn", action)
    return None


def _signed(asked: AskedMessage, placed: MessagePlace) -> Rendering | MappingIssue:
    """Return the content of a message about signed reports."""
    cause, report, subject = asked.cause, placed.report, placed.subject
    row = _row(asked, placed)
    if row is None:
        action = "nothing was sent that could be withdrawn: nothing sent in v2"
        return MappingIssue("withdrawn-unsent", "information", "/isCancelled", action)
    issues = placed.issues
    if report is not None:
        is_told = cause.sent_before or row is STATUS["withdrawn"]
        if not is_told and _is_without_original(asked, report):
            action = "the receiver is told of addenda apart, and their report is not there: held until it is"
            return MappingIssue("addendum-without-original", "error", f"{report.pointer}/isAddendum", action)
        doubts = report_status(asked.study, report, placed.peers, asked.site, asked.facts)[1]
        issues = (*issues, *doubts, *addendum_parent(report, placed.peers)[1])
    made = Rendering(placed, subject, row, issues=issues)
    if cause.part == "pdf":
        return _without_text(made) if row is STATUS["withdrawn"] else _documents(asked, made)
    if report is not None and asked.receiver.addendum == "append" and cause.is_signature:
        return _signature_alone(made, report, cause)
    merged = _merged(subject.reports) if len(subject.reports) > 1 else []
    return replace(made, issues=(*issues, *merged)) if merged else made


def _row(asked: AskedMessage, placed: MessagePlace) -> Status | None:
    """Choose the row of the status table; None if nothing was sent that could be withdrawn (drafts: see Facts)."""
    cause = asked.cause
    was_sent = cause.part == "report" and cause.report_id in asked.facts.filler_order_numbers
    if cause.kind == "draft_cancelled":
        return STATUS["withdrawn"] if was_sent and not cause.sent_before else None
    if cause.kind == "withdrawn" or is_withdrawn(asked.study, asked.site, asked.facts) or not placed.subject.reports:
        return STATUS["withdrawn"] if was_sent or cause.sent_before else None
    if cause.is_cancellation and not cause.sent_before:
        return None
    return STATUS["restated" if cause.sent_before else "signed"]


def _is_without_original(asked: AskedMessage, report: Report) -> bool:
    """True for a separate addendum of a study without a signed original, which must go first (D19)."""
    is_told_apart = asked.receiver.addendum in ("append", "new_order") and report.is_addendum
    return is_told_apart and all(one.is_addendum for one in asked.study.completed)


def _without_text(made: Rendering) -> Rendering:
    return replace(made, subject=replace(made.subject, reports=()))


def _documents(asked: AskedMessage, made: Rendering) -> Rendering | MappingIssue:
    """Choose the PDFs of a report and its addenda; the report's is withdrawn if an addendum lacks one (D36)."""
    reports = made.subject.reports
    addenda = [one for one in reports if one.is_addendum] if len(reports) > 1 else []
    lacking = next((one for one in addenda if not _is_sendable(asked, one)), None)
    if lacking is None:
        return made
    is_sent = asked.cause.sent_before
    action = "no PDF of the addendum to go first: that of its report is " + ("withdrawn" if is_sent else "not sent")
    issue = MappingIssue("pdf-superseded", "warning", lacking.pointer, action)
    withdrawn = replace(_without_text(made), status=STATUS["withdrawn"], issues=(*made.issues, issue))
    return withdrawn if is_sent else issue


def _is_sendable(asked: AskedMessage, report: Report) -> bool:
    facts = asked.facts.pdf.get(report.report_id)
    return facts is not None and bool(facts.data) and facts.size <= asked.receiver.pdf_max


def _signature_alone(made: Rendering, report: Report, cause: Cause) -> Rendering:
    """Send a signature alone where addenda are appended, if its original was sent.

    All reports go together for an addendum to an original never sent (D31), or not under one of the orders, and for the
    first original after addenda.
    """
    is_first = not cause.sent_before or made.place.has_new_order
    if made.status is STATUS["withdrawn"] or (report.is_addendum and is_first):
        return made
    others = [one for one in made.subject.reports if one.report_id != report.report_id]
    if cause.sent_before and others and not report.is_addendum and all(one.is_addendum for one in others):
        return made
    row = STATUS["added"] if cause.sent_before else made.status
    return replace(made, subject=replace(made.subject, reports=(report,)), status=row, is_whole=False)


def _draft(asked: AskedMessage, placed: MessagePlace) -> Rendering | MappingIssue:
    """Return the content of a message about unsigned reports."""
    report = placed.report or placed.subject.reports[0]
    if asked.cause.sent_before:
        place_of = f"{report.pointer}/status"
        return MappingIssue("draft-after-final", "information", place_of, "a signed report was sent: no draft follows")
    doubts = report_status(asked.study, report, placed.peers, asked.site, asked.facts)[1]
    return Rendering(placed, placed.subject, STATUS["draft_shown"], issues=(*placed.issues, *doubts))


def _merged(reports: Sequence[Report]) -> list[MappingIssue]:
    """Issues for addenda with the whole text of an original: both are sent, as all completed reports are (D17, D19)."""
    originals = [one for one in reports if not one.is_addendum]
    return [
        MappingIssue(
            "addendum-merged",
            "information",
            f"{one.pointer}/reportPlainText",
            "the addendum holds its report whole: sent twice",
        )
        for one in reports
        if one.is_addendum and any(is_merged(original.text, one.text) for original in originals)
    ]


@dataclass(frozen=True, slots=True)
class Outline:
    """Outline of a message: its patient, numbers and keys, without the text.

    `restates`: supersession key. A whole message (`is_whole`) replaces unsent messages with the same key.
    `filler_order_numbers` are EI.1 of OBR-3 in each order, `report_ids` the reports with text in it, `patient_id` the
    id of the FHIR Patient in PID, and `replaced` those that this one replaces since a merge: the same patient (D48).
    `respelled` are those of them whose number is only another spelling.
    """

    restates: str
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    is_whole: bool
    replaced: tuple[str, ...] = ()
    respelled: tuple[str, ...] = ()

    def is_about(self, patient_id: str) -> bool:
        """True for the id of its patient, at present or before a merge."""
        return patient_id == self.patient_id or patient_id in self.replaced

    def apart(self) -> Outline:
        """Return the outline for a receiver that follows no merges: another number is another patient there."""
        return replace(self, replaced=self.respelled)


def outline(study: Study, cause: Cause, site: Site, receiver: Receiver, facts: Facts) -> Outline | MappingIssue:
    """Return the outline of a cause's message, or the reason that there is none."""
    made = rendering(study, cause, site, receiver, facts)
    return made if isinstance(made, MappingIssue) else outline_of(made, cause)


def outline_of(made: Rendering, cause: Cause) -> Outline:
    """Return the outline of a rendering's message, for its cause."""
    place, identity = made.place, made.subject.identity
    others = of_other_numbers(identity)
    return Outline(
        restates=f"{place.number}/{cause.accession_number}",
        filler_order_numbers=place.filler_order_numbers,
        report_ids=tuple(report.report_id for report in made.subject.reports),
        patient_id=identity.patient_id,
        is_whole=made.is_whole,
        replaced=tuple([one.patient_id for one in identity.replaced]),
        respelled=tuple([one.patient_id for one in identity.replaced if one not in others]),
    )
