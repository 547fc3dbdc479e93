"""When two spellings are the same text: the exact match of procedure texts and provider names.

Carries out no clause of a standard: decision D23 asks for exact matches, and this says what counts as exact.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import normalize


@lru_cache(maxsize=1024)
def exact(text: str | None) -> str:
    """The key of a text: equal keys are an exact match; empty for a text that is blank or not there.

    Upper and lower case are the same letter, outer white space does not count, white space inside is one blank, and
    a composed character is its parts (Unicode NFC). Nothing else: no punctuation, abbreviation or word order.
    """
    return normalize("NFC", " ".join(text.lower().split())) if text else ""
