"""The search parameters of Patient, Practitioner and Organization, those that every type has left out.

https://hl7.org/fhir/R4/patient.html#search, https://hl7.org/fhir/R4/practitioner.html#search,
https://hl7.org/fhir/R4/organization.html#search, US Core server CapabilityStatement 6.1.0 and 8.0.0.
"""

from __future__ import annotations

from typing import Final

from gateway.index.parameter import CODE, IDENTIFIER, PRESENCE, TEXT, Parameter

_R4: Final = "http://hl7.org/fhir/SearchParameter"

PATIENT: Final = (
    Parameter(
        "Patient",
        "identifier",
        "token",
        ("identifier",),
        f"{_R4}/Patient-identifier",
        "The MRN or the external patient id, with or without its system.",
        IDENTIFIER,
        narrows=True,
    ),
    Parameter(
        "Patient",
        "name",
        "string",
        ("name",),
        f"{_R4}/Patient-name",
        "The start of any word of the name, as a whole or in its parts; case and accents do not count.",
        TEXT,
        narrows=True,
    ),
    Parameter(
        "Patient",
        "family",
        "string",
        ("name.family",),
        f"{_R4}/individual-family",
        "The start of any word of the family name, where the name is split.",
        TEXT,
        narrows=True,
    ),
    Parameter(
        "Patient",
        "given",
        "string",
        ("name.given",),
        f"{_R4}/individual-given",
        "The start of any word of a given name, where the name is split.",
        TEXT,
        narrows=True,
    ),
    Parameter(
        "Patient",
        "birthdate",
        "date",
        ("birthDate",),
        f"{_R4}/individual-birthdate",
        "The date of birth.",
        PRESENCE,
        narrows=True,
    ),
    Parameter(
        "Patient",
        "gender",
        "token",
        ("gender",),
        f"{_R4}/individual-gender",
        "male, female, other or unknown.",
        CODE,
        system="http://hl7.org/fhir/administrative-gender",
        codes=("male", "female", "other", "unknown"),
    ),
    Parameter(
        "Patient",
        "death-date",
        "date",
        ("deceasedDateTime",),
        f"{_R4}/Patient-death-date",
        "Finds nothing: AutoScribe does not say who has died.",
        PRESENCE,
        narrows=True,
    ),
    Parameter(
        "Patient",
        "address",
        "string",
        ("address",),
        f"{_R4}/individual-address",
        "Finds nothing: AutoScribe knows no addresses of patients.",
        TEXT,
        narrows=True,
    ),
    Parameter(
        "Patient",
        "organization",
        "reference",
        ("managingOrganization",),
        f"{_R4}/Patient-organization",
        "The facility: org-<32 hex>.",
        PRESENCE,
        targets=("Organization",),
    ),
)

PRACTITIONER: Final = (
    Parameter(
        "Practitioner",
        "identifier",
        "token",
        ("identifier",),
        f"{_R4}/Practitioner-identifier",
        "The NPI, the id in AutoScribe, or the site's own number of a radiologist.",
        IDENTIFIER,
        narrows=True,
    ),
    Parameter(
        "Practitioner",
        "name",
        "string",
        ("name",),
        f"{_R4}/Practitioner-name",
        "The start of any word of the name; case and accents do not count.",
        TEXT,
        narrows=True,
    ),
    Parameter(
        "Practitioner",
        "family",
        "string",
        ("name.family",),
        f"{_R4}/individual-family",
        "The start of any word of the family name.",
        TEXT,
        narrows=True,
    ),
    Parameter(
        "Practitioner",
        "given",
        "string",
        ("name.given",),
        f"{_R4}/individual-given",
        "The start of any word of a given name.",
        TEXT,
        narrows=True,
    ),
    Parameter(
        "Practitioner",
        "address",
        "string",
        ("address",),
        f"{_R4}/individual-address",
        "Finds nothing: AutoScribe knows no addresses of radiologists.",
        TEXT,
        narrows=True,
    ),
)

ORGANIZATION: Final = (
    Parameter(
        "Organization",
        "identifier",
        "token",
        ("identifier",),
        f"{_R4}/Organization-identifier",
        "The facility's name in AutoScribe, or its NPI or OID of the site's settings.",
        IDENTIFIER,
        narrows=True,
    ),
    Parameter(
        "Organization",
        "name",
        "string",
        ("name", "alias"),
        f"{_R4}/Organization-name",
        "The start of any word of the name or of another name.",
        TEXT,
        narrows=True,
    ),
    Parameter(
        "Organization",
        "address",
        "string",
        ("address",),
        f"{_R4}/Organization-address",
        "The start of any word of the address, where the site's settings say it.",
        TEXT,
        narrows=True,
    ),
)
