"""Normalize case and spaces of procedure texts and provider names, so that exact matches are found.

Carries out no clause of a standard: decision D23 demands exact matches, and this module defines exact.
"""

from __future__ import annotations

from functools import lru_cache
from unicodedata import normalize


@lru_cache(maxsize=1024)
def exact(text: str | None) -> str:
    """Normalize a text: equal results are an exact match; empty for a blank or missing text.

    Case is ignored, outer white space is removed, white space inside becomes one blank, and characters are composed
    (Unicode NFC). Nothing else is changed: no punctuation, abbreviation or word order.
    """
    return normalize("NFC", " ".join(text.lower().split())) if text else ""
