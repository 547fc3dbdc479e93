"""Decide which verdicts of an operator count: those about people described as they were when judged.

Carries out no clause of a standard; decision D12. Of the people a digest under the site key is kept, and no name.
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
from mappings.people import Person, are_two_people, person
from mappings.profile import Site
from mappings.subjects import subjects

_WORD: Final = re.compile(r"[^\W_]+")
_NOBODY: Final = Person()
People = Mapping[str, Person]


@dataclass(frozen=True, slots=True)
class Judged:
    """The people that a verdict was about: digests of what the study said, then of what others said of the patient.

    `counts` is False while that is not what they say.
    """

    digests: str
    counts: bool


def people(study: Study, site: Site, facts: Facts, held: frozenset[str]) -> People:
    """The person whom the study means by each patient id: those that it names, and those it has in their place.

    `held` are the ids that it names and that others speak of as somebody else.
    """
    found: dict[str, Person] = {}
    for taken in (held, frozenset[str]()):
        about = subjects(study, study.reports, site, replace(facts, taken_patient_ids=taken))
        found.update((one.identity.patient_id, person(one.snapshot)) for one in about.values())
    return found


def judged(  # noqa: PLR0913, PLR0917 (what is known of each, then and now)
    verdicts: Mapping[str, str],
    known: Mapping[str, str],
    before: People,
    present: People,
    named: People,
    others: Mapping[str, Sequence[Mapping[str, Any]]],
    key: bytes,
) -> dict[str, Judged]:
    """Judge each verdict. `known` are the digests that are kept; empty of one that came after the last look.

    Such a verdict is about those of whom the last look knew, `before`, and not about what this one finds: `present`,
    and `named` of patients whose ids others name too.
    """
    found = {}
    for patient_id, verdict in verdicts.items():
        beside = [person_of(one) for one in others.get(patient_id, ())]
        digests = known.get(patient_id) or _digests(before.get(patient_id, _NOBODY), beside, key)
        own = present.get(patient_id)
        who = named.get(patient_id, _NOBODY)
        against = [one for one in beside if are_two_people(who, one) == (verdict == "link")]
        found[patient_id] = Judged(digests, own is None or _is_still(digests, own, against, key))
    return found


def is_judged_beside(digests: str, own: Person | None, key: bytes) -> bool:
    """True where somebody was one of those beside whom a linked study was judged: the two are one person."""
    return own is not None and _digest(own, key) in digests.split()[1:]


def _digests(own: Person, others: Sequence[Person], key: bytes) -> str:
    return " ".join([_digest(own, key), *sorted({_digest(one, key) for one in others})])


def _is_still(digests: str, own: Person, against: Sequence[Person], key: bytes) -> bool:
    """True where the study says who was judged, and so was everybody who speaks against the verdict."""
    mine, *theirs = digests.split()
    return _digest(own, key) == mine and all(_digest(one, key) in theirs for one in against)


def _digest(one: Person, key: bytes) -> str:
    """A digest of a person: the words of the name in any order, birth date and sex."""
    words = sorted(_WORD.findall(normalize("NFKC", one.name).casefold()))
    return hmac.digest(key, "\x1f".join([" ".join(words), one.birth_date, one.sex]).encode(), hashlib.sha256).hex()
