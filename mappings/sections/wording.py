"""Build regular expressions from the table of report headings, and find the section label of a match.

Carries out no clause of a standard: radiologists' headings are a custom.
Proved by tests/mappings/sections/test_forms.py and tests/mappings/sections/test_studies.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from mappings.sections.headings import (
    HEADINGS,
    JOINING,
    NAMING,
    QUALIFIABLE,
    QUALIFIERS,
    SECOND_WORDS,
    WEAK_WORDS,
)

LABELS: Final = {phrase: label for label, phrases in HEADINGS.items() for phrase in phrases}
# Words that are a heading only without a plainer one -> their kind
WEAK: Final = {word: kind for kind, words in WEAK_WORDS.items() for word in words}

# Part of a phrase -> pattern: any white space between words, blanks around a slash, "&" for "and"
_LOOSE: Final = {
    " ": r"\s{1,3}",
    " and ": r"(?:\s{1,3}and\s{1,3}|\s{0,2}&\s{0,2})",
    "/": r"\s{0,2}/\s{0,2}",
    "'": "['\u2019]",
    "-": r"[\-\u2010\u2011]",
}
_PARTS: Final = re.compile(r" and |.", re.DOTALL)
_Tree = dict[str, "_Tree"]

INVISIBLE: Final = "\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff"
BLANK: Final = rf"[\s{INVISIBLE}]"
# Marks that may stand around a heading: any but those that end, quote or continue a sentence
_PLAIN_MARKS: Final = r"\w\"'\u2018-\u201f.,;:!?%&/\\@$"
DECORATION: Final = rf"(?:[^{_PLAIN_MARKS})\]}}]|_)"
CLOSING_DECORATION: Final = rf"(?:[^{_PLAIN_MARKS}(\[{{]|[_.])"
NUMBER: Final = r"(?:\(?(?:\d{1,2}(?:\.\d)?|[IVX]{1,4}|[A-H])[.)])"

_MONTH: Final = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]{0,6}\.?"
DATE: Final = (
    rf"(?:\d{{1,4}}[/.-]\d{{1,2}}[/.-]\d{{2,4}}|\d{{1,2}}[ -]{_MONTH}[ ,-]{{1,2}}\d{{2,4}}"
    rf"|{_MONTH}\s\d{{1,2}},?\s\d{{4}})"
)
TIME: Final = (
    r"(?:\d{1,2}[:.]\d{2}(?:[:.]\d{2})?|\d{3,4}(?=\s?h))(?:\s?(?:[ap]\.?m\.?|hrs?|hours|h))?(?:\s[a-z]{1,2}t)?"
)


def forms(phrases: Iterable[str]) -> set[str]:
    """Return the phrases with their accents composed and decomposed."""
    return {unicodedata.normalize(form, phrase) for phrase in phrases for form in ("NFC", "NFD")}


def any_of(phrases: Iterable[str]) -> str:
    """Build a pattern for any of the phrases, the longest first; common beginnings are shared."""
    tree: _Tree = {}
    for phrase in sorted(forms(phrases)):
        node = tree
        for part in _PARTS.findall(phrase):
            node = node.setdefault(_LOOSE.get(part) or re.escape(part), {})
        node[""] = {}
    return _pattern(tree)


def _pattern(tree: _Tree) -> str:
    """Build the pattern of the continuations at a node of the tree."""
    branches = [part + _pattern(rest) for part, rest in tree.items() if part]
    return f"(?:{'|'.join(branches)}){'?' if '' in tree else ''}" if branches else ""


def openers(phrases: Iterable[str]) -> frozenset[str]:
    """First words of the phrases, to skip lines without a phrase before matching."""
    return frozenset(first[0] for form in forms(phrases) if (first := re.match(r"[^\W\d_]+", form)))


def key(words: str) -> str:
    """Return the phrase of the table that was matched as `words`."""
    if (plain := words.lower()) in LABELS:
        return plain
    spaced = unicodedata.normalize("NFC", words).casefold().replace("&", " and ").replace("\u2019", "'")
    return "/".join(" ".join(part.split()) for part in _HYPHEN.sub("-", spaced).split("/"))


def label_of(match: re.Match[str]) -> str | None:
    """Label of a match of `WORDS`; None if the words are qualified and the heading must not be."""
    label = LABELS.get(key(match["words"]))
    if match["more"]:
        label = _joint_label(label, [LABELS.get(key(word)) for word in _JOINT.split(match["more"]) if word])
    return None if (match["before"] or match["qualifier"]) and label not in QUALIFIABLE else label


def _joint_label(label: str | None, others: list[str | None]) -> str | None:
    """Label of a heading that names several sections: impression and findings come first."""
    labels = {label, *others}
    if labels >= {"findings", "impression"}:
        return "findings_impression"
    if label in {"procedure", "recommendation", "technique"}:
        return next((one for one in ("impression", "findings") if one in labels), label)
    return label


_HYPHEN: Final = re.compile(r"[\u2010\u2011]")
_AND: Final = rf"(?:[/&,]|\b(?:{'|'.join(JOINING)})\b)"
_JOINT: Final = re.compile(rf"\s*{_AND}\s*", re.IGNORECASE)
_BETWEEN: Final = r"(?:[^\S\t]{0,2}[-\u2013\u2014,/&]\s{0,2}|[^\S\t]{1,3})"
_ABOUT: Final = f"(?:{any_of(QUALIFIERS)}|{DATE})"
# Subject before a heading's words: LEFT KNEE FINDINGS
_BEFORE: Final = rf"(?P<before>(?:(?:{any_of(NAMING)}){_BETWEEN}(?:{_ABOUT}{_BETWEEN}){{0,6}})?)"
# ... and after them: FINDINGS ABDOMEN, IMPRESSION - CT HEAD, ADDENDUM #2
_QUALIFIER: Final = rf"(?P<qualifier>(?:{_BETWEEN}(?:{_ABOUT}|\#?\d{{1,2}}(?![\d/.-]|:\d))(?![^\W_])){{0,8}})"
# A second word beside the first: IMPRESSION AND PLAN
_MORE: Final = rf"(?P<more>(?:\s{{0,3}}{_AND}\s{{0,3}}(?:{any_of(SECOND_WORDS)})(?![^\W_])){{0,2}})"
# Time and author of an addendum: ADDENDUM 03/02/2026 10:15, Addendum by Dr. A on 2 March 2026
_MOMENT: Final = (
    rf"(?:[\s,;@()\-\u2013]{{1,3}}(?:{DATE}|{TIME}|\#?\d{{1,2}}(?![\d/.-]|:\d)|(?:no|number)\.?\s?\d{{1,2}}"
    r"|(?:of|at|on|dated|dictated|created|made|entered|added|issued|signed|date|time)(?!\w):?))"
)
_STAMP: Final = (
    rf"(?P<stamp>{_MOMENT}{{0,6}}(?:[\s(-]{{1,3}}by:?\s[^\n:]{{2,50}}?{_MOMENT}{{0,6}})?\)?"
    rf"(?={BLANK}{{0,4}}(?:[:\uff1a](?!\d)|[*_#=\])>~\s-]{{0,40}}+$))|{_MOMENT}{{1,6}}+\)?(?=\s))"
)
# Words of a heading with all their allowed companions
WORDS: Final = (
    rf"{_BEFORE}(?P<words>{any_of(LABELS)})(?![^\W_]){_MORE}"
    rf"(?:(?<=dendum|report|begins|starts|ndment){_STAMP}|{_QUALIFIER}"
    r"(?:\s{0,2}(?:\([^()\n]{0,60}\)|\[[^\[\]\n]{0,60}\]))?)"
)
OPENERS: Final = openers(LABELS) | openers(NAMING)
HAS_DATE: Final = re.compile(DATE, re.IGNORECASE)
