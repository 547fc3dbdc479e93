"""A few resources that refer to each other, indexed in memory, and searches of them.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fakes.criteria import found

from gateway.index.extract import rows
from gateway.index.intervals import interval
from gateway.index.reading import asked
from gateway.index.search_value import Circumstances
from mappings.codes import CANONICAL
from mappings.fhir.extensions import extension_url

ZONE = ZoneInfo("America/New_York")
NOW = datetime(2024, 4, 24, 12, tzinfo=UTC)
BASE = "https://gateway.example/fhir"
HERE = Circumstances(ZONE, NOW, BASE)
LOINC = "http://loinc.org"
V2_0074 = "http://terminology.hl7.org/CodeSystem/v2-0074"
STUDY = "3" * 32
UID = "1.2.840.113619.2.55"


def patient(number, text, **more):
    """Make a Patient with that number and name."""
    identifier = {"type": {"coding": [{"system": "urn:t", "code": "MR"}]}, "system": "urn:mrn", "value": number}
    return {"resourceType": "Patient", "identifier": [identifier], "name": [{"text": text, **more}]}


def report(patient_id, day, **more):
    """Make a signed report about that patient."""
    coding = [{"system": LOINC, "code": "18748-4", "display": "Diagnostic imaging study"}]
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [
            {"coding": [{"system": LOINC, "code": "LP29684-5"}]},
            {"coding": [{"system": V2_0074, "code": "RAD"}]},
        ],
        "code": {"coding": coding, "text": "CT Chest W Contrast"},
        "subject": {"reference": f"Patient/{patient_id}"},
        "effectiveDateTime": day,
        **more,
    }


def _extension(name, value):
    return {"url": extension_url(CANONICAL, name), "valueBoolean": value}


WORLD = {
    "Patient/pat-1": patient("0042", "Jane Doe", family="Doe", given=["Jane"])
    | {"birthDate": "1985-07-20", "gender": "female"},
    "Patient/pat-2": patient("0043", "Müller-Lüdenscheidt^Zoé") | {"birthDate": "1950", "gender": "unknown"},
    "Practitioner/usr-1": {
        "resourceType": "Practitioner",
        "name": [{"text": "Alex R Smith, MD", "family": "Smith", "given": ["Alex", "R"]}],
        "identifier": [{"system": "urn:npi", "value": "1234567893"}],
    },
    "Organization/org-1": {"resourceType": "Organization", "name": "City Medical Center", "alias": ["CMC"]},
    "ServiceRequest/req-1": {
        "resourceType": "ServiceRequest",
        "status": "completed",
        "identifier": [{"system": "urn:acc", "value": "A1"}, {"system": "urn:plac", "value": "P|1,2"}],
        "subject": {"reference": "Patient/pat-1"},
    },
    f"ImagingStudy/stu-{STUDY}": {
        "resourceType": "ImagingStudy",
        "status": "unknown",
        "identifier": [
            {"system": "urn:dicom:uid", "value": f"urn:oid:{UID}"},
            {"system": "urn:autoscribe-gateway:study", "value": f"stu_{STUDY}"},
            {"system": "urn:acc", "value": "A1"},
        ],
        "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}],
        "started": "2024-03-15T14:30:00-04:00",
        "subject": {"reference": "Patient/pat-1"},
    },
    "ImagingStudy/stu-4": {
        "resourceType": "ImagingStudy",
        "status": "unknown",
        "identifier": [{"system": "urn:autoscribe-gateway:study-instance-uid:not-an-oid", "value": "odd uid"}],
        "modality": [{"display": "Fluoro"}],
    },
    "DiagnosticReport/rep-1": report(
        "pat-1",
        "2024-03-15T14:30:00-04:00",
        issued="2024-03-16T09:00:00Z",
        identifier=[{"system": "urn:autoscribe-gateway:report", "value": "rep_1"}],
        basedOn=[{"reference": "ServiceRequest/req-1"}],
        imagingStudy=[{"reference": f"ImagingStudy/stu-{STUDY}"}],
        performer=[{"reference": "Organization/org-1"}, {"reference": "Practitioner/usr-1"}],
        resultsInterpreter=[{"reference": "Practitioner/usr-1"}],
        result=[{"reference": "Observation/rep-1-s0"}],
        extension=[_extension("isCritical", True), _extension("isAddendum", False)],
        meta={"profile": ["http://hl7.org/p"], "tag": [{"system": "urn:tag", "code": "x"}]},
    ),
    "DiagnosticReport/rep-2": report(
        "pat-2",
        "2024-03-16",
        status="registered",
        code={"coding": [{"system": LOINC, "code": "24628-0"}], "text": "MRI Brain"},
        imagingStudy=[{"reference": "ImagingStudy/stu-4"}],
        performer=[{"type": "Practitioner", "identifier": {"system": "urn:u", "value": "usr_2"}}],
        extension=[_extension("isAddendum", True)],
    ),
    "Provenance/rep-1-prov": {
        "resourceType": "Provenance",
        "target": [{"reference": "DiagnosticReport/rep-1"}, {"reference": "Observation/rep-1-s0"}],
        "recorded": "2024-03-16T09:00:00Z",
    },
}
SIGNED = {"DiagnosticReport/rep-1": "2024-03-15T16:00:00Z"}
ROWS = {address: rows(resource, ZONE, signed=SIGNED.get(address)) for address, resource in WORLD.items()}
UPDATED = dict.fromkeys(WORLD, interval("2024-04-01", UTC)[0]) | {
    "DiagnosticReport/rep-2": interval("2024-05-01", UTC)[0]
}
REPORT = "DiagnosticReport"


def search(query, resource_type=REPORT):
    """Ids that a query of one type finds."""
    clauses = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        clauses += asked(resource_type, name, value, HERE).clauses
    return {address.partition("/")[2] for address in found(resource_type, clauses, ROWS, UPDATED)}


def clause(name, value, resource_type=REPORT):
    """Only clause of a parameter."""
    (only,) = asked(resource_type, name, value, HERE).clauses
    return only


def escaped(text):
    """Escape the characters that a value must not hold."""
    return "".join(f"\\{one}" if one in "\\,|$" else one for one in text)
