"""Practitioner <- the User behind Report.userId.

https://hl7.org/fhir/R4/practitioner.html, US Core Practitioner Profile.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import SID_NPI_UNVERIFIED, SID_USER, US_CORE, US_NPI
from mappings.fhir.datatypes import Json, extension, identifier, line, reference, said
from mappings.fhir.narrative import narrative
from mappings.fhir.scene import Scene
from mappings.identifiers import fhir_id
from mappings.model import Report, User
from mappings.text import character_issues

# Suffixes that belong to a name and are no credential
_GENERATIONS: Final = frozenset({"JR", "SR", "II", "III", "IV", "V"})
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


def practitioner_reference(report: Report, user: User | None, scene: Scene) -> Json:
    """DiagnosticReport.resultsInterpreter <- Report.userId: "the radiologist who created or signed" (D24).

    https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.resultsInterpreter
    A user who is not known, or has no last name, is named by identifier: no reference ever leads nowhere.
    """
    if user is not None and line(user.last_name):
        return reference("Practitioner", fhir_id(user.user_id), practitioner_text(user))
    if user is None:
        place = f"{report.pointer}/userId"
        scene.warn("user-unknown", place, "the radiologist is named by identifier only")
    else:
        place = f"{user.pointer}/lastName"
        scene.warn("user-last-name-absent", place, "no Practitioner; named by identifier")
    made: Json = {"type": "Practitioner", "identifier": identifier(SID_USER, report.user_id)}
    shown = practitioner_text(user) if user else None
    return {**made, "display": shown} if shown else made


def practitioner_text(user: User) -> str | None:
    """Practitioner.name.text <- firstName middleName lastName, suffix1, suffix2.

    https://hl7.org/fhir/R4/datatypes-definitions.html#HumanName.text
    """
    names = [name for name in map(line, (user.first_name, user.middle_name, user.last_name)) if name]
    return ", ".join([" ".join(names), *_suffixes(user)]) if names else None


def practitioner_name(user: User) -> Json:
    """Practitioner.name <- User.lastName, firstName, middleName, suffix1, suffix2.

    https://hl7.org/fhir/R4/practitioner-definitions.html#Practitioner.name
    """
    return said(
        {
            "text": practitioner_text(user),
            "family": line(user.last_name),
            "given": [name for name in map(line, (user.first_name, user.middle_name)) if name],
            "suffix": _suffixes(user),
        }
    )


def practitioner_identifier(user: User, scene: Scene) -> list[Json]:
    """Practitioner.identifier <- User.userId, npiNumber: an NPI only with a right check digit (us-core-17).

    https://hl7.org/fhir/R4/practitioner-definitions.html#Practitioner.identifier
    """
    made = [identifier(SID_USER, user.user_id)]
    number = line(user.npi_number)
    if number and is_npi(number):
        made.append(identifier(US_NPI, number))
    elif number:
        place = f"{user.pointer}/npiNumber"
        scene.warn("npi-invalid", place, "kept as an unverified number, not as an NPI")
        made.append(identifier(SID_NPI_UNVERIFIED, number))
    return made


def practitioner_qualification(user: User) -> list[Json]:
    """Practitioner.qualification <- User.suffix1, suffix2, where they are credentials and no generation.

    https://hl7.org/fhir/R4/practitioner-definitions.html#Practitioner.qualification
    """
    credentials = [suffix for suffix in _suffixes(user) if suffix.strip(".").upper() not in _GENERATIONS]
    return [{"code": {"text": credential}} for credential in credentials]


def is_npi(number: str) -> bool:
    """True for ten ASCII digits whose last is the Luhn check digit of `80840` and the first nine (45 CFR 162.406)."""
    if len(number) != 10 or not (number.isascii() and number.isdigit()):
        return False
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in number[:9:2])
    return (24 + doubled + sum(map(int, number[1:9:2])) + int(number[9])) % 10 == 0


def practitioner(user: User, scene: Scene) -> Json | None:
    """The Practitioner of a user, or None without a last name, which US Core and every search need."""
    if not line(user.last_name):
        return None
    for name, key in _TEXT_FIELDS.items():
        scene.issues.extend(character_issues(getattr(user, name) or "", f"{user.pointer}/{key}"))
    telecom = [
        {"system": system, "value": value}
        for system, value in (("email", line(user.email)), ("phone", line(user.phone_number)))
        if value
    ]
    role = line(user.clinic_role)
    return said(
        {
            "resourceType": "Practitioner",
            "id": fhir_id(user.user_id),
            "meta": {"profile": [f"{US_CORE}practitioner"]},
            "text": narrative(practitioner_text(user) or "", [("Role", role)]),
            "extension": [extension("clinicRole", "String", role)] if role else None,
            "identifier": practitioner_identifier(user, scene),
            "name": [practitioner_name(user)],
            "telecom": telecom,
            "qualification": practitioner_qualification(user),
        }
    )


def _suffixes(user: User) -> list[str]:
    return [suffix for suffix in map(line, (user.suffix1, user.suffix2)) if suffix]
