"""What a report's state is called in FHIR and in HL7 v2, and what it adds to, decided once.

https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html, HL7 v2.5.1 tables 0123, 0085, 0038, decisions D16-D22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from mappings.issues import MappingIssue
from mappings.model import Facts, Report, Study
from mappings.profile import Receiver, Site

State = Literal[
    "draft", "draft_shown", "signed", "signed_with_addenda", "corrected", "withdrawn", "cancelled", "not_known"
]
Rendering = Literal["restated", "added"]


@dataclass(frozen=True, slots=True)
class Status:
    """One row: status of the DiagnosticReport and its section Observations; OBR-25, OBX-11, ORC-5, None: not sent.

    `is_void`: a line that says so stands for the text, for a receiver that knows no OBX-11 `W`.
    """

    diagnostic_report: str
    observation: str
    obr_25: str | None = None
    obx_11: str | None = None
    orc_5: str | None = None
    is_void: bool = False


STATUS: Final[dict[State | Rendering, Status]] = {
    "draft": Status("registered", "registered"),
    "draft_shown": Status("preliminary", "preliminary", "P", "P", "IP"),
    "signed": Status("final", "final", "F", "F", "CM"),
    "signed_with_addenda": Status("appended", "final", "F", "F", "CM"),
    "corrected": Status("corrected", "corrected", "C", "C", "CM"),
    "withdrawn": Status("entered-in-error", "entered-in-error", "C", "W", "CM"),
    "cancelled": Status("cancelled", "cancelled"),
    "not_known": Status("unknown", "unknown"),
    # What a signed report is called in v2 once a signed one was sent under the filler order number, whatever its state:
    # said again with all others of the study, or alone as an addition to them (D19)
    "restated": Status("corrected", "corrected", "C", "C", "CM"),
    "added": Status("appended", "final", "A", "F", "CM"),
}


def obr_25(row: Status, receiver: Receiver) -> Status | None:
    """The row as a receiver has it: OBR-25 and OBX-11 by its `status_map`, None where that says `none`.

    A receiver whose map has `W` gets that code in OBX-11 of what is withdrawn, or as `void` that of a correction; in
    either case its text is taken away, for without `W` nothing else says that it is no longer valid.
    """
    if not receiver.status_map or row.obr_25 is None:
        return row
    known = dict(receiver.status_map)
    code, obx_11 = known.get(row.obr_25, row.obr_25), known.get(row.obx_11 or "", row.obx_11)
    if code in _NOT_A_CODE or obx_11 == "none":
        return None
    corrected = known.get("C", STATUS["restated"].obx_11)
    is_void = row.obx_11 == "W" and obx_11 != "W"
    return replace(row, obr_25=code, obx_11=corrected if obx_11 == "void" else obx_11, is_void=is_void)


# Values of `status_map` that OBR-25 cannot have
_NOT_A_CODE: Final = ("none", "void")


def report_state(study: Study, report: Report, peers: Sequence[Report], site: Site, facts: Facts) -> State:
    """The state of one report within its study; `peers` are the reports about its patient, itself among them."""
    if not report.is_completed:
        return _unsigned_state(study, report, site)
    if is_withdrawn(study, site):
        return "withdrawn"
    if report.report_id in facts.corrected:
        return "corrected"
    return "signed_with_addenda" if has_addenda(report, peers) else "signed"


def is_withdrawn(study: Study, site: Site) -> bool:
    """True for a cancelled study whose signed reports the site takes back (D21)."""
    return bool(study.is_cancelled) and site.on_cancelled_after_sign == "withdraw"


def _unsigned_state(study: Study, report: Report, site: Site) -> State:
    if report.status != "in_progress":
        return "not_known"
    if is_withdrawn(study, site) or (study.is_cancelled and not study.completed):
        return "cancelled"
    return "draft_shown" if is_shown_draft(report, site) else "draft"


def is_shown_draft(report: Report, site: Site) -> bool:
    """True for an unsigned report whose text the site lets out (D16)."""
    return site.send_drafts and report.status == "in_progress" and bool((report.text or "").strip())


def has_addenda(report: Report, peers: Sequence[Report]) -> bool:
    """True for a signed original that signed addenda about the same patient add to: it shows them (D12, D17)."""
    return report.is_completed and not report.is_addendum and any(map(_is_signed_addendum, peers))


def _is_signed_addendum(report: Report) -> bool:
    return report.is_addendum and report.is_completed


def report_status(
    study: Study, report: Report, peers: Sequence[Report], site: Site, facts: Facts
) -> tuple[Status, tuple[MappingIssue, ...]]:
    """The row of a report, with an issue where its state is doubtful; `peers` are the reports about its patient."""
    state = report_state(study, report, peers, site, facts)
    issues: list[MappingIssue] = []
    if state == "not_known":
        place = f"{report.pointer}/status"
        issues.append(MappingIssue("status-unknown", "warning", place, "FHIR status unknown, nothing sent in v2"))
    if state == "draft_shown":
        action = "the site sends drafts: its text is said, as preliminary"
        issues.append(MappingIssue("draft-shown", "warning", f"{report.pointer}/status", action))
    if study.is_cancelled and report.is_completed:
        action = "the signed report stays as it is; an operator decides on withdrawal"
        if state == "withdrawn":
            action = "the signed report is withdrawn, as the site's on_cancelled_after_sign asks"
        issues.append(MappingIssue("cancelled-after-sign", "warning", "/isCancelled", action))
    if report.is_completed and report.signed_at is None:
        issues.append(
            MappingIssue("signed-at-absent", "warning", f"{report.pointer}/signedAt", "no time of signing is said")
        )
    if not report.is_completed and report.signed_at is not None:
        place, action = f"{report.pointer}/signedAt", "by its status it is not signed: no time of signing is said"
        issues.append(MappingIssue("signed-at-unexpected", "warning", place, action))
    return STATUS[state], tuple(issues)


def refusal(study: Study) -> MappingIssue | None:
    """Why nothing is made of a study: it is of an external archive, not AutoScribe's to report (D25)."""
    if study.study_type != "external":
        return None
    return MappingIssue("study-external", "information", "/studyType", "no AutoScribe report: nothing is made of it")


def addendum_parent(report: Report, peers: Sequence[Report]) -> tuple[Report | None, tuple[MappingIssue, ...]]:
    """The report that an addendum adds to: its patient's only completed original, else None with an issue (D17)."""
    if not report.is_addendum:
        return None, ()
    originals = [other for other in peers if other.is_completed and not other.is_addendum]
    if len(originals) == 1:
        return originals[0], ()
    action = f"{len(originals)} completed originals about the patient: linked to none"
    return None, (MappingIssue("addendum-parent-unclear", "warning", f"{report.pointer}/isAddendum", action),)
