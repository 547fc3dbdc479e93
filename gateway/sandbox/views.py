"""Vary the sandbox's studies and reports (AutoScribe JSON) by its switches, just before they are answered.

AutoScribe REST API: the shapes Study, Report, ReportTextItem and ReportPdfItem.
Proved by tests/gateway/sandbox/test_switches.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from gateway.sandbox.dice import Dice
from gateway.sandbox.switches import Switches
from mappings.study.wire import STUDY_REPORT_METADATA

Json = dict[str, Any]

OLD_NAMES: Final = {"studyDate": "scanDate", "studyTime": "scanTime", "procedure": "scanType"}
_NULLABLE: Final = ("cancelledAt", "signedAt", "isCritical")


def in_order(reports: Sequence[Json], switches: Switches) -> list[Json]:
    """Return the reports of a study in the order that the switch selects."""
    if switches.report_order == "newest_first":
        return list(reversed(reports))
    if switches.report_order == "shuffled":
        return Dice("order", *(report["reportId"] for report in reports)).shuffled(reports)
    return list(reports)


def study_view(study: Json, switches: Switches) -> Json:
    """Return a Study as the API shows it."""
    shown = _drifted(study, switches)
    if switches.accession == "metadata":
        number = f"ACC{int(study['studyId'][4:], 16) % 10**8:08d}"
        shown = {**shown, "metadata": {**(shown.get("metadata") or {}), "accessionNumber": number}}
    return _with_snapshot(shown, "reportMetadata", switches)


def report_view(report: Json, switches: Switches, parent: str | None = None) -> Json:
    """Return a Report as `GET /reports` shows it."""
    shown = _drifted(report, switches)
    if switches.unsigned_text == "absent" and report["status"] == "in_progress":
        shown = {key: value for key, value in shown.items() if key != "reportPlainText"}
    if switches.addendum_parent == "parent_report_id" and report["isAddendum"]:
        shown = {**shown, "parentReportId": parent}
    return _with_snapshot(shown, "snapshotMetadata", switches)


def item(report: Json, uid: str, switches: Switches, **more: str) -> Json:
    """Build the keys that ReportTextItem and ReportPdfItem share, and `more`."""
    shown = {
        "reportId": report["reportId"],
        "studyId": report["studyId"],
        "studyInstanceUid": uid,
        "snapshotMetadata": report["snapshotMetadata"],
        "isCritical": report["isCritical"],
        **more,
    }
    return _with_snapshot(_drifted(shown, switches), "snapshotMetadata", switches)


def text_item(report: Json, uid: str, switches: Switches) -> Json:
    """Build a ReportTextItem."""
    hidden = switches.unsigned_text == "absent" and report["status"] == "in_progress"
    text = None if hidden else report.get("reportPlainText")
    return item(report, uid, switches, **({} if text is None else {"plainText": text}))


def _with_snapshot(shown: Json, key: str, switches: Switches) -> Json:
    snapshot = shown[key]
    if switches.study_time != "minutes" and "studyTime" in snapshot:
        tail = ":00" if switches.study_time == "seconds" else ":00.250"
        snapshot = {**snapshot, "studyTime": snapshot["studyTime"] + tail}
    if switches.drift == "old_names":
        snapshot = {OLD_NAMES.get(name, name): value for name, value in snapshot.items()}
    return shown if snapshot is shown[key] else {**shown, key: snapshot}


def _drifted(shown: Json, switches: Switches) -> Json:
    for name, change in _DRIFTS.items():
        if switches.drift in {name, "all"}:
            shown = change(shown)
    return shown


def _unknown_fields(shown: Json) -> Json:
    return {**shown, "futureField": {"nested": [1, None, "x"]}}


def _unknown_codes(shown: Json) -> Json:
    changed = {"severity": "elective", "studyType": "archived", "status": "draft"}
    if shown.get("status") == "completed":
        changed["status"] = "completed"
    return {key: changed.get(key, value) for key, value in shown.items()}


def _null_optional(shown: Json) -> Json:
    key = "reportMetadata" if "reportMetadata" in shown else "snapshotMetadata"
    notes = {"technologistNotes": None} if key == "reportMetadata" else {}
    return {**shown, **notes, key: {**dict.fromkeys(STUDY_REPORT_METADATA), **shown[key]}}


def _absent_nullable(shown: Json) -> Json:
    return {key: value for key, value in shown.items() if not (key in _NULLABLE and value is None)}


_DRIFTS: Final[dict[str, Callable[[Json], Json]]] = {
    "unknown_fields": _unknown_fields,
    "unknown_codes": _unknown_codes,
    "null_optional": _null_optional,
    "absent_nullable": _absent_nullable,
}
