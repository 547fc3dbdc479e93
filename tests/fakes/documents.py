"""Complete answers of the AutoScribe API for the client's tests; every call gives a fresh copy to change."""

from __future__ import annotations

from typing import Any

from fakes.upstream_json import STUDY_ID, STUDY_UID, USER_ID, report_id, report_json, response_json
from fakes.upstream_json import study_json as study
from fakes.upstream_json import user_json as user

__all__ = ["OTHER_REPORT_ID", "REPORT_ID", "STUDY_ID", "STUDY_UID", "USER_ID", "study", "user"]

REPORT_ID = report_id("3")
OTHER_REPORT_ID = report_id("4")


def report_list(*reports: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**response_json(*(reports or [report_json()])), **changes}


def text_item(**changes: Any) -> dict[str, Any]:
    return {
        "reportId": REPORT_ID,
        "studyId": STUDY_ID,
        "studyInstanceUid": STUDY_UID,
        "isCritical": False,
        "snapshotMetadata": {},
        "plainText": "FINDINGS: Normal.",
        **changes,
    }


def pdf_item(url: str = "https://storage.avarasoftware.com/r.pdf?token=abc123", **changes: Any) -> dict[str, Any]:
    item = {**text_item(), "presignedUrl": url, **changes}
    del item["plainText"]
    return item
