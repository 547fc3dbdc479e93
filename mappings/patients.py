"""Compare two snapshots of a study: can they be about one patient? MRNs come first, then the person.

https://hl7.org/fhir/R4/patient.html#matching, decisions D11, D12, D13.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mappings.identifiers import is_doubtful, is_placeholder, mrn_key
from mappings.model import Snapshot
from mappings.people import Person, differences, following, person, speaks_against
from mappings.profile import Site

_NO_SITE: Final = Site()
_LEAST_OF_ANOTHER: Final = 2


class Said(NamedTuple):
    """The statements of a snapshot about a patient: `mrn` as it is compared, empty where it is nobody's."""

    person: Person
    mrn: str
    is_doubtful: bool = False


def said_of(snapshot: Snapshot, site: Site = _NO_SITE) -> Said:
    """Read a snapshot; without the site's settings no order of names is known, and no number of its own kind."""
    named = site.facility(snapshot.facility_name)
    facility = named or site.default_facility
    mrn, pattern = bare_mrn(snapshot.mrn), facility.mrn_pattern if facility else None
    doubtful = bool(mrn) and is_doubtful(snapshot.mrn or "", pattern)
    return Said(person(snapshot, named.name_order if named else None), mrn, doubtful)


def bare_mrn(mrn: str | None) -> str:
    """An MRN without case, blanks, hyphens and leading zeros; empty for what is typed where there is none."""
    said = (mrn or "").strip()
    return "" if is_placeholder(said) else mrn_key(said)


def contradicts(one: Said, other: Said) -> bool:
    """Another MRN, or two people by what is said of them: of one MRN, two fields at least contradict each other.

    A doubtful MRN is no other one where all else agrees.
    """
    if not one.mrn or not other.mrn:
        return speaks_against(one.person, other.person)
    differ = differences(one.person, other.person)
    if one.mrn == other.mrn:
        return len(differ) >= _LEAST_OF_ANOTHER
    return bool(differ) or not (one.is_doubtful or other.is_doubtful)


def in_words_of(one: Said, speaker: Said) -> Said:
    """The snapshot `one`, in which the speaker's values replace those that contradict them; a good MRN stays."""
    is_good = bool(one.mrn) and not one.is_doubtful
    mrn = one if is_good or not speaker.mrn else speaker
    return Said(following(one.person, speaker.person), mrn.mrn, mrn.is_doubtful)


def is_contradicted(snapshot: Snapshot, other: Snapshot) -> bool:
    """True where two snapshots of one study are not about one person; the site's settings are not asked."""
    return contradicts(said_of(snapshot), said_of(other))


def is_of_another(was: Snapshot, now: Snapshot, site: Site) -> bool:
    """True where what speaks for a patient contradicts in two fields what spoke for the patient before (D13)."""
    if was is now:
        return False
    return len(differences(said_of(was, site).person, said_of(now, site).person)) >= _LEAST_OF_ANOTHER
