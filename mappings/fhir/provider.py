"""Map a study's referring physician to a FHIR reference, never a Practitioner, with ids from the site's directory.

https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.requester, https://hl7.org/fhir/R4/datatypes.html#Identifier.
"""

from __future__ import annotations

from mappings.codes import US_NPI
from mappings.fhir.datatypes import Json, identifier, line
from mappings.fhir.scene import Scene
from mappings.profile import Provider, Site


def provider_identifiers(provider: Provider, site: Site) -> list[Json]:
    """NPI and local id of a provider; the local id only under the site's `provider_system`."""
    made = [identifier(US_NPI, provider.npi)] if provider.npi else []
    if provider.local_id and site.provider_authority:
        made.append(identifier(site.provider_authority.system, provider.local_id))
    return made


def requester(scene: Scene) -> Json | None:
    """ServiceRequest.requester, ImagingStudy.referrer <- snapshotMetadata.referringPhysicianName.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.requester
    A name alone makes no Practitioner. The reference has an identifier if the site's directory has exactly this
    spelling, else the name only.
    """
    spelling = scene.snapshot.referring_physician_name
    name = line(spelling)
    if name is None:
        return None
    provider = scene.site.provider(spelling)
    known = provider_identifiers(provider, scene.site) if provider else []
    return {"type": "Practitioner", "identifier": known[0], "display": name} if known else {"display": name}
