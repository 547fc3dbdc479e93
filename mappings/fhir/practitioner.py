"""Map the AutoScribe user who created or signed a report (Report.userId) to a FHIR Practitioner.

https://hl7.org/fhir/R4/practitioner.html, US Core Practitioner Profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from mappings.codes import SID_NPI_UNVERIFIED, SID_USER, US_CORE, US_NPI
from mappings.fhir.datatypes import Json, identifier, line, narrative, reference, without_empty
from mappings.fhir.extensions import extension
from mappings.fhir.provider import provider_identifiers
from mappings.fhir.scene import Scene, odd_characters
from mappings.model import Report, User
from mappings.patient.identifiers import fhir_id, is_npi
from mappings.study.signers import signer
from mappings.values.names import is_generation

_META: Final[Json] = {"profile": [f"{US_CORE}practitioner"]}
_TEXT_FIELDS: Final = {
    "email": "email",
    "first_name": "firstName",
    "middle_name": "middleName",
    "last_name": "lastName",
    "suffix1": "suffix1",
    "suffix2": "suffix2",
    "npi_number": "npiNumber",
    "phone_number": "phoneNumber",
    "clinic_role": "clinicRole",
}


@dataclass(frozen=True, slots=True)
class Radiologist:
    """User with the id in Report.userId: a reference, and the Practitioner if there is one."""

    reference: Json
    resource: Json | None
    clinic_role: str | None = None


def radiologists(scene: Scene) -> dict[str, Radiologist]:
    """Map the users who created or signed a report of the study, by user id, in reading order."""
    first = {report.user_id: report for report in reversed(scene.study.reports)}
    return {
        user_id: _radiologist_as_before(scene, first[user_id])
        for user_id in dict.fromkeys([report.user_id for report in scene.study.reports])
    }


def practitioner_name(user: User) -> Json:
    """Practitioner.name <- User.lastName, firstName, middleName, suffix1, suffix2.

    https://hl7.org/fhir/R4/practitioner-definitions.html#Practitioner.name
    """
    family = line(user.last_name)
    given = [name for name in (line(user.first_name), line(user.middle_name)) if name]
    suffixes = [suffix for suffix in (line(user.suffix1), line(user.suffix2)) if suffix]
    spoken = " ".join([*given, family] if family else given)
    text = ", ".join([spoken, *suffixes]) if spoken else None
    return without_empty({"text": text, "family": family, "given": given, "suffix": suffixes})


def practitioner_identifier(user: User, scene: Scene) -> list[Json]:
    """Practitioner.identifier <- User.userId, npiNumber, and the identifiers in the site's directory for that userId.

    https://hl7.org/fhir/R4/practitioner-definitions.html#Practitioner.identifier
    An NPI needs a correct check digit (us-core-17); the directory's is used if AutoScribe gives none.
    """
    made = [identifier(SID_USER, user.user_id)]
    number = line(user.npi_number)
    if number and is_npi(number):
        made.append(identifier(US_NPI, number))
    elif number:
        place = f"{user.pointer}/npiNumber"
        scene.warn("npi-invalid", place, "kept as an unverified number, not as an NPI")
        made.append(identifier(SID_NPI_UNVERIFIED, number))
    provider = scene.site.user(user.user_id)
    if provider is None:
        return made
    systems = {one["system"] for one in made}
    return made + [one for one in provider_identifiers(provider, scene.site) if one["system"] not in systems]


def practitioner_qualification(name: Json) -> list[Json]:
    """Practitioner.qualification <- User.suffix1, suffix2, if they are credentials and not a generation.

    https://hl7.org/fhir/R4/practitioner-definitions.html#Practitioner.qualification
    """
    return [{"code": {"text": suffix}} for suffix in name.get("suffix", ()) if not is_generation(suffix)]


def practitioner(user: User, name: Json, scene: Scene) -> Json:
    """Build the Practitioner of a user with a last name, which US Core and every search need."""
    scene.issues.extend(odd_characters(user, _TEXT_FIELDS, user.pointer))
    telecom = [
        {"system": system, "value": value}
        for system, value in (("email", line(user.email)), ("phone", line(user.phone_number)))
        if value
    ]
    role = line(user.clinic_role)
    return without_empty(
        {
            "resourceType": "Practitioner",
            "id": fhir_id(user.user_id),
            "meta": _META,
            "text": narrative(name["text"], [("Role", role)]),
            "extension": [extension(scene.site.canonical, "clinicRole", "String", role)] if role else None,
            "identifier": practitioner_identifier(user, scene),
            "name": [name],
            "telecom": telecom,
            "qualification": practitioner_qualification(name),
        }
    )


def _radiologist_as_before(scene: Scene, report: Report) -> Radiologist:
    given = scene.site, report.user_id, report.pointer, scene.study.users.get(report.user_id)
    return scene.as_before((_radiologist, report.user_id), given, partial(_radiologist, scene, report))


def _radiologist(scene: Scene, report: Report) -> Radiologist:
    """Refer to the author of a report; one unknown or without a last name is named by identifier, never dangling."""
    user, doubts = signer(scene.study, report, scene.site)
    scene.issues.extend(doubts)
    name = practitioner_name(user) if user else {}
    if user is not None and "family" in name:
        to_user = reference("Practitioner", fhir_id(user.user_id), name["text"])
        return Radiologist(to_user, practitioner(user, name, scene), user.clinic_role)
    if user is not None:
        scene.warn("user-last-name-absent", f"{user.pointer}/lastName", "no Practitioner; named by identifier")
    made: Json = {"type": "Practitioner", "identifier": identifier(SID_USER, report.user_id)}
    return Radiologist({**made, "display": name["text"]} if "text" in name else made, None)
