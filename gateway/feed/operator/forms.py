"""Return a report as stored in AutoScribe's JSON and in FHIR, with its mapping issues, to show beside its messages.

https://www.rfc-editor.org/rfc/rfc6901 (JSON pointers), https://hl7.org/fhir/R4/diagnosticreport.html; decisions D4, D6,
D7. What is stored is shown, nothing is mapped again. The answer holds patient data, which the page notes in the audit.
Proved by tests/gateway/feed/operator/test_forms.py.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from gateway.feed.operator.arguments import id_of
from gateway.store.database.engine import Engine, instant
from gateway.store.feed.ledger import critical_results, versions_of
from gateway.store.stored_reports import Pdfs, StoredPdf, stored_study
from gateway.store.studies.search import current, issues, owned_by
from mappings.issues import MappingIssue
from mappings.patient.identifiers import fhir_id
from mappings.trace.outputs import elements
from mappings.trace.probes import leaves
from mappings.values.dates import parse_instant

_MOST_ISSUES: Final = 500
_MOST_VERSIONS: Final = 50
_UNSAID: Final = frozenset({"resourceType", "meta", "text"})
_OF_REPORTS: Final = re.compile("/reports/([0-9]+)(/|$)")
_TYPES: Final = ("DiagnosticReport", "Patient", "Observation", "DocumentReference", "Provenance", "ImagingStudy")


@dataclass(frozen=True, slots=True)
class FormRow:
    """Place in a form, its value, and the issues that arose there."""

    place: str
    value: str = field(repr=False)
    issues: tuple[MappingIssue, ...] = ()


@dataclass(frozen=True, slots=True)
class FhirForm:
    """Current version of a resource, element by element."""

    address: str
    version: int
    updated: datetime
    rows: tuple[FormRow, ...]


@dataclass(frozen=True, slots=True)
class ReportForms:
    """Forms of a report: the leaves of AutoScribe's JSON, and its FHIR resources.

    `others` are the issues of its study at a place that is not among the leaves. `moments` are the times of its
    signature, of its reading, and of its versions in FHIR.
    """

    report_id: str
    study_id: str
    patient_id: str
    autoscribe: tuple[FormRow, ...]
    fhir: tuple[FhirForm, ...]
    others: tuple[MappingIssue, ...]
    pdf: StoredPdf | None
    moments: tuple[tuple[datetime, str], ...] = ()


async def report_forms(engine: Engine, report: str) -> ReportForms | None:
    """Return the forms of a report, None if it is not stored.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    report_id = id_of(report)
    stored = await stored_study(engine, report_id)
    if stored is None:
        return None
    document = stored.document()
    found = [issue for _, issue in await issues(engine, [stored.study_id], _MOST_ISSUES)]
    rows = tuple(_leaves(document, report_id, found))
    places = {one.place for one in rows}
    diagnostic_report = await _diagnostic_report(engine, fhir_id(report_id))
    resources = await _resources(engine, stored.study_id, fhir_id(report_id), diagnostic_report)
    return ReportForms(
        report_id,
        stored.study_id,
        next((one.address.partition("/")[2] for one in resources if one.address.startswith("Patient/")), ""),
        rows,
        resources,
        tuple(one for one in found if one.pointer not in places),
        None if _is_withdrawn(diagnostic_report) else await Pdfs(engine).current(report_id),
        tuple(await _moments(engine, document, report_id)),
    )


async def _moments(engine: Engine, document: dict[str, Any], report_id: str) -> list[tuple[datetime, str]]:
    """Return when the report was signed, and when it got each version in FHIR."""
    own: dict[str, Any] = next((one for one in document["reports"] if one.get("reportId") == report_id), {})
    signed = parse_instant(own.get("signedAt") or "")
    versions = await versions_of(engine, f"DiagnosticReport/{fhir_id(report_id)}")
    made = [
        (instant(at), f"version {number} in FHIR, {resource.get('status', 'no status')}")
        for number, at, resource in versions[-_MOST_VERSIONS:]
    ]
    return [*([(signed, "signed in AutoScribe")] if signed else []), *made]


@dataclass(frozen=True, slots=True)
class PdfOfReport:
    """Stored PDF of a report: its address in FHIR, its patient, and its bytes in pieces."""

    address: str
    patients: tuple[str, ...]
    chunks: AsyncIterator[bytes] = field(repr=False)


async def pdf_of(engine: Engine, report: str) -> PdfOfReport | None:
    """Return the stored PDF of a report; None if none of its present text is stored, or the report was withdrawn.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    pdfs, own = Pdfs(engine), fhir_id(id_of(report))
    found = await pdfs.current(id_of(report))
    resource = await _diagnostic_report(engine, own)
    if found is None or _is_withdrawn(resource):
        return None
    subject = resource.get("subject", {}).get("reference", "")
    patients = (subject.partition("/")[2],) if subject.startswith("Patient/") else ()
    return PdfOfReport(f"Binary/{own}-pdf", patients, pdfs.read(found, 0, found.size - 1))


async def _diagnostic_report(engine: Engine, own: str) -> dict[str, Any]:
    """Return the DiagnosticReport of that id, empty if none is served."""
    version = (await current(engine, [f"DiagnosticReport/{own}"])).get(f"DiagnosticReport/{own}")
    return version.resource if version else {}


def _is_withdrawn(resource: dict[str, Any]) -> bool:
    """True for a report that must not be read as valid; the facade does not give out its PDF either."""
    return resource.get("status") == "entered-in-error"


async def critical_reports(engine: Engine, study_ids: Collection[str]) -> dict[str, set[str]]:
    """Return those of these studies that have critical results, with the ids of these reports.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = {study_id: await critical_results(engine, study_id) for study_id in study_ids}
    return {study_id: report_ids for study_id, report_ids in found.items() if report_ids}


def _leaves(document: dict[str, Any], report_id: str, found: Sequence[MappingIssue]) -> Iterator[FormRow]:
    """Yield the leaves of the study and of this report, not those of its other reports."""
    others = {str(at) for at, one in enumerate(document["reports"]) if one.get("reportId") != report_id}
    for leaf in leaves(document):
        within = _OF_REPORTS.match(leaf.pointer)
        if within is None or within[1] not in others:
            yield FormRow(leaf.pointer, _text(leaf.value), tuple(one for one in found if one.pointer == leaf.pointer))


async def _resources(engine: Engine, study_id: str, own: str, report: dict[str, Any]) -> tuple[FhirForm, ...]:
    """Return the current resources of the report, in the order of `_TYPES`: its own, its patient, and its study."""
    subject = report.get("subject", {}).get("reference", "")
    addresses = [one for one in await owned_by(engine, study_id) if one.partition("/")[2].startswith(own)]
    addresses += [one for one in (subject, f"ImagingStudy/{fhir_id(study_id)}") if one]
    versions = [one for one in (await current(engine, list(dict.fromkeys(addresses)))).values() if one is not None]
    versions = [one for one in versions if one.address.partition("/")[0] in _TYPES]
    versions.sort(key=lambda one: (_TYPES.index(one.address.partition("/")[0]), one.address))
    return tuple(
        FhirForm(one.address, one.version, instant(one.updated), tuple(_elements(one.resource))) for one in versions
    )


def _elements(resource: dict[str, Any]) -> Iterator[FormRow]:
    """Yield the scalars of a resource by their element, without its metadata and its narrative."""
    kind = str(resource["resourceType"])
    for path, value in elements({key: one for key, one in resource.items() if key not in _UNSAID}, kind):
        yield FormRow(path, _text(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "null" if value is None else str(value).lower()
