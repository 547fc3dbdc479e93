"""What the facade serves: one row a resource type, one an operation. Routes, CapabilityStatement and documents read it.

https://hl7.org/fhir/R4/http.html: the interactions of a RESTful server; https://hl7.org/fhir/R4/operations.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
NOTHING_STORED: Final = (
    "Nothing is stored yet: what the gateway has read is kept in memory, bounded, and forgotten on a restart."
)


@dataclass(frozen=True, slots=True)
class Served:
    """A resource type. `ids` says what its ids look like, `source` where a read gets it: upstream, seen or binary."""

    resource_type: str
    source: str
    ids: str
    documentation: str
    profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A POST on one DiagnosticReport, named without its `$`."""

    name: str
    documentation: str


RESOURCES: Final = (
    Served(
        "DiagnosticReport",
        "upstream",
        "rep-<32 hex>",
        "Read through: every read asks AutoScribe. Reports are found by study only, for so AutoScribe lists them. "
        "Reports are made in AutoScribe: create answers 405; `$addendum` opens an addendum.",
        (f"{US_CORE}diagnosticreport-note",),
    ),
    Served("ImagingStudy", "upstream", "stu-<32 hex>", "Read through: the study a report is about."),
    Served(
        "Observation",
        "upstream",
        "rep-<32 hex>-…",
        "Read through: the sections of a report, height and weight.",
        (f"{US_CORE}observation-clinical-result", f"{US_CORE}body-height", f"{US_CORE}body-weight"),
    ),
    Served(
        "ServiceRequest",
        "upstream",
        "stu-<32 hex>-req…",
        "Read through: an order that the study answers: its numbers, priority, reason and who asked, as far as known.",
        (f"{US_CORE}servicerequest",),
    ),
    Served(
        "DocumentReference",
        "upstream",
        "rep-<32 hex>-doc",
        "Read through: a signed report's text and PDF as documents; the attachments have the addresses that "
        "DiagnosticReport.presentedForm has.",
        (f"{US_CORE}documentreference",),
    ),
    Served(
        "Provenance",
        "upstream",
        "rep-<32 hex>-prov",
        "Read through: where what is made of a report comes from, and who signed it.",
        (f"{US_CORE}provenance",),
    ),
    Served(
        "Practitioner",
        "user",
        "usr-<32 hex>",
        "Read through: the radiologist; one that AutoScribe no longer knows is served as last seen.",
        (f"{US_CORE}practitioner",),
    ),
    Served(
        "Patient",
        "seen",
        "pat-<32 hex>",
        f"{NOTHING_STORED} A Patient is served once a report about it was read; AutoScribe has no patients of its own.",
        (f"{US_CORE}patient",),
    ),
    Served(
        "Organization",
        "seen",
        "org-<32 hex>",
        f"{NOTHING_STORED} An Organization is served once a report of that facility was read.",
        (f"{US_CORE}organization",),
    ),
    Served(
        "Binary",
        "binary",
        "rep-<32 hex>-pdf, rep-<32 hex>-text",
        "A signed report's PDF, streamed from AutoScribe, and the bytes of its text. As a resource when "
        "application/fhir+json is asked for.",
    ),
)
OPERATIONS: Final = (
    Operation(
        "addendum",
        "Opens an addendum to a signed report. Needs an Idempotency-Key header: a repeat with the same key is "
        "answered, not carried out again; keys are kept in memory and forgotten on a restart. 201 with the new "
        "report, or 202 while AutoScribe does not list it yet.",
    ),
    Operation(
        "cancel-addendum",
        "Cancels the active addendum; takes the id of the addendum or of the original. "
        "Needs an Idempotency-Key header.",
    ),
)
BY_TYPE: Final = {row.resource_type: row for row in RESOURCES}
