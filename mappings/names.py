"""Free text names, split into family and given only where something proves where the split is.

HL7 v2.5.1 §2.A.88 (XPN), DICOM PS3.5 §6.2.1 (PN), https://hl7.org/fhir/R4/datatypes.html#HumanName, decision D14.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mappings.profile import NameOrder


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name: `text` is the whole string as it came; the parts are empty where no evidence splits them.

    `doubt` is empty, or the code of the issue that the caller must report: `name-not-split`, `name-part-unclear`.
    """

    text: str
    family: str = ""
    given: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()
    doubt: str = ""


# Titles, where a caret or a comma sets them apart (DICOM PN parts 4 and 5, XPN.4 and XPN.5)
_PREFIXES: Final = frozenset({"DR", "MR", "MRS", "MS", "MISS", "MX", "PROF", "REV", "SIR", "DAME", "HON"})
_SUFFIXES: Final = frozenset(
    [
        "JR",
        "SR",
        "II",
        "III",
        "IV",
        "MD",
        "DO",
        "PHD",
        "RN",
        "NP",
        "PA",
        "PA-C",
        "FACR",
        "FRCR",
        "MBBS",
        "DDS",
        "DPM",
        "ESQ",
    ]
)
# Titles, where nothing sets them apart: only what is no name as well (`Do`, `Hon` and `Md` are names)
_PLAIN_PREFIXES: Final = frozenset({"DR", "MR", "MRS", "MS", "PROF"})
_PLAIN_SUFFIX: Final = re.compile(r"(?i:jr|sr)\.?,?|II|III|IV|MD|M\.D\.|PHD|PhD|Ph\.D\.")
# A particle counts as evidence in lower case, or as one of these pairs in any case: `Van` alone is a given name too.
_PARTICLES: Final = frozenset(
    [
        "van",
        "von",
        "der",
        "den",
        "ter",
        "ten",
        "de",
        "del",
        "della",
        "di",
        "da",
        "dos",
        "das",
        "du",
        "la",
        "le",
        "los",
        "las",
        "bin",
        "ibn",
        "bint",
        "al",
        "el",
        "zu",
        "zum",
        "zur",
    ]
)
_PARTICLE_PAIRS: Final = frozenset(
    {("VAN", "DER"), ("VAN", "DEN"), ("VAN", "DE"), ("VON", "DER"), ("DE", "LA"), ("DE", "LAS"), ("DE", "LOS")}
)


def parse_name(text: str | None, order: NameOrder | None) -> PersonName | None:
    """Split a name on evidence: `^`, `,`, particles, titles, one token alone, and the site's `name_order`.

    None for an absent or blank name. Case and characters are kept; `text` is the string without outer white space.
    """
    whole = (text or "").strip()
    if not whole:
        return None
    if "^" in whole:
        return _caret_name(whole)
    if "," in whole:
        return _comma_name(whole)
    prefix, middle, suffix = _peel(whole.split())
    if not middle:
        return PersonName(whole, doubt="name-not-split")
    family, given = _split_tokens(middle, order)
    doubt = "" if family else "name-not-split"
    return PersonName(whole, family, given, prefix, suffix, doubt)


def _key(token: str) -> str:
    return token.strip(".,").upper().replace(".", "")


def _peel(tokens: list[str]) -> tuple[tuple[str, ...], list[str], tuple[str, ...]]:
    """Take known prefixes off the front and known suffixes off the end."""
    start, end = 0, len(tokens)
    while start < end and _key(tokens[start]) in _PLAIN_PREFIXES:
        start += 1
    while end > start + 1 and _PLAIN_SUFFIX.fullmatch(tokens[end - 1]):
        end -= 1
    return tuple(tokens[:start]), tokens[start:end], tuple(token.strip(",") for token in tokens[end:])


def _split_tokens(tokens: list[str], order: NameOrder | None) -> tuple[str, tuple[str, ...]]:
    """Family and given of plain tokens; family is empty without evidence."""
    if len(tokens) == 1:
        return tokens[0], ()
    particle = _first_particle(tokens)
    if particle > 0 and order != "family_given":
        return " ".join(tokens[particle:]), tuple(tokens[:particle])
    if order == "given_family" and particle < 0:
        return tokens[-1], tuple(tokens[:-1])
    if order == "family_given":
        end = 1
        while end < len(tokens) and _is_particle(tokens, end - 1):
            end += 1
        return " ".join(tokens[:end]), tuple(tokens[end:])
    return "", ()


def _first_particle(tokens: list[str]) -> int:
    return next((index for index in range(len(tokens) - 1) if _is_particle(tokens, index)), -1)


def _is_particle(tokens: list[str], index: int) -> bool:
    pair = tuple(token.upper() for token in tokens[index : index + 2])
    before = tuple(token.upper() for token in tokens[max(index - 1, 0) : index + 1])
    return tokens[index] in _PARTICLES or pair in _PARTICLE_PAIRS or (index > 0 and before in _PARTICLE_PAIRS)


def _caret_name(whole: str) -> PersonName:
    """PN and XPN: family^given^middle; parts 4 and 5 (prefix and suffix, in either order) are told apart by value."""
    alphabetic = whole.split("=", 1)[0]
    parts = [part.strip() for part in alphabetic.split("^")] + [""] * 5
    given = tuple(token for part in parts[1:3] for token in part.split())
    prefix, suffix, unclear = _by_value([token for part in parts[3:] for token in part.split()])
    doubt = "name-part-unclear" if unclear else "" if parts[0] or given else "name-not-split"
    return PersonName(whole, parts[0], given, prefix, suffix, doubt)


def _comma_name(whole: str) -> PersonName:
    """`DOE, JANE M Jr`: family before the first comma; in `Jane Doe, MD` only a title follows, which splits nothing."""
    before, *after = (part.split() for part in whole.split(","))
    titles = [token for part in after[1:] for token in part]
    prefix, suffix, unclear = _by_value(titles)
    if not before or not after[0] or unclear or _all_titles(after[0]):
        return PersonName(whole, doubt="name-not-split")
    _, family, family_suffix = _peel(before)
    given_prefix, given, given_suffix = _peel(after[0])
    return PersonName(
        whole, " ".join(family), tuple(given), (*given_prefix, *prefix), (*family_suffix, *given_suffix, *suffix)
    )


def _all_titles(tokens: list[str]) -> bool:
    return all(_key(token) in _SUFFIXES or _key(token) in _PREFIXES for token in tokens)


def _by_value(tokens: list[str]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    prefix = tuple(token for token in tokens if _key(token) in _PREFIXES)
    suffix = tuple(token for token in tokens if _key(token) in _SUFFIXES)
    return prefix, suffix, len(prefix) + len(suffix) < len(tokens)
