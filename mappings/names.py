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
# Suffixes that belong to the name; the others are degrees
_GENERATIONS: Final = frozenset({"JR", "SR", "II", "III", "IV", "V"})
# Titles, where nothing sets them apart: only what is no name as well (`Do`, `Hon` and `Md` are names)
_PLAIN_PREFIXES: Final = frozenset({"DR", "MR", "MRS", "MS", "PROF"})
_PLAIN_SUFFIX: Final = re.compile(r"(?i:jr|sr)\.?|II|III|IV|MD|M\.D\.|PHD|PhD|Ph\.D\.")
# Particles are evidence in lower case among capitals, or as a pair in any case: `Van` alone is a given name too.
_GERMANIC_PARTICLES: Final = frozenset({"van", "von", "der", "den", "ter", "ten", "zu", "zum", "zur"})
_PARTICLES: Final = _GERMANIC_PARTICLES | frozenset(
    ["de", "del", "della", "di", "da", "dos", "das", "du", "la", "le", "los", "las", "bin", "ibn", "bint", "al", "el"]
)
_PARTICLE_PAIRS: Final = frozenset(
    {("van", "der"), ("van", "den"), ("van", "de"), ("von", "der"), ("de", "la"), ("de", "las"), ("de", "los")}
)
# Between two names they show that more than one follows
_JOINERS: Final = frozenset({"y", "e", "and", "und"})
# Kanji, kana and hangul are written without a space: one token is a whole name
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


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
    return _plain_name(whole, order)


def is_generation(suffix: str) -> bool:
    """True for a suffix that belongs to the name (`Jr.`, `III`), and is no degree or credential."""
    return _key(suffix) in _GENERATIONS


def _not_split(whole: str) -> PersonName:
    return PersonName(whole, doubt="name-not-split")


def _plain_name(whole: str, order: NameOrder | None) -> PersonName:
    """`Dr. Jane van der Berg Jr.`: nothing marks the parts, so every token must be a name or a known title."""
    prefix, tokens, suffix = _peel(whole.split())
    if not tokens or not all(map(_is_word, tokens)) or _JOINERS.intersection(tokens):
        return _not_split(whole)
    if "MD" in suffix and (len(tokens) == 1 or order == "family_given"):
        return _not_split(whole)  # `RAHMAN MD` may be Mohammed as well
    if len(tokens) > 1 and _is_doubtful_ending(tokens[-1], order):
        return _not_split(whole)
    family, given = _split_tokens(tokens, order)
    return PersonName(whole, family, given, prefix, suffix) if family else _not_split(whole)


def _is_doubtful_ending(token: str, order: NameOrder | None) -> bool:
    """True for what may be a title or a generation as well as a family name: `NP`, `DO`, `V`, `2nd`."""
    key = _key(token)
    is_letter = len(key) == 1 and order != "family_given"
    return key in _SUFFIXES or is_letter or token[0].isdigit()


def _is_word(text: str) -> bool:
    return text.isalpha() or any(map(str.isalpha, text))


def _key(token: str) -> str:
    return token.strip(".,").upper().replace(".", "")


def _peel(tokens: list[str]) -> tuple[tuple[str, ...], list[str], tuple[str, ...]]:
    """Take known prefixes off the front and known suffixes off the end."""
    start, end = 0, len(tokens)
    while start < end and _key(tokens[start]) in _PLAIN_PREFIXES:
        start += 1
    while end > start and _PLAIN_SUFFIX.fullmatch(tokens[end - 1]):
        end -= 1
    return tuple(tokens[:start]), tokens[start:end], tuple(tokens[end:])


def _split_tokens(tokens: list[str], order: NameOrder | None) -> tuple[str, tuple[str, ...]]:
    """Family and given of plain tokens; family is empty without evidence.

    The family is one token and the particles before it. A particle elsewhere (`María del Carmen García`) is a doubt.
    """
    if len(tokens) == 1:
        return ("" if _UNSPACED.search(tokens[0]) else tokens[0]), ()
    marks = _particles(tokens)
    if order == "family_given":
        end = marks.index(False) + 1
        return ("", ()) if any(marks[end:]) else (" ".join(tokens[:end]), tuple(tokens[end:]))
    start = len(tokens) - 1
    while start and marks[start - 1]:
        start -= 1
    given, family = tokens[:start], tokens[start:]
    doubtful = any(marks[:start]) or any(token.lower() in _PARTICLES for token in given[1:])
    proven = order == "given_family" or (
        len(family) > 1 and (len(given) <= 1 or family[0].lower() in _GERMANIC_PARTICLES)
    )
    return (" ".join(family), tuple(given)) if proven and not doubtful else ("", ())


def _particles(tokens: list[str]) -> list[bool]:
    """Which tokens are particles of the family name that follows them."""
    lower = [token.lower() for token in tokens]
    marks = [token in _PARTICLES and not tokens[-1].islower() for token in tokens]
    for index in range(len(tokens) - 2):
        if (lower[index], lower[index + 1]) in _PARTICLE_PAIRS:
            marks[index] = marks[index + 1] = True
    return [*marks[:-1], False]


def _caret_name(whole: str) -> PersonName:
    """PN and XPN: family^given^middle; parts 4 and 5 (prefix and suffix, in either order) are told apart by value.

    Of PN only the alphabetic group (before `=`) is split; a comma or a repetition among the names is a doubt.
    """
    alphabetic = whole.split("=", 1)[0]
    parts = [part.strip() for part in alphabetic.split("^")] + [""] * 2
    given = tuple(" ".join(parts[1:3]).split())
    names = "".join(parts[:3])
    if "^" not in alphabetic or "," in names or "~" in names or not _is_word(names):
        return _not_split(whole)
    prefix, suffix, unclear = _by_value([token.strip(",") for token in " ".join(parts[3:]).split()])
    return PersonName(whole, parts[0], given, prefix, suffix, "name-part-unclear" if unclear else "")


def _comma_name(whole: str) -> PersonName:
    """`DOE, JANE M Jr`: family before the first comma; in `Jane Doe, MD` only a title follows, which splits nothing."""
    before, first, *rest = (part.split() for part in whole.split(","))
    family_prefix, family, family_suffix = _peel(before)
    given_prefix, given, given_suffix = _peel(first)
    prefix, suffix, unclear = _by_value([token for part in rest for token in part])
    if unclear or _all_titles(first) or not _is_word("".join(family)) or not _is_word("".join(given)):
        return _not_split(whole)
    return PersonName(
        whole,
        " ".join(family),
        tuple(given),
        (*family_prefix, *given_prefix, *prefix),
        (*family_suffix, *given_suffix, *suffix),
    )


def _all_titles(tokens: list[str]) -> bool:
    return all(_key(token) in _SUFFIXES or _key(token) in _PREFIXES for token in tokens)


def _by_value(tokens: list[str]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    if not tokens:
        return (), (), False
    prefix = tuple([token for token in tokens if _key(token) in _PREFIXES])
    suffix = tuple([token for token in tokens if _key(token) in _SUFFIXES])
    return prefix, suffix, len(prefix) + len(suffix) < len(tokens)
