"""Decide whether an operator's verdict on two persons (same or not) still counts, by digests of their data. Pure.

Carries out no clause of a standard; decision D12. Persons are kept as digests under the site key, never by name.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from unicodedata import normalize

from mappings.fhir.patient import person_of
from mappings.model import Facts, Study
from mappings.patient.people import Person, are_two_people, person
from mappings.patient.subjects import subjects
from mappings.profile import Site

_WORD: Final = re.compile(r"[^\W_]+")
_NOBODY: Final = Person()
People = Mapping[str, Person]


@dataclass(frozen=True, slots=True)
class Judged:
    """Digests of the persons that a verdict was about: first the study's own, then those of other studies.

    `counts` is False while the studies describe other persons.
    """

    digests: str
    counts: bool


def people(study: Study, site: Site, facts: Facts, held: frozenset[str]) -> People:
    """Return the person that the study means by each patient id: ids that it names, and ids it uses in their place.

    `held` are the ids it names that other studies use for another person.
    """
    persons: dict[str, Person] = {}
    for taken in (held, frozenset[str]()):
        about = subjects(study, study.reports, site, replace(facts, taken_patient_ids=taken))
        persons.update((one.identity.patient_id, person(one.snapshot)) for one in about.values())
    return persons


def judged(  # noqa: PLR0913, PLR0917 (each verdict's persons, then and now)
    verdicts: Mapping[str, str],
    known: Mapping[str, str],
    before: People,
    present: People,
    named: People,
    others: Mapping[str, Sequence[Mapping[str, Any]]],
    key: bytes,
) -> dict[str, Judged]:
    """Judge each verdict. `known` are the stored digests, empty for a verdict given after the last ingest.

    Such a verdict is about the persons known to the last ingest, `before`, not about those of this one: `present`, and
    `named` for patient ids that other studies name too.
    """
    results = {}
    for patient_id, verdict in verdicts.items():
        beside = [person_of(one) for one in others.get(patient_id, ())]
        digests = known.get(patient_id) or _digests(before.get(patient_id, _NOBODY), beside, key)
        own = present.get(patient_id)
        who = named.get(patient_id, _NOBODY)
        against = [one for one in beside if are_two_people(who, one) == (verdict == "link")]
        results[patient_id] = Judged(digests, own is None or _is_still(digests, own, against, key))
    return results


def is_judged_beside(digests: str, own: Person | None, key: bytes) -> bool:
    """True if this person is among those beside whom a linked study was judged: the two are one person."""
    return own is not None and _digest(own, key) in digests.split()[1:]


def _digests(own: Person, others: Sequence[Person], key: bytes) -> str:
    return " ".join([_digest(own, key), *sorted({_digest(one, key) for one in others})])


def _is_still(digests: str, own: Person, against: Sequence[Person], key: bytes) -> bool:
    """True if the study still describes the person judged, and all who contradict the verdict were judged too."""
    mine, *theirs = digests.split()
    return _digest(own, key) == mine and all(_digest(one, key) in theirs for one in against)


def _digest(who: Person, key: bytes) -> str:
    """Return a digest of a person: the words of the name in any order, birth date and sex."""
    words = sorted(_WORD.findall(normalize("NFKC", who.name).casefold()))
    return hmac.digest(key, "\x1f".join([" ".join(words), who.birth_date, who.sex]).encode(), hashlib.sha256).hex()
