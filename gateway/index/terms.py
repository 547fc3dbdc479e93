"""Build index terms (searchable strings) from codes, identifiers and texts, alike for resources and for searches.

https://hl7.org/fhir/R4/search.html#token, https://hl7.org/fhir/R4/search.html#string. A search may match a string from
the start of any word, so the index has the rest of the string from each word on.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.index.keys import SEPARATOR, bounded, folded, token_term
from mappings.values.text import REPLACEMENT

# Characters that PostgreSQL cannot store (NUL, lone surrogates), and the separators of a term
_UNFIT: Final = re.compile("[\x00\x1e\x1f\ud800-\udfff]")
# A letter or digit after a character that is neither, or any character after white space
_WORD_START: Final = re.compile(r"(?<![^\W_])[^\W_]|(?<=\s)\S")


def exact(text: str) -> str:
    """Term of a text as it is: a reference, a URI, or a string for `:exact`."""
    return bounded(_fit(text))


def code_term(code: str, system: str = "") -> str:
    """Term of a code, or of an identifier's value, with its system."""
    return token_term(_fit(code), _fit(system))


def code_start(code: str) -> str:
    """Start of all terms of a code, whatever its system."""
    return exact(code) + SEPARATOR


def system_end(system: str) -> str:
    """End of all terms of a system, whatever the code."""
    return SEPARATOR + exact(system)


def typed_term(value: str, type_system: str, type_code: str) -> str:
    """Term of an identifier's value with the coding of its type, for `:of-type`."""
    return code_term(value, f"{type_system}|{type_code}")


def words(text: str) -> str:
    """Term of a string, folded for comparison; unfolded if folding leaves nothing."""
    return _fit(folded(text)) or exact(text)


@lru_cache(maxsize=2048)
def word_starts(text: str) -> tuple[str, ...]:
    """Terms of a string: the rest of `words(text)` from the start of each word."""
    whole = words(text)
    starts = {0, *(match.start() for match in _WORD_START.finditer(whole))}
    return tuple(whole[start:] for start in starts)


def _fit(text: str) -> str:
    return text if text.isprintable() else _UNFIT.sub(REPLACEMENT, text)
