"""Compare two patient descriptions by names, birth date and sex (not MRN): can they be one person?

https://hl7.org/fhir/R4/patient.html#matching, decision D12.

Names are compared as words without case, accents, titles or particles. Word order proves nothing: if the family name is
not known, no word is assumed to be it. Two given names are one if one is an initial, a beginning or a known form of the
other, or differs by a typing error. A typing error is within edit distance 2, but the name of a twin may be as similar
(Mia and Mila, Jaden and Kaden). So the first letter must be right, the names long enough, the end not that of another
gender, and exactly one of the two in use as a given name (`mappings.patient.given_names`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from unicodedata import combining, normalize

from mappings.codes import ADMINISTRATIVE_GENDER
from mappings.model import Snapshot
from mappings.patient.given_names import IN_USE, is_form_of
from mappings.patient.identifiers import is_doubtful, is_placeholder, mrn_key, mrn_number
from mappings.profile import NameOrder, Site
from mappings.values.dates import parse_date
from mappings.values.names import parse_name
from mappings.values.text import normal_form

Likeness = Literal["unsaid", "same", "slip", "newborn", "family", "given", "unclear", "other"]
"""Likeness of two names.

In order: one name is missing; no contradiction; a typing error; a newborn who has since been named; another family
name; another given name; other words of an unknown part of the name; no word in common.
"""
_UNSAID_BIRTH_DATES: Final = frozenset({"1900-01-01", "1901-01-01"})
_UNSAID_SEXES: Final = frozenset({"unknown", "unk", "u"})
_WHOLE_DATE: Final = 10
_TITLES: Final = frozenset({"mr", "mrs", "ms", "miss", "mx", "dr", "prof"})
_GENERATIONS: Final = frozenset({"jr", "sr", "ii", "iii", "iv"})
_PARTICLES: Final = frozenset(
    [
        *("de", "del", "della", "di", "da", "dos", "das", "du", "la", "le", "los", "las", "van", "von", "der", "den"),
        *("ter", "ten", "zu", "zum", "zur", "bin", "ibn", "bint", "al", "el", "y", "e"),
    ]
)
_SPELLINGS: Final = {"saint": "st", "santa": "sta", "ste": "st"}
# Words used in place of a newborn's given name -> the sex that they state
_NEWBORN: Final[dict[str, str]] = {
    **dict.fromkeys(("baby", "newborn", "neonate", "infant", "nb", "twin", "triplet"), ""),
    **dict.fromkeys(("boy", "babyboy", "bb"), "male"),
    **dict.fromkeys(("girl", "babygirl", "bg"), "female"),
}
_NEWBORN_SEX: Final = {"male": "male", "female": "female"}
_NUMERALS: Final = (("a", "1", "i"), ("b", "2", "ii"), ("c", "3", "iii"), ("d", "4", "iv"))
_BIRTH_ORDER: Final = {name: place for place, names in enumerate(_NUMERALS) for name in names}
_MOST_WORDS: Final = 32  # of a name; more are no name
_LEAST_FOR_SLIP: Final = 4
_LEAST_FOR_TWO: Final = 8


@dataclass(frozen=True, slots=True)
class Person:
    """Attributes that distinguish people beside their numbers; empty if absent.

    `birth_date` and `sex` are in FHIR's form if readable. `family` and `given` are parts of `name` if evidence splits
    it.
    """

    birth_date: str = ""
    sex: str = ""
    name: str = ""
    family: str = ""
    given: tuple[str, ...] = ()


def person(snapshot: Snapshot, order: NameOrder | None = None) -> Person:
    """Read the person of a snapshot; `order` is the name order of its facility."""
    name, sex, born = map(_line, (snapshot.patient_name, snapshot.sex, snapshot.date_of_birth))
    split = parse_name(name, order)
    parts = (split.family, split.given) if split else ("", ())
    gender = ADMINISTRATIVE_GENDER.get(sex, sex.casefold())
    return Person(parse_date(born) or born, "" if gender in _UNSAID_SEXES else gender, name, *parts)


def differences(one: Person, other: Person) -> tuple[str, ...]:
    """Names of the fields that contradict each other; a field missing on one side contradicts nothing."""
    if one == other:
        return ()
    fields_of: dict[Likeness, tuple[str, ...]] = {
        "given": ("given name",),
        "family": ("family name",),
        "unclear": ("name",),
        "other": ("given name", "family name"),
    }
    named = fields_of.get(likeness(one, other), ())
    born = ("birth date",) if _is_other_birth_date(one, other) else ()
    return (*named, *born, *(("sex",) if _is_other_sex(one, other) else ()))


def are_alike(one: Person, other: Person) -> bool:
    """True if both names are given, and nothing contradicts."""
    return likeness(one, other) != "unsaid" and not differences(one, other)


def following(one: Person, other: Person) -> Person:
    """Return one person, with each field that contradicts `other` replaced by the other's value."""
    named = other if likeness(one, other) in ("given", "family", "unclear", "other") else one
    return Person(
        other.birth_date if _is_other_birth_date(one, other) else one.birth_date,
        other.sex if _is_other_sex(one, other) else one.sex,
        named.name,
        named.family,
        named.given,
    )


