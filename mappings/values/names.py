"""Split a free-text name into family and given name, but only if the text proves where to split.

HL7 v2.5.1 §2.A.88 (XPN), DICOM PS3.5 §6.2.1 (PN), https://hl7.org/fhir/R4/datatypes.html#HumanName, decision D14.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, NamedTuple

from mappings.issues import Severity
from mappings.profile import NameOrder


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name: `text` is the whole original string; the parts are empty if no evidence splits it.

    `doubt` is empty, `name-not-split`, or `name-part-unclear` if some words belong to no part. `assumed` is the
    severity of `name-split-assumed`: only the site's `name_order` splits three or more words, one of which may be a
    given or a family name.
    """

    text: str
    family: str = ""
    given: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()
    doubt: str = ""
    assumed: Severity | None = None

    @property
    def doubts(self) -> tuple[tuple[str, Severity], ...]:
        """Codes of the issues that the caller must report, with their severity."""
        unclear: tuple[tuple[str, Severity], ...] = ((self.doubt, "warning"),) if self.doubt else ()
        return (*unclear, ("name-split-assumed", self.assumed)) if self.assumed else unclear


NAME_ASSUMED: Final = "three or more words, no comma or caret: split as the facility's name_order says"
"""Action text of `name-split-assumed`."""

# Titles, if set apart by a caret or a comma (DICOM PN parts 4 and 5, XPN.4 and XPN.5)
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
# Titles without a separator: only those that are not also names (`Do`, `Hon` and `Md` are names)
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
# Prefixes of the family name that are never given names: evidence in any case. A saint's name is one name
_PATRONYMICS: Final = frozenset({"MC", "M'", "O'", "D'", "L'"})
_SAINTS: Final = frozenset({"ST", "STE."})
# Capitalized and alone, they begin a family name (`Van Buren`, `Mac Arthur`, `Le Blanc`) or are a given name: no
# evidence
_LOOSE: Final = _PARTICLES | {"mac", "saint", "san", "santa"}
# Those that at the beginning are seldom given names, or family names alone (`Le`, `Du`)
_LOOSE_FIRST: Final = frozenset({"van", "von", "de", "del", "della", "dos", "mac", "saint"})
# Between two names they show that there is more than one
_JOINERS: Final = frozenset({"y", "e", "and", "und"})
# Words before a former name
_FORMERLY: Final = frozenset({"NEE", "N\u00c9E", "GEB", "FORMERLY", "AKA", "FKA", "A/K/A", "F/K/A"})
# Asides that are no part of the name: a nickname, a maiden name, a note
_ASIDE: Final = re.compile(
    r"""(?<![^\s,^=~])(?:\([^()]*\)|\[[^\[\]]*\]|"[^"]*"|\u201c[^\u201c\u201d]*\u201d|['\u2018]\w+['\u2019])(?![^\s,^=~])"""
)
_BRACKETS: Final = frozenset('()[]{}<>"\u201c\u201d')
_APOSTROPHES: Final = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u2032`\u00b4", "'"))
# Kanji, kana and hangul are written without spaces: one token is a whole name
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")


@lru_cache(maxsize=64)  # a study is mapped several times, and its names are asked for in many places
def parse_name(text: str | None, order: NameOrder | None) -> PersonName | None:
    """Split a name on evidence: `^`, `,`, particles, titles, a single word, and the site's `name_order`.

    None for an absent or blank name. Case and characters are kept; `text` is the string without outer white space. Text
    in brackets or quotation marks belongs to no part.
    """
    whole = (text or "").strip()
    if not whole:
        return None
    spoken = _ASIDE.sub(" ", whole).strip()
    if not spoken:
        return _not_split(whole)
    name = _split(spoken, order)
    if spoken == whole:
        return name
    return replace(name, text=whole, doubt=name.doubt or "name-part-unclear")


def _split(spoken: str, order: NameOrder | None) -> PersonName:
    if "^" in spoken:
        return _caret_name(spoken)
    if "," in spoken:
        return _comma_name(spoken)
    return _plain_name(spoken, order)


def is_generation(suffix: str) -> bool:
    """True for a suffix that belongs to the name (`Jr.`, `III`) and is no degree or credential."""
    return _key(suffix) in _GENERATIONS


def _not_split(whole: str) -> PersonName:
    return PersonName(whole, doubt="name-not-split")


def _plain_name(whole: str, order: NameOrder | None) -> PersonName:
    """Split a name without separators (`Dr. Jane van der Berg Jr.`): every token must be a name or a known title."""
    prefix, tokens, suffix = _peel(whole.split())
    if not tokens or not all(map(_is_word, tokens)) or _is_more_than_a_name(whole, tokens):
        return _not_split(whole)
    if "MD" in suffix and (len(tokens) == 1 or order == "family_given"):
        return _not_split(whole)  # in `RAHMAN MD` the MD may be Mohammed
    if len(tokens) > 1 and _is_doubtful_ending(tokens[-1], order):
        return _not_split(whole)
    parts = _split_names(_names(tokens), order)
    if parts is None:
        return _not_split(whole)
    return PersonName(whole, parts.family, parts.given, prefix, suffix, assumed=parts.assumed)


def _is_more_than_a_name(whole: str, tokens: list[str]) -> bool:
    """True for two people, a former name without brackets, and an unclosed bracket."""
    is_former = any(_key(token) in _FORMERLY for token in tokens[1:-1])
    return is_former or not _JOINERS.isdisjoint(tokens) or not _BRACKETS.isdisjoint(whole)


def _is_doubtful_ending(token: str, order: NameOrder | None) -> bool:
    """True for a last word that may be a title or a generation as well as a family name: `NP`, `DO`, `V`, `2nd`."""
    key = _key(token)
    is_letter = len(key) == 1 and order != "family_given"
    return key in _SUFFIXES or is_letter or token[0].isdigit()


def _is_word(text: str) -> bool:
    return text.isalpha() or any(map(str.isalpha, text))


def _key(token: str) -> str:
    return token.strip(".,").upper().replace(".", "")


def _peel(tokens: list[str]) -> tuple[tuple[str, ...], list[str], tuple[str, ...]]:
    """Split off known prefixes at the front and known suffixes at the end."""
    start, end = 0, len(tokens)
    while start < end and _key(tokens[start]) in _PLAIN_PREFIXES:
        start += 1
    while end > start and _PLAIN_SUFFIX.fullmatch(tokens[end - 1]):
        end -= 1
    return tuple(tokens[:start]), tokens[start:end], tuple(tokens[end:])


class _Name(NamedTuple):
    """One name: a word with its particles before it. `is_family`: a particle, Mc or O' proves a family name."""

    text: str
    is_family: bool = False

    @property
    def is_loose(self) -> bool:
        """True for a word that may belong to the next name, or be a name."""
        return self.text.lower() in _LOOSE

    @property
    def is_initial(self) -> bool:
        """True for one letter, which is never a family name."""
        return len(_key(self.text)) == 1


class _Parts(NamedTuple):
    family: str
    given: tuple[str, ...]
    assumed: Severity | None = None


def _names(tokens: list[str]) -> list[_Name]:
    """Group plain tokens into names: each with the particles, `Mc`, `O'` and `St.` before it."""
    particles, names, start = _particles(tokens), [], 0
    for index, token in enumerate(tokens):
        is_last = index == len(tokens) - 1
        if is_last or not (particles[index] or _is_patronymic(token) or _is_saint(token)):
            before = range(start, index)
            is_family = any(particles[one] or _is_patronymic(tokens[one]) for one in before)
            names.append(_Name(" ".join(tokens[start : index + 1]), is_family))
            start = index + 1
    return names


