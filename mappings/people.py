"""Decide if two descriptions can be of one person: names by their words, birth dates, sex.

https://hl7.org/fhir/R4/patient.html#matching, decision D12.

Words of a name have no case, accents, titles or particles, and their order proves nothing: where it is not known which
word is the family name, none is taken for it. Two given names are one if one is an initial, a beginning or a known
form of the other, or differs by a typing error. A typing error is within edit distance 2, but a twin's name may be as
near (Mia and Mila, Jaden and Kaden): it is one only if the first letter is right, the names are long enough, the end is
no other gender's, and one of the two is in use as a given name and the other is not (`mappings.given_names`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from unicodedata import combining, normalize

from mappings.codes import ADMINISTRATIVE_GENDER
from mappings.dates import parse_date
from mappings.given_names import IN_USE, is_form_of
from mappings.model import Snapshot
from mappings.names import parse_name
from mappings.profile import NameOrder
from mappings.text import normal_form

Likeness = Literal["unsaid", "same", "slip", "newborn", "family", "given", "unclear", "other"]
"""The likeness of two names.

One of them is not said; nothing speaks against one person; a typing error; a newborn who has a name by now; another
family name; another given name; other words, and it is not known of which name; no word in common.
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
# What stands in place of a newborn's given name -> the sex that it says
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
    """The attributes that tell people apart beside their numbers; empty where not said.

    `birth_date` and `sex` as FHIR has them where they can be read; `family` and `given` are parts of `name` where
    evidence splits it.
    """

    birth_date: str = ""
    sex: str = ""
    name: str = ""
    family: str = ""
    given: tuple[str, ...] = ()


def person(snapshot: Snapshot, order: NameOrder | None = None) -> Person:
    """Read the person that a snapshot speaks of; `order` is that of names at its facility."""
    name, sex, born = map(_line, (snapshot.patient_name, snapshot.sex, snapshot.date_of_birth))
    split = parse_name(name, order)
    parts = (split.family, split.given) if split else ("", ())
    gender = ADMINISTRATIVE_GENDER.get(sex, sex.casefold())
    return Person(parse_date(born) or born, "" if gender in _UNSAID_SEXES else gender, name, *parts)


def differences(one: Person, other: Person) -> tuple[str, ...]:
    """The fields that contradict each other, by name: what is not said on one side contradicts nothing."""
    if one == other:
        return ()
    found: dict[Likeness, tuple[str, ...]] = {
        "given": ("given name",),
        "family": ("family name",),
        "unclear": ("name",),
        "other": ("given name", "family name"),
    }
    named = found.get(likeness(one, other), ())
    born = ("birth date",) if _is_other_birth_date(one, other) else ()
    return (*named, *born, *(("sex",) if _is_other_sex(one, other) else ()))


def are_alike(one: Person, other: Person) -> bool:
    """True where names are said on both sides, and nothing that is said contradicts."""
    return likeness(one, other) != "unsaid" and not differences(one, other)


def following(one: Person, other: Person) -> Person:
    """One person with each field that contradicts the `other` as the other says it."""
    named = other if likeness(one, other) in ("given", "family", "unclear", "other") else one
    return Person(
        other.birth_date if _is_other_birth_date(one, other) else one.birth_date,
        other.sex if _is_other_sex(one, other) else one.sex,
        named.name,
        named.family,
        named.given,
    )


def speaks_against(one: Person, other: Person) -> bool:
    """Another birth date or sex, or a birth date not said on one side and no word of the names in common.

    That is for the reports of one study of which not all have a number.
    """
    if _is_other_birth_date(one, other) or _is_other_sex(one, other):
        return True
    return not (_born(one) and _born(other)) and likeness(one, other) == "other"


def are_two_people(one: Person, other: Person) -> bool:
    """True where two studies that name the same number speak of different people, or it cannot be told.

    Another birth date or sex, no word of the names in common, other given names (twins), or it is not known which name
    differs. Another family name, and a newborn who has a name by now, are one person only with the same birth date.
    """
    if _is_other_birth_date(one, other) or _is_other_sex(one, other):
        return True
    found = likeness(one, other)
    if found in ("family", "newborn"):
        return not _is_same_birth_date(one, other)
    return found in ("given", "unclear", "other")


