"""Small successive versions of a study, and the causes that `changes` finds."""

from __future__ import annotations

from typing import Any

from fakes.upstream_json import report_json, response_json, study_json, user_json

from mappings import decode
from mappings.life.changes import Change, changes
from mappings.model import Study
from mappings.profile import AssigningAuthority, Facility, Site

DRAFT = {"status": "in_progress", "signedAt": None, "isCritical": None}
LATER = "2024-03-16T08:00:00Z"
FACILITY = Facility("Mercy", mrn=AssigningAuthority("urn:oid:2.999.1", "MERCY"))
SITE = Site(facilities={"Mercy": FACILITY})
WITHDRAWS = Site(on_cancelled_after_sign="withdraw")
SHOWS = Site(send_drafts=True)
PATIENT = {
    "mrn": "41235",
    "patientName": "DOE^JANE",
    "dateOfBirth": "1970-01-01",
    "sex": "female",
    "facilityName": "Mercy",
}


def study(*reports: dict[str, Any], **changed: Any) -> Study:
    return decode(study_json(**changed), response_json(*reports), [user_json()])


def report(digit: str = "3", **changed: Any) -> dict[str, Any]:
    snapshot = {**PATIENT, **changed.pop("snapshot", {})}
    text = {"reportPlainText": "IMPRESSION: Normal.", "snapshotMetadata": snapshot}
    return report_json(digit, **{**text, **changed})


def addendum(digit: str = "5", **changed: Any) -> dict[str, Any]:
    return report(digit, **{"isAddendum": True, "signedAt": LATER, "reportPlainText": "More.", **changed})


def kinds(change: Change) -> list[tuple[str, str]]:
    return [(cause.kind, cause.report_id[-1]) for cause in change.causes]


def seen(before: Study, now: Study, site: Site = SITE) -> list[tuple[str, str]]:
    return kinds(changes(before, now, site))


def codes(change: Change) -> list[tuple[str, str]]:
    return [(issue.code, issue.pointer) for issue in change.issues]
