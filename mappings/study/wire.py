"""Tables of AutoScribe's API contract (keys, types, optional keys), the check by them, and a strict JSON parser.

AutoScribe REST API, state of November 2026 (`GET /v1/autoScribe/studies`, `/reports`, `/reports/text`, `/users`, …).

Presence codes: `R` always present, never null; `R?` always present, may be null; `O` may be absent, never null; `O?`
may be absent or null. Deviations that the contract leaves open (an absent `R?` key, null for an `O` key, an unknown key
or code) are accepted and reported. A missing required key and a value of the wrong kind are errors.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from mappings.issues import MappingIssue, WireError

Json = Any
Presence = Literal["R", "R?", "O", "O?"]


@dataclass(frozen=True, slots=True)
class Kind:
    """Kind of a JSON value: its type, and if the contract demands it a pattern, codes, or an inner shape.

    `is_plain`: the contract demands the type alone.
    """

    json_type: type | tuple[type, ...]
    name: str
    pattern: re.Pattern[str] | None = None
    codes: frozenset[str] = frozenset()
    shape: Mapping[str, tuple[Kind, Presence]] | None = None
    items: Kind | None = None
    values: Kind | None = None
    is_plain: bool = False


Shape = Mapping[str, tuple[Kind, Presence]]


def _id(prefix: str) -> Kind:
    return Kind(str, f"an id `{prefix}_` + 32 hex digits", pattern=re.compile(rf"{prefix}_[0-9a-f]{{32}}"))


def _codes(*codes: str) -> Kind:
    return Kind(str, "a string", codes=frozenset(codes))


def _object(shape: Shape) -> Kind:
    return Kind(dict, "an object", shape=shape)


def _array(items: Kind) -> Kind:
    return Kind(list, "an array", items=items)


TEXT = Kind(str, "a string", is_plain=True)
NON_EMPTY = Kind(str, "a non-empty string", pattern=re.compile(r".+", re.DOTALL))
BOOLEAN = Kind(bool, "true or false", is_plain=True)
NUMBER = Kind((int, float), "a number")
STUDY_ID, REPORT_ID, USER_ID = _id("stu"), _id("rep"), _id("usr")
REPORT_STATUS = _codes("in_progress", "completed")

HEIGHT: Shape = {"unit": (_codes("in", "cm"), "R"), "value": (NUMBER, "R")}
WEIGHT: Shape = {"unit": (_codes("lbs", "kg"), "R"), "value": (NUMBER, "R")}

STUDY_REPORT_METADATA: Shape = {
    "age": (TEXT, "O"),
    "dateOfBirth": (TEXT, "O"),
    "facilityName": (TEXT, "O"),
    "height": (_object(HEIGHT), "O"),
    "mrn": (TEXT, "O"),
    "patientName": (TEXT, "O"),
    "procedure": (TEXT, "O"),
    "referringPhysicianName": (TEXT, "O"),
    "sex": (_codes("male", "female", "other"), "O"),
    "studyDate": (TEXT, "O"),
    "studyTime": (TEXT, "O"),
    "weight": (_object(WEIGHT), "O"),
}

REPORT: Shape = {
    "reportId": (REPORT_ID, "R"),
    "studyId": (STUDY_ID, "R"),
    "userId": (USER_ID, "R"),
    "status": (REPORT_STATUS, "R"),
    "isAddendum": (BOOLEAN, "R"),
    "isCritical": (BOOLEAN, "R?"),
    "createdAt": (TEXT, "R?"),
    "signedAt": (TEXT, "R?"),
    "updatedAt": (TEXT, "R?"),
    "snapshotMetadata": (_object(STUDY_REPORT_METADATA), "R"),
    "reportPlainText": (TEXT, "O"),
}

REPORT_LIST: Shape = {
    "reports": (_array(_object(REPORT)), "R"),
    "studyId": (STUDY_ID, "R"),
    "studyInstanceUid": (NON_EMPTY, "R"),
}

_ITEM: Shape = {
    "reportId": (REPORT_ID, "R"),
    "studyId": (STUDY_ID, "R"),
    "studyInstanceUid": (NON_EMPTY, "R"),
    "snapshotMetadata": (_object(STUDY_REPORT_METADATA), "R"),
    "isCritical": (BOOLEAN, "R?"),
}
REPORT_TEXT: Shape = {**_ITEM, "plainText": (TEXT, "O")}
REPORT_PDF: Shape = {**_ITEM, "presignedUrl": (NON_EMPTY, "R")}
REPORT_TEXT_LIST: Shape = {**REPORT_LIST, "reports": (_array(_object(REPORT_TEXT)), "R")}
REPORT_PDF_LIST: Shape = {**REPORT_LIST, "reports": (_array(_object(REPORT_PDF)), "R")}

ACTION_RESPONSE: Shape = {"success": (BOOLEAN, "R"), "message": (TEXT, "O")}

USER_REFERENCE: Shape = {
    "email": (TEXT, "R"),
    "userId": (USER_ID, "R"),
    "firstName": (TEXT, "O"),
    "lastName": (TEXT, "O"),
    "middleName": (TEXT, "O"),
    "suffix1": (TEXT, "O"),
    "suffix2": (TEXT, "O"),
}
API_KEY_REFERENCE: Shape = {
    "apiKeyId": (TEXT, "R"),
    "description": (TEXT, "R"),
    "isClinicalContextEnrichmentEnabled": (BOOLEAN, "O"),
    "isViewerEnabled": (BOOLEAN, "O"),
}
EXPRESS_CUSTOMER_REFERENCE: Shape = {"expressCustomerId": (TEXT, "R"), "expressCustomerName": (TEXT, "R")}
PRIOR_REPORT: Shape = {
    "reportText": (TEXT, "R"),
    "externalStudyId": (TEXT, "O"),
    "modality": (TEXT, "O"),
    "studyDate": (TEXT, "O"),
    "studyDescription": (TEXT, "O"),
}
REPORT_ID_WITH_STATUS: Shape = {
    "reportId": (REPORT_ID, "R"),
    "status": (REPORT_STATUS, "R"),
    "isCritical": (BOOLEAN, "R?"),
}

STUDY: Shape = {
    "studyId": (STUDY_ID, "R"),
    "studyInstanceUid": (NON_EMPTY, "R"),
    "studyDescription": (TEXT, "R"),
    "severity": (_codes("normal", "high", "stat"), "R"),
    "studyReportStatus": (_codes("unassigned", "assigned", "in_progress", "completed", "addendum_active"), "R"),
    "reportMetadata": (_object(STUDY_REPORT_METADATA), "R"),
    "isCancelled": (BOOLEAN, "R"),
    "createdAt": (TEXT, "R?"),
    "updatedAt": (TEXT, "R?"),
    "cancelledAt": (TEXT, "R?"),
    "assignedTo": (_object(USER_REFERENCE), "O?"),
    "createdByUser": (_object(USER_REFERENCE), "O?"),
    "createdByApiKey": (_object(API_KEY_REFERENCE), "O?"),
    "expressCustomer": (_object(EXPRESS_CUSTOMER_REFERENCE), "O?"),
    "clinicalHistory": (TEXT, "O?"),
    "clinicalIndication": (TEXT, "O?"),
    "technologistTechnique": (TEXT, "O?"),
    "externalPatientId": (TEXT, "O?"),
    "modality": (TEXT, "O?"),
    "externalReportId": (TEXT, "O"),
    "isCritical": (BOOLEAN, "O"),
    "metadata": (Kind(dict, "an object of strings", values=TEXT), "O"),
    "priorReports": (_array(_object(PRIOR_REPORT)), "O"),
    "reportIds": (_array(_object(REPORT_ID_WITH_STATUS)), "O"),
    "studyType": (_codes("standard", "external"), "O"),
    "technologistNotes": (_array(TEXT), "O"),
}

USER: Shape = {
    "userId": (USER_ID, "R"),
    "email": (TEXT, "R"),
    "firstName": (TEXT, "R"),
    "lastName": (TEXT, "R"),
    "canCreateReports": (BOOLEAN, "R"),
    "canManageStudies": (BOOLEAN, "R"),
    "hasDashboardAccess": (BOOLEAN, "R"),
    "clinicRole": (TEXT, "R"),
    "invitedSource": (_codes("dashboard", "api"), "R"),
    "level": (_codes("owner", "admin", "member"), "R"),
    "createdAt": (TEXT, "R?"),
    "lastLoginAt": (TEXT, "R?"),
    "middleName": (TEXT, "O"),
    "npiNumber": (TEXT, "O"),
    "phoneNumber": (TEXT, "O"),
    "suffix1": (TEXT, "O"),
    "suffix2": (TEXT, "O"),
}
USER_PAGE: Shape = {"users": (_array(_object(USER)), "R"), "hasMore": (BOOLEAN, "R"), "cursor": (TEXT, "O")}

_JSON_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}


def json_kind(value: Json) -> str:
    """Describe the JSON kind of a value in words, for messages that must not show the value."""
    return _JSON_NAMES.get(type(value), "a number")


def loads(text: str | bytes, pointer: str = "") -> Json:
    """Parse strict JSON (RFC 8259: no NaN, no Infinity, no key twice, no number that a double cannot hold).

    Raises:
        WireError: the text is not JSON; the place is given as line and column.
    """
    try:
        return json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_finite_integer,
            object_pairs_hook=_no_key_twice,
        )
    except json.JSONDecodeError as error:
        problem = "JSON", f"something else at line {error.lineno}, column {error.colno} ({error.msg})"
    except UnicodeDecodeError as error:
        problem = "JSON in UTF-8", f"a byte that is not at offset {error.start}"
    except RecursionError:
        problem = "JSON", "nesting too deep to read"
    except WireError as error:
        problem = error.expected, error.found
    raise WireError(pointer, *problem)  # raised here: the exceptions above hold the whole text


def _no_constant(name: str) -> NoReturn:
    raise WireError("", "JSON", f"{name}, which JSON does not have")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise WireError("", "a number that a double can hold", "a larger one")
    return number


def _finite_integer(digits: str) -> int:
    _finite(digits)
    return int(digits)


def _no_key_twice(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    decoded = dict(pairs)
    if len(decoded) != len(pairs):
        raise WireError("", "each key once in an object", "a key twice")
    return decoded


def escape_pointer(key: str) -> str:
    """Escape a key as a reference token of a JSON pointer (RFC 6901 §3)."""
    return key.replace("~", "~0").replace("/", "~1")


def check(value: Json, shape: Shape, pointer: str = "") -> tuple[MappingIssue, ...]:
    """Check a JSON value against a shape; deviations that the contract leaves open are returned as issues.

    Raises:
        WireError: a required key is missing or a value is of the wrong kind; it names the pointer and the expected
        kind.
    """
    issues: list[MappingIssue] = []
    _check_kind(value, _object(shape), pointer, issues)
    return tuple(issues)


def _check_kind(value: Json, kind: Kind, pointer: str, issues: list[MappingIssue]) -> None:
    is_kind: bool = isinstance(value, kind.json_type)
    if not is_kind or (isinstance(value, bool) and kind.json_type is not bool):
        raise WireError(pointer, kind.name, json_kind(value))
    if kind.pattern is not None and not kind.pattern.fullmatch(value):
        raise WireError(pointer, kind.name, "another form")
    if kind.codes and value not in kind.codes:
        issues.append(MappingIssue("unknown-code", "warning", pointer, "kept as it came; mapped as not known"))
    if kind.shape is not None:
        _check_object(value, kind.shape, pointer, issues)
    if kind.items is not None:
        _check_items(value, kind.items, pointer, issues)
    if kind.values is not None:
        for key, inner in value.items():
            place = f"{pointer}/{escape_pointer(key)}"
            if inner is None:
                issues.append(MappingIssue("null-value", "information", place, "taken as absent"))
            else:
                _check_kind(inner, kind.values, place, issues)


def _check_items(value: Sequence[Json], kind: Kind, pointer: str, issues: list[MappingIssue]) -> None:
    for index, item in enumerate(value):
        _check_kind(item, kind, f"{pointer}/{index}", issues)


def _check_object(value: Mapping[str, Json], shape: Shape, pointer: str, issues: list[MappingIssue]) -> None:
    for key, (kind, presence) in shape.items():
        inner = value.get(key)
        if kind.is_plain and type(inner) is kind.json_type:
            continue
        place = f"{pointer}/{key}"
        if inner is not None:
            _check_kind(inner, kind, place, issues)
        elif presence == "R":
            raise WireError(place, kind.name, "null" if key in value else "nothing")
        elif presence == "R?" and key not in value:
            issues.append(MappingIssue("key-absent", "information", place, "taken as null"))
        elif presence == "O" and key in value:
            issues.append(MappingIssue("null-value", "information", place, "taken as absent"))
    issues.extend(
        MappingIssue(
            "unknown-key", "information", f"{pointer}/{escape_pointer(key)}", "kept with the original, not mapped"
        )
        for key in value
        if key not in shape
    )
