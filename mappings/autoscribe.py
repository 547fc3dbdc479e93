"""AutoScribe's JSON -> `Study`: the wire contract checked, every field in its place, the reports in reading order.

AutoScribe REST API: `GET /v1/autoScribe/studies/{studyId}`, `/reports?studyId=`, `/users/{userId}`; decisions D4, D25.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final

from mappings import wire
from mappings.dates import parse_instant
from mappings.issues import MappingIssue, WireError
from mappings.model import ExpressCustomer, Measurement, Report, Snapshot, Study, User
from mappings.sections import cut

Json = Mapping[str, Any]

# Study field -> model field, for what is copied as it came
_STUDY_COPIES: Final[dict[str, str]] = {
    "studyInstanceUid": "study_instance_uid",
    "studyDescription": "study_description",
    "severity": "severity",
    "studyReportStatus": "study_report_status",
    "studyType": "study_type",
    "isCancelled": "is_cancelled",
    "cancelledAt": "cancelled_at",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
    "externalPatientId": "external_patient_id",
    "modality": "modality",
    "clinicalHistory": "clinical_history",
    "clinicalIndication": "clinical_indication",
    "technologistTechnique": "technologist_technique",
}
# StudyReportMetadata field -> Snapshot field; height and weight are objects and stand apart
_SNAPSHOT_COPIES: Final[dict[str, str]] = {
    "age": "age",
    "dateOfBirth": "date_of_birth",
    "facilityName": "facility_name",
    "mrn": "mrn",
    "patientName": "patient_name",
    "procedure": "procedure",
    "referringPhysicianName": "referring_physician_name",
    "sex": "sex",
    "studyDate": "study_date",
    "studyTime": "study_time",
}
# User field -> model field
_USER_COPIES: Final[dict[str, str]] = {
    "email": "email",
    "firstName": "first_name",
    "middleName": "middle_name",
    "lastName": "last_name",
    "suffix1": "suffix1",
    "suffix2": "suffix2",
    "npiNumber": "npi_number",
    "phoneNumber": "phone_number",
    "clinicRole": "clinic_role",
}


def decode(study: Json | None, reports: Json | Sequence[Json], users: Sequence[Json] = ()) -> Study:
    """Turn what AutoScribe said of one study into a `Study`.

    `study` is the Study object or None where only its reports are known; `reports` the `GET /reports` response or its
    bare array; `users` the User objects of the signers. Pointers of issues and errors are into the study document: the
    Study's keys at the root, `/reports/0…` and `/users/0…` as they came.

    Raises:
        WireError: a required key is missing, a value is of the wrong kind, or the parts are of different studies.
    """
    issues: list[MappingIssue] = []
    if study is not None:
        issues += wire.check(study, wire.STUDY)
    issues += _check_reports(reports)
    for index, user in enumerate(users):
        issues += wire.check(user, wire.USER, f"/users/{index}")
    rows = reports["reports"] if isinstance(reports, Mapping) else reports
    head = _head(study, reports, rows)
    _refuse_other_studies(head["studyId"], rows)
    return Study(
        study_id=head["studyId"],
        reports=_reports(rows, issues),
        metadata_snapshot=_snapshot(head["reportMetadata"]) if head.get("reportMetadata") is not None else None,
        express_customer=_express_customer(head.get("expressCustomer")),
        technologist_notes=tuple(head.get("technologistNotes") or ()),
        metadata=dict(head.get("metadata") or {}),
        users={user["userId"]: _user(user, index) for index, user in enumerate(users)},
        issues=tuple(issues),
        **{name: head.get(key) for key, name in _STUDY_COPIES.items()},
    )


def _check_reports(reports: Json | Sequence[Json]) -> list[MappingIssue]:
    if isinstance(reports, Mapping):
        return list(wire.check(reports, wire.REPORT_LIST))
    return [issue for index, row in enumerate(reports) for issue in wire.check(row, wire.REPORT, f"/reports/{index}")]


def _head(study: Json | None, reports: Json | Sequence[Json], rows: Sequence[Json]) -> Json:
    """What speaks for the study as a whole: the Study object, else the response's own ids, else the first report's."""
    if study is None:
        if isinstance(reports, Mapping):
            return reports
        if not rows:
            raise WireError("/reports", "a study, or at least one report", "neither")
        return {"studyId": rows[0]["studyId"]}
    if isinstance(reports, Mapping):
        for key in ("studyId", "studyInstanceUid"):
            if reports[key] != study[key]:
                raise WireError(f"/{key}", "the same study in the Study and in its reports", "two studies")
    return study


def _refuse_other_studies(study_id: str, rows: Sequence[Json]) -> None:
    for index, row in enumerate(rows):
        if row["studyId"] != study_id:
            raise WireError(f"/reports/{index}/studyId", "the studyId of the study it came with", "another study's id")


def _reports(rows: Sequence[Json], issues: list[MappingIssue]) -> tuple[Report, ...]:
    """The reports in reading order: originals, then addenda, by signedAt ?? updatedAt ?? createdAt, then id (D25)."""
    seen: dict[str, Json] = {}
    reports: list[Report] = []
    for index, row in enumerate(rows):
        pointer = f"/reports/{index}"
        twin = seen.setdefault(row["reportId"], row)
        if twin is row:
            reports.append(_report(row, pointer))
        elif twin == row:
            issues.append(MappingIssue("report-repeated", "information", pointer, "the same report twice: taken once"))
        else:
            raise WireError(f"{pointer}/reportId", "each reportId once", "two different reports of one id")
    return tuple(sorted(reports, key=_reading_order))


def _reading_order(report: Report) -> tuple[bool, datetime, str]:
    said = report.signed_at or report.updated_at or report.created_at
    moment = parse_instant(said) or datetime.max.replace(tzinfo=UTC)
    return report.is_addendum, moment, report.report_id


def _report(row: Json, pointer: str) -> Report:
    text = row.get("reportPlainText")
    return Report(
        report_id=row["reportId"],
        study_id=row["studyId"],
        user_id=row["userId"],
        status=row["status"],
        is_addendum=row["isAddendum"],
        is_critical=row.get("isCritical"),
        created_at=row.get("createdAt"),
        signed_at=row.get("signedAt"),
        updated_at=row.get("updatedAt"),
        snapshot=_snapshot(row["snapshotMetadata"]),
        text=text,
        sections=cut(text or ""),
        pointer=pointer,
    )


def _snapshot(row: Json) -> Snapshot:
    return Snapshot(
        height=_measurement(row.get("height")),
        weight=_measurement(row.get("weight")),
        **{name: row.get(key) for key, name in _SNAPSHOT_COPIES.items()},
    )


def _measurement(row: Json | None) -> Measurement | None:
    return None if row is None else Measurement(row["unit"], row["value"])


def _express_customer(row: Json | None) -> ExpressCustomer | None:
    return None if row is None else ExpressCustomer(**{f.name: row[_camel(f.name)] for f in fields(ExpressCustomer)})


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _user(row: Json, index: int) -> User:
    copies = {name: row.get(key) for key, name in _USER_COPIES.items()}
    return User(user_id=row["userId"], pointer=f"/users/{index}", **copies)
