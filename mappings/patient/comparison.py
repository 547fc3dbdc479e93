"""Decide if two snapshots of a study can be about one patient: by MRN first, then by name, birth date and sex.

https://hl7.org/fhir/R4/patient.html#matching, decisions D11, D12, D13.
Proved by tests/mappings/patient/test_subjects.py and tests/mappings/life/test_changes.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mappings.model import Snapshot
from mappings.patient.identifiers import is_doubtful, is_placeholder, mrn_key, mrn_number
from mappings.patient.people import Person, differences, following, person, speaks_against
from mappings.profile import Site

_NO_SITE: Final = Site()
_LEAST_OF_ANOTHER: Final = 2


class Said(NamedTuple):
    """Facts of a snapshot about a patient: `mrn` in the form for comparison, empty for a placeholder."""

    person: Person
    mrn: str
    is_doubtful: bool = False


def said_of(snapshot: Snapshot, site: Site = _NO_SITE) -> Said:
    """Read a snapshot. Without the site's settings, no name order and no MRN pattern is known."""
    named = site.facility(snapshot.facility_name)
    facility = named or site.default_facility
    number, pattern = mrn_number(snapshot, site), facility.mrn_pattern if facility else None
    mrn = bare_mrn(snapshot.mrn if number is None else number)
    doubtful = bool(mrn) and (number is None or is_doubtful(number, pattern))
    return Said(person(snapshot, named.name_order if named else None), mrn, doubtful)


def bare_mrn(mrn: str | None) -> str:
    """Normalize an MRN: no case, blanks, hyphens or leading zeros; empty for a placeholder."""
    stripped = (mrn or "").strip()
    return "" if is_placeholder(stripped) else mrn_key(stripped)


def contradicts(one: Said, other: Said) -> bool:
    """True for different MRNs, or for different people; under one MRN at least two fields must contradict.

    A doubtful MRN that differs does not contradict if all else agrees.
    """
    if not one.mrn or not other.mrn:
        return speaks_against(one.person, other.person)
    differ = differences(one.person, other.person)
    if one.mrn == other.mrn:
        return len(differ) >= _LEAST_OF_ANOTHER
    return bool(differ) or not (one.is_doubtful or other.is_doubtful)


def in_words_of(one: Said, speaker: Said) -> Said:
    """Replace the values of `one` that contradict the speaker's by the speaker's; a good MRN stays."""
    is_good = bool(one.mrn) and not one.is_doubtful
    mrn = one if is_good or not speaker.mrn else speaker
    return Said(following(one.person, speaker.person), mrn.mrn, mrn.is_doubtful)


def is_contradicted(snapshot: Snapshot, other: Snapshot) -> bool:
    """True if two snapshots of one study are not about one person; the site's settings are not used."""
    return contradicts(said_of(snapshot), said_of(other))


def is_of_another(was: Snapshot, now: Snapshot, site: Site) -> bool:
    """True if the new snapshot for a patient contradicts the old one in at least two fields (D13)."""
    if was is now:
        return False
    return len(differences(said_of(was, site).person, said_of(now, site).person)) >= _LEAST_OF_ANOTHER
