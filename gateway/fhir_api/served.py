"""Tables of the FHIR resource types and operations that are served, for routes, CapabilityStatement and documents.

https://hl7.org/fhir/R4/http.html: the interactions of a RESTful server; https://hl7.org/fhir/R4/operations.html.
Proved by tests/gateway/fhir_api/test_capability.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from gateway.auth.scopes import ADDENDUM, EVERY_TYPE
from mappings.fhir.resource_types import types_at

_CHANGING: Final = frozenset({"addendum", "cancel-addendum"})
Level = Literal["type", "instance"]

OF_REPORTS: Final = "DiagnosticReport"
_OWN: Final = "OperationDefinition/"  # below the base of the site's own definitions
US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"


@dataclass(frozen=True, slots=True)
class Served:
    """A served resource type: form of its ids, description, and profiles that its resources may claim.

    `is_of_several`: an id names several objects of AutoScribe, so that no single one can be asked for.
    """

    resource_type: str
    ids: str
    documentation: str
    profiles: tuple[str, ...] = ()
    is_binary: bool = False
    is_of_several: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """An input of an operation; `type` is a FHIR type, `most` is `1` or `*`."""

    name: str
    type: str
    documentation: str
    is_needed: bool = False
    most: str = "1"


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation, named without `$`, with its resource types, levels and HTTP methods.

    `definition` is the canonical URL of its OperationDefinition, or of one of our own its address below the base of the
    site's own definitions. `needs` is what a client's scopes must allow: types
    with a permission each; empty for reading the type that the operation is called on.
    """

    name: str
    documentation: str
    definition: str
    resource_types: tuple[str, ...] = (OF_REPORTS,)
    levels: tuple[Level, ...] = ("instance",)
    methods: tuple[str, ...] = ("GET", "POST")
    inputs: tuple[Input, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()

    @property
    def affects_state(self) -> bool:
        """True if the operation changes something in AutoScribe."""
        return self.name in _CHANGING

    @property
    def is_own(self) -> bool:
        """True if no specification defines the operation."""
        return "://" not in self.definition

    def url(self, canonical: str) -> str:
        """Return the canonical URL of its definition; `canonical` is the base of the site's own definitions."""
        return f"{canonical}/{self.definition}" if self.is_own else self.definition

    def addresses(self) -> Iterator[tuple[str, str]]:
        """Yield each resource type with the operation's path below the base."""
        for resource_type in self.resource_types:
            for level in self.levels:
                yield resource_type, f"/{resource_type}{'/{id}' if level == 'instance' else ''}/${self.name}"


_URL: Final = Input("url", "uri", "The URL of the value set or code system, where the path has no id.")
_CODE: Final = Input("code", "code", "The code; with system.")
_SYSTEM: Final = Input("system", "uri", "The URL of the code's system.")
_CODING: Final = Input("coding", "Coding", "The code with its system, in place of both: system|code.")
RESOURCES: Final = (
    Served(
        OF_REPORTS,
        "rep-<32 hex>",
        "A report of AutoScribe; an addendum is a report of its own, and its original shows it. Reports are made in "
        "AutoScribe: create answers 405; `$addendum` opens an addendum.",
        (f"{US_CORE}diagnosticreport-note",),
    ),
    Served("ImagingStudy", "stu-<32 hex>", "The study a report is about; series and instances are not known."),
    Served(
        "Observation",
        "rep-<32 hex>-…",
        "The sections of a report with their text, and height and weight as the report had them.",
        (f"{US_CORE}observation-clinical-result", f"{US_CORE}body-height", f"{US_CORE}body-weight"),
    ),
    Served(
        "ServiceRequest",
        "stu-<32 hex>-req…",
        "An order that the study answers: its numbers, priority, reason and who asked, as far as known.",
        (f"{US_CORE}servicerequest",),
    ),
    Served(
        "Encounter",
        "stu-<32 hex>-enc-<16 hex>",
        "The visit of an order that the study answers, as the hospital told it; none for a study without an order.",
        (f"{US_CORE}encounter",),
    ),
    Served(
        "DocumentReference",
        "rep-<32 hex>-doc",
        "A signed report's text and PDF as documents; the attachments have the addresses that "
        "DiagnosticReport.presentedForm has.",
        (f"{US_CORE}documentreference",),
    ),
    Served(
        "Provenance",
        "rep-<32 hex>-prov, stu-<32 hex>-patient-prov, rep-<32 hex>-patient-prov",
        "Where what is made of a report comes from, and who signed it; and, for each study, where what it says of a "
        "patient comes from.",
        (f"{US_CORE}provenance",),
    ),
    Served(
        "Practitioner",
        "usr-<32 hex>",
        "The radiologist; one that AutoScribe no longer knows is served as last seen.",
        (f"{US_CORE}practitioner",),
    ),
    Served(
        "PractitionerRole",
        "usr-<32 hex>-<22 letters and digits>",
        "What a radiologist is in AutoScribe, at each facility whose reports the radiologist created or signed; the "
        "id begins with that of the Practitioner.",
        (f"{US_CORE}practitionerrole",),
        is_of_several=True,
    ),
    Served(
        "Patient",
        "pat-<32 hex>",
        "As the newest study about the patient says; AutoScribe has no patients of its own. Address, race, ethnicity "
        "and death are not known to it.",
        (f"{US_CORE}patient",),
    ),
    Served("Organization", "org-<32 hex>", "The facility that a report is of.", (f"{US_CORE}organization",)),
    Served(
        "Binary",
        "rep-<32 hex>-pdf, rep-<32 hex>-text",
        "A signed report's PDF, with hash and ranges once it is kept, and the bytes of its text. As a resource when "
        "application/fhir+json or application/fhir+xml is asked for.",
        is_binary=True,
    ),
)
OPERATIONS: Final = (
    Operation(
        "addendum",
        "Opens an addendum to a signed report. Needs an Idempotency-Key header: a repeat with the same key is "
        "answered, not carried out again; keys are kept in the database, for 24 hours. With If-Match only if "
        "that is the current version. 201 with the new report, or 202 while AutoScribe does not list it yet.",
        f"{_OWN}addendum",
        methods=("POST",),
        needs=((OF_REPORTS, "r"), (OF_REPORTS, ADDENDUM)),
    ),
    Operation(
        "cancel-addendum",
        "Cancels the active addendum; takes the id of the addendum or of the original. "
        "Needs an Idempotency-Key header; If-Match as for `$addendum`.",
        f"{_OWN}cancel-addendum",
        methods=("POST",),
        needs=((OF_REPORTS, "r"), (OF_REPORTS, ADDENDUM)),
    ),
    Operation(
        "trace",
        "What each field that AutoScribe gives for the report becomes in FHIR and in HL7 v2: measured, by changing one "
        "at a time; and what could not be mapped as it came. Parameters, or the fields alone as a table in text/plain. "
        "No value of a field is shown.",
        f"{_OWN}trace",
        inputs=(
            Input("receiver", "string", "The receiver profile whose HL7 v2 is looked at; generic if none is named."),
        ),
    ),
    Operation(
        "hl7v2",
        "The ORU^R01 that the report causes for a receiver, as though nothing had been sent to it before; nothing is "
        "sent. Parameters with the messages and what there is to say of them, also of one that a rule of the receiver "
        "blocks; of a destination, with its own switches, also what would become of the report there; or, as "
        "x-application/hl7-v2+er7, the bytes of the messages: 422 where one is blocked or would not be sent.",
        f"{_OWN}hl7v2",
        inputs=(
            Input("receiver", "string", "The name of the receiver profile; this or destination is needed."),
            Input("destination", "string", "The name of a destination: its profile with its own switches."),
        ),
        needs=((EVERY_TYPE, "r"),),  # a message holds patient, order and people
    ),
    Operation(
        "everything",
        "All that the index holds about a patient: reports and what is made of them, studies, orders, who signed and "
        "where. Found in the index alone.",
        "http://hl7.org/fhir/OperationDefinition/Patient-everything",
        ("Patient",),
        inputs=(
            Input("start", "date", "Only of studies and visits of that day or later; what has no date comes, too."),
            Input("end", "date", "Only of studies and visits of that day or earlier, in the same way."),
            Input("_since", "instant", "Only what was stored then or later."),
            Input("_type", "code", "Only these types, with commas between.", most="*"),
            Input("_count", "integer", "How many to a page."),
        ),
    ),
    Operation(
        "docref",
        "The documents of a patient. Without start and end the most recent one; documents are signed reports, none is "
        "made on demand, and no C-CDA.",
        "http://hl7.org/fhir/us/core/OperationDefinition/docref",
        ("DocumentReference",),
        ("type",),
        inputs=(
            Input("patient", "id", "The id of the patient; of one who is not known nothing is found.", is_needed=True),
            Input("start", "dateTime", "Only of studies made then or later."),
            Input("end", "dateTime", "Only of studies made then or earlier."),
            Input("type", "Coding", "Only documents of one of these types: system|code.", most="*"),
            Input("on-demand", "boolean", "true: only documents made on demand, of which there are none."),
            Input("profile", "canonical", "Only DocumentReferences that claim one of these profiles.", most="*"),
        ),
        needs=(("DocumentReference", "s"),),
    ),
    Operation(
        "validate",
        "Holds a resource against what the gateway demands of its own before it serves them: R4 and US Core, and "
        "beyond that references to its types alone and narrative of its form. Without a resource, the one at the "
        "address is looked at.",
        "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        tuple(row.resource_type for row in RESOURCES if not row.is_binary),
        ("type", "instance"),
        ("POST",),
        (
            Input("resource", "Resource", "What to look at; it may also be the whole body."),
            Input("mode", "code", "create, update, delete or profile: the first three are not offered here."),
            Input("profile", "uri", "One of the profiles of the type: it is looked at as one that claims it."),
        ),
    ),
    Operation(
        "expand",
        "All codes of a value set of this gateway, or those whose code, display or definition has the text of filter.",
        "http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
        ("ValueSet",),
        ("type", "instance"),
        inputs=(
            _URL,
            Input("filter", "string", "A part of the code, its display or its definition, in any case."),
            Input("offset", "integer", "How many codes come before the page."),
            Input("count", "integer", "How many codes to a page; 1000 where nothing is said."),
        ),
    ),
    Operation(
        "lookup",
        "The display and the definition of a code that the gateway defines or uses.",
        "http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
        ("CodeSystem",),
        ("type",),
        inputs=(_CODE, _SYSTEM, _CODING),
    ),
    *(
        Operation(
            "validate-code",
            "true for a code that the gateway defines or uses, false for one that a system of its own does not have; "
            "404 for another code of a system of others, of which the gateway does not know all.",
            f"http://hl7.org/fhir/OperationDefinition/{kind}-validate-code",
            (kind,),
            ("type", "instance"),
            inputs=(_URL, _CODE, _SYSTEM, _CODING, Input("display", "string", "The display to compare, in any case.")),
        )
        for kind in ("CodeSystem", "ValueSet")
    ),
)
# Operations of R4 that clients try -> the answer to their question that is offered in their place
_CODES: Final = "CodeSystem and ValueSet list all codes of this gateway"
_INSTEAD: Final = {
    **dict.fromkeys(("translate", "subsumes"), _CODES),
    "export": "search a type by _lastUpdated=gt…, and follow its pages",
    "graphql": "_include and _revinclude of a search",
    "lastn": "search Observation by patient, code, _sort=-date and _count",
    "match": "Patient?identifier=system|value",
    **dict.fromkeys(("meta", "meta-add", "meta-delete"), "a search with _elements=id,meta; tags are not written here"),
}
DEFINITIONS: Final = (
    Served("OperationDefinition", "the name of the operation", "The operations that this gateway defines itself."),
    Served("SearchParameter", "<type>-<name>", "The search parameters that this gateway defines itself."),
    Served("StructureDefinition", "the name of the extension", "The extensions that this gateway defines itself."),
    Served("CodeSystem", "the name of the code system", "The codes that this gateway defines itself."),
    Served("ValueSet", "the name of the code system", "All codes of each code system of this gateway."),
    Served("NamingSystem", "the name of the system", "The systems of identifiers that this gateway gives."),
)
# Types of the compartment of a patient: those that have the patient as `patient`
IN_COMPARTMENT: Final = types_at("member", "about")
BY_TYPE: Final = {row.resource_type: row for row in RESOURCES}
OF_DEFINITIONS: Final = {row.resource_type: row for row in DEFINITIONS}


def offered_instead(name: str, resource_type: str) -> str:
    """Describe what can be used in place of an operation that is not offered; the client may have invented its name."""
    rows = [(one, resource_type) for one in OPERATIONS if resource_type in one.resource_types]
    rows += [(one, one.resource_types[0]) for one in OPERATIONS if one.name == name]
    rows = rows or [(one, one.resource_types[0]) for one in OPERATIONS]
    addresses = (address for one, kind in rows for owner, address in one.addresses() if owner == kind)
    shown = dict.fromkeys(address[1:].replace("{id}", "<id>") for address in addresses)
    instead = f"instead: {_INSTEAD[name]}; " if name in _INSTEAD else ""
    return f"this operation is not offered here; {instead}there are {', '.join(shown)}"


def facade_rows() -> Iterator[tuple[str, str]]:
    """Yield every interaction as (request, description of its answer), for the documents."""
    yield "`GET /fhir/metadata`", "The CapabilityStatement, made from the tables the code runs on."
    for row in RESOURCES:
        yield f"`GET /fhir/{row.resource_type}/<id>`", f"Ids: {row.ids}. {row.documentation}"
    searched = ", ".join(row.resource_type for row in RESOURCES if not row.is_binary)
    yield "`GET /fhir/<type>?…`", f"A search; of {searched}."
    yield "`POST /fhir/<type>/_search`", "The same, with the parameters in a form."
    compartment = ", ".join(IN_COMPARTMENT)
    yield "`GET /fhir/Patient/<id>/<type>?…`", f"The same within the compartment of a patient; of {compartment}."
    yield "`GET /fhir/<type>/<id>/_history`", "Its versions, the newest first."
    yield "`GET /fhir/<type>/_history`", "The versions of all resources of a type, the newest first; with `_since`."
    yield "`GET /fhir/_history`", "The versions of all resources, the newest first; with `_since`."
    yield "`GET /fhir/<type>/<id>/_history/<version>`", "One version, as it was served."
    yield "`POST /fhir`", "A batch: a Bundle of reads, searches and operations by GET, each answered as if alone."
    for operation in OPERATIONS:
        for resource_type, address in operation.addresses():
            if resource_type == operation.resource_types[0]:
                shown = address.replace("{id}", "<id>")
                if len(operation.resource_types) > 1:
                    shown = shown.replace(resource_type, "<type>")
                yield f"`{operation.methods[0]} /fhir{shown}`", operation.documentation
    for row in DEFINITIONS:
        yield f"`GET /fhir/{row.resource_type}`", f"{row.documentation} By id, or found by what /fhir/metadata lists."
    yield "`GET /fhir/AuditEvent?…`", "The audit, newest first, and an event by its id; with a scope that names it."
