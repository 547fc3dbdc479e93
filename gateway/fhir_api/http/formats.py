"""Choose JSON or XML by the client's preference, and render an answer in that format.

https://hl7.org/fhir/R4/http.html#mime-type, RFC 9110 §12.5.1: the most specific range that includes a type decides.
`_format` overrides Accept. A media type with another FHIR version than 4.0 is not offered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from starlette.types import Scope

from gateway.fhir_api.http.xml import xml_of_json

FHIR_JSON: Final = frozenset({"application/fhir+json", "application/json", "text/json", "json"})
FHIR_XML: Final = frozenset({"application/fhir+xml", "application/xml", "text/xml", "xml"})
MOST_RANGES: Final = 100  # no client sends as many: reading 16,000 takes 36 ms
_SPECIFICITY: Final = {"*/*": 1, "application/*": 2}
_EXACT: Final = 3
_OTHER_VERSION: Final = re.compile(r";\s*fhirversion\s*=\s*+\"?+(?!4\.0\b)", re.IGNORECASE)
_QUALITY: Final = re.compile(r";\s*q\s*=([^;]*)", re.IGNORECASE)
_FORMAT: Final = re.compile(rb"(?:^|&)_format=([^&]+)")


class Format(Enum):
    """A FHIR format; its value is the Content-Type of an answer in that format."""

    JSON = "application/fhir+json; charset=utf-8"
    XML = "application/fhir+xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Range:
    """One media type or range that a client accepts; `place` is its position in the list, from 0."""

    media_type: str
    quality: float
    place: int


def ranges(accept: str, wanted: str | None) -> tuple[Range, ...]:
    """List the media ranges a client accepts, best first: from `wanted` (`_format`), else Accept, else `*/*`.

    Only the first `MOST_RANGES` of Accept count.
    """
    given = accept.split(",", MOST_RANGES)[:MOST_RANGES] if accept.strip() else ["*/*"]
    named = [wanted.replace("fhir ", "fhir+")] if wanted else given
    taken = [
        Range(one.partition(";")[0].strip().lower(), _quality(one), place)
        for place, one in enumerate(named)
        if not _OTHER_VERSION.search(one)
    ]
    return tuple(sorted(taken, key=lambda one: (-one.quality, one.place)))


@lru_cache(maxsize=256)
def preferred(accept: str, wanted: str | None) -> Format | None:
    """Return the format a client prefers, JSON if both are equal; None if the client accepts neither."""
    taken = ranges(accept, wanted)
    offers = [(_rank(taken, FHIR_JSON), Format.JSON), (_rank(taken, FHIR_XML), Format.XML)]
    (quality, _), best = max(offers, key=lambda offer: offer[0])
    return best if quality > 0 else None


def asked(scope: Scope) -> Format:
    """Return the format for an answer to a possibly malformed request; JSON if the client accepts neither."""
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
    values = _FORMAT.findall(scope.get("query_string", b""))
    wanted = unquote(values[-1].decode("latin-1").replace("+", " ")) if values else None
    return preferred(accept, wanted) or Format.JSON


def in_format(body: bytes, form: Format, indented: bool = False) -> bytes:
    """Convert JSON bytes into a format, with line breaks if `indented`."""
    if form is Format.XML:
        return xml_of_json(body, indented=indented)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode() if indented else body


def _rank(taken: Iterable[Range], types: frozenset[str]) -> tuple[float, int]:
    """Rank a format: the quality in the most specific range that includes it, then how early that range stands."""
    ranked = [
        (specificity, one.quality, -one.place)
        for one in taken
        if (specificity := _EXACT if one.media_type in types else _SPECIFICITY.get(one.media_type, 0))
    ]
    _, quality, place = max(ranked, default=(0, 0.0, 0))
    return quality, place


def _quality(media_range: str) -> float:
    """Return the `q` weight of a media range; 1 if absent, 0 if it is no number between 0 and 1."""
    match = _QUALITY.search(media_range)
    try:
        weight = float(match[1]) if match else 1.0
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
