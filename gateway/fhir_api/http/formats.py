"""Choose JSON or XML by the client's preference, and render an answer in that format.

https://hl7.org/fhir/R4/http.html#mime-type, RFC 9110 §12.5.1: the most specific range that includes a type decides.
`_format` overrides Accept. A media type with another FHIR version than 4.0 is not offered.
https://hl7.org/fhir/R4/xml.html: elements in R4 order. Numbers and instants are copied as text, never parsed, so `2.50`
and `.120Z` stay as they are. The narrative is copied as XHTML in its own namespace, with its whitespace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Final
from urllib.parse import unquote

from lxml import etree  # type: ignore[import-untyped]
from starlette.types import Scope

from gateway.fhir_api.http.r4_elements import element
from mappings.fhir.datatypes import Json
from mappings.values.text import REPLACEMENT

FHIR: Final = "{http://hl7.org/fhir}"
_NAMESPACES: Final = {None: FHIR[1:-1]}
# https://www.w3.org/TR/xml/#charsets: the judge refuses these characters in narratives and strings
_NOT_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_PARSER: Final = etree.XMLParser(resolve_entities=False, no_network=True)


def xml_of_json(body: bytes, *, indented: bool = False) -> bytes:
    """Convert FHIR JSON to FHIR XML, both in UTF-8, with numbers as written."""
    return xml_bytes(json.loads(body, parse_float=str, parse_int=str), indented=indented)


def xml_bytes(resource: Json, *, indented: bool = False) -> bytes:
    """Render a resource as FHIR XML in UTF-8; `indented` adds line breaks, but none inside a narrative.

    A character that XML cannot hold becomes U+FFFD.

    Raises:
        LookupError: an element that R4 does not define, or a type that `r4_elements` does not list.
    """
    root = etree.Element(FHIR + resource["resourceType"], nsmap=_NAMESPACES)
    _fill(root, resource, resource["resourceType"])
    if indented:
        _indent(root, "\n")
    made: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return made


def _fill(parent: Any, value: Json, kind: str) -> None:
    """Append the elements of an object of type `kind`, in the order of the definition."""
    names = {key.removeprefix("_") for key in value if key != "resourceType"}
    for name in sorted(names, key=lambda one: element(kind, one).place):
        if (kind, name) == ("Extension", "url") or (name == "id" and "resourceType" not in value):
            parent.set(name, _text(value[name]))
        elif (kind, name) == ("Narrative", "div"):
            parent.append(etree.fromstring(_text(value[name]), _PARSER))
        else:
            for content, more in _repeats(value.get(name), value.get(f"_{name}")):
                _append(parent, name, element(kind, name).kind, content, more)


def _append(parent: Any, name: str, kind: str, content: Any, more: Json | None) -> None:
    """Append one element; `more` holds the id and extensions of a primitive."""
    child = etree.SubElement(parent, FHIR + name)
    if not isinstance(content, dict):
        if content is not None:
            child.set("value", _text(content))
        _fill(child, more or {}, kind)
    elif "resourceType" in content:
        inner = content["resourceType"]
        _fill(etree.SubElement(child, FHIR + inner), content, inner)
    else:
        _fill(child, content, kind)


def _repeats(content: Any, more: Any) -> Iterator[tuple[Any, Any]]:
    """Pair each repetition of an element with its JSON sibling `_name` (id and extensions)."""
    if isinstance(content, list) or isinstance(more, list):
        yield from zip_longest(content or (), more or ())
    else:
        yield content, more


def _text(value: str | float) -> str:
    """Write a primitive as XML text."""
    if isinstance(value, str):
        return value if value.isprintable() else _NOT_XML.sub(REPLACEMENT, value)
    return json.dumps(value)


def _indent(parent: Any, line: str) -> None:
    """Add line breaks between FHIR elements, which hold no text of their own."""
    children = [child for child in parent if child.tag.startswith(FHIR) and len(child)]
    for child in children:
        _indent(child, line + "  ")
    for child in parent:
        child.tail = line + "  "
    if len(parent):
        parent.text, parent[-1].tail = line + "  ", line


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
