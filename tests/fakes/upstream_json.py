"""AutoScribe's JSON: small objects that satisfy the wire contract, changed by keywords."""

from __future__ import annotations

from typing import Any

from mappings.study import wire

STUDY_ID = "stu_" + "1" * 32
USER_ID = "usr_" + "2" * 32
STUDY_UID = "1.2.840.113619.2.55.3.1234567890"

Document = dict[str, Any]


def report_id(digit: str) -> str:
    """A report id made of one hex digit."""
    return "rep_" + digit * 32


def report_json(digit: str = "3", **changes: Any) -> Document:
    """Make a signed report with an empty snapshot."""
    return {
        "reportId": report_id(digit),
        "studyId": STUDY_ID,
        "userId": USER_ID,
        "status": "completed",
        "isAddendum": False,
        "isCritical": False,
        "createdAt": "2024-03-15T14:30:00Z",
        "signedAt": "2024-03-15T16:00:00Z",
        "updatedAt": "2024-03-15T16:00:00Z",
        "snapshotMetadata": {},
        **changes,
    }


def response_json(*reports: Document) -> Document:
    return {"reports": list(reports), "studyId": STUDY_ID, "studyInstanceUid": STUDY_UID}


def study_json(**changes: Any) -> Document:
    return {
        "studyId": STUDY_ID,
        "studyInstanceUid": STUDY_UID,
        "studyDescription": "Brain MRI with Contrast",
        "severity": "normal",
        "studyReportStatus": "completed",
        "reportMetadata": {},
        "isCancelled": False,
        "createdAt": "2024-03-15T10:30:00Z",
        "updatedAt": "2024-03-15T14:20:00Z",
        "cancelledAt": None,
        **changes,
    }


def user_json(**changes: Any) -> Document:
    return {
        "userId": USER_ID,
        "email": "dr.johnson@hospital.example",
        "firstName": "Sarah",
        "lastName": "Johnson",
        "canCreateReports": True,
        "canManageStudies": True,
        "hasDashboardAccess": True,
        "clinicRole": "Radiologist",
        "invitedSource": "dashboard",
        "level": "member",
        "createdAt": "2024-01-15T10:00:00Z",
        "lastLoginAt": None,
        **changes,
    }


# Page of `GET /studies`: the gateway reads one study at a time, and never the page as a whole
STUDY_PAGE: wire.Shape = {
    "studies": (wire._array(wire._object(wire.STUDY)), "R"),
    "hasMore": (wire.BOOLEAN, "R"),
    "cursor": (wire.TEXT, "O"),
}
