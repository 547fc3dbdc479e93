"""Map a user's role (User.clinicRole) at the facility of a report to a FHIR PractitionerRole.

https://hl7.org/fhir/R4/practitionerrole.html, US Core PractitionerRole Profile, decision D3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from mappings.codes import NUCC, NUCC_SPECIALTY, US_CORE
from mappings.fhir.datatypes import Json, coding, line, narrative, reference, without_empty
from mappings.fhir.organization import organization_name
from mappings.fhir.practitioner import Radiologist
from mappings.fhir.scene import Scene
from mappings.patient.identifiers import organization_id, role_id

_META: Final[Json] = {"profile": [f"{US_CORE}practitionerrole"]}


def practitioner_roles(scene: Scene, radiologists: Mapping[str, Radiologist]) -> list[Json]:
    """Build one PractitionerRole for each pair of user and facility in a report.

    A user without a Practitioner and a report without a facilityName give none.
    """
    roles: dict[str, Json] = {}
    for report in scene.study.reports:
        radiologist = radiologists[report.user_id]
        facility = organization_name(report.snapshot, scene.site)
        if radiologist.resource and facility:
            make, given = partial(_role, radiologist, radiologist.resource, facility), (radiologist, facility)
            made = scene.as_before((_role, report.user_id, facility), given, make)
            roles.setdefault(made["id"], made)
    return list(roles.values())


def practitioner_role_code(clinic_role: str | None) -> list[Json]:
    """PractitionerRole.code <- User.clinicRole, as text: no code table has all of AutoScribe's roles.

    https://hl7.org/fhir/R4/practitionerrole-definitions.html#PractitionerRole.code
    """
    return [{"text": clinic_role}] if clinic_role else []


def practitioner_role_specialty(clinic_role: str | None) -> list[Json]:
    """PractitionerRole.specialty <- User.clinicRole, if one NUCC code means exactly that; else none.

    https://hl7.org/fhir/R4/practitionerrole-definitions.html#PractitionerRole.specialty
    """
    known = NUCC_SPECIALTY.get(clinic_role or "")
    return [{"coding": [coding(NUCC, *known)]}] if known else []


def _role(radiologist: Radiologist, practitioner: Json, facility: str) -> Json:
    """Build the role; it claims its profile only with a telecom, which pd-1 of US Core requires."""
    organization = organization_id(facility)
    clinic_role, telecom = line(radiologist.clinic_role), practitioner.get("telecom")
    return without_empty(
        {
            "resourceType": "PractitionerRole",
            "id": role_id(practitioner["id"], organization),
            "meta": _META if telecom else None,
            "text": narrative(practitioner["name"][0]["text"], [("Role", clinic_role), ("Facility", facility)]),
            "practitioner": radiologist.reference,
            "organization": reference("Organization", organization, facility),
            "code": practitioner_role_code(clinic_role),
            "specialty": practitioner_role_specialty(clinic_role),
            "telecom": telecom,
        }
    )