def _is_patronymic(token: str) -> bool:
    return _key(token.translate(_APOSTROPHES)) in _PATRONYMICS


def _is_saint(token: str) -> bool:
    return _key(token) in _SAINTS or token.upper() in _SAINTS


def _split_names(names: list[_Name], order: NameOrder | None) -> _Parts | None:
    """Split plain names into family and given; None without evidence. A single name is the family name."""
    last = names[-1].text
    if _is_saint(last) or _is_patronymic(last):
        return None
    if len(names) == 1:
        return None if _UNSPACED.search(last) and " " not in last else _Parts(last, ())
    if order == "family_given":
        return _family_first(names)
    if order == "given_two_families" and len(names) > 2:
        return _two_families(names)
    return _family_last(names, order)


def _family_first(names: list[_Name]) -> _Parts | None:
    """Split `SMITH JOHN`, `VAN BUREN MARTIN`."""
    size = 2 if names[0].text.lower() in _LOOSE_FIRST else 1
    if len(names) == size or any(name.is_family for name in names[size:]):
        return None
    is_assumed = size > 1 or not _are_initials(names[2:])
    return _Parts(_joined_text(names[:size]), _texts(names[size:]), "information" if is_assumed else None)


def _two_families(names: list[_Name]) -> _Parts | None:
    """Split `María García López`: the last two are family names, each with its loose particles; an initial is none."""
    joined = names[:1]
    for name in names[1:]:
        joined.append(_Name(f"{joined.pop().text} {name.text}") if len(joined) > 1 and joined[-1].is_loose else name)
    if names[0].is_family or any(name.is_initial for name in joined[-2:]):
        return None
    size = min(2, len(joined) - 1)
    return _Parts(_joined_text(joined[-size:]), _texts(joined[:-size]), "warning")


