"""Table of all search parameters of every FHIR resource type, with the elements that each parameter finds.

https://hl7.org/fhir/R4/searchparameter-registry.html, US Core server CapabilityStatement 6.1.0 and 8.0.0, IHE RAD.IMR
RAD-143 (`basedOn`, `imagingStudy`), decision D30 (`critical`, `addendum`, `study`, `signed`).
Proved by tests/architecture/test_extending.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from gateway.index.parameter import CODE, CONCEPT, IDENTIFIER, NOT, PRESENCE, REFERENCE, TEXT, Parameter, Type
from mappings.fhir.resource_types import codes_of

# Addresses of definitions, with `{type}` and `{name}` of the parameter
_R4: Final = "http://hl7.org/fhir/SearchParameter/{type}-{name}"
_CLINICAL: Final = "http://hl7.org/fhir/SearchParameter/clinical-{name}"
_INDIVIDUAL: Final = "http://hl7.org/fhir/SearchParameter/individual-{name}"
_DISPOSITION: Final = "http://hl7.org/fhir/us/core/SearchParameter/us-core-encounter-discharge-disposition"
_BASED_ON: Final = "http://hl7.org/fhir/SearchParameter/DiagnosticReport-based-on"
_IMR: Final = "https://profiles.ihe.net/RAD/IMR/SearchParameter/{type}-{name}"
_OWN: Final = "SearchParameter/{type}-{name}"  # below the base of the site's own definitions
# No Provenance targets a ServiceRequest, but US Core requires _revinclude for it
_TARGETS: Final = "DiagnosticReport Observation DocumentReference ServiceRequest Patient"
_IS_CRITICAL: Final = "extension('isCritical').valueBoolean"
_IS_ADDENDUM: Final = "extension('isAddendum').valueBoolean"


def _row(  # noqa: PLR0913 (the columns of the table)
    kind: Type,
    name: str,
    paths: str,
    modifiers: tuple[str, ...],
    targets: str = "",
    *,
    narrows: bool = False,
    shares: str = "",
    system: str = "",
    values: str = "",
    absent: str = "",
    at: str = _R4,
) -> Parameter:
    """Make a row of the table, still without its type; several names are separated by blanks."""
    return Parameter(
        resource_type="",
        name=name,
        type=kind,
        paths=tuple(paths.split()),
        definition=at,
        documentation="",
        modifiers=modifiers,
        narrows=narrows,
        targets=tuple(targets.split()),
        shares=shares,
        system=system,
        values=tuple(values.split()),
        absent=absent,
    )


_token: Final = partial(_row, "token")
_reference: Final = partial(_row, "reference")
_date: Final = partial(_row, "date")
_string: Final = partial(_row, "string")
_uri: Final = partial(_row, "uri")

# Name, elements, modifiers; of a reference also its targets
OF_EVERY_TYPE: Final = (
    _token("_id", "id", (), narrows=True),
    _date("_lastUpdated", "meta.lastUpdated", (), narrows=True),
    _token("_tag", "meta.tag", CODE),
    _uri("_profile", "meta.profile", PRESENCE),
    _token("_security", "meta.security", CODE),
    _uri("_source", "meta.source", PRESENCE),
)
_OF_TYPE: Final = {
    "DiagnosticReport": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True, at=_CLINICAL),
        _token("status", "status", CODE, system="http://hl7.org/fhir/diagnostic-report-status"),
        _token("category", "category", CONCEPT),
        _token("code", "code", CONCEPT, at=_CLINICAL),
        _reference("patient", "subject", REFERENCE, "Patient", narrows=True, at=_CLINICAL),
        _reference("subject", "subject", REFERENCE, "Patient", narrows=True, shares="patient"),
        _date("date", "effectiveDateTime effectivePeriod", PRESENCE, narrows=True, at=_CLINICAL),
        _date("issued", "issued", PRESENCE, narrows=True),
        _reference("based-on", "basedOn", REFERENCE, "ServiceRequest", narrows=True),
        _reference("basedOn", "basedOn", REFERENCE, "ServiceRequest", narrows=True, shares="based-on", at=_BASED_ON),
        _reference("performer", "performer", REFERENCE, "Practitioner Organization"),
        _reference("results-interpreter", "resultsInterpreter", REFERENCE, "Practitioner"),
        _reference("result", "result", PRESENCE, "Observation", narrows=True),
        _reference("encounter", "encounter", PRESENCE, "Encounter", narrows=True, at=_CLINICAL),
        _token("conclusion", "conclusionCode", CODE),
        _reference("imagingStudy", "imagingStudy", REFERENCE, "ImagingStudy", narrows=True, at=_IMR),
        _reference("study", "imagingStudy", REFERENCE, "ImagingStudy", narrows=True, shares="imagingStudy", at=_OWN),
        _token("critical", _IS_CRITICAL, NOT, values="true false unknown", absent="unknown", at=_OWN),
        _token("addendum", _IS_ADDENDUM, CODE, values="true false", at=_OWN),
        _date("signed", "", PRESENCE, narrows=True, at=_OWN),
    ),
    "Patient": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True),
        _string("name", "name", TEXT, narrows=True),
        _string("family", "name.family", TEXT, narrows=True, at=_INDIVIDUAL),
        _string("given", "name.given", TEXT, narrows=True, at=_INDIVIDUAL),
        _date("birthdate", "birthDate", PRESENCE, narrows=True, at=_INDIVIDUAL),
        _token("gender", "gender", CODE, system="http://hl7.org/fhir/administrative-gender", at=_INDIVIDUAL),
        _token("active", "active", NOT, values="true false", absent="true"),
        _token("telecom", "telecom", CODE, at=_INDIVIDUAL),
        _date("death-date", "deceasedDateTime", PRESENCE, narrows=True),
        _string("address", "address", TEXT, narrows=True, at=_INDIVIDUAL),
        _reference("organization", "managingOrganization", PRESENCE, "Organization"),
    ),
    "Practitioner": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True),
        _string("name", "name", TEXT, narrows=True),
        _string("family", "name.family", TEXT, narrows=True, at=_INDIVIDUAL),
        _string("given", "name.given", TEXT, narrows=True, at=_INDIVIDUAL),
        _string("address", "address", TEXT, narrows=True, at=_INDIVIDUAL),
    ),
    "PractitionerRole": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True),
        _reference("practitioner", "practitioner", REFERENCE, "Practitioner", narrows=True),
        _reference("organization", "organization", REFERENCE, "Organization", narrows=True),
        _token("role", "code", CONCEPT, narrows=True),
        _token("specialty", "specialty", CONCEPT, narrows=True),
    ),
    "Organization": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True),
        _string("name", "name alias", TEXT, narrows=True),
        _string("address", "address", TEXT, narrows=True),
    ),
    "ImagingStudy": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True, at=_CLINICAL),
        _reference("patient", "subject", REFERENCE, "Patient", narrows=True, at=_CLINICAL),
        _reference("subject", "subject", REFERENCE, "Patient", narrows=True, shares="patient"),
        _date("started", "started", PRESENCE, narrows=True),
        _token("modality", "modality", CONCEPT),
        _token("status", "status", CODE, system="http://hl7.org/fhir/imagingstudy-status"),
        _reference("basedon", "basedOn", REFERENCE, "ServiceRequest", narrows=True),
    ),
    "Observation": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True, at=_CLINICAL),
        _reference("patient", "subject", REFERENCE, "Patient", narrows=True, at=_CLINICAL),
        _reference("subject", "subject", REFERENCE, "Patient", narrows=True, shares="patient"),
        _token("category", "category", CONCEPT),
        _token("code", "code", CONCEPT, at=_CLINICAL),
        _date("date", "effectiveDateTime effectivePeriod", PRESENCE, narrows=True, at=_CLINICAL),
        _token("status", "status", CODE, system="http://hl7.org/fhir/observation-status"),
        _token("interpretation", "interpretation", CONCEPT, narrows=True, at=_OWN),
        _reference("performer", "performer", REFERENCE, "Practitioner"),
        _reference("encounter", "encounter", PRESENCE, "Encounter", narrows=True, at=_CLINICAL),
    ),
    "DocumentReference": (
        _token("identifier", "masterIdentifier identifier", IDENTIFIER, narrows=True, at=_CLINICAL),
        _reference("patient", "subject", REFERENCE, "Patient", narrows=True, at=_CLINICAL),
        _reference("subject", "subject", REFERENCE, "Patient", narrows=True, shares="patient"),
        _token("type", "type", CONCEPT, at=_CLINICAL),
        _token("category", "category", CONCEPT),
        _date("date", "date", PRESENCE, narrows=True),
        _date("period", "context.period", PRESENCE, narrows=True),
        _token("status", "status", CODE, system="http://hl7.org/fhir/document-reference-status"),
        _reference("author", "author", REFERENCE, "Practitioner"),
        _reference("custodian", "custodian", PRESENCE, "Organization"),
        _reference("related", "context.related", PRESENCE, "DiagnosticReport", narrows=True),
        _reference("encounter", "context.encounter", PRESENCE, "Encounter", narrows=True, at=_CLINICAL),
    ),
    "ServiceRequest": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True, at=_CLINICAL),
        _reference("patient", "subject", REFERENCE, "Patient", narrows=True, at=_CLINICAL),
        _reference("subject", "subject", REFERENCE, "Patient", narrows=True, shares="patient"),
        _token("category", "category", CONCEPT),
        _token("code", "code", CONCEPT, at=_CLINICAL),
        _date("authored", "authoredOn", PRESENCE, narrows=True),
        _date("occurrence", "occurrenceDateTime occurrencePeriod", PRESENCE, narrows=True),
        _token("status", "status", CODE, system="http://hl7.org/fhir/request-status"),
        _reference("encounter", "encounter", PRESENCE, "Encounter", narrows=True, at=_CLINICAL),
    ),
    "Encounter": (
        _token("identifier", "identifier", IDENTIFIER, narrows=True, at=_CLINICAL),
        _reference("patient", "subject", REFERENCE, "Patient", narrows=True, at=_CLINICAL),
        _reference("subject", "subject", REFERENCE, "Patient", narrows=True, shares="patient"),
        _date("date", "period", PRESENCE, narrows=True, at=_CLINICAL),
        _token("class", "class", CONCEPT),
        _token("type", "type", CONCEPT, at=_CLINICAL),
        _token("status", "status", CODE, system="http://hl7.org/fhir/encounter-status"),
        _reference("location", "location.location", PRESENCE, "Location"),
        _token("discharge-disposition", "hospitalization.dischargeDisposition", CONCEPT, at=_DISPOSITION),
    ),
    "Provenance": (
        _reference("target", "target", PRESENCE, _TARGETS, narrows=True),
        _reference("patient", "target", PRESENCE, "Patient", narrows=True, shares="target"),
        _date("recorded", "recorded", PRESENCE, narrows=True),
    ),
}
# Offered only where the settings ask for it: it reads a table of words
CONTENT: Final = Parameter(
    "DiagnosticReport",
    "_content",
    "string",
    (),
    _R4.format(type="Resource", name="content"),
    "Words of the report's text, with its addenda: all of them occur; a phrase stands in quotes. Case and accents do "
    "not count, endings do.",
)
# Type -> parameter -> what it finds
_FINDS: Final = {
    "Resource": {
        "_id": "The id of the resource.",
        "_lastUpdated": "When the gateway stored this version; later versions have later instants.",
        "_tag": "A tag of the resource.",
        "_profile": "The canonical URL of a profile that the resource claims.",
        "_security": "A security label of the resource.",
        "_source": "Where the resource comes from, where its meta says so.",
    },
    "DiagnosticReport": {
        "identifier": (
            "The report's id in AutoScribe, its filler order number, the accession and placer order numbers it answers."
        ),
        "status": (
            "registered while unsigned, final, appended once a signed addendum is shown in it, amended for an addendum"
            " behind a newer one or a changed report, corrected, cancelled."
        ),
        "category": "Any coding of any category: http://loinc.org|LP29684-5 and v2-0074 RAD on every report.",
        "code": "Any coding of the code: 18748-4 on every report, the procedure's own where the dictionary knows it.",
        "patient": "The patient: pat-<32 hex>.",
        "subject": "The patient: pat-<32 hex>.",
        "date": "When the study was made; a day without an offset is one of the site's zone.",
        "issued": "When the newest text shown in it was signed, or changed since: the report's or an addendum's.",
        "based-on": "The order; based-on.identifier finds by accession number.",
        "basedOn": "based-on, as IHE IMR calls it.",
        "performer": "The radiologist or the facility.",
        "results-interpreter": "The radiologist who created or signed the report.",
        "result": "An Observation that is a section of the report.",
        "encounter": "The visit of the order that the report answers: stu-<32 hex>-enc-…; none without an order.",
        "conclusion": "Finds nothing: conclusions are text here, without codes.",
        "imagingStudy": (
            "The ImagingStudy: its id, or with :identifier or .identifier its DICOM UID, such as "
            "urn:dicom:uid|urn:oid:<uid>, urn:oid:<uid> or the bare UID."
        ),
        "study": "The study's id, stu-<32 hex>, or as AutoScribe writes it, stu_<32 hex>.",
        "critical": "true, false, or unknown where AutoScribe does not say.",
        "addendum": "true for a report that is an addendum, false for an original.",
        "signed": (
            "When the report itself was signed, whatever addenda it shows; signed:missing=true finds the unsigned."
        ),
    },
    "Patient": {
        "identifier": "The MRN or the external patient id, with or without its system.",
        "name": "The start of the whole name or of one of its parts; case and accents do not count.",
        "family": "The start of the family name, where the name is split.",
        "given": "The start of a given name, where the name is split.",
        "birthdate": "The date of birth.",
        "gender": "male, female, other or unknown.",
        "active": "false for a patient whose number a hospital merged into another one, else true.",
        "telecom": "Finds nothing: AutoScribe knows no phone and no mail address of a patient.",
        "death-date": "Finds nothing: AutoScribe does not say who has died.",
        "address": "Finds nothing: AutoScribe knows no addresses of patients.",
        "organization": "The facility: org-<32 hex>.",
    },
    "Practitioner": {
        "identifier": "The NPI, the id in AutoScribe, or the site's own number of a radiologist.",
        "name": "The start of the whole name or of one of its parts; case and accents do not count.",
        "family": "The start of the family name.",
        "given": "The start of a given name.",
        "address": "Finds nothing: AutoScribe knows no addresses of radiologists.",
    },
    "PractitionerRole": {
        "identifier": (
            "Finds nothing: a PractitionerRole of ours has an id only; practitioner.identifier finds by number."
        ),
        "practitioner": "The radiologist: usr-<32 hex>.",
        "organization": "The facility: org-<32 hex>.",
        "role": "With :text any part of the role, such as Radiologist: roles have no codes here.",
        "specialty": (
            "The NUCC code, such as 207U00000X for nuclear medicine, of a role that has one; radiology at large has "
            "none."
        ),
    },
    "Organization": {
        "identifier": "The facility's name in AutoScribe, or its NPI or OID of the site's settings.",
        "name": "The start of the name or of another name; with :contains any part of it.",
        "address": "The start of a part of the address, where the site's settings say it.",
    },
    "ImagingStudy": {
        "identifier": (
            "The DICOM UID as urn:dicom:uid|urn:oid:<uid>, urn:oid:<uid> or the bare UID, the id in AutoScribe, or "
            "the accession number."
        ),
        "patient": "The patient: pat-<32 hex>.",
        "subject": "The patient: pat-<32 hex>.",
        "started": "When the study was made; a day without an offset is one of the site's zone.",
        "modality": "The DICOM code of the study's modality, such as CT; series are not known.",
        "status": "cancelled, or unknown: whether the images are there is not said.",
        "basedon": "The order; basedon.identifier finds by accession number.",
    },
    "Observation": {
        "identifier": "Finds nothing: an Observation of ours has an id only.",
        "interpretation": "AA (critical abnormal) on the concluding sections of a signed report flagged as critical.",
        "patient": "The patient: pat-<32 hex>.",
        "subject": "The patient: pat-<32 hex>.",
        "category": "imaging for a section of a report, vital-signs for height and weight.",
        "code": "Any coding of the code: findings have 59776-5 and 18782-3, the impression 19005-8.",
        "date": "When the study was made; a day without an offset is one of the site's zone.",
        "status": "As the status of its report.",
        "performer": "The radiologist.",
        "encounter": "Finds nothing: AutoScribe knows no encounters.",
    },
    "DocumentReference": {
        "identifier": "The report's id in AutoScribe.",
        "patient": "The patient: pat-<32 hex>.",
        "subject": "The patient: pat-<32 hex>.",
        "type": "http://loinc.org|18748-4 on every document.",
        "category": "clinical-note on every document.",
        "date": "When the report was signed.",
        "period": "When the study was made; a day without an offset is one of the site's zone.",
        "status": "current, or entered-in-error where the report is withdrawn.",
        "author": "The radiologist.",
        "custodian": "The facility.",
        "related": "The DiagnosticReport whose text and PDF these are.",
        "encounter": "Finds nothing: AutoScribe knows no encounters.",
    },
    "ServiceRequest": {
        "identifier": "The accession number, the placer order number, or the hospital's own filler order number.",
        "patient": "The patient: pat-<32 hex>.",
        "subject": "The patient: pat-<32 hex>.",
        "category": "http://loinc.org|LP29684-5 and v2-0074 RAD on every order.",
        "code": "Any coding of what was ordered, as in the hospital's order, else as in the report.",
        "authored": "When the hospital wrote the order; AutoScribe does not say it, see occurrence.",
        "occurrence": "When the study was made; a day without an offset is one of the site's zone.",
        "status": "active, completed once a report is signed, revoked, or unknown.",
        "encounter": "The visit of the order: stu-<32 hex>-enc-…; none without an order.",
    },
    "Encounter": {
        "identifier": "The hospital's number of the visit.",
        "patient": "The patient: pat-<32 hex>.",
        "subject": "The patient: pat-<32 hex>.",
        "date": "A time within the visit, as far as the hospital told its begin and end.",
        "class": "IMP, EMER, AMB or PRENC, or the code of v2-0004 where ActCode has none.",
        "type": "unknown on every visit: a hospital's order does not say it.",
        "status": "finished where the hospital told the end of the visit, else unknown.",
        "location": "Finds nothing: a location is a text of the visit, no resource.",
        "discharge-disposition": "Finds nothing: what follows a visit is not kept.",
    },
    "Provenance": {
        "target": "The DiagnosticReport, Observation, DocumentReference or Patient that it speaks of.",
        "patient": "The Patient that it speaks of: each study that describes the patient has one.",
        "recorded": (
            "When AutoScribe last changed the report (for a Patient, the one that describes it), or its signature, or "
            "its beginning, the first that is known."
        ),
    },
}


def _chains(row: Parameter) -> tuple[str, ...]:
    """Return the parameters of the types that a reference leads to; none for a reference that no chain follows."""
    if row.type != "reference":
        return ()
    every = (one.name for target in row.targets for one in _OF_TYPE.get(target, ()))
    names = tuple(dict.fromkeys(every))
    return ("_id", *names) if names else ()


def _completed(resource_type: str, row: Parameter, finds: Mapping[str, str], *, defined_for: str) -> Parameter:
    """Complete a row with its type, its definition (the one of type `defined_for`), its codes, and what it finds."""
    return replace(
        row,
        resource_type=resource_type,
        definition=row.definition.format(type=defined_for, name=row.name.removeprefix("_")),
        documentation=finds[row.name],
        codes=codes_of(resource_type, row.paths[0]) if row.system else (),
        chains=_chains(row),
    )


def _parameters_of_type(resource_type: str) -> tuple[Parameter, ...]:
    every = [_completed(resource_type, row, _FINDS["Resource"], defined_for="Resource") for row in OF_EVERY_TYPE]
    own = [
        _completed(resource_type, row, _FINDS[resource_type], defined_for=resource_type)
        for row in _OF_TYPE[resource_type]
    ]
    return (*every, *own)


TABLE: Final = {resource_type: _parameters_of_type(resource_type) for resource_type in _OF_TYPE}
