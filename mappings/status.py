"""What a report's state is called in FHIR and in HL7 v2, who signed it and what it adds to, decided once.

https://hl7.org/fhir/R4/valueset-diagnostic-report-status.html, HL7 v2.5.1 tables 0123, 0085, 0038, decisions D16-D22.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mappings.issues import MappingIssue
from mappings.model import Facts, Report, Study, User
from mappings.profile import Site

State = Literal[
    "draft", "draft_shown", "signed", "signed_with_addenda", "corrected", "withdrawn", "cancelled", "not_known"
]


@dataclass(frozen=True, slots=True)
class Status:
    """One row: status of the DiagnosticReport and its section Observations; OBR-25, OBX-11, ORC-5, None: not sent."""

    diagnostic_report: str
    observation: str
    obr_25: str | None = None
    obx_11: str | None = None
    orc_5: str | None = None


STATUS: Final[dict[State, Status]] = {
    "draft": Status("registered", "registered"),
    "draft_shown": Status("preliminary", "preliminary", "P", "P", "IP"),
    "signed": Status("final", "final", "F", "F", "CM"),
    "signed_with_addenda": Status("appended", "final", "F", "F", "CM"),
    "corrected": Status("corrected", "corrected", "C", "C", "CM"),
    "withdrawn": Status("entered-in-error", "entered-in-error", "C", "W", "CM"),
    "cancelled": Status("cancelled", "cancelled"),
    "not_known": Status("unknown", "unknown"),
}
# What the same states are called in v2 once anything was sent under the filler order number (D19)
CORRECTED: Final = STATUS["corrected"]


def report_state(study: Study, report: Report, site: Site, facts: Facts) -> State:
    """The state of one report within its study."""
    if not report.is_completed:
        return _unsigned_state(study, report, site)
    if study.is_cancelled and site.on_cancelled_after_sign == "withdraw":
        return "withdrawn"
    if report.report_id in facts.corrected:
        return "corrected"
    return "signed_with_addenda" if has_addenda(study, report) else "signed"


def _unsigned_state(study: Study, report: Report, site: Site) -> State:
    if report.status != "in_progress":
        return "not_known"
    if study.is_cancelled and not study.completed:
        return "cancelled"
    return "draft_shown" if site.send_drafts and report.text else "draft"


def has_addenda(study: Study, report: Report) -> bool:
    """True for a signed original that signed addenda add to: it shows them (D17)."""
    return report.is_completed and not report.is_addendum and any(other.is_addendum for other in study.completed)


def report_status(study: Study, report: Report, site: Site, facts: Facts) -> tuple[Status, tuple[MappingIssue, ...]]:
    """The row of a report, with an issue where its state is doubtful."""
    state = report_state(study, report, site, facts)
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


def signer(study: Study, report: Report) -> tuple[User | None, tuple[MappingIssue, ...]]:
    """The User behind a report's userId, who created or signed it (D24), or None with an issue."""
    user = study.users.get(report.user_id)
    if user is not None:
        return user, ()
    action = "FHIR names the radiologist by identifier only, v2 not at all"
    return None, (MappingIssue("user-unknown", "warning", f"{report.pointer}/userId", action),)


def addendum_parent(study: Study, report: Report) -> tuple[Report | None, tuple[MappingIssue, ...]]:
    """The report that an addendum adds to: the study's only completed original, else None with an issue (D17)."""
    if not report.is_addendum:
        return None, ()
    originals = [other for other in study.completed if not other.is_addendum]
    if len(originals) == 1:
        return originals[0], ()
    action = f"{len(originals)} completed originals in the study: linked to none"
    return None, (MappingIssue("addendum-parent-unclear", "warning", f"{report.pointer}/isAddendum", action),)