def is_remarkable(one: Person, other: Person) -> bool:
    """True where two who count as one person are not called the same: somebody may want to see it."""
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
        found = _newborn(mine, theirs, one.sex, other.sex)
        if found is not None:
            return found
    return _compared(mine, theirs)


class _Words(NamedTuple):
    """The words of a name in order, with their parts (`family`, `given`, or empty where it is not known)."""

    words: tuple[str, ...]
    parts: dict[str, str]
    generations: frozenset[str]
    is_newborn: bool = False
    newborn_sex: str = ""
    birth_order: int | None = None


class _Left(NamedTuple):
    """The words that two names do not share, and those that they do."""

    mine: list[str]
    theirs: list[str]
    common: list[str]


def _line(text: str | None) -> str:
    return " ".join(normal_form(text or "").split())


def _plain(text: str) -> list[str]:
    """The words of a text without case, accents and apostrophes; `B/G` is one."""
    bare = "".join(one for one in normalize("NFKD", text) if not combining(one)).casefold()
    joined = re.sub(r"\bb ?/ ?([bg])\b", r"b\1", re.sub(r"\b[bsd] ?/ ?o\b", "infant of", bare))
    found = re.findall(r"[^\W_]+", re.sub(r"['\u2019\u02bc`]", "", joined))
    return [_SPELLINGS.get(word, word) for word in found]


def _words(of: Person) -> _Words:
    every = _plain(of.name)
    kept = [word for word in every if word not in _TITLES and word not in _GENERATIONS]
    generations = frozenset(every) & _GENERATIONS
    parts = {**dict.fromkeys(_plain(of.family), "family")}
    for word in _plain(" ".join(of.given)):
        parts[word] = "" if word in parts else "given"
    names = [word for word in kept if word not in _PARTICLES] or kept
    if not any(word in _NEWBORN for word in names):
        return _Words(tuple(names), parts, generations)
    numerals = generations & _BIRTH_ORDER.keys()
    return _newborn_words([*names, *sorted(numerals)], generations - numerals)


def _newborn_words(names: Sequence[str], generations: frozenset[str]) -> _Words:
    """The words of a newborn's name: those in place of a given name say sex and order of birth at most.

    A numeral counts births there, and no generations.
    """
    says = [_NEWBORN.get(word) or _NEWBORN_SEX.get(word, "") for word in names]
    order = next((_BIRTH_ORDER[word] for word in names if word in _BIRTH_ORDER), None)
    known = {*_NEWBORN, *_NEWBORN_SEX, *_BIRTH_ORDER, "of"}
    rest = tuple(word for word in names if word not in known)
    return _Words(rest or tuple(names), {}, generations, True, next(filter(None, says), ""), order)


def _newborn(mine: _Words, theirs: _Words, my_sex: str, their_sex: str) -> Likeness | None:
    """Classify two names of which one at least is a newborn's; None where the rest of the words decides."""
    sexes = {mine.newborn_sex, theirs.newborn_sex} if mine.is_newborn and theirs.is_newborn else set()
    if mine.is_newborn and not theirs.is_newborn:
        sexes = {mine.newborn_sex, their_sex}
    if theirs.is_newborn and not mine.is_newborn:
        sexes = {theirs.newborn_sex, my_sex}
    are_both = mine.is_newborn and theirs.is_newborn
    if len(sexes & {"male", "female"}) > 1 or (are_both and mine.birth_order != theirs.birth_order):
        return "given"  # a number on one side alone: the other may be the twin of it
    if are_both:
        return None
    return "other" if set(mine.words).isdisjoint(theirs.words) else "newborn"