def speaks_against(one: Person, other: Person) -> bool:
    """True for another birth date or sex; or, if a birth date is missing, for names without a word in common.

    For reports of one study, if not all of them have a number.
    """
    if _is_other_birth_date(one, other) or _is_other_sex(one, other):
        return True
    return not (_born(one) and _born(other)) and likeness(one, other) == "other"


def are_two_people(one: Person, other: Person) -> bool:
    """True if two studies with the same number are about different people, or if that cannot be ruled out.

    These are another birth date or sex, no common word of the names, other given names (twins), or an unknown part that
    differs. Another family name, or a newborn who has since been named, is one person only with the same birth date.
    """
    if _is_other_birth_date(one, other) or _is_other_sex(one, other):
        return True
    degree = likeness(one, other)
    if degree in ("family", "newborn"):
        return not _is_same_birth_date(one, other)
    return degree in ("given", "unclear", "other")


def is_remarkable(one: Person, other: Person) -> bool:
    """True if two snapshots count as one person but have different names: an operator may want to check."""
    return likeness(one, other) in ("family", "newborn", "slip")


def likeness(one: Person, other: Person) -> Likeness:
    """Classify the likeness of two names."""
    mine, theirs = _words(one), _words(other)
    if not mine.words or not theirs.words:
        return "unsaid"
    if mine.generations and theirs.generations and mine.generations.isdisjoint(theirs.generations):
        return "given"
    if max(len(mine.words), len(theirs.words)) > _MOST_WORDS:
        return "same" if mine.words == theirs.words else "unclear"
    if mine.is_newborn or theirs.is_newborn:
        of_newborns = _newborn(mine, theirs, one.sex, other.sex)
        if of_newborns is not None:
            return of_newborns
    return _compared(mine, theirs)


class _Words(NamedTuple):
    """Words of a name in order, with their parts (`family`, `given`, or empty if unknown)."""

    words: tuple[str, ...]
    parts: dict[str, str]
    generations: frozenset[str]
    is_newborn: bool = False
    newborn_sex: str = ""
    birth_order: int | None = None


class _Left(NamedTuple):
    """Words that only one of two names has, and words that both share."""

    mine: list[str]
    theirs: list[str]
    common: list[str]


def _line(text: str | None) -> str:
    return " ".join(normal_form(text or "").split())


def _plain(text: str) -> list[str]:
    """Split a text into words without case, accents and apostrophes; `B/G` is one word."""
    bare = "".join(one for one in normalize("NFKD", text) if not combining(one)).casefold()
    joined = re.sub(r"\bb ?/ ?([bg])\b", r"b\1", re.sub(r"\b[bsd] ?/ ?o\b", "infant of", bare))
    words = re.findall(r"[^\W_]+", re.sub(r"['\u2019\u02bc`]", "", joined))
    return [_SPELLINGS.get(word, word) for word in words]


