"""Who asked for the study, and the identifiers that the site's directory has of a provider.

https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.requester, https://hl7.org/fhir/R4/datatypes.html#Identifier.
"""

from __future__ import annotations

from mappings.codes import US_NPI
from mappings.fhir.datatypes import Json, identifier, line
from mappings.fhir.scene import Scene
from mappings.profile import Provider, Site


def provider_identifiers(provider: Provider, site: Site) -> list[Json]:
    """The NPI and the local id of a provider; the latter under the site's `provider_system` only."""
    made = [identifier(US_NPI, provider.npi)] if provider.npi else []
    if provider.local_id and site.provider_authority:
        made.append(identifier(site.provider_authority.system, provider.local_id))
    return made


def requester(scene: Scene) -> Json | None:
    """ServiceRequest.requester, ImagingStudy.referrer <- snapshotMetadata.referringPhysicianName.

    https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.requester
    A name alone makes no Practitioner: the reference has an identifier where the site's directory has exactly this
    spelling, else the name only.
    """
    said = scene.snapshot.referring_physician_name
    name = line(said)
    if name is None:
        return None
    provider = scene.site.provider(said)
    known = provider_identifiers(provider, scene.site) if provider else []
    return {"type": "Practitioner", "identifier": known[0], "display": name} if known else {"display": name}
