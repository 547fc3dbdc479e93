"""JSON or XML: which of the two a client likes best, and an answer in it.

https://hl7.org/fhir/R4/http.html#mime-type, RFC 9110 §12.5.1: of the ranges that take in a type the most specific
counts. `_format` stands above Accept; a type of another FHIR version than 4.0 is none that is offered.
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
_SPECIFICITY: Final = {"*/*": 1, "application/*": 2}
_EXACT: Final = 3
_OTHER_VERSION: Final = re.compile(r";\s*fhirversion\s*=\s*+\"?+(?!4\.0\b)", re.IGNORECASE)
_QUALITY: Final = re.compile(r";\s*q\s*=([^;]*)", re.IGNORECASE)
_FORMAT: Final = re.compile(rb"(?:^|&)_format=([^&]+)")


class Format(Enum):
    """A format of FHIR, as the Content-Type of an answer in it."""

    JSON = "application/fhir+json; charset=utf-8"
    XML = "application/fhir+xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Range:
    """One media type or range that a client takes; `place` counts from 0 in the order it named them."""

    media_type: str
    quality: float
    place: int


def ranges(accept: str, wanted: str | None) -> tuple[Range, ...]:
    """What a client takes, best first: `_format` if it gave one, else its Accept header, else anything."""
    named = [wanted.replace("fhir ", "fhir+")] if wanted else accept.split(",") if accept.strip() else ["*/*"]
    taken = [
        Range(one.partition(";")[0].strip().lower(), _quality(one), place)
        for place, one in enumerate(named)
        if not _OTHER_VERSION.search(one)
    ]
    return tuple(sorted(taken, key=lambda one: (-one.quality, one.place)))


@lru_cache(maxsize=256)
def preferred(accept: str, wanted: str | None) -> Format | None:
    """The format that a client likes best, JSON where it likes both the same; None if it takes neither."""
    taken = ranges(accept, wanted)
    offers = [(_liking(taken, FHIR_JSON), Format.JSON), (_liking(taken, FHIR_XML), Format.XML)]
    (quality, _), best = max(offers, key=lambda offer: offer[0])
    return best if quality > 0 else None


def asked(scope: Scope) -> Format:
    """The format for an answer to a request that may be malformed; JSON for a client that takes neither."""
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept").decode("latin-1")
    found = _FORMAT.findall(scope.get("query_string", b""))
    wanted = unquote(found[-1].decode("latin-1").replace("+", " ")) if found else None
    return preferred(accept, wanted) or Format.JSON


def in_format(body: bytes, form: Format, *, indented: bool = False) -> bytes:
    """Ready JSON bytes in a format, with line breaks if `indented`."""
    if form is Format.XML:
        return xml_of_json(body, indented=indented)
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode() if indented else body


def _liking(taken: Iterable[Range], types: frozenset[str]) -> tuple[float, int]:
    """How well a client likes a format: the quality that the most specific range gives it, and how early it stands."""
    found = [
        (specificity, one.quality, -one.place)
        for one in taken
        if (specificity := _EXACT if one.media_type in types else _SPECIFICITY.get(one.media_type, 0))
    ]
    _, quality, place = max(found, default=(0, 0.0, 0))
    return quality, place


def _quality(media_range: str) -> float:
    """The weight of a range, 0 for one that is no number between 0 and 1."""
    found = _QUALITY.search(media_range)
    try:
        weight = float(found[1]) if found else 1.0
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0