@lru_cache(maxsize=64)  # each report of a study is compared with the others
def _words(somebody: Person) -> _Words:
    every = _plain(somebody.name)
    kept = [word for word in every if word not in _TITLES and word not in _GENERATIONS]
    generations = frozenset(every) & _GENERATIONS
    parts = {**dict.fromkeys(_plain(somebody.family), "family")}
    for word in _plain(" ".join(somebody.given)):
        parts[word] = "" if word in parts else "given"
    names = [word for word in kept if word not in _PARTICLES] or kept
    if not any(word in _NEWBORN for word in names):
        return _Words(tuple(names), parts, generations)
    numerals = generations & _BIRTH_ORDER.keys()
    return _newborn_words([*names, *sorted(numerals)], generations - numerals)


def _newborn_words(names: Sequence[str], generations: frozenset[str]) -> _Words:
    """Words of a newborn's name: those in place of a given name state at most sex and birth order.

    A numeral there is the birth order, not a generation.
    """
    says = [_NEWBORN.get(word) or _NEWBORN_SEX.get(word, "") for word in names]
    order = next((_BIRTH_ORDER[word] for word in names if word in _BIRTH_ORDER), None)
    known = {*_NEWBORN, *_NEWBORN_SEX, *_BIRTH_ORDER, "of"}
    rest = tuple(word for word in names if word not in known)
    return _Words(rest or tuple(names), {}, generations, True, next(filter(None, says), ""), order)


def _newborn(mine: _Words, theirs: _Words, my_sex: str, their_sex: str) -> Likeness | None:
    """Classify two names of which at least one is a newborn's; None if the other words decide."""
    sexes = {mine.newborn_sex, theirs.newborn_sex} if mine.is_newborn and theirs.is_newborn else set()
    if mine.is_newborn and not theirs.is_newborn:
        sexes = {mine.newborn_sex, their_sex}
    if theirs.is_newborn and not mine.is_newborn:
        sexes = {theirs.newborn_sex, my_sex}
    are_both = mine.is_newborn and theirs.is_newborn
    if len(sexes & {"male", "female"}) > 1 or (are_both and mine.birth_order != theirs.birth_order):
        return "given"  # a number on one side only: the other may be the twin
    if are_both:
        return None
    return "other" if set(mine.words).isdisjoint(theirs.words) else "newborn"


def _compared(mine: _Words, theirs: _Words) -> Likeness:
    if mine.words == theirs.words:
        return "same"
    left = _unshared_words(_joined(mine.words, theirs.words), _joined(theirs.words, mine.words))
    if not any(len(word) > 1 or not word.isascii() for word in left.common):
        return "other"
    is_slip = _paired(left, mine, theirs)
    if not left.mine or not left.theirs:
        return "slip" if is_slip else "same"
    return _likeness_by_part(left, mine, theirs)


