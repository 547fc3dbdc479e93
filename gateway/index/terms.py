"""Build index terms (searchable strings) from codes, identifiers and texts, alike for resources and for searches.

https://hl7.org/fhir/R4/search.html#token, https://hl7.org/fhir/R4/search.html#string. The case of a code counts, unless
its code system says that it does not (https://hl7.org/fhir/R4/codesystem-definitions.html#CodeSystem.caseSensitive).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.index.keys import SEPARATOR, bounded, folded, token_term
from mappings.codes import LOINC
from mappings.values.text import REPLACEMENT

# Characters that PostgreSQL cannot store (NUL, lone surrogates), and the separators of a term
_UNFIT: Final = re.compile("[\x00\x1e\x1f\ud800-\udfff]")
# The code system whose CodeSystem says `caseSensitive` false (https://loinc.org/fhir/CodeSystem-loinc). Its letters
# are written in capitals, so that a code as it is usually written is its own term
CASELESS: Final = LOINC


def exact(text: str) -> str:
    """Return the term of a text as it is: a reference, a URI, or a string for `:exact`."""
    return bounded(_fit(text))


@lru_cache(maxsize=8192)
def code_term(code: str, system: str = "") -> str:
    """Return the term of a code, or of an identifier's value, with its system."""
    return token_term(_fit(code.upper() if system == CASELESS else code), _fit(system))


def code_start(code: str) -> str:
    """Return the start of all terms of a code, whatever its system."""
    return exact(code) + SEPARATOR


def system_end(system: str) -> str:
    """Return the end of all terms of a system, whatever the code."""
    return SEPARATOR + exact(system)


def typed_term(value: str, type_system: str, type_code: str) -> str:
    """Return the term of an identifier's value with its type's coding, for `:of-type`."""
    return code_term(value, f"{type_system}|{type_code}")


def words(text: str) -> str:
    """Return the term of a string, folded for comparison; unfolded if folding leaves nothing."""
    return _fit(folded(text)) or exact(text)


def _fit(text: str) -> str:
    return text if text.isprintable() else _UNFIT.sub(REPLACEMENT, text)
