"""Rare studies that AutoScribe may send, each of which loses something in reading back."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mappings import decode
from mappings.model import Study
from mappings.profile import parse_site
from mappings.trace.sample import document

SITE: Final = parse_site("""
[mapping]
on_conflict = "send"
accession_keys = ["accession"]
placer_keys = ["order"]
number_separator = "+"
[[mapping.facilities]]
name = "City Medical Center"
aliases = ["CMC"]
code = "CITY_MED"
time_zone = "America/New_York"
name_order = "given_family"
mrn_system = "urn:oid:1.3.6.1.4.1.99999.1"
mrn_namespace = "CITY"
""")
_STRANGER: Final = {
    **{"userId": "usr_00000000000000000000000000000007", "email": "", "firstName": "No", "lastName": "Signer"},
    **{"canCreateReports": True, "canManageStudies": True, "hasDashboardAccess": True, "clinicRole": ""},
    **{"invitedSource": "api", "level": "member", "createdAt": None, "lastLoginAt": None},
}
_SNAPSHOT: Final = "/reports/0/snapshotMetadata"
_REPORT: Final = "/reports/0"
_USER: Final = "/users/0"

# Name of the oddity -> changes to the sample of the mapping's documents
CHANGES: Final[dict[str, dict[str, Any]]] = {
    "nothing": {},
    "a lone surrogate": {f"{_REPORT}/reportPlainText": "IMPRESSION: a\ud800b"},
    "lines of a blank and of a null": {f"{_REPORT}/reportPlainText": 'FINDINGS:\n \n""\n"" \nIMPRESSION: none'},
    "an empty text": {f"{_REPORT}/reportPlainText": ""},
    "moments in other zones and to the nanosecond": {
        f"{_REPORT}/createdAt": "2026-01-05t16:00:00.123456789z",
        f"{_REPORT}/signedAt": "2026-01-05T16:30:00.5-0500",
        f"{_REPORT}/updatedAt": " 2026-01-05T22:00:00+00:00 ",
    },
    "moments that are none": {
        f"{_REPORT}/createdAt": "yesterday",
        f"{_REPORT}/signedAt": "2026-01-05",
        f"{_REPORT}/updatedAt": "2026-01-05T16:30:00",
    },
    "no moment at all": {f"{_REPORT}/{key}": None for key in ("createdAt", "signedAt", "updatedAt")},
    "a study time with seconds": {f"{_SNAPSHOT}/studyTime": "14:20:00"},
    "a study time with fractions": {f"{_SNAPSHOT}/studyTime": "14:20:05.1234567"},
    "a study time that is none": {f"{_SNAPSHOT}/studyTime": "2 pm"},
    "a partial date": {f"{_SNAPSHOT}/studyDate": "2026-01", f"{_SNAPSHOT}/dateOfBirth": "1971"},
    "unknown codes": {
        f"{_SNAPSHOT}/sex": "X",
        "/severity": "urgent",
        f"{_SNAPSHOT}/height": {"unit": "ft", "value": 6},
    },
    "the name of no examination": {f"{_SNAPSHOT}/procedure": "Diagnostic imaging study"},
    "no last name": {f"{_USER}/lastName": " "},
    "a middle name alone": {f"{_USER}/firstName": "", f"{_USER}/suffix1": None, f"{_USER}/suffix2": "Jr."},
    "a wrong NPI": {f"{_USER}/npiNumber": "1234567890"},
    "somebody else": {"/users/1": _STRANGER},
    "twelve digits": {f"{_SNAPSHOT}/weight": {"unit": "kg", "value": 80.1234567891}},
    "an alias": {f"{_SNAPSHOT}/facilityName": " CMC "},
    "a name with more groups and titles": {
        f"{_SNAPSHOT}/patientName": "YAMADA^TARO^^Esquire^X=\u5c71\u7530^\u592a\u90ce",
        f"{_SNAPSHOT}/referringPhysicianName": "JONES^ANN^^DR^FOO",
    },
    "a history as the indication": {"/clinicalHistory": "cough", "/clinicalIndication": "cough"},
    "a long history alone": {"/clinicalHistory": "cough & fever; " * 20, "/clinicalIndication": None},
    "a long history": {"/clinicalHistory": "cough & fever; " * 20},
    "a long indication alone": {"/clinicalHistory": None, "/clinicalIndication": "cough & fever; " * 20},
    "texts of several lines": {
        "/clinicalHistory": "one\r\ntwo",
        "/clinicalIndication": "\tthree\x00\nfour\n",
        "/technologistTechnique": "five\rsix",
        "/technologistNotes": ["\n", "seven\x0beight", '""', "\\.br\\ is no line break"],
    },
    "several orders": {"/metadata": {"accession": "A1+A2", "order": "P1+P2", "else": "x"}},
    "no order": {"/metadata": {}},
    "a report of a status that nobody knows": {f"{_REPORT}/status": "archived"},
    "a draft that is signed": {f"{_REPORT}/status": "in_progress"},
    "a draft that is signed, undated": {f"{_REPORT}/status": "in_progress", f"{_SNAPSHOT}/studyDate": None},
    "an addendum that leaves out": {"/reports/1": {"mrn": None, "dateOfBirth": None, "sex": None, "patientName": None}},
    "an addendum that says otherwise": {
        "/reports/1": {"referringPhysicianName": "Dr. Bob", "age": "55", "height": None, "procedure": "CT Chest"}
    },
    "an addendum of another day": {"/reports/1": {"studyDate": "2026-01-06", "height": {"unit": "cm", "value": 165}}},
    "two people": {"/reports/1": {"mrn": "99", "dateOfBirth": "1950-01-01", "sex": "male", "patientName": "ROE^RICH"}},
    "a placeholder": {f"{_SNAPSHOT}/mrn": "000000", "/externalPatientId": "N/A"},
    "an archive's study": {"/studyType": "external"},
    "a customer without id": {"/expressCustomer/expressCustomerId": ""},
    "two modalities": {"/modality": "CT+PET"},
    "a modality and what is none": {"/modality": "SR\\CT"},
    "a free modality": {"/modality": " Fluoro / C-arm "},
    "no report": {"/reports": []},
}


def odd_studies() -> Iterator[Study]:
    """Yield the sample with each oddity."""
    for changes in CHANGES.values():
        changed = copy.deepcopy(document())
        for pointer, value in changes.items():
            _put(changed, pointer, value)
        yield decode(
            changed, {key: changed[key] for key in ("studyId", "studyInstanceUid", "reports")}, changed["users"]
        )


def _put(changed: dict[str, Any], pointer: str, value: Any) -> None:
    *way, last = pointer[1:].split("/")
    place: Any = changed
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if pointer == "/reports/1":
        place.append(_addendum(place[0], value))
    elif isinstance(place, list):
        place.append(value)
    else:
        place[last] = value


def _addendum(original: Mapping[str, Any], snapshot: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **original,
        "reportId": "rep_2b9e6f0d3c5a4e7f8091a2b3c4d5e6f7",
        "isAddendum": True,
        "signedAt": "2026-01-06T08:00:00Z",
        "reportPlainText": "No change.",
        "snapshotMetadata": {**original["snapshotMetadata"], **snapshot},
    }
