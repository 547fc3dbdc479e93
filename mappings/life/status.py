"""Table of report status in FHIR and HL7 v2, and the search for the original report of an addendum.

https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html, HL7 v2.5.1 tables 0123, 0085, 0038, decisions D16-D22.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from mappings.issues import MappingIssue
from mappings.model import Facts, Report, Study
from mappings.profile import Receiver, Site
from mappings.study.newest_word import changed_after_addendum, is_followed

_NO_FACTS: Final = Facts()
State = Literal[
    "draft",
    "draft_shown",
    "signed",
    "signed_with_addenda",
    "older_addendum",
    "corrected",
    "withdrawn",
    "cancelled",
    "not_known",
]
Rendering = Literal["restated", "added"]


@dataclass(frozen=True, slots=True)
class Status:
    """Status codes: of the DiagnosticReport and its section Observations; OBR-25, OBX-11, ORC-5, None if not sent.

    `is_void`: a notice replaces the text, for a receiver without the OBX-11 code `W`.
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
    "signed_with_addenda": Status("appended", "amended", "F", "F", "CM"),
    "older_addendum": Status("amended", "amended", "F", "F", "CM"),
    "corrected": Status("corrected", "corrected", "C", "C", "CM"),
    "withdrawn": Status("entered-in-error", "entered-in-error", "C", "W", "CM"),
    "cancelled": Status("cancelled", "cancelled"),
    "not_known": Status("unknown", "unknown"),
    # v2 status of a signed report after a signed one was sent under the filler order number, whatever its state:
    # restated with all other reports of the study, or alone as an addition to them (D19)
    "restated": Status("corrected", "corrected", "C", "C", "CM"),
    "added": Status("appended", "final", "A", "F", "CM"),
}


def obr_25(row: Status, receiver: Receiver) -> Status | None:
    """Apply a receiver's `status_map` to OBR-25 and OBX-11; None if the map says `none`.

    A map for `W` replaces OBX-11 of withdrawn text by its code, or by that of a correction if it says `void`. In both
    cases the text is removed, since without `W` nothing else says that it is no longer valid.
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


# Values of `status_map` that are no code for OBR-25
_NOT_A_CODE: Final = ("none", "void")


def report_state(study: Study, report: Report, peers: Sequence[Report], site: Site, facts: Facts) -> State:
    """State of one report within its study; `peers` are the reports about its patient, including itself."""
    if not report.is_completed:
        return _unsigned_state(study, report, site, facts)
    if is_withdrawn(study, site, facts):
        return "withdrawn"
    if report.report_id in facts.corrected:
        return "corrected"
    if is_followed(report, peers):
        return "older_addendum"
    return "signed_with_addenda" if has_addenda(report, peers) else "signed"


def is_withdrawn(study: Study, site: Site, facts: Facts = _NO_FACTS) -> bool:
    """True for a cancelled study if the site, or an operator, withdraws its signed reports (D21)."""
    by_site = site.on_cancelled_after_sign == "withdraw" and facts.withdrawal != "waits"
    return bool(study.is_cancelled) and (by_site or facts.is_withdrawn)


def _unsigned_state(study: Study, report: Report, site: Site, facts: Facts) -> State:
    if report.status != "in_progress":
        return "not_known"
    if is_withdrawn(study, site, facts) or (study.is_cancelled and not study.completed):
        return "cancelled"
    return "draft_shown" if is_shown_draft(report, site) else "draft"


def is_shown_draft(report: Report, site: Site) -> bool:
    """True for an unsigned report whose text the site publishes (D16)."""
    return site.send_drafts and report.status == "in_progress" and bool((report.text or "").strip())


def has_addenda(report: Report, peers: Sequence[Report]) -> bool:
    """True for a signed original with signed addenda about the same patient: it shows them (D12, D17)."""
    return report.is_completed and not report.is_addendum and any(map(_is_signed_addendum, peers))


def _is_signed_addendum(report: Report) -> bool:
    return report.is_addendum and report.is_completed


def report_status(
    study: Study, report: Report, peers: Sequence[Report], site: Site, facts: Facts
) -> tuple[Status, tuple[MappingIssue, ...]]:
    """Status of a report, with an issue if its state is doubtful; `peers` are the reports about its patient."""
    state = report_state(study, report, peers, site, facts)
    issues: list[MappingIssue] = []
    if state == "not_known":
        place = f"{report.pointer}/status"
        issues.append(MappingIssue("status-unknown", "warning", place, "FHIR status unknown, nothing sent in v2"))
    if state == "draft_shown":
        action = "the site sends drafts: its text is said, as preliminary"
        issues.append(MappingIssue("draft-shown", "warning", f"{report.pointer}/status", action))
    if study.is_cancelled and report.is_completed:
        many = ": too many were withdrawn within the hour" if facts.withdrawal == "waits" else ""
        action = f"the signed report stays as it is; an operator decides on withdrawal{many}"
        if state == "withdrawn":
            who = "an operator decided" if facts.is_withdrawn else "the site's on_cancelled_after_sign asks"
            action = f"the signed report is withdrawn, as {who}"
        issues.append(MappingIssue("cancelled-after-sign", "warning", "/isCancelled", action))
    if changed_after_addendum(report, peers):
        action = "its text is newer than an addendum: it stands before it, by the time of the change"
        place = f"{report.pointer}/reportPlainText"
        issues.append(MappingIssue("text-changed-after-addendum", "warning", place, action))
    if report.is_completed and report.signed_at is None:
        issues.append(
            MappingIssue("signed-at-absent", "warning", f"{report.pointer}/signedAt", "no time of signing is said")
        )
    if not report.is_completed and report.signed_at is not None:
        place, action = f"{report.pointer}/signedAt", "by its status it is not signed: no time of signing is said"
        issues.append(MappingIssue("signed-at-unexpected", "warning", place, action))
    return STATUS[state], tuple(issues)


def refusal(study: Study) -> MappingIssue | None:
    """Issue that refuses an external study: it is not AutoScribe's to report (D25). None for all others."""
    if study.study_type != "external":
        return None
    return MappingIssue("study-external", "information", "/studyType", "no AutoScribe report: nothing is made of it")


def addendum_parent(report: Report, peers: Sequence[Report]) -> tuple[Report | None, tuple[MappingIssue, ...]]:
    """Original report of an addendum: its patient's only completed one, else None with an issue (D17)."""
    if not report.is_addendum:
        return None, ()
    originals = [other for other in peers if other.is_completed and not other.is_addendum]
    if len(originals) == 1:
        return originals[0], ()
    action = f"{len(originals)} completed originals about the patient: linked to none"
    return None, (MappingIssue("addendum-parent-unclear", "warning", f"{report.pointer}/isAddendum", action),)
