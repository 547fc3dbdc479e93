"""Decode AutoScribe's JSON into a `Study`: check the API contract, copy fields, sort reports as values/dates.py says.

AutoScribe REST API: `GET /v1/autoScribe/studies/{studyId}`, `/reports?studyId=`, `/users/{userId}`; decisions D4, D25.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mappings.issues import MappingIssue, WireError
from mappings.model import ExpressCustomer, Measurement, Report, Snapshot, Study, User
from mappings.reuse import NO_REUSE, Reuse
from mappings.sections import cut
from mappings.study import wire
from mappings.values.dates import reading_order

Json = Mapping[str, Any]

_STUDY_IDS: Final = ("studyId", "studyInstanceUid")
_ROWS: Final = wire.Kind(list, "an array")

# Study field -> model field, copied unchanged
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
# StudyReportMetadata field -> Snapshot field. Height and weight are objects: `_measurement` reads them
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


def decode(
    study: Json | None, reports: Json | Sequence[Json], users: Sequence[Json] = (), reuse: Reuse = NO_REUSE
) -> Study:
    """Decode AutoScribe's JSON of one study into a `Study`.

    `study` is the Study object, or None if only its reports are known. `reports` is the `GET /reports` response or its
    bare array. `users` are the User objects of the signers. Pointers of issues and errors point into the study
    document: the Study's keys at the root, `/reports/0…` and `/users/0…` in the order received. Rows that are as before
    in `reuse` are not read again.

    Raises:
        WireError: a required key is missing, a value is of the wrong kind, the parts are of different studies, or two
            different reports or users have one id.
    """
    issues: list[MappingIssue] = []
    if study is not None:
        issues += reuse.of("study", study, partial(wire.check, study, wire.STUDY))
    if isinstance(reports, Mapping):
        issues += wire.check(reports, wire.REPORT_LIST)
        rows: Sequence[Json] = reports["reports"]
    else:
        rows = reports
        issues += _check_rows("reports", rows, wire.REPORT, reuse)
    issues += _check_rows("users", users, wire.USER, reuse)
    head = _head(study, reports, rows)
    _refuse_other_studies(head["studyId"], rows)
    issues += _missing_and_critical(head, rows)
    return Study(
        study_id=head["studyId"],
        reports=_reports(rows, issues, reuse),
        metadata_snapshot=_snapshot(head["reportMetadata"]) if head.get("reportMetadata") is not None else None,
        express_customer=_express_customer(head.get("expressCustomer")),
        technologist_notes=tuple(head.get("technologistNotes") or ()),
        metadata={key: value for key, value in (head.get("metadata") or {}).items() if value is not None},
        users=_users(users, reuse),
        issues=tuple(issues),
        **{name: head.get(key) for key, name in _STUDY_COPIES.items()},
    )


def _missing_and_critical(head: Json, rows: Sequence[Json]) -> Iterator[MappingIssue]:
    """Report contradictions between the study and its reports: a missing report, a critical flag (D4, D22)."""
    received = {row["reportId"]: row for row in rows}
    for index, item in enumerate(head.get("reportIds") or ()):
        row, pointer = received.get(item["reportId"]), f"/reportIds/{index}"
        if row is None:
            is_signed = item["status"] == "completed"
            action = "the study names a report that did not come" + (", and it is signed" if is_signed else "")
            yield MappingIssue("report-missing", "error" if is_signed else "warning", pointer, action)
        elif item.get("isCritical") and not row.get("isCritical"):
            yield MappingIssue("critical-disagrees", "warning", f"{pointer}/isCritical", "the report's own flag stands")
    if head.get("isCritical") and rows and not any(row.get("isCritical") for row in rows):
        yield MappingIssue("critical-disagrees", "warning", "/isCritical", "the reports' own flags stand")


def _check_rows(key: str, rows: Sequence[Json], shape: wire.Shape, reuse: Reuse) -> Iterator[MappingIssue]:
    """Check the rows of a list, which may be a tuple too."""
    if not isinstance(rows, tuple):
        wire.check({key: rows}, {key: (_ROWS, "R")})
    for index, row in enumerate(rows):
        place = f"/{key}/{index}"
        yield from reuse.of((wire.check, place), row, partial(wire.check, row, shape, place))


def _head(study: Json | None, reports: Json | Sequence[Json], rows: Sequence[Json]) -> Json:
    """Return the study-level fields: the Study object, else the response's own ids, else the first report's studyId."""
    if study is None:
        if isinstance(reports, Mapping):
            return {key: reports[key] for key in _STUDY_IDS}
        if not rows:
            raise WireError("/reports", "a study, or at least one report", "neither")
        return {"studyId": rows[0]["studyId"]}
    if isinstance(reports, Mapping):
        for key in _STUDY_IDS:
            if reports[key] != study[key]:
                raise WireError(f"/{key}", "the same study in the Study and in its reports", "two studies")
    return study


def _refuse_other_studies(study_id: str, rows: Sequence[Json]) -> None:
    for index, row in enumerate(rows):
        if row["studyId"] != study_id:
            raise WireError(f"/reports/{index}/studyId", "the studyId of the study it came with", "another study's id")


def _reports(rows: Sequence[Json], issues: list[MappingIssue], reuse: Reuse) -> tuple[Report, ...]:
    """Decode the reports in reading order: originals, then addenda, by signedAt ?? updatedAt ?? createdAt, then id."""
    reports: dict[str, Report] = {}
    for index, row in enumerate(rows):
        pointer = f"/reports/{index}"
        report = reuse.of((_report, pointer), row, partial(_report, row, pointer))
        first = reports.setdefault(report.report_id, report)
        if first is not report:
            if replace(first, pointer=pointer) != report:
                raise WireError(f"{pointer}/reportId", "each reportId once", "two different reports of one id")
            issues.append(MappingIssue("report-repeated", "information", pointer, "the same report twice: taken once"))
    return tuple(sorted(reports.values(), key=reading_order))


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
    return None if row is None else ExpressCustomer(row["expressCustomerId"], row["expressCustomerName"])


def _users(rows: Sequence[Json], reuse: Reuse) -> dict[str, User]:
    users: dict[str, User] = {}
    for index, row in enumerate(rows):
        pointer = f"/users/{index}"
        user = reuse.of((_user, pointer), row, partial(_user, row, pointer))
        first = users.setdefault(user.user_id, user)
        if first is not user and replace(first, pointer=pointer) != user:
            raise WireError(f"{pointer}/userId", "each userId once", "two different users of one id")
    return users


def _user(row: Json, pointer: str) -> User:
    copies = {name: row.get(key) for key, name in _USER_COPIES.items()}
    return User(user_id=row["userId"], pointer=pointer, **copies)
