"""The elements on which our FHIR and a converter's FHIR of our HL7 v2 must agree, and where they may not.

https://build.fhir.org/ig/HL7/v2-to-fhir/. Both sides are FHIR, so one function picks an element of both.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from mappings.codes import DICOM_UID, US_NPI, V2_0074
from mappings.values.text import lines

Json = dict[str, Any]


@dataclass(frozen=True)
class View:
    """One DiagnosticReport among the resources that it refers to."""

    report: Json
    resources: Sequence[Json]
    urls: Mapping[str, Json]

    def at(self, reference: Json | None) -> Json:
        """The resource that a reference leads to, or {}."""
        return self.urls.get((reference or {}).get("reference", ""), {})

    @cached_property
    def patient(self) -> Json:
        return self.at(self.report["subject"])

    @cached_property
    def order(self) -> Json:
        return self.at(next(iter(self.report.get("basedOn", ())), None))

    @cached_property
    def text(self) -> list[str]:
        """The lines of the report's texts, one below the other."""
        forms = [form for form in self.report.get("presentedForm", ()) if form["contentType"].startswith("text/plain")]
        return plain("\n".join(base64.b64decode(form["data"]).decode() for form in forms))


def plain(text: str) -> list[str]:
    """The lines of N(text) without blanks at their ends and without empty lines before the first and after the last."""
    return "\n".join(line.rstrip() for line in lines(text)).strip("\n").split("\n") if text else []


def view(report: Json, bundle: Sequence[tuple[str, Json]]) -> View:
    """The view of a report in a Bundle, of which each entry's fullUrl and resource are given."""
    urls = {f"{one['resourceType']}/{one['id']}": one for _, one in bundle if "id" in one}
    return View(report, [one for _, one in bundle], {**urls, **{url: one for url, one in bundle if url}})


def _identifiers(resource: Json, *types: str) -> list[tuple[str, str, str]]:
    """Type, system and value of each identifier of these types, or of all."""
    found = []
    for one in resource.get("identifier", ()):
        code = next((coding["code"] for coding in one.get("type", {}).get("coding", ())), "")
        if not types or code in types:
            found.append((code, one.get("system", ""), one["value"]))
    return found


def _moment(text: str | None) -> str | None:
    """A FHIR dateTime as a moment of UTC, with whatever offset it is written; a date stays one."""
    if text is None or "T" not in text:
        return text
    return _instant(text)


def _instant(text: str | None) -> str | None:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat() if text else None


def _name(name: Json) -> Json:
    """The parts of a name; its text where it is not split."""
    parts = {key: name[key] for key in ("family", "given", "prefix", "suffix") if key in name}
    return parts or {key: name[key] for key in ("text",) if key in name}


def _names(resource: Json) -> list[Json]:
    return [made for name in resource.get("name", ()) if (made := _name(name))]


def _interpreters(one: View) -> list[Any]:
    """The names of the interpreters; the display of one who has no resource, nothing of one who has no name."""
    people = [(reference, one.at(reference)) for reference in one.report.get("resultsInterpreter", ())]
    found = [_names(person) or [{"text": reference.get("display")}] for reference, person in people]
    return [name for names in found for name in names if name != {"text": None}]


def _npi(one: View) -> list[str]:
    people = [one.at(reference) for reference in one.report.get("resultsInterpreter", ())]
    return [value for person in people for _, system, value in _identifiers(person) if system == US_NPI]


def _category(one: View) -> list[str]:
    codings = [coding for category in one.report.get("category", ()) for coding in category.get("coding", ())]
    return sorted(coding["code"] for coding in codings if coding.get("system") == V2_0074)


def _images(one: View) -> list[str]:
    studies = [one.at(reference) for reference in one.report.get("imagingStudy", ())]
    return [value for study in studies for _, system, value in _identifiers(study) if system == DICOM_UID]


def _interpretation(one: View) -> list[str]:
    codings = [
        coding["code"]
        for resource in one.resources
        if resource["resourceType"] == "Observation"
        for interpretation in resource.get("interpretation", ())
        for coding in interpretation["coding"]
    ]
    return sorted(set(codings))


def _requester(one: View) -> list[str]:
    """The words of the requester's name in any order: FHIR shows it as it was written, XCN in parts."""
    asked_by = one.order.get("requester") or {}
    return sorted(re.findall(r"[^\s,^]+", asked_by.get("display", "")))


ELEMENTS: dict[str, Callable[[View], Any]] = {
    "identifier FILL": lambda one: _identifiers(one.report, "FILL"),
    "identifier PLAC": lambda one: _identifiers(one.report, "PLAC"),
    "identifier ACSN": lambda one: [value for *_, value in _identifiers(one.report, "ACSN")],
    "status": lambda one: one.report["status"],
    "category": _category,
    "code.text": lambda one: one.report["code"].get("text"),
    "code.coding": lambda one: [(each.get("system"), each["code"]) for each in one.report["code"].get("coding", ())],
    "effective": lambda one: _moment(one.report.get("effectiveDateTime")),
    "issued": lambda one: _instant(one.report.get("issued")),
    "resultsInterpreter name": _interpreters,
    "resultsInterpreter NPI": _npi,
    "presentedForm text": lambda one: one.text,
    "conclusion": lambda one: plain(one.report.get("conclusion", "")),
    "imagingStudy": _images,
    "interpretation": _interpretation,
    "Patient.identifier": lambda one: _identifiers(one.patient),
    "Patient.name": lambda one: _names(one.patient),
    "Patient.gender": lambda one: one.patient.get("gender"),
    "Patient.birthDate": lambda one: one.patient.get("birthDate"),
    "ServiceRequest.priority": lambda one: one.order.get("priority"),
    "ServiceRequest.reasonCode": lambda one: [reason["text"] for reason in one.order.get("reasonCode", ())],
    "ServiceRequest.requester": _requester,
}
