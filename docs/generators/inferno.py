"""Rows of the us-core-test-kit for US Core 6.1.0: its groups, their tests, and why a test cannot pass here.

https://github.com/inferno-framework/us-core-test-kit: from its public description, without its code. An empty reason
means that the test passes. `docs/reference/us-core.md` shows these rows; tests/us_core/test_inferno_groups.py proves
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
PASSES = ""
_ENCOUNTERS = "a visit is known only from a hospital's orders; the sandbox has none"
_ADDRESS = "AutoScribe knows no addresses of patients"
_PHONE = "AutoScribe knows no telephone numbers of patients"
_DEATH = "AutoScribe does not say who has died"
_UNKNOWN = "AutoScribe does not know it"
_PLACES = "a site may write it in its settings; the sandbox's has none"
_WRITTEN = "when an order was written is known only from a hospital's orders; the sandbox has none"


@dataclass(frozen=True)
class Group:
    """Group of one profile: its searches, and its must-support and USCDI elements, each with the reason why not.

    `profile` is the end of the URL that its resources claim. `provenance` is why there is none; None: not asked for.
    """

    name: str
    resource_type: str
    profile: str
    searches: Mapping[tuple[str, ...], str]
    elements: Mapping[str, str]
    provenance: str | None = PASSES

    def holds(self, resource: Json) -> bool:
        """True for a resource that claims the profile of the group."""
        claimed = resource.get("meta", {}).get("profile", ())
        return any(one.endswith(f"us-core-{self.profile}") for one in claimed)


def _none(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, PASSES)


def _by(text: str) -> dict[tuple[str, ...], str]:
    return {tuple(one.split("+")): PASSES for one in text.split()}


_OF_OBSERVATIONS = _by("patient+category patient+code patient+category+date patient+category+status patient+code+date")
_VITAL = _none(
    *("category", "category:VSCat", "code.coding.code", "effectiveDateTime", "status", "subject"),
    *("valueQuantity.code", "valueQuantity.system", "valueQuantity.unit", "valueQuantity.value"),
)


GROUPS = (
    Group(
        "Patient",
        "Patient",
        "patient",
        {
            **_by("_id identifier name birthdate+name gender+name birthdate+family family+gender"),
            ("death-date", "family"): _DEATH,
        },
        {
            **dict.fromkeys((f"address.{one}" for one in ("city", "line", "postalCode", "state")), _ADDRESS),
            **_none("birthDate", "gender", "identifier.system", "identifier.value", "name.family", "name.given"),
            "address.period.end or address.use": _ADDRESS,
            "communication.language": "AutoScribe knows no languages of patients",
            "deceasedDateTime": _DEATH,
            **dict.fromkeys((f"extension:{one}" for one in ("ethnicity", "race", "tribal-affiliation")), _UNKNOWN),
            "extension:sex": "AutoScribe does not know it, and it does not follow from its field sex",
            "name.period.end or name.use": "AutoScribe has one name for a patient and does not say of what use",
            **_none("name.suffix"),
            **dict.fromkeys((f"telecom.{one}" for one in ("system", "use", "value")), _PHONE),
        },
    ),
    Group(
        "DiagnosticReport for Report and Note Exchange",
        "DiagnosticReport",
        "diagnosticreport-note",
        _by("patient+category patient patient+status patient+category+date patient+code patient+code+date"),
        {
            **_none("category:us-core", "code", "effectiveDateTime", "issued", "performer", "presentedForm", "result"),
            **_none("status", "subject"),
            "encounter": _ENCOUNTERS,
        },
    ),
    Group(
        "DocumentReference",
        "DocumentReference",
        "documentreference",
        _by("patient _id patient+type patient+category patient+category+date patient+type+period patient+status"),
        {
            **_none("author", "category:uscore", "content.attachment.contentType", "content.format", "context.period"),
            **_none("content.attachment.data or content.attachment.url", "date", "identifier", "status", "subject"),
            **_none("type"),
            "context.encounter": _ENCOUNTERS,
        },
    ),
    Group(
        "Observation Clinical Result",
        "Observation",
        "observation-clinical-result",
        _OF_OBSERVATIONS,
        {
            **_none("category:us-core", "code", "effectiveDateTime", "status", "subject", "valueString"),
            "valueCodeableConcept": "the text of a section is a string: AutoScribe codes no findings",
            "valueQuantity": "the text of a section is a string: AutoScribe measures no findings",
        },
    ),
    Group("Observation Body Height", "Observation", "body-height", _OF_OBSERVATIONS, _VITAL),
    Group("Observation Body Weight", "Observation", "body-weight", _OF_OBSERVATIONS, _VITAL),
    Group(
        "ServiceRequest",
        "ServiceRequest",
        "servicerequest",
        {
            **_by("patient _id patient+category patient+code patient+status"),
            ("patient", "category", "authored"): _WRITTEN,
            ("patient", "code", "authored"): _WRITTEN,
        },
        {
            **_none("category", "code", "intent", "status", "subject", "requester"),
            **_none("reasonCode or reasonReference"),
            "authoredOn": _WRITTEN,
            "category:us-core": "orders have the category of their reports, of LOINC; the slice is of SNOMED CT",
            "occurrencePeriod": "AutoScribe says when a study began, not when it ended: occurrenceDateTime",
        },
        "AutoScribe does not say who wrote an order",
    ),
    Group(
        "Organization",
        "Organization",
        "organization",
        {("name",): PASSES, ("address",): _PLACES},
        {
            **_none("active", "name", "identifier.system", "identifier.value"),
            **dict.fromkeys((f"address.{one}" for one in ("line", "city", "state", "postalCode", "country")), _PLACES),
            **dict.fromkeys(("identifier:NPI", "telecom.system", "telecom.value"), _PLACES),
        },
        None,
    ),
    Group(
        "Practitioner",
        "Practitioner",
        "practitioner",
        _by("name identifier _id"),
        _none(
            "identifier.system", "identifier.value", "identifier:NPI", "name.family", "telecom.system", "telecom.value"
        ),
        None,
    ),
    Group(
        "PractitionerRole",
        "PractitionerRole",
        "practitionerrole",
        _by("specialty practitioner"),
        {
            **_none("code", "organization", "practitioner", "specialty", "telecom.system", "telecom.value"),
            "endpoint": "a radiologist has no endpoint in AutoScribe",
            "location": "AutoScribe knows no locations",
        },
        None,
    ),
    Group(
        "Provenance",
        "Provenance",
        "provenance",
        {},
        _none(
            *("agent.onBehalfOf", "agent.type.coding.code", "agent.who", "agent:ProvenanceAuthor"),
            *("agent:ProvenanceTransmitter", "recorded", "target.reference"),
        ),
        None,
    ),
)
_OTHER_OBSERVATIONS = (
    *("Laboratory Result", "Pregnancy Status", "Pregnancy Intent", "Occupation", "Respiratory Rate", "Simple"),
    *("Heart Rate", "Body Temperature", "Pediatric Weight for Height", "Pulse Oximetry", "Smoking Status"),
    *("Sexual Orientation", "Head Circumference", "BMI", "Screening Assessment", "Blood Pressure"),
    *("Pediatric BMI for Age", "Pediatric Head Occipital Frontal Circumference Percentile"),
)
NOT_SERVED = (
    *("AllergyIntolerance", "CarePlan", "CareTeam", "Condition", "Coverage", "Device", "Goal"),
    *("Immunization", "MedicationDispense", "MedicationRequest", "Procedure", "QuestionnaireResponse"),
    *("RelatedPerson", "Specimen"),
)
_OF_REPORTS = "AutoScribe has radiology reports and nothing of this kind"
_LAUNCH = "clients log in as backend services: there is no launch by a user"
# Test of a group that is of no single profile -> why it cannot pass
OTHER_TESTS: Mapping[tuple[str, str], str] = {
    ("Capability Statement", "FHIR 4.0.1, JSON, Patient and another profile"): PASSES,
    ("Clinical Notes Guidance", "the attachments of reports are those of documents"): PASSES,
    ("Clinical Notes Guidance", "all ten types of notes"): "AutoScribe has only radiology reports",
    ("Encounter", "all"): _ENCOUNTERS,
    ("Missing Data", "the extension for absent data"): PASSES,
    ("Screening Assessment", "all"): _OF_REPORTS,
    ("SMART App Launch", "all"): _LAUNCH,
    (
        "SMART Granular Scopes",
        "all",
    ): f"{_LAUNCH}. The scopes of a client may be granular: docs/facade.md",
}
_SLICES: Mapping[str, tuple[str, ...]] = {
    "category:us-core": ("LP29684-5", "imaging"),
    "category:uscore": ("clinical-note",),
    "category:VSCat": ("vital-signs",),
    "agent:ProvenanceAuthor": ("author",),
    "agent:ProvenanceTransmitter": ("transmitter",),
}
_NPI = "http://hl7.org/fhir/sid/us-npi"
_SNOMED = "http://snomed.info/sct"


def rows() -> Iterator[tuple[str, str, str]]:
    """Yield the group, the test, and why it is skipped, of every test in the order of the table."""
    for group in GROUPS:
        for names, why in group.searches.items():
            yield group.name, f"search by {' + '.join(names)}", why
        if group.provenance is not None:
            yield group.name, "_revinclude=Provenance:target", group.provenance
        for name in ("read", "validation", "references resolve"):
            yield group.name, name, PASSES
        yield group.name, "must support", _absent(group.elements)
    for name in ("DiagnosticReport for Laboratory Results", *(f"Observation {one}" for one in _OTHER_OBSERVATIONS)):
        yield name, "all", _OF_REPORTS
    for name in NOT_SERVED:
        yield name, "all", _OF_REPORTS
    for (name, test), why in OTHER_TESTS.items():
        yield name, test, why


def _absent(elements: Mapping[str, str]) -> str:
    """Say which elements are never there, by their reason."""
    reasons: dict[str, list[str]] = {}
    for element, why in elements.items():
        if why:
            reasons.setdefault(why, []).append(f"`{element}`")
    return "; ".join(f"{', '.join(found)}: {why}" for why, found in reasons.items())


def results() -> Iterator[tuple[str, int, int]]:
    """Yield each group with the number of its tests that pass, and of those that are skipped."""
    every = list(rows())
    for name in dict.fromkeys(group for group, _, _ in every):
        reasons = [why for group, _, why in every if group == name]
        yield name, reasons.count(PASSES), len(reasons) - reasons.count(PASSES)


def has(resource: Json, element: str) -> bool:
    """True if a resource has an element or a slice of one (`category:us-core`), or one of several (`a or b`)."""
    return any(_has(resource, one) for one in element.split(" or "))


def _has(resource: Json, element: str) -> bool:
    name, colon, part = element.partition(":")
    if not colon:
        return any(True for _ in values(resource, element))
    if name == "extension":
        return any(one["url"].endswith(f"us-core-{part}") for one in resource.get("extension", ()))
    if part == "NPI":
        return _NPI in values(resource, f"{name}.system")
    if (resource["resourceType"], part) == ("ServiceRequest", "us-core"):
        return _SNOMED in values(resource, "category.coding.system")
    codes = values(resource, f"{name}.coding.code" if name == "category" else f"{name}.type.coding.code")
    return not set(_SLICES[element]).isdisjoint(codes)


def values(node: Any, path: str) -> list[Any]:
    """Return what stands at a path, through any lists in between."""
    found: Iterable[Any] = [node]
    for step in path.split("."):
        inner = [one[step] for one in found if isinstance(one, dict) and step in one]
        found = [item for one in inner for item in (one if isinstance(one, list) else [one])]
    return list(found)
