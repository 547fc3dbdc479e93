"""The signed chest CT of the reference's example messages, as AutoScribe sends it, and helpers to send it as v2."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mappings import decode, to_oru
from mappings.model import AnsweredOrder, Cause, Facts, Mapped, MergedNumber, Report, Study
from mappings.profile import Receiver, Site, parse_site, receiver

STUDY_ID = "stu_7d4f0c2a9b1e4f6f8a3d5c7e9f1b2d4a"
REPORT_ID = "rep_1b9e6f0d3c5a4e7f8091a2b3c4d5e6f7"
ADDENDUM_ID = "rep_2c9e6f0d3c5a4e7f8091a2b3c4d5e6f8"
USER_ID = "usr_3d9e6f0d3c5a4e7f8091a2b3c4d5e6f9"
UID = "1.2.840.113619.2.55.3.604688119.971.1767621600.467"
INDICATION = "Shortness of breath & pleuritic pain; R/O PE."
TEXT = f"""EXAM: CT CHEST WITH CONTRAST

CLINICAL INDICATION: {INDICATION}

FINDINGS:
Filling defect in the right lower lobe segmental artery (series 4 | image 112).
Heart size normal. RV/LV ratio ~ 0.8.

IMPRESSION:
1. Acute segmental pulmonary embolism, right lower lobe.
2. No right heart strain."""
SNAPSHOT = {
    "dateOfBirth": "1971-02-14",
    "facilityName": "Mercy East",
    "mrn": "00412345",
    "patientName": "DOE^JANE^Q",
    "procedure": "CT CHEST WITH CONTRAST",
    "referringPhysicianName": "JONES^ANN^^^DR",
    "sex": "female",
    "studyDate": "2026-01-05",
    "studyTime": "14:20",
    "height": {"unit": "in", "value": 65},
    "weight": {"unit": "lbs", "value": 180},
}
SITE = parse_site("""
[mapping]
on_conflict = "send"
receiving_application = "EHR_RAD"
receiving_facility = "MERCY"
[[mapping.facilities]]
name = "Mercy East"
code = "MERCY_EAST"
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "MERCY"
""")


def report(**changes: Any) -> dict[str, Any]:
    """Make a Report; `snapshot` replaces keys of its snapshot, None removes one."""
    snapshot = {**SNAPSHOT, **changes.pop("snapshot", {})}
    made = {
        "reportId": REPORT_ID,
        "studyId": STUDY_ID,
        "userId": USER_ID,
        "status": "completed",
        "isAddendum": False,
        "isCritical": None,
        "createdAt": "2026-01-05T15:00:00Z",
        "signedAt": "2026-01-05T16:30:12Z",
        "updatedAt": "2026-01-05T16:30:12Z",
        "snapshotMetadata": {key: value for key, value in snapshot.items() if value is not None},
        "reportPlainText": TEXT,
        **changes,
    }
    return {key: value for key, value in made.items() if not (key == "reportPlainText" and value is None)}


def addendum(**changes: Any) -> dict[str, Any]:
    """Make an addendum, signed 75 minutes after the report."""
    own = {
        "reportId": ADDENDUM_ID,
        "isAddendum": True,
        "signedAt": "2026-01-05T17:45:00Z",
        "reportPlainText": "Comparison CT of 12-Mar-2024 is now available. No embolism was present then.",
    }
    return report(**{**own, **changes})


USER = {
    "userId": USER_ID,
    "email": "alex.smith@example.org",
    "firstName": "ALEX",
    "middleName": "R",
    "lastName": "SMITH",
    "suffix1": "MD",
    "npiNumber": "1234567893",
    "canCreateReports": True,
    "canManageStudies": False,
    "hasDashboardAccess": False,
    "clinicRole": "Radiologist",
    "invitedSource": "api",
    "level": "member",
    "createdAt": None,
    "lastLoginAt": None,
}


def study(*reports: dict[str, Any], users: tuple[dict[str, Any], ...] = (USER,), **changes: Any) -> Study:
    """Decode the study with these reports (by default the one report)."""
    wire = {
        "studyId": STUDY_ID,
        "studyInstanceUid": UID,
        "studyDescription": "CT chest",
        "severity": "stat",
        "studyReportStatus": "completed",
        "reportMetadata": {},
        "isCancelled": False,
        "createdAt": None,
        "updatedAt": None,
        "cancelledAt": None,
        "modality": "CT",
        "clinicalIndication": INDICATION,
        **changes,
    }
    return decode(wire, list(reports) or [report()], users)


def profile(**switches: Any) -> Receiver:
    """Return the profile `generic` with other switches."""
    return replace(receiver("generic"), **switches)


def send(
    what: Study | None = None,
    *,
    report_id: str = REPORT_ID,
    site: Site = SITE,
    to: Receiver | None = None,
    accession: str | None = None,
    filler: str | tuple[str, ...] = (),
    seen: tuple[str, ...] = (),
    gone: tuple[Report, ...] = (),
    numbers: dict[str, tuple[str, ...]] | None = None,
    orders: tuple[AnsweredOrder, ...] = (),
    merged: tuple[MergedNumber, ...] = (),
    taken: frozenset[str] = frozenset(),
    **cause: Any,
) -> Mapped[bytes | None]:
    """Send the study (default: the example) as ORU^R01; `filler`: number of its first message. Keywords go to Cause."""
    fixed = dict.fromkeys((REPORT_ID, report_id), (filler,) if isinstance(filler, str) else filler) if filler else {}
    return to_oru(
        what or study(),
        Cause(report_id, **cause),
        site,
        to or receiver("generic"),
        Facts(
            accession_number=accession,
            taken_patient_ids=taken,
            filler_order_numbers=numbers or fixed,
            seen=seen,
            gone=gone,
            orders=orders,
            merged=merged,
        ),
        control_id="Js8H5Znu6q8Ibanjv4jC",
        at=datetime(2026, 1, 5, 16, 30, 14, tzinfo=UTC),
    )


def sent(what: Study | None = None, **options: Any) -> bytes:
    """Bytes of `send`."""
    output = send(what, **options).output
    assert output is not None
    return output


def codes(what: Study | None = None, **options: Any) -> dict[str, str]:
    """Issues of `send`: code -> pointer."""
    return {issue.code: issue.pointer for issue in send(what, **options).issues}
