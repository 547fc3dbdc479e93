"""Convert a resource from FHIR JSON to FHIR XML: elements in R4 order, values unchanged.

https://hl7.org/fhir/R4/xml.html. Numbers and instants are copied as text, never parsed, so `2.50` and `.120Z` stay as
they are. The narrative is copied as XHTML in its own namespace, with its whitespace.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final

from lxml import etree  # type: ignore[import-untyped]

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
