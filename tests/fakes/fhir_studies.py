"""Studies mapped to FHIR for the tests: a full signed report, changed by keywords."""

from __future__ import annotations

from typing import Any

from fakes.upstream_json import report_json, response_json, user_json

from mappings import decode, to_fhir
from mappings.codes import CANONICAL
from mappings.model import Facts, Mapped
from mappings.profile import Site, parse_site

SITE = parse_site("""
[[mapping.facilities]]
name = "City Medical Center"
aliases = ["CMC"]
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.2.3"
mrn_namespace = "CITY"
""")
TEXT = "FINDINGS: Normal brain.\nIMPRESSION: Unremarkable."
SNAPSHOT = {
    "age": "38 years",
    "dateOfBirth": "1985-07-20",
    "facilityName": "City Medical Center",
    "height": {"unit": "cm", "value": 165},
    "mrn": "MRN-001234",
    "patientName": "Jane Doe",
    "procedure": "MRI Brain with Contrast",
    "referringPhysicianName": "Dr. Michael Chen",
    "sex": "female",
    "studyDate": "2024-03-15",
    "studyTime": "14:30",
    "weight": {"unit": "kg", "value": 62},
}
Json = dict[str, Any]
USERS: tuple[Json, ...] = (user_json(),)
NO_FACTS = Facts()


def snapshot(**changes: Any) -> Json:
    """Return the full snapshot; a change to None removes the field."""
    return {key: value for key, value in {**SNAPSHOT, **changes}.items() if value is not None}


def report(digit: str = "3", **changes: Any) -> Json:
    """Make a signed report with the full snapshot and a text of two sections."""
    return report_json(digit, **{"snapshotMetadata": SNAPSHOT, "reportPlainText": TEXT, **changes})


def addendum(digit: str = "4", **changes: Any) -> Json:
    """Make a signed addendum, a day after the report."""
    later = "2024-03-16T09:00:00Z"
    return report(digit, **{"isAddendum": True, "signedAt": later, "reportPlainText": "Addendum text.", **changes})


def mapped(
    *reports: Json,
    study: Json | None = None,
    users: tuple[Json, ...] = USERS,
    site: Site = SITE,
    facts: Facts = NO_FACTS,
) -> Mapped[tuple[Json, ...]]:
    """Map a study with these reports to FHIR."""
    return to_fhir(decode(study, response_json(*(reports or (report(),))), users), site, facts)


def one(made: Mapped[tuple[Json, ...]], resource_type: str, ending: str = "") -> Json:
    """Return the only resource of a type (whose id has that ending)."""
    matches = [
        resource
        for resource in made.output
        if resource["resourceType"] == resource_type and resource["id"].endswith(ending)
    ]
    assert len(matches) == 1
    return matches[0]


def codes(made: Mapped[tuple[Json, ...]]) -> set[str]:
    """Codes of all issues."""
    return {issue.code for issue in made.issues}


def extensions(resource: Json) -> Json:
    """Values of our own extensions by name."""
    return {
        found["url"].rpartition("/")[2]: next(value for key, value in found.items() if key.startswith("value"))
        for found in resource.get("extension", ())
        if found["url"].startswith(f"{CANONICAL}/StructureDefinition/")
    }
