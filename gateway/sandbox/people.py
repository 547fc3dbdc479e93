"""Invented people and facilities for the sandbox's synthetic studies, recognizable as invented.

AutoScribe REST API: the keys of User (`GET /users/{userId}`).
Proved by tests/gateway/sandbox/test_seed.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway.sandbox.dice import Dice

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SandboxFacility:
    """A facility with the settings that a site would write for it; one with `is_known` False is in no settings."""

    name: str
    time_zone: str
    mrn_system: str
    mrn_namespace: str
    name_order: str
    is_known: bool = True


FACILITIES: Final = (
    SandboxFacility("Sandbox General Hospital", "America/New_York", "urn:oid:2.999.1.1", "SBXGEN", "given_family"),
    SandboxFacility("Sandbox Lakeside Imaging", "America/Chicago", "urn:oid:2.999.1.2", "SBXLAKE", "given_family"),
    SandboxFacility("Sandbox Mountain Clinic", "America/Denver", "urn:oid:2.999.1.3", "SBXMTN", "family_given"),
    SandboxFacility("Sandbox Women's & Children's", "America/Los_Angeles", "urn:oid:2.999.1.4", "SBXWC", "marked_only"),
    SandboxFacility("Sandbox Mobile Unit 7", "America/Phoenix", "urn:oid:2.999.1.5", "SBXMOB", "given_family", False),
)

FAMILY_NAMES: Final = (
    "Testperson", "Sampleton", "Mockford", "Exemplar", "Dummyson", "Placeholder", "Specimen", "Fictional",
    "Demoski", "Syntheticus", "Notreal", "Madeup", "Nullman", "Trialby", "Example-Sample", "O'Test",
)  # fmt: skip
_GIVEN_NAMES: Final = {
    "female": "Ada Beatrix Clara Daphne Edith Flora Greta Hester Iris Juno Karla Lena",
    "male": "Abel Bruno Casper Dexter Edgar Felix Gus Hugo Ivan Jasper Konrad Linus",
    "other": "Alex Blair Casey Drew Ellis Finley",
}
GIVEN_NAMES: Final = {sex: tuple(names.split()) for sex, names in _GIVEN_NAMES.items()}
REFERRERS: Final = (
    "Dr. Ruth Referrer", "Ordway, Orson MD", "Sample P. Practitioner, DO", "Dr. Nina Fictive", "REQUESTER^RALPH^^^DR",
    "Trial Clinic, Dr. Testa", "Dr. Björn Beispiel", "Imaginary, Irene NP",
)  # fmt: skip
EXPRESS_CUSTOMERS: Final = ("Sandbox Express Radiology", "Sandbox Teleradiology Partners")

# first, middle, last, suffix1, suffix2, role, may sign, has an NPI, still active
_STAFF: Final = (
    ("Rhea", "Ann", "Diologist", "MD", "FACR", "Radiologist", True, True, True),
    ("Roentgen", None, "Testreader", "MD", None, "Radiologist", True, True, True),
    ("Siegfried", "K.", "Van der Probe", "DO", None, "Radiologist", True, True, True),
    ("Magda", None, "Resonanz", "MD", "PhD", "Neuroradiologist", True, True, True),
    ("Xavier", "Ray", "Film", "Jr.", "MD", "Radiologist", True, True, True),
    ("Noor", None, "Clearimage", "MD", None, "Nuclear Medicine Physician", True, True, True),
    ("José", "María", "Núñez-Prueba", "MD", None, "Radiologist", True, True, True),
    ("Petra", None, "Withoutnpi", None, None, "Radiologist", True, False, True),
    ("Gone", None, "Departed", "MD", None, "Radiologist", True, True, False),
    ("Olive", None, "Owner", None, None, "Other", False, False, True),
    ("Adam", None, "Administrator", None, None, "PACS Administrator", False, False, True),
    *((f"Tech{n}", None, "Technologist", "RT", None, "Radiologic Technologist", False, False, True) for n in range(14)),
)  # fmt: skip


def npi(nine_digits: int) -> str:
    """Make a National Provider Identifier with a valid check digit (45 CFR 162.406: Luhn over 80840 + 9 digits)."""
    total = 24
    for place, digit in enumerate(reversed(f"{nine_digits:09d}")):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return f"{nine_digits:09d}{-total % 10}"


def users(seed: int, epoch: str) -> tuple[tuple[Json, ...], frozenset[str]]:
    """Make all users as User JSON; also return the ids of users whose access was revoked."""
    rows = [_user(seed, number, epoch) for number in range(len(_STAFF))]
    return tuple(rows), frozenset(row["userId"] for row, staff in zip(rows, _STAFF, strict=True) if not staff[8])


def _user(seed: int, number: int, epoch: str) -> Json:
    first, middle, last, suffix1, suffix2, role, may_sign, has_npi, _ = _STAFF[number]
    dice = Dice(seed, "user", number)
    row: Json = {
        "userId": f"usr_{dice.hex32()}",
        "email": f"user{number}@sandbox.example",
        "firstName": first,
        "middleName": middle,
        "lastName": last,
        "suffix1": suffix1,
        "suffix2": suffix2,
        "npiNumber": npi(100_000_000 + dice.integer(0, 99_999_999)) if has_npi else None,
        "phoneNumber": f"555555{dice.integer(0, 9999):04d}" if dice.chance(0.7) else None,
        "clinicRole": role,
        "level": "owner" if first == "Olive" else "admin" if first == "Adam" else "member",
        "canCreateReports": may_sign,
        "canManageStudies": not may_sign,
        "hasDashboardAccess": dice.chance(0.9),
        "invitedSource": dice.pick(("dashboard", "dashboard", "api")),
    }
    return {key: value for key, value in row.items() if value is not None} | {
        "createdAt": epoch,
        "lastLoginAt": epoch if dice.chance(0.8) else None,
    }
