"""Map snapshotMetadata.facilityName and the site's settings to a FHIR Organization.

https://hl7.org/fhir/R4/organization.html, US Core Organization Profile.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import OID, SID_FACILITY, US_CORE, US_NPI
from mappings.fhir.datatypes import Json, identifier, line, narrative, reference, without_empty
from mappings.model import Snapshot
from mappings.patient.identifiers import organization_id
from mappings.profile import OrganizationDetails, Site

_META: Final[Json] = {"profile": [f"{US_CORE}organization"]}
_NOTHING_SAID: Final = OrganizationDetails()


def organization_name(snapshot: Snapshot, site: Site) -> str | None:
    """Organization.name <- snapshotMetadata.facilityName, or the name of the configured facility with that alias.

    https://hl7.org/fhir/R4/organization-definitions.html#Organization.name
    """
    facility = site.facility(snapshot.facility_name)
    return line(facility.name if facility else snapshot.facility_name)


def organization_reference(snapshot: Snapshot, site: Site) -> Json | None:
    """Reference to the facility's Organization, with AutoScribe's name for it; None without a facilityName."""
    name = organization_name(snapshot, site)
    return reference("Organization", organization_id(name), line(snapshot.facility_name)) if name else None


def organization_identifier(name: str, details: OrganizationDetails) -> list[Json]:
    """Organization.identifier <- facilityName, and the NPI and OID of the site's settings.

    https://hl7.org/fhir/R4/organization-definitions.html#Organization.identifier
    """
    made = [identifier(SID_FACILITY, name)]
    if details.npi:
        made.append(identifier(US_NPI, details.npi))
    if details.oid:
        made.append(identifier(OID, f"urn:oid:{details.oid}"))
    return made


def organization_address(details: OrganizationDetails) -> list[Json]:
    """Organization.address <- the address in the site's settings, as far as given.

    https://hl7.org/fhir/R4/organization-definitions.html#Organization.address
    """
    address = without_empty(
        {
            "line": list(details.address_lines),
            "city": details.city,
            "state": details.state,
            "postalCode": details.postal_code,
            "country": details.country,
        }
    )
    return [address] if address else []


def organization(snapshot: Snapshot, site: Site) -> Json | None:
    """Build the facility's Organization, or None without a facilityName: telecom and address are never made up."""
    name = organization_name(snapshot, site)
    if name is None:
        return None
    facility = site.facility(snapshot.facility_name)
    details = facility.organization if facility else _NOTHING_SAID
    return without_empty(
        {
            "resourceType": "Organization",
            "id": organization_id(name),
            "meta": _META,
            "text": narrative(name),
            "identifier": organization_identifier(name, details),
            "active": True,
            "name": name,
            "alias": [alias for alias in map(line, facility.aliases) if alias] if facility else [],
            "telecom": [{"system": "phone", "value": details.phone}] if details.phone else [],
            "address": organization_address(details),
        }
    )
