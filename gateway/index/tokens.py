"""Parse a token search value (code, `:text`, `:of-type`) into index criteria; reading.py negates for `:not`.

https://hl7.org/fhir/R4/search.html#token. The UID of a study is accepted in every form that clients use: with or
without `urn:dicom:uid|`, with or without `urn:oid:` (https://hl7.org/fhir/R4/imagingstudy.html#notes).
"""

from __future__ import annotations

import re
from typing import Final

from gateway.index.criteria import Clause, Contains, Criterion, Ends, Is, Nothing, Starts
from gateway.index.escaping import parts, token, unescaped
from gateway.index.search_value import Value
from gateway.index.terms import CASELESS, code_start, code_term, system_end, typed_term, words
from gateway.runtime.request_errors import BadRequest
from mappings.codes import DICOM_UID, SID_STUDY
from mappings.patient.identifiers import is_dicom_uid

STUDY_ID: Final = re.compile(r"(?:ImagingStudy/)?stu[_-]([0-9a-f]{32})")
_URN_OID: Final = "urn:oid:"
# The system of true and false (https://hl7.org/fhir/R4/search.html#token)
_OF_TRUTHS: Final = "http://terminology.hl7.org/CodeSystem/special-values"


def by_code(value: Value) -> Clause:
    """Parse `code`, `system|code`, `|code` or `system|`; for a `code` element, `|code` means its implied system.

    Raises:
        BadRequest: neither code nor system is given, or the code is not among the parameter's `values`.
    """
    row = value.parameter
    system, code = token(value.text)
    if row.values:
        return _by_truth(value, system, code)
    if (row.resource_type, row.name) == ("ImagingStudy", "identifier"):
        return _by_study_identifier(row.key, system, code)
    if row.system or "of-type" in row.modifiers:  # a FHIR code, or the value of an identifier
        return (_criterion(row.key, system or None if row.system else system, code),)
    return _by_any_case(row.key, system, code)


def by_text(value: Value) -> Clause:
    """Parse `:text`: match the text of a concept or the display of a coding."""
    return (Contains(value.parameter.key_with("text"), words(unescaped(value.text))),)


def by_typed_identifier(value: Value) -> Clause:
    """Parse `:of-type`: `system|code|value`; system and code are those of the identifier's type.

    Raises:
        BadRequest: one of the three is missing.
    """
    pieces = parts(value.text, 3)
    if len(pieces) < 3 or not all(pieces):
        raise BadRequest("expected the system and the code of the identifier's type and its value: system|code|value")
    system, code, number = pieces
    return (Is(value.parameter.key_with("of-type"), typed_term(number, system, code)),)


def by_identifier_of_reference(value: Value) -> Clause:
    """Parse `:identifier`: match the identifier inside a Reference."""
    return (_criterion(value.parameter.key_with("identifier"), *token(value.text)),)


def _by_truth(value: Value, system: str | None, code: str) -> Clause:
    """Parse true or false, with or without their system, or another value that the parameter can have."""
    row = value.parameter
    if system == _OF_TRUTHS and not code:
        return tuple(Is(row.key, code_term(one)) for one in row.values)
    if code not in row.values:
        raise BadRequest("expected " + " or ".join(row.values))
    return (Is(row.key, code_term(code)) if system in {None, "", _OF_TRUTHS} else Nothing(),)


def _by_any_case(key: int, system: str | None, code: str) -> Clause:
    """Return criteria for a code; without a system, its case is ignored in systems that ignore case."""
    criterion = _criterion(key, system, code)
    if system is None and code != code.upper():
        return criterion, Is(key, code_term(code, CASELESS))
    return (criterion,)


def by_study_id(value: Value) -> Clause:
    """Parse a study id as FHIR id (`stu-…`) or AutoScribe id (`stu_…`), with or without its system.

    Raises:
        BadRequest: the value is no study id.
    """
    system, code = token(value.text)
    if system not in {None, SID_STUDY}:
        return (Nothing(),)
    if system and not code:
        return (Ends(value.parameter.key, ""),)
    return (Is(value.parameter.key, f"ImagingStudy/stu-{_study_number(code)}"),)


def _by_study_identifier(key: int, system: str | None, code: str) -> Clause:
    """Parse a study identifier: DICOM UID, AutoScribe id, or another number."""
    if (system == SID_STUDY and code) or (system is None and STUDY_ID.fullmatch(code)):
        return (Is(key, code_term(f"stu_{_study_number(code)}", SID_STUDY)),)
    uid = code.removeprefix(_URN_OID)
    by_uid = Is(key, code_term(_URN_OID + uid, DICOM_UID))
    if (system == DICOM_UID and code) or (system is None and code.startswith(_URN_OID)):
        if not is_dicom_uid(uid):
            raise BadRequest("expected a DICOM UID: numbers with dots between, 64 characters at most")
        return (by_uid,)
    criterion = _criterion(key, system, code)
    return (by_uid, criterion) if system is None and is_dicom_uid(uid) else (criterion,)


def _study_number(code: str) -> str:
    match = STUDY_ID.fullmatch(code)
    if match is None:
        raise BadRequest("expected stu-<32 hex>, or stu_<32 hex> as AutoScribe writes it")
    return match[1]


def _criterion(key: int, system: str | None, code: str) -> Criterion:
    if not code and not system:
        raise BadRequest("expected code, system|code, |code or system|")
    if system is None:
        return Starts(key, code_start(code))
    return Is(key, code_term(code, system)) if code else Ends(key, system_end(system))
