"""Search parameters of ImagingStudy and Observation, except those that every type has.

https://hl7.org/fhir/R4/imagingstudy.html#search, https://hl7.org/fhir/R4/observation.html#search,
US Core server CapabilityStatement 6.1.0 and 8.0.0.
"""

from __future__ import annotations

from typing import Final

from gateway.index.parameter import CODE, CONCEPT, IDENTIFIER, PRESENCE, REFERENCE, Parameter

_R4: Final = "http://hl7.org/fhir/SearchParameter"
_OF_PATIENT: Final = ("identifier", "name", "family", "given", "birthdate")
_PATIENT: Final = "The patient: pat-<32 hex>."
_NO_ENCOUNTER: Final = "Finds nothing: AutoScribe knows no encounters."
_NO_IDENTIFIER: Final = "Finds nothing: an Observation of ours has an id only."
_STUDY_DATE: Final = "When the study was made; a day without an offset is one of the site's zone."

IMAGING_STUDY: Final = (
    Parameter(
        "ImagingStudy",
        "identifier",
        "token",
        ("identifier",),
        f"{_R4}/clinical-identifier",
        "The DICOM UID as urn:dicom:uid|urn:oid:<uid>, urn:oid:<uid> or the bare UID, the id in AutoScribe, or the "
        "accession number.",
        IDENTIFIER,
        narrows=True,
    ),
    Parameter(
        "ImagingStudy",
        "patient",
        "reference",
        ("subject",),
        f"{_R4}/clinical-patient",
        _PATIENT,
        REFERENCE,
        narrows=True,
        targets=("Patient",),
        chains=_OF_PATIENT,
    ),
    Parameter(
        "ImagingStudy",
        "subject",
        "reference",
        ("subject",),
        f"{_R4}/ImagingStudy-subject",
        _PATIENT,
        REFERENCE,
        narrows=True,
        targets=("Patient",),
        chains=_OF_PATIENT,
        shares="patient",
    ),
    Parameter(
        "ImagingStudy",
        "started",
        "date",
        ("started",),
        f"{_R4}/ImagingStudy-started",
        _STUDY_DATE,
        PRESENCE,
        narrows=True,
    ),
    Parameter(
        "ImagingStudy",
        "modality",
        "token",
        ("modality",),
        f"{_R4}/ImagingStudy-modality",
        "The DICOM code of the study's modality, such as CT; series are not known.",
        CONCEPT,
    ),
    Parameter(
        "ImagingStudy",
        "status",
        "token",
        ("status",),
        f"{_R4}/ImagingStudy-status",
        "cancelled, or unknown: whether the images are there is not said.",
        CODE,
        system="http://hl7.org/fhir/imagingstudy-status",
        codes=("registered", "available", "cancelled", "entered-in-error", "unknown"),
    ),
    Parameter(
        "ImagingStudy",
        "basedon",
        "reference",
        ("basedOn",),
        f"{_R4}/ImagingStudy-basedon",
        "The order; basedon.identifier finds by accession number.",
        REFERENCE,
        narrows=True,
        targets=("ServiceRequest",),
        chains=("identifier",),
    ),
)

OBSERVATION: Final = (
    Parameter(
        "Observation",
        "identifier",
        "token",
        ("identifier",),
        f"{_R4}/clinical-identifier",
        _NO_IDENTIFIER,
        IDENTIFIER,
        narrows=True,
    ),
    Parameter(
        "Observation",
        "patient",
        "reference",
        ("subject",),
        f"{_R4}/clinical-patient",
        _PATIENT,
        REFERENCE,
        narrows=True,
        targets=("Patient",),
        chains=_OF_PATIENT,
    ),
    Parameter(
        "Observation",
        "subject",
        "reference",
        ("subject",),
        f"{_R4}/Observation-subject",
        _PATIENT,
        REFERENCE,
        narrows=True,
        targets=("Patient",),
        chains=_OF_PATIENT,
        shares="patient",
    ),
    Parameter(
        "Observation",
        "category",
        "token",
        ("category",),
        f"{_R4}/Observation-category",
        "imaging for a section of a report, vital-signs for height and weight.",
        CONCEPT,
    ),
    Parameter(
        "Observation",
        "code",
        "token",
        ("code",),
        f"{_R4}/clinical-code",
        "Any coding of the code: findings have 59776-5 and 18782-3, the impression 19005-8.",
        CONCEPT,
    ),
    Parameter(
        "Observation",
        "date",
        "date",
        ("effectiveDateTime", "effectivePeriod"),
        f"{_R4}/clinical-date",
        _STUDY_DATE,
        PRESENCE,
        narrows=True,
    ),
    Parameter(
        "Observation",
        "status",
        "token",
        ("status",),
        f"{_R4}/Observation-status",
        "As the status of its report.",
        CODE,
        system="http://hl7.org/fhir/observation-status",
        codes=(
            "registered",
            "preliminary",
            "final",
            "amended",
            "corrected",
            "cancelled",
            "entered-in-error",
            "unknown",
        ),
    ),
    Parameter(
        "Observation",
        "performer",
        "reference",
        ("performer",),
        f"{_R4}/Observation-performer",
        "The radiologist.",
        REFERENCE,
        targets=("Practitioner",),
        chains=("name", "identifier"),
    ),
    Parameter(
        "Observation",
        "encounter",
        "reference",
        ("encounter",),
        f"{_R4}/clinical-encounter",
        _NO_ENCOUNTER,
        PRESENCE,
        narrows=True,
        targets=("Encounter",),
    ),
)