def _family_last(names: list[_Name], order: NameOrder | None) -> _Parts | None:
    """Split `Jane Doe`, `Martin Van Buren`: loose particles join the last name if a given name remains.

    A particle elsewhere (`María del Carmen García`) leaves the name unsplit.
    """
    *before, family = names
    is_germanic = family.is_family and family.text.split()[0].lower() in _GERMANIC_PARTICLES
    is_proven = family.is_family and (len(before) == 1 or is_germanic)
    if not is_proven and order != "given_family":
        return None
    joined = [family]
    if not (family.is_family or family.is_loose) and before[-1].text.lower() in (
        _LOOSE if before[1:] else _LOOSE_FIRST
    ):
        joined.insert(0, before.pop())
    if not before or any(name.is_family for name in before) or any(name.is_loose for name in before[1:]):
        return None
    is_assumed = not is_proven and (len(joined) > 1 or not _are_initials(before[1:]))
    return _Parts(_joined_text(joined), _texts(before), "information" if is_assumed else None)


def _are_initials(names: list[_Name]) -> bool:
    return all(name.is_initial for name in names)


def _joined_text(names: list[_Name]) -> str:
    return " ".join(name.text for name in names)


def _texts(names: list[_Name]) -> tuple[str, ...]:
    return tuple([name.text for name in names])


def _particles(tokens: list[str]) -> list[bool]:
    """Mark the tokens that are particles of the family name after them."""
    lower = [token.lower() for token in tokens]
    marks = [token in _PARTICLES and not tokens[-1].islower() for token in tokens]
    for index in range(len(tokens) - 2):
        if (lower[index], lower[index + 1]) in _PARTICLE_PAIRS:
            marks[index] = marks[index + 1] = True
    return [*marks[:-1], False]


def _caret_name(whole: str) -> PersonName:
    """Split PN and XPN: family^given^middle; values tell prefixes from suffixes in parts 4 and 5, in either order.

    Only the alphabetic group of PN (before `=`) is split. A comma or a repetition among the names leaves it unsplit.
    """
    alphabetic = whole.split("=", 1)[0]
    parts = [part.strip() for part in alphabetic.split("^")] + [""] * 2
    given = tuple(" ".join(parts[1:3]).split())
    names = "".join(parts[:3])
    if "^" not in alphabetic or "," in names or "~" in names or not _is_word(names):
        return _not_split(whole)
    prefix, suffix, unclear = _affixes([token.strip(",") for token in " ".join(parts[3:]).split()])
    return PersonName(whole, parts[0], given, prefix, suffix, "name-part-unclear" if unclear else "")


def _comma_name(whole: str) -> PersonName:
    """Split `DOE, JANE M Jr`: family before the first comma. In `Jane Doe, MD` only a title follows: no split."""
    before, first, *rest = (part.split() for part in whole.split(","))
    family_prefix, family, family_suffix = _peel(before)
    given_prefix, given, given_suffix = _peel(first)
    prefix, suffix, unclear = _affixes([token for part in rest for token in part])
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


def _affixes(tokens: list[str]) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    if not tokens:
        return (), (), False
    prefix = tuple([token for token in tokens if _key(token) in _PREFIXES])
    suffix = tuple([token for token in tokens if _key(token) in _SUFFIXES])
    return prefix, suffix, len(prefix) + len(suffix) < len(tokens)