def _compared(mine: _Words, theirs: _Words) -> Likeness:
    if mine.words == theirs.words:
        return "same"
    left = _left(_joined(mine.words, theirs.words), _joined(theirs.words, mine.words))
    if not any(len(word) > 1 or not word.isascii() for word in left.common):
        return "other"
    is_slip = _paired(left, mine, theirs)
    if not left.mine or not left.theirs:
        return "slip" if is_slip else "same"
    return _by_part(left, mine, theirs)


def _joined(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """The words, with two that stand as one in the other name as one (Mary Ann, Maryann)."""
    found: list[str] = []
    for word in words:
        if found and found[-1] + word in others:
            found[-1] += word
        else:
            found.append(word)
    return found


def _left(mine: Sequence[str], theirs: Sequence[str]) -> _Left:
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
    """Take out the words that may be one; True if one of them is so by a typing error alone.

    An initial or a beginning is that of the word in its own place only: John A is no form of Adam.
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


def _places(left: Sequence[str], of: _Words) -> dict[str, int]:
    """The position of each word among those that are left of its part of the name."""
    parts = [of.parts.get(word, "") for word in left]
    return {word: parts[:place].count(part) for place, (word, part) in enumerate(zip(left, parts, strict=True))}


def _by_part(left: _Left, mine: _Words, theirs: _Words) -> Likeness:
    """Classify the difference, where both names have words that the other has not."""
    my_parts, their_parts = _parts(mine, theirs, left.mine, left.common), _parts(theirs, mine, left.theirs, left.common)
    shared = [{mine.parts.get(word, ""), theirs.parts.get(word, "")} for word in left.common]
    is_contrary = {"family", "given"} in shared
    if not my_parts or not their_parts or (is_contrary and {"given"} not in shared):
        return "unclear"
    if "given" in my_parts & their_parts:
        return "given"
    return "family" if is_contrary or "family" in my_parts & their_parts else "same"


def _parts(own: _Words, other: _Words, left: Sequence[str], common: Sequence[str]) -> set[str]:
    """The parts of the words that one name has alone; none where that is not known.

    A name that is not split is read by one that is: if all that they share is given names, one word that is left (and
    initials) must be the family name; if all is the family name, what is left are given names.
    """
    if own.parts:
        found = {own.parts.get(word, "") for word in left}
        return set() if "" in found else found
    shared = {other.parts.get(word, "") for word in common}
    if shared == {"given"} and sum(len(word) > 1 for word in left) == 1:
        return {"family"}
    return {"given"} if shared == {"family"} else set()


def _begins(one: str, other: str) -> bool:
    """True where one is an initial of the other, or its beginning and no name itself: Maria is one beside Mariana."""
    short, long = sorted((one, other), key=len)
    if len(short) == 1:
        return long.startswith(short)
    return long.startswith(short) and short not in IN_USE and not _is_other_gender(one, other)


def _is_slip(one: str, other: str, parts: set[str]) -> bool:
    """True for a typing error. Of two given names that are not known, only letters swapped or doubled are one."""
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
    """True for names that differ in the vowels of their ends alone: Roberto, Roberta; Julie, Julia; Paul, Paula."""
    return one.rstrip("aeio") == other.rstrip("aeio")


def _undoubled(word: str) -> str:
    return re.sub(r"(.)\1+", r"\1", word)


def _distance(one: str, other: str) -> int:
    """The number of letters that are wrong, missing, too many, or swapped with their neighbour."""
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
    """True for two dates of which neither is a part of the other: 1985 is one of 1985-07-20."""
    mine, theirs = _born(one), _born(other)
    return bool(mine and theirs) and not (mine.startswith(theirs) or theirs.startswith(mine))


def _is_same_birth_date(one: Person, other: Person) -> bool:
    born = _born(one)
    return len(born) == _WHOLE_DATE and born == _born(other)


def _born(of: Person) -> str:
    """The birth date, unless it is what systems fill in where none is known."""
    return "" if of.birth_date in _UNSAID_BIRTH_DATES else of.birth_date


def _is_other_sex(one: Person, other: Person) -> bool:
    return bool(one.sex and other.sex) and one.sex != other.sex
