"""Compare a report as it was sent with the FHIR resources that an EHR shows, and say its fate. No I/O.

https://hl7.org/fhir/R4/diagnosticreport.html, https://hl7.org/fhir/R4/bundle.html (searchset), HL7 v2.5.1 table 0074.
Identifiers, category, status and text are compared here, since EHRs offer no
search by them. Texts are compared without white space: a chart breaks lines as it likes. What an EHR does not show
(such as a text that is only a link) cannot differ: `detail` then says so.
Proved by tests/gateway/feed/read_back/test_compare.py.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin

from gateway.feed.compose.sent_report import CRITICAL_FLAGS, WITHDRAWN, SentReport, person_of
from gateway.store.feed.messages import FOUND
from mappings.patient.people import Person, are_two_people

# Status of a DiagnosticReport that was sent -> those that a chart may show in its place
_SIGNED: Final = frozenset({"final", "amended", "corrected", "appended"})
_SHOWN_AS: Final = {
    "final": _SIGNED,
    "appended": _SIGNED,
    "corrected": _SIGNED - {"final"},
    "preliminary": frozenset({"registered", "partial", "preliminary"}),
}
_GONE: Final = frozenset({"entered-in-error", "cancelled"})
# Table 0074 and LOINC parts: disciplines that no radiology report belongs to. A bridge's own category may be CT
_NO_IMAGING: Final = frozenset(
    {"BG", "BLB", "CG", "CH", "CP", "GE", "HM", "IMM", "LAB", "MB", "MCB", "MYC", "OSL", "PHR", "SP", "SR", "TX", "VR"}
    | {"LP29693-6", "LP7839-6", "LP7819-8"}
)
_TAG: Final = re.compile(r"<[^>]*>")
_RANK: Final = {name: place for place, name in enumerate(("other patient", "older version", "differs", FOUND))}


@dataclass(frozen=True, slots=True)
class Finding:
    """Fate of a report in the EHR (a kind of gateway/feed/fate.py), and codes of what differs."""

    fate: str
    detail: str = ""


def squeezed(text: str) -> str:
    """Return a text without white space, in one Unicode form, for comparing."""
    return "".join(unicodedata.normalize("NFC", text).split())


@dataclass(frozen=True, slots=True)
class ShownReport:
    """DiagnosticReport as an EHR shows it. `texts` are whole texts, `parts` what may be less; both squeezed.

    `accessions` are the values that are said to be accession numbers. `flags` are the interpretations of contained
    results, None if there are none.
    """

    patient_id: str
    status: str
    identifiers: frozenset[str]
    accessions: frozenset[str]
    categories: frozenset[str]
    texts: tuple[str, ...] = field(repr=False)
    parts: tuple[str, ...] = field(repr=False)
    flags: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class ShownPatient:
    """Patient as an EHR shows it; `numbers` are pairs of system and value."""

    id: str
    numbers: frozenset[tuple[str, str]] = field(repr=False)
    person: Person = field(repr=False)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of a search: its matches, and the URL of the next page, empty if it is the last."""

    patients: tuple[ShownPatient, ...]
    reports: tuple[ShownReport, ...]
    next: str = ""


def read_page(body: bytes, url: str) -> SearchPage:
    """Read the answer to a search; `url` is where it came from.

    Raises:
        ValueError: it is no searchset Bundle, or it says that something is missing in it.
    """
    bundle = json.loads(body)
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle" or bundle.get("type") != "searchset":
        raise ValueError("not-a-searchset")
    found = [one.get("resource") or {} for one in _dicts(bundle.get("entry"))]
    outcomes = [
        issue for one in found if one.get("resourceType") == "OperationOutcome" for issue in _dicts(one.get("issue"))
    ]
    if any(one.get("severity") in {"fatal", "error"} or one.get("code") in _LACKING for one in outcomes):
        raise ValueError("search-incomplete")
    links = [str(one.get("url")) for one in _dicts(bundle.get("link")) if one.get("relation") == "next"]
    return SearchPage(
        tuple(_patient(one) for one in found if one.get("resourceType") == "Patient"),
        tuple(_report(one) for one in found if one.get("resourceType") == "DiagnosticReport"),
        urljoin(url, links[0]) if links else "",
    )


_LACKING: Final = frozenset({"incomplete", "timeout", "throttled", "transient", "lock-error", "no-store", "exception"})


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _patient(resource: dict[str, Any]) -> ShownPatient:
    numbers = {(str(one.get("system", "")), str(one.get("value", ""))) for one in _dicts(resource.get("identifier"))}
    names = _dicts(resource.get("name"))
    name = next((one for one in names if one.get("use") in {"official", "usual"}), names[0] if names else {})
    given = [str(one) for one in name.get("given", ())]
    person = person_of(
        str(name.get("family", "")), given, str(resource.get("birthDate", "")), str(resource.get("gender", ""))
    )
    return ShownPatient(str(resource.get("id", "")), frozenset(numbers), person)


