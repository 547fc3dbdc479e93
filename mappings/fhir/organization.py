"""Organization <- snapshotMetadata.facilityName and the site's settings.

https://hl7.org/fhir/R4/organization.html, US Core Organization Profile.
"""

from __future__ import annotations

from mappings.codes import SID_FACILITY, US_CORE
from mappings.fhir.datatypes import Json, identifier, line, reference
from mappings.fhir.narrative import narrative
from mappings.identifiers import organization_id
from mappings.model import Snapshot
from mappings.profile import Site


def organization_name(snapshot: Snapshot, site: Site) -> str | None:
    """Organization.name <- snapshotMetadata.facilityName, or the name of the configured facility it is an alias of.

    https://hl7.org/fhir/R4/organization-definitions.html#Organization.name
    """
    facility = site.facility(snapshot.facility_name)
    return line(facility.name if facility else snapshot.facility_name)


def organization_reference(snapshot: Snapshot, site: Site) -> Json | None:
    """Reference to the facility's Organization, shown as AutoScribe names it; None without a facilityName."""
    name = organization_name(snapshot, site)
    return reference("Organization", organization_id(name), line(snapshot.facility_name)) if name else None


def organization(snapshot: Snapshot, site: Site) -> Json | None:
    """The facility's Organization, or None without a facilityName: telecom and address are never made up."""
    name = organization_name(snapshot, site)
    if name is None:
        return None
    facility = site.facility(snapshot.facility_name)
    made: Json = {
        "resourceType": "Organization",
        "id": organization_id(name),
        "meta": {"profile": [f"{US_CORE}organization"]},
        "text": narrative(name),
        "identifier": [identifier(SID_FACILITY, name)],
        "active": True,
        "name": name,
    }
    if facility and facility.aliases:
        made["alias"] = [alias for alias in map(line, facility.aliases) if alias]
    return made