def _joined(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """Join two words that are one word in the other name (Mary Ann, Maryann)."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] + word in others:
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _unshared_words(mine: Sequence[str], theirs: Sequence[str]) -> _Left:
    others = list(theirs)
    left, common = [], []
    for word in mine:
        if word in others:
            others.remove(word)
            common.append(word)
        else:
            left.append(word)
    return _Left(left, others, common)


def _paired(left: _Left, mine: _Words, theirs: _Words) -> bool:
    """Take out the words that may be the same; True if one pair is so only by a typing error.

    An initial or a beginning counts only in the same place: John A is no form of Adam.
    """
    is_slip = False
    my_places, their_places = _places(left.mine, mine), _places(left.theirs, theirs)
    for word, place in my_places.items():
        for other in list(left.theirs):
            parts = {mine.parts.get(word, ""), theirs.parts.get(other, "")}
            if {"family", "given"} <= parts:
                continue
            is_in_place = their_places[other] == place
            is_typed = is_in_place and _is_slip(word, other, parts)
            if is_form_of(word, other) or (is_in_place and _begins(word, other)) or is_typed:
                left.mine.remove(word)
                left.theirs.remove(other)
                is_slip = is_slip or is_typed
                break
    return is_slip


def _places(left: Sequence[str], names: _Words) -> dict[str, int]:
    """Position of each remaining word within its part of the name."""
    parts = [names.parts.get(word, "") for word in left]
    return {word: parts[:place].count(part) for place, (word, part) in enumerate(zip(left, parts, strict=True))}


def _likeness_by_part(left: _Left, mine: _Words, theirs: _Words) -> Likeness:
    """Classify the difference if both names have words that the other lacks."""
    my_parts, their_parts = _parts(mine, theirs, left.mine, left.common), _parts(theirs, mine, left.theirs, left.common)
    shared = [{mine.parts.get(word, ""), theirs.parts.get(word, "")} for word in left.common]
    is_contrary = {"family", "given"} in shared
    if not my_parts or not their_parts or (is_contrary and {"given"} not in shared):
        return "unclear"
    if "given" in my_parts & their_parts:
        return "given"
    return "family" if is_contrary or "family" in my_parts & their_parts else "same"


def _parts(own: _Words, other: _Words, left: Sequence[str], common: Sequence[str]) -> set[str]:
    """Parts of the words that only one name has; empty if unknown.

    A name that is not split is read through one that is. If they share only given names, one remaining word (beside
    initials) must be the family name. If they share only the family name, the remaining words are given names.
    """
    if own.parts:
        parts = {own.parts.get(word, "") for word in left}
        return set() if "" in parts else parts
    shared = {other.parts.get(word, "") for word in common}
    if shared == {"given"} and sum(len(word) > 1 for word in left) == 1:
        return {"family"}
    return {"given"} if shared == {"family"} else set()


def _begins(one: str, other: str) -> bool:
    """True if one is an initial of the other, or its beginning and not itself a name: Maria is one beside Mariana."""
    short, long = sorted((one, other), key=len)
    if len(short) == 1:
        return long.startswith(short)
    return long.startswith(short) and short not in IN_USE and not _is_other_gender(one, other)


def _is_slip(one: str, other: str, parts: set[str]) -> bool:
    """True for a typing error. In two unknown given names, only swapped or doubled letters count as one."""
    least = min(len(one), len(other))
    if one[0] != other[0] or least < _LEAST_FOR_SLIP:
        return False
    is_family = "family" in parts
    if not is_family and ({one, other} <= IN_USE or _is_other_gender(one, other)):
        return False
    if not is_family and IN_USE.isdisjoint((one, other)):
        return _undoubled(one) == _undoubled(other) or (sorted(one) == sorted(other) and _distance(one, other) == 1)
    return _distance(one, other) <= (2 if least >= _LEAST_FOR_TWO else 1)


def _is_other_gender(one: str, other: str) -> bool:
    """True for names that differ only in their final vowels: Roberto, Roberta; Julie, Julia; Paul, Paula."""
    return one.rstrip("aeio") == other.rstrip("aeio")


def _undoubled(word: str) -> str:
    return re.sub(r"(.)\1+", r"\1", word)


def _distance(one: str, other: str) -> int:
    """Edit distance: letters that are wrong, missing, extra, or swapped with their neighbor."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, mine in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, theirs in enumerate(other, 1):
            costs = [before[j] + 1, row[j - 1] + 1, before[j - 1] + (mine != theirs)]
            if i > 1 and j > 1 and one[i - 2 : i] == theirs + other[j - 2]:
                costs.append(last[j - 2] + 1)
            row.append(min(costs))
    return row[-1]


def _is_other_birth_date(one: Person, other: Person) -> bool:
    """True for two dates unless one is the beginning of the other, as 1985 is of 1985-07-20."""
    mine, theirs = _born(one), _born(other)
    return bool(mine and theirs) and not (mine.startswith(theirs) or theirs.startswith(mine))


def _is_same_birth_date(one: Person, other: Person) -> bool:
    born = _born(one)
    return len(born) == _WHOLE_DATE and born == _born(other)


def _born(somebody: Person) -> str:
    """Birth date, unless it is one that systems fill in when none is known."""
    return "" if somebody.birth_date in _UNSAID_BIRTH_DATES else somebody.birth_date


def _is_other_sex(one: Person, other: Person) -> bool:
    return bool(one.sex and other.sex) and one.sex != other.sex


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
