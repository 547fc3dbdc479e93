"""Code systems and code tables of HL7, FHIR, LOINC and DICOM that the mappings use.

HL7 v2.5.1 Appendix A, https://hl7.org/fhir/R4/terminologies-systems.html, LOINC, DICOM PS3.16 CID 29.
"""

from __future__ import annotations

from typing import Final

# Code systems of the standards (https://hl7.org/fhir/R4/terminologies-systems.html)
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
ENDPOINT_CONNECTION: Final = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
ENDPOINT_PAYLOAD: Final = "http://terminology.hl7.org/CodeSystem/endpoint-payload-type"
DICOM_DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
DICOM_UID: Final = "urn:dicom:uid"
OID: Final = "urn:ietf:rfc:3986"
US_NPI: Final = "http://hl7.org/fhir/sid/us-npi"
NUCC: Final = "http://nucc.org/provider-taxonomy"
V2_0004: Final = "http://terminology.hl7.org/CodeSystem/v2-0004"
V2_0074: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
V2_0203: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
DATA_ABSENT_REASON_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

# Our own systems, for AutoScribe's ids, which have no registered system
SID_REPORT: Final = "urn:autoscribe-gateway:report"
SID_STUDY: Final = "urn:autoscribe-gateway:study"
SID_USER: Final = "urn:autoscribe-gateway:user"
SID_FACILITY: Final = "urn:autoscribe-gateway:facility"
SID_FILLER_ORDER: Final = "urn:autoscribe-gateway:filler-order-number"
SID_ACCESSION: Final = "urn:autoscribe-gateway:accession-number"
SID_PLACER_ORDER: Final = "urn:autoscribe-gateway:placer-order-number"
SID_STUDY_PATIENT: Final = "urn:autoscribe-gateway:sid:study-patient"
# Systems for numbers without a configured authority. A hash of the number's origin follows after a colon
SID_MRN_UNASSIGNED: Final = "urn:autoscribe-gateway:mrn:unassigned"
SID_EXTERNAL_UNASSIGNED: Final = "urn:autoscribe-gateway:external-patient-id:unassigned"
SID_STUDY_UID_ODD: Final = "urn:autoscribe-gateway:study-instance-uid:not-an-oid"
SID_NPI_UNVERIFIED: Final = "urn:autoscribe-gateway:npi:unverified"
SID_EXPRESS_CUSTOMER: Final = "urn:autoscribe-gateway:express-customer"
# System for numbers of a hospital whose namespace has no system. A hash of the namespace follows after a colon
SID_HOSPITAL: Final = "urn:autoscribe-gateway:hospital"
SID_GATEWAY: Final = "urn:autoscribe-gateway:device"

# The base of our own definitions unless a site sets another: extensions, code systems, search parameters, operations
CANONICAL: Final = "https://autoscribe-gateway.example/fhir"

# Code systems of HL7 Terminology that FHIR resources use
OBSERVATION_CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
OBSERVATION_INTERPRETATION: Final = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
DATA_ABSENT_REASON: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
PROVENANCE_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
V3_ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
V3_PARTICIPATION_TYPE: Final = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
US_CORE_PROVENANCE_PARTICIPANT: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type"
US_CORE_DOCUMENT_CATEGORY: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"
US_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
ADDENDUM_OF_EXTENSION: Final = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-addendumOf"

# LOINC: the whole report (US Core DiagnosticReport Profile for Report and Note Exchange)
DIAGNOSTIC_IMAGING_STUDY: Final = ("18748-4", "Diagnostic imaging study")

# LOINC: the category that US Core's report profile requires (US Core DiagnosticReport Category Codes)
RADIOLOGY_CATEGORY: Final = ("LP29684-5", "Radiology")

# LOINC: the code of findings in US Core's examples, beside the section code (D23)
RADIOLOGY_OBSERVATION: Final = ("18782-3", "Radiology Study observation (narrative)")

# LOINC: codes of the report's sections (HL7 Europe Imaging Report, DICOM PS3.20 §9); label -> (code, display)
SECTION_LOINC: Final[dict[str, tuple[str, str]]] = {
    "addendum": ("55107-7", "Addendum Document"),
    "comparison": ("18834-2", "Radiology Comparison study (narrative)"),
    "critical_result": ("73568-8", "Communication of critical results [Description] Document"),
    "findings": ("59776-5", "Procedure findings Narrative"),
    "findings_impression": ("19005-8", "Radiology Imaging study [Impression] (narrative)"),
    "history": ("11329-0", "History general Narrative - Reported"),
    "impression": ("19005-8", "Radiology Imaging study [Impression] (narrative)"),
    "indication": ("55115-0", "Requested imaging studies information Document"),
    "procedure": ("55111-9", "Current imaging procedure descriptions Document"),
    "recommendation": ("18783-1", "Radiology Study recommendation (narrative)"),
}

# HL7 table 0001 Administrative Sex <- snapshotMetadata.sex
HL70001: Final[dict[str | None, str]] = {"male": "M", "female": "F", "other": "O", None: "U"}

# FHIR AdministrativeGender <- snapshotMetadata.sex (http://hl7.org/fhir/R4/valueset-administrative-gender.html)
ADMINISTRATIVE_GENDER: Final[dict[str | None, str]] = {
    "male": "male",
    "female": "female",
    "other": "other",
    None: "unknown",
}

# HL7 table 0485 Extended Priority Codes <- Study.severity; (code, text)
HL70485: Final[dict[str, tuple[str, str]]] = {
    "normal": ("R", "Routine"),
    "high": ("A", "ASAP"),
    "stat": ("S", "Stat"),
}

