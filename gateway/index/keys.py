"""Encode index rows: the numeric key of a search parameter, and texts joined, shortened and normalized for storage.

https://hl7.org/fhir/R4/search.html#token, #string.
Proved by tests/gateway/index/test_extract.py and tests/gateway/index/test_terms.py.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import cache
from typing import Final
from unicodedata import combining, normalize

SEPARATOR: Final = "\x1f"
MOST: Final = 200
_DIGEST: Final = 32
# Letters that Unicode normalization does not decompose (strokes, ligatures)
_PLAIN: Final = str.maketrans(
    {
        **dict.fromkeys("łŁ", "l"),
        **dict.fromkeys("øØ", "o"),
        **dict.fromkeys("đĐðÐ", "d"),
        **dict.fromkeys("ħĦ", "h"),
        **dict.fromkeys("ŧŦ", "t"),
        **dict.fromkeys("æÆ", "ae"),
        **dict.fromkeys("œŒ", "oe"),
        **dict.fromkeys("þÞ", "th"),
        "\u0131": "i",
    }
)


@cache
def key(resource_type: str, name: str) -> int:
    """Return the number of a parameter in the index; stable over releases and stores."""
    return zlib.crc32(f"{resource_type}.{name}".encode())


def token_term(code: str, system: str = "") -> str:
    """Join a code or identifier value with its system; the code comes first, so that equal codes sort together."""
    return bounded(code) + SEPARATOR + bounded(system)


def bounded(text: str) -> str:
    """Limit a text to the length of the index; a longer one becomes its start and a digest of the whole."""
    if len(text) <= MOST:
        return text
    return text[:MOST] + "\x1e" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]


def folded(text: str) -> str:
    """Normalize a string for comparison: no case, no accents, single spaces, cut to the length of the index."""
    return " ".join(without_marks(text).split())[:MOST]


def without_marks(text: str) -> str:
    """Return a text without case and accents."""
    if text.isascii():
        return text.casefold()
    plain = normalize("NFKD", text.translate(_PLAIN))
    return "".join(one for one in plain if not combining(one)).casefold()