def _report(resource: dict[str, Any]) -> ShownReport:
    identifiers = _dicts(resource.get("identifier"))
    accessions = {str(one.get("value", "")) for one in identifiers if "ACSN" in _codes([one.get("type")])}
    observations = [one for one in _dicts(resource.get("contained")) if one.get("resourceType") == "Observation"]
    forms = [text for one in _dicts(resource.get("presentedForm")) if (text := _attached(one))]
    results = "".join(str(one.get("valueString", "")) for one in observations)
    narrative = html.unescape(_TAG.sub(" ", str((resource.get("text") or {}).get("div", ""))))
    parts = [squeezed(one) for one in (str(resource.get("conclusion", "")), results, narrative)]
    return ShownReport(
        str((resource.get("subject") or {}).get("reference", "")).rpartition("Patient/")[2].partition("/")[0],
        str(resource.get("status", "")),
        frozenset(str(one.get("value", "")) for one in identifiers),
        frozenset(accessions),
        _codes(_dicts(resource.get("category"))),
        tuple(dict.fromkeys([*forms, "".join(forms)])) if forms else (),
        tuple(one for one in parts if one),
        _codes(one for each in observations for one in _dicts(each.get("interpretation"))) if observations else None,
    )


def _codes(concepts: Iterable[Any]) -> frozenset[str]:
    codings = [one for concept in concepts if isinstance(concept, dict) for one in _dicts(concept.get("coding"))]
    return frozenset(str(one.get("code", "")) for one in codings)


def _attached(form: dict[str, Any]) -> str:
    """Return the text of an attachment, squeezed; empty if it is a link, or not text."""
    kind, _, rest = str(form.get("contentType", "")).partition(";")
    if not isinstance(form.get("data"), str) or kind.strip() not in {
        "text/plain",
        "text/html",
        "application/xhtml+xml",
    }:
        return ""
    charset = re.search(r"charset=\"?([\w-]+)", rest)
    try:
        text = base64.b64decode(form["data"]).decode(charset[1] if charset else "utf-8", "replace")
    except (binascii.Error, LookupError, ValueError):
        return ""
    return squeezed(text if kind.strip() == "text/plain" else html.unescape(_TAG.sub(" ", text)))


def judged(sent: SentReport, shown: Sequence[ShownReport], earlier: Sequence[str] = ()) -> Finding | None:
    """Say the fate of a report by the reports in its patient's chart; None if the chart does not have it.

    `earlier` are the texts sent before under the same number.
    """
    by_filler = [one for one in shown if sent.filler and sent.filler in one.identifiers]
    named = [one for one in shown if not one.identifiers.isdisjoint(sent.others)]
    is_apart = sent.orders > 1 and any(one in named for one in by_filler)  # each of its orders is filed by itself
    own = [one for one in by_filler if one in named] if is_apart else by_filler or named
    standing = [one for one in own if one.status not in _GONE]
    text = squeezed(sent.text)
    if sent.status == WITHDRAWN:
        still = [one for one in standing if _still_says(one, text)]
        return Finding("differs", "not-withdrawn") if still else Finding(FOUND)
    if not own:
        is_unnamed = bool(text) and any(text in one for report in shown for one in report.texts)
        return Finding("differs", "identifiers") if is_unnamed else None
    if not standing:
        return Finding("differs", "status")
    if by_filler and len(standing) > (1 if is_apart else sent.orders):
        return Finding("differs", "twice")
    older = [squeezed(one) for one in earlier]
    findings = [_compared(sent, text, one, [each for each in older if each and each != text]) for one in standing]
    return max(findings, key=lambda one: (_RANK[one.fate], not one.detail))


def is_under(sent: SentReport, shown: Sequence[ShownReport]) -> bool:
    """True if a chart has the report by its own number, and not as withdrawn."""
    return any(sent.filler in one.identifiers and one.status not in _GONE for one in shown) if sent.filler else False


def is_someone_else(sent: SentReport, patient: ShownPatient) -> bool:
    """True if the EHR has another person under the patient's number (decision D12)."""
    return are_two_people(sent.person, patient.person)


def _still_says(report: ShownReport, text: str) -> bool:
    """True if a withdrawn text still stands, or may: the EHR does not show any."""
    known = (*report.texts, *report.parts)
    return not known or not text or any(text in one or (one in text and one in report.texts) for one in known)


def _compared(sent: SentReport, text: str, report: ShownReport, older: Sequence[str]) -> Finding:
    """Compare a report with one that a chart shows; `older` are texts sent before, which it must not show instead."""
    faults, note = [], ""
    if text and report.texts:
        is_there = any(text in one for one in report.texts)
        stale = [each for each in older if any(each in one for one in report.texts)]
        if stale and (not is_there or (sent.is_whole and any(each not in text for each in stale))):
            return Finding("older version", "beside" if is_there else "")
        faults += [] if is_there else ["text"]
    elif text and report.parts:
        is_said = any(one in text or text in one for one in report.parts)
        if not is_said and any(one in each or each in one for one in report.parts for each in older):
            return Finding("older version")
        is_whole = any(text in one for one in report.parts)
        faults, note = ([], "" if is_whole else "text-in-part") if is_said else (["text"], "")
    elif text:
        note = "text-not-shown"
    if report.status not in _SHOWN_AS.get(sent.status, {report.status}):
        faults.append("status")
    if report.categories and report.categories <= _NO_IMAGING:
        faults.append("category")
    if sent.accession and report.accessions and sent.accession not in report.accessions:
        faults.append("accession")
    if sent.is_critical and report.flags is not None and report.flags.isdisjoint(CRITICAL_FLAGS):
        faults.append("critical")
    return Finding("differs", " ".join(faults)) if faults else Finding(FOUND, note)