# v3 ActCode <- HL7 table 0004 Patient Class (HL7 v2-to-FHIR ConceptMap "Patient Class"); (code, display)
HL7_PATIENT_CLASS: Final[dict[str, tuple[str, str]]] = {
    "E": ("EMER", "emergency"),
    "I": ("IMP", "inpatient encounter"),
    "O": ("AMB", "ambulatory"),
    "P": ("PRENC", "pre-admission"),
}

# FHIR system <- HL7 table 0396 Coding System, of the codes of a hospital's order. A local code has none that is known
HL70396: Final[dict[str, str]] = {
    "LN": LOINC,
    "C4": "http://www.ama-assn.org/go/cpt",
    "CPT4": "http://www.ama-assn.org/go/cpt",
    "SCT": "http://snomed.info/sct",
    "RADLEX": "http://radlex.org",
    "HCPCS": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
}

# RequestPriority <- Study.severity, through table 0485 (HL7 v2-to-FHIR ConceptMap "Priority": R, A, S)
REQUEST_PRIORITY: Final[dict[str, str]] = {"normal": "routine", "high": "asap", "stat": "stat"}

# NUCC Health Care Provider Taxonomy (US Core, PractitionerRole.specialty) <- User.clinicRole; (code, display)
# Only roles that are the name of a code, or imply one specialty: NUCC has no code for Radiology at large.
NUCC_SPECIALTY: Final[dict[str, tuple[str, str]]] = {
    "Anesthesiologist": ("207L00000X", "Anesthesiology Physician"),
    "Dermatologist": ("207N00000X", "Dermatology Physician"),
    "Emergency Medicine Physician": ("207P00000X", "Emergency Medicine Physician"),
    "Family Medicine Physician": ("207Q00000X", "Family Medicine Physician"),
    "Gastroenterologist": ("207RG0100X", "Gastroenterology Physician"),
    "Gynecologist": ("207VG0400X", "Gynecology Physician"),
    "Internal Medicine Physician": ("207R00000X", "Internal Medicine Physician"),
    "Nephrologist": ("207RN0300X", "Nephrology Physician"),
    "Neurologist": ("2084N0400X", "Neurology Physician"),
    "Nuclear Medicine Physician": ("207U00000X", "Nuclear Medicine Physician"),
    "Nurse Practitioner": ("363L00000X", "Nurse Practitioner"),
    "Obstetrician": ("207VX0000X", "Obstetrics Physician"),
    "Occupational Therapist": ("225X00000X", "Occupational Therapist"),
    "Ophthalmologist": ("207W00000X", "Ophthalmology Physician"),
    "Otolaryngologist": ("207Y00000X", "Otolaryngology Physician"),
    "Pediatrician": ("208000000X", "Pediatrics Physician"),
    "Pharmacist": ("183500000X", "Pharmacist"),
    "Pharmacy Technician": ("183700000X", "Pharmacy Technician"),
    "Physical Therapist": ("225100000X", "Physical Therapist"),
    "Physician Assistant": ("363A00000X", "Physician Assistant"),
    "Psychiatrist": ("2084P0800X", "Psychiatry Physician"),
    "Radiation Oncologist": ("2085R0001X", "Radiation Oncology Physician"),
    "Rheumatologist": ("207RR0500X", "Rheumatology Physician"),
    "Speech-Language Pathologist": ("235Z00000X", "Speech-Language Pathologist"),
    "Urologist": ("208800000X", "Urology Physician"),
}

# DICOM PS3.16 CID 29 Acquisition Modality <- Study.modality as people write it (upper case, stripped)
DICOM_MODALITY: Final[dict[str, str]] = {
    "CR": "CR",
    "CT": "CT",
    "DX": "DX",
    "XR": "DX",
    "X-RAY": "DX",
    "XRAY": "DX",
    "RF": "RF",
    "XA": "XA",
    "MG": "MG",
    "MAMMOGRAPHY": "MG",
    "MR": "MR",
    "MRI": "MR",
    "NM": "NM",
    "PT": "PT",
    "PET": "PT",
    "US": "US",
    "ULTRASOUND": "US",
}

# Priority among several modalities: OBR-24 and DiagnosticReport.category have one, the first of these.
# Functional imaging comes before its anatomical companion (PET/CT, PET/MR, SPECT/CT), the larger examination before
# the smaller. No standard orders them.
MODALITY_ORDER: Final = ("PT", "NM", "MR", "CT", "MG", "XA", "RF", "US", "DX", "CR")

# HL7 table 0074 Diagnostic Service Section ID <- DICOM modality. `PT` there is Physical Therapy, so PET is NMS.
HL70074: Final[dict[str, str]] = {
    "CR": "RX",
    "CT": "CT",
    "DX": "RX",
    "MG": "RX",
    "MR": "NMR",
    "NM": "NMS",
    "PT": "NMS",
    "RF": "RX",
    "US": "RUS",
    "XA": "RX",
}

# HL7 table 0211 (MSH-18) -> name of the Python codec
CHARSETS: Final[dict[str, str]] = {"UNICODE UTF-8": "utf-8", "8859/1": "iso-8859-1", "ASCII": "ascii"}
# HL7 table 0211 -> name of the Python codec: the sets in which no byte of a delimiter is part of another character
INBOUND_CHARSETS: Final[dict[str, str]] = {
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "UNICODE UTF-8": "utf-8",
}
