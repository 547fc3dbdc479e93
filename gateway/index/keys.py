"""The key of a search parameter in the index, and the forms in which terms stand there: short, stable, comparable.

https://hl7.org/fhir/R4/search.html#token, #string.
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
# Letters with a stroke or joined, which Unicode does not take apart
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
    """The number that stands for a parameter of a type; the same in every release, and in every store."""
    return zlib.crc32(f"{resource_type}.{name}".encode())


def token_term(code: str, system: str = "") -> str:
    """A code or an identifier's value with its system, so that all of one code stand together."""
    return bounded(code) + SEPARATOR + bounded(system)


def bounded(text: str) -> str:
    """A text that the index can hold: a long one is its beginning and a digest of the whole."""
    if len(text) <= MOST:
        return text
    return text[:MOST] + "\x1e" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]


def folded(text: str) -> str:
    """A string without case and accents, with single blanks, as it is compared; of a long one the beginning."""
    plain = "".join(one for one in normalize("NFKD", text.translate(_PLAIN)) if not combining(one))
    return " ".join(plain.casefold().split())[:MOST]
