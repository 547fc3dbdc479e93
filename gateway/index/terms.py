"""The terms of the index, made alike from what a resource holds and from what a search asks for.

https://hl7.org/fhir/R4/search.html#token, https://hl7.org/fhir/R4/search.html#string. A string is found from the start
of any of its words, so it stands once for each word: from there to its end.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from gateway.index.keys import SEPARATOR, bounded, folded, token_term
from mappings.text import REPLACEMENT

# What PostgreSQL cannot hold (NUL, lone surrogates), and what parts a term
_UNFIT: Final = re.compile("[\x00\x1e\x1f\ud800-\udfff]")
# A letter or digit behind what is neither, or anything behind a blank
_WORD_START: Final = re.compile(r"(?<![^\W_])[^\W_]|(?<=\s)\S")


def exact(text: str) -> str:
    """A text as it is: a reference, a URI, a string compared with `:exact`."""
    return bounded(_fit(text))


def code_term(code: str, system: str = "") -> str:
    """A code, or the value of an identifier, with its system."""
    return token_term(_fit(code), _fit(system))


def code_start(code: str) -> str:
    """How the terms of a code start, whatever its system."""
    return exact(code) + SEPARATOR


def system_end(system: str) -> str:
    """How the terms of a system end, whatever the code."""
    return SEPARATOR + exact(system)


def typed_term(value: str, type_system: str, type_code: str) -> str:
    """The value of an identifier with the coding of its type, for `:of-type`."""
    return code_term(value, f"{type_system}|{type_code}")


def words(text: str) -> str:
    """A string as it is compared: folded; one of which folding leaves nothing, as it is."""
    return _fit(folded(text)) or exact(text)


@lru_cache(maxsize=2048)
def word_starts(text: str) -> tuple[str, ...]:
    """A string as `words` has it, from the start of each of its words."""
    whole = words(text)
    starts = {0, *(match.start() for match in _WORD_START.finditer(whole))}
    return tuple(whole[start:] for start in starts)


def _fit(text: str) -> str:
    return text if text.isprintable() else _UNFIT.sub(REPLACEMENT, text)
