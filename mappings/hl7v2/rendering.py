"""Choose the content of a message: the reports, and their status (final, corrected, added, withdrawn).

HL7 v2.5.1 tables 0123 and 0085, decisions D12, D16-D21, D31. By the receiver's switch `addendum`:

| switch | a signature, `F` | any other cause, `C` |
|---|---|---|
| `replace` | all signed reports; `C` after an earlier message | all signed reports |
| `append` | the report alone, `A` after an earlier message; an addendum before one takes all reports | all reports |
| `new_order` | an original: all originals, under the study's number; an addendum alone, under its own | as for `F` |

The number comes from `mappings.hl7v2.place`: a report's number never depends on the order in which reports are signed.
If addenda are sent separately (`append`, `new_order`), the original goes first. An addendum is held until the study has
an original, and an original repeats addenda sent before it. Drafts (D16) are sent as `P` while no report of the study
is signed; in `new_order` also an open addendum, under its own number. A withdrawn report is sent in its last version,
as `W`. If nothing is left under the number, the report is withdrawn without its text. So is a PDF with a separate
message, also if an addendum has no PDF to precede it (D36).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mappings.hl7v2.er7 import value
from mappings.hl7v2.place import AskedMessage, MessagePlace, place
from mappings.hl7v2.vista import vista_numbers
from mappings.issues import MappingIssue
from mappings.life.status import STATUS, Status, addendum_parent, is_withdrawn, obr_25, report_status
from mappings.model import Cause, Facts, Report, Study
from mappings.patient.identifiers import mrn_number
from mappings.patient.subjects import Subject
from mappings.profile import Receiver, Site
from mappings.values.text import is_merged


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
    """Find a fact about the patient that the receiver requires and that is missing: the message is then held."""
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
