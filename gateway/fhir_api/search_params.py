"""The search parameters of DiagnosticReport as a table: search, CapabilityStatement, errors and documents read it.

https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/diagnosticreport.html#search, IHE RAD.IMR RAD-143
(`imagingStudy`, which R4 does not have). Reports are found by study only until there is an index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from gateway.errors import BadRequest, NotSupported
from gateway.fhir_api.query import token, unescaped
from gateway.fhir_api.served import OPERATIONS, RESOURCES
from mappings.codes import DICOM_UID, SID_STUDY, SID_STUDY_UID_ODD
from mappings.identifiers import upstream_id

OF_REPORTS: Final = "DiagnosticReport"
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_OID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_STUDY: Final = re.compile(r"(?:ImagingStudy/)?stu([_-])([0-9a-f]{32})")
_URN_OID: Final = "urn:oid:"
_MOST_UID: Final = 64


@dataclass(frozen=True, slots=True)
class Criterion:
    """What one value asks for: a report or study by upstream id, a study by UID, or what no report can have."""

    by: Literal["report", "study", "uid", "nothing"]
    value: str = ""


NOTHING: Final = Criterion("nothing")


def report_by_id(value: str) -> Criterion:
    """`_id`: the id of a DiagnosticReport; one that no report can have finds nothing."""
    if not _ID.fullmatch(value):
        raise BadRequest("expected a FHIR id such as rep-<32 hex>: letters, digits, `-` and `.`, 64 at most")
    report_id = upstream_id(value)
    return Criterion("report", report_id) if report_id and report_id.startswith("rep_") else NOTHING


def study_by_id(value: str) -> Criterion:
    """`study`, `imagingStudy`: a study by its id here (`stu-…`), or as AutoScribe writes it (`stu_…`)."""
    system, code = token(value)
    found = _STUDY.fullmatch(code)
    if system not in {None, SID_STUDY}:
        return NOTHING
    if found is None:
        raise BadRequest("expected stu-<32 hex>, or stu_<32 hex> as AutoScribe writes it")
    return Criterion("study", f"stu_{found[2]}")


def study_by_identifier(value: str) -> Criterion:
    """An identifier of the ImagingStudy: its DICOM UID with or without `urn:dicom:uid|` and `urn:oid:`, or its id."""
    system, code = token(value)
    uid = code.removeprefix(_URN_OID)
    if not uid:
        raise BadRequest("expected an identifier with a value, such as urn:dicom:uid|urn:oid:1.2.3")
    if system == SID_STUDY or (system is None and _STUDY.fullmatch(code)):
        return study_by_id(code)
    if system == DICOM_UID or code.startswith(_URN_OID):
        if not _OID.fullmatch(uid) or len(uid) > _MOST_UID:
            raise BadRequest("expected a DICOM UID: numbers with dots between, 64 characters at most")
        return Criterion("uid", uid) if system in {None, DICOM_UID} else NOTHING
    return Criterion("uid", uid) if system in {None, SID_STUDY_UID_ODD} else NOTHING


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One row: `parse` reads an alternative, `modifiers` those after a colon; `clause` is where it is defined."""

    name: str
    type: Literal["token", "reference"]
    parse: Callable[[str], Criterion]
    documentation: str
    clause: str
    modifiers: Mapping[str, Callable[[str], Criterion]] = field(default_factory=dict)


PARAMETERS: Final = (
    SearchParameter(
        "_id",
        "token",
        report_by_id,
        "The report's id: rep-<32 hex>.",
        "http://hl7.org/fhir/SearchParameter/Resource-id",
    ),
    SearchParameter(
        "study",
        "token",
        study_by_id,
        "The study's id, stu-<32 hex>, or as AutoScribe writes it, stu_<32 hex>.",
        "urn:autoscribe-gateway:SearchParameter:DiagnosticReport-study",
    ),
    SearchParameter(
        "imagingStudy",
        "reference",
        study_by_id,
        "The ImagingStudy: its id, or with :identifier its DICOM UID.",
        "https://profiles.ihe.net/RAD/IMR/SearchParameter/DiagnosticReport-imagingStudy",
        {"identifier": study_by_identifier, "ImagingStudy": study_by_id},
    ),
    SearchParameter(
        "imagingStudy.identifier",
        "token",
        study_by_identifier,
        "The DICOM UID of the study: urn:dicom:uid|urn:oid:<uid>, urn:oid:<uid>, or the bare UID.",
        "https://profiles.ihe.net/RAD/IMR/SearchParameter/DiagnosticReport-imagingStudy",
    ),
)
# _include -> the element of DiagnosticReport that holds the references
INCLUDES: Final = {
    "subject": "subject",
    "patient": "subject",
    "performer": "performer",
    "results-interpreter": "resultsInterpreter",
    "result": "result",
    "based-on": "basedOn",
    "imagingStudy": "imagingStudy",
    "imaging-study": "imagingStudy",
}
# Parameters that shape the answer and find nothing
RESULT_PARAMETERS: Final = {
    "_format": "json, application/fhir+json or application/json; XML is not offered yet.",
    "_pretty": "true: with line breaks and indents.",
    "_include": "DiagnosticReport: and one of " + ", ".join(INCLUDES) + ".",
    "_total": "none, estimate or accurate: the total is always given, and accurate.",
}
_BY_NAME: Final = {row.name: row for row in PARAMETERS}


def parser(name: str) -> Callable[[str], Criterion] | None:
    """What reads the values of a parameter, modifier included; None for a parameter that is not known.

    Raises:
        NotSupported: the parameter is known, the modifier is not offered.
    """
    plain, colon, modifier = name.partition(":")
    row = _BY_NAME.get(plain)
    if row is None or not colon:
        return row.parse if row else None
    if modifier not in row.modifiers:
        raise NotSupported(f"{plain}: this modifier is not offered", expression=f"http.{plain}")
    return row.modifiers[modifier]


def included_element(value: str) -> str | None:
    """The element an `_include` follows; None for one that is not offered.

    Raises:
        NotSupported: `*`, which would include without end.
    """
    source, _, rest = unescaped(value).partition(":")
    if "*" in value:
        raise NotSupported("_include=* is not offered: name what to include", expression="http._include")
    name, _, target = rest.partition(":")
    element = INCLUDES.get(name) if source == OF_REPORTS else None
    return element if target in {"", *TARGETS.get(element or "", ())} else None


TARGETS: Final = {
    "subject": ("Patient",),
    "performer": ("Organization", "Practitioner"),
    "resultsInterpreter": ("Practitioner",),
    "result": ("Observation",),
    "basedOn": ("ServiceRequest",),
    "imagingStudy": ("ImagingStudy",),
}


def facade_rows() -> Iterator[tuple[str, str]]:
    """Every interaction as (request, what it answers), for the documents."""
    yield "`GET /fhir/metadata`", "The CapabilityStatement, made from the tables the code runs on."
    for row in RESOURCES:
        yield f"`GET /fhir/{row.resource_type}/<id>`", f"Ids: {row.ids}. {row.documentation}"
    for parameter in PARAMETERS:
        yield f"`GET /fhir/{OF_REPORTS}?{parameter.name}=…`", parameter.documentation
    for name, documentation in RESULT_PARAMETERS.items():
        yield f"`…&{name}=…`", documentation
    for operation in OPERATIONS:
        yield f"`POST /fhir/{OF_REPORTS}/<id>/${operation.name}`", operation.documentation
