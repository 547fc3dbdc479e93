"""Map referring and ordering physicians to FHIR references, never to Practitioners.

The ids of a snapshot's name come from the site's directory, those of a hospital's clinician from its message (D48).

https://hl7.org/fhir/R4/servicerequest-definitions.html#ServiceRequest.requester, https://hl7.org/fhir/R4/datatypes.html#Identifier.
"""

from __future__ import annotations

from mappings.codes import US_NPI
from mappings.fhir.datatypes import Json, identifier, line
from mappings.fhir.scene import Scene
from mappings.model import StatedClinician
from mappings.patient.added import stated_system
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


def stated_person(person: StatedClinician) -> Json | None:
    """Refer to a clinician of an order or a visit by one number, the NPI if there is one, and by name."""
    given = " ".join(part for part in map(line, (person.prefix, person.given, person.middle, person.family)) if part)
    suffixes = [part for part in map(line, (person.suffix, person.degree)) if part]
    display = ", ".join([given, *suffixes] if given else suffixes)
    numbers = sorted(person.numbers, key=lambda one: one.system != US_NPI)
    known = next((one for one in numbers if line(one.value)), None)
    named = {"display": display} if display else {}
    if known is None:
        return named or None
    return {"type": "Practitioner", "identifier": identifier(stated_system(known), line(known.value) or ""), **named}
