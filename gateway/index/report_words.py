"""Fold the text of a report into plain words, and read the value of `_content` into words and phrases to find in it.

https://hl7.org/fhir/R4/search.html#content: what the text of a resource says. Text and value are folded here, so that
both databases find the same. A value is words that all occur, in any order; a phrase stands in quotes. A sign between
letters (`follow-up`) makes a phrase, too.
Proved by tests/gateway/index/test_report_words.py and tests/contract/test_report_words.py.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.index.criteria import Clause, Says
from gateway.index.escaping import alternatives, unescaped
from gateway.index.keys import MOST, without_marks
from gateway.runtime.request_errors import BadRequest

MOST_WORDS: Final = 30  # of one alternative
# A word that no report has. PostgreSQL keeps 255 places of a word in a text, and places up to 16,383: a longer text has
# this word, and a phrase finds it by its words alone
LONG: Final = "longertextofthegateway"
_PLACES: Final = 255
_WORD: Final = re.compile(r"[^\W_]+")
_PART: Final = re.compile(r'"([^"]*)"|([^\s"]+)')
_OPERATORS: Final = frozenset({"and", "or", "not", "near"})
_SIGNS: Final = re.compile(r"[()*]")


def said_by(report: Mapping[str, Any]) -> str:
    """Return the words of all texts that a DiagnosticReport presents, folded, with a space between."""
    forms = [one for one in report.get("presentedForm", ()) if "data" in one]
    found = [word for one in forms for word in _folded(b64decode(one["data"]).decode(errors="replace"))]
    if len(found) > _PLACES and max(Counter(found).values()) > _PLACES:
        found.append(LONG)
    return " ".join(found)


def content_clause(value: str) -> Clause:
    """Read the value of `_content`: alternatives with commas between, each of words and phrases that all occur.

    Raises:
        BadRequest: an alternative has no word, too many, or what looks like an operator. No word is repeated.
    """
    return tuple(dict.fromkeys(Says(" ".join(_alternative(unescaped(one)))) for one in alternatives(value)))


def _alternative(text: str) -> list[str]:
    """Return one alternative as both databases read it: phrases in quotes, which all occur."""
    if text.count('"') % 2:
        raise _fault("a quotation mark has no other")
    phrases = [words for phrase, part in _PART.findall(text) if (words := _phrase(phrase, part))]
    every = [word for phrase in phrases for word in phrase]
    if not every or len(every) > MOST_WORDS:
        raise _fault(f"expected 1 to {MOST_WORDS} words")
    quoted = [f'"{" ".join(phrase)}"' for phrase in phrases]
    if len(every) > len(phrases):
        quoted += ["OR", *(f'"{word}"' for word in (LONG, *every))]
    return quoted


def _phrase(phrase: str, part: str) -> list[str]:
    if _SIGNS.search(part) or part.casefold() in _OPERATORS:
        raise _fault("operators are not offered: words with spaces between all occur, a comma means or")
    return list(_folded(phrase or part))


def _fault(problem: str) -> BadRequest:
    return BadRequest(f"_content: {problem}", expression="http._content")


def _folded(text: str) -> Iterator[str]:
    return (one[:MOST] for one in _WORD.findall(without_marks(text)))
