"""Build the parts of FHIR resources as plain JSON (data types, narrative, categories, Bundle), and encode resources.

https://hl7.org/fhir/R4/datatypes.html, https://hl7.org/fhir/R4/references.html, https://hl7.org/fhir/R4/json.html
(UTF-8, no white space between tokens, elements in the order they were made), https://hl7.org/fhir/R4/narrative.html
(generated, escaped XHTML without scripts, images or links), HL7 table 0074; decisions D2, D23. US Core's category of
imaging orders is a SNOMED CT code, which needs a license to share.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import orjson

from mappings.codes import DATA_ABSENT_REASON_EXTENSION, LOINC, RADIOLOGY_CATEGORY, V2_0074, V2_0203
from mappings.values.text import normal_form

Json = dict[str, Any]
STRING_LIMIT: Final = 1024 * 1024
TEXT_PLAIN: Final = "text/plain; charset=utf-8"


def without_empty(element: Json) -> Json:
    """Remove empty values from the element and return it: nulls, empty strings, arrays and objects.

    `false` and 0 stay.
    """
    for key in [key for key, value in element.items() if not value and value is not False and value != 0]:
        del element[key]
    return element


def line(text: str | None) -> str | None:
    """Return a short text as FHIR string: N(text) without outer white space; None if it is blank."""
    if not text:
        return None
    return (text if text.isprintable() else normal_form(text)).strip() or None


def reference(resource_type: str, resource_id: str, display: str | None = None) -> Json:
    """Make a Reference to a resource of this gateway by its relative address."""
    made = {"reference": f"{resource_type}/{resource_id}"}
    if display:
        made["display"] = display
    return made


def coding(system: str, code: str, display: str | None = None) -> Json:
    """Make a Coding."""
    made = {"system": system, "code": code}
    if display:
        made["display"] = display
    return made


@cache
def _identifier_type(code: str) -> Json:
    return {"coding": [{"system": V2_0203, "code": code}]}


def identifier(
    system: str, value: str, type_code: str = "", assigner: str | None = None, *, is_old: bool = False
) -> Json:
    """Make an Identifier; `type_code` is of HL7 table 0203, `assigner` the display of its issuer."""
    made: Json = {"use": "old"} if is_old else {}
    if type_code:
        made["type"] = _identifier_type(type_code)
    made["system"] = system
    made["value"] = value
    if assigner:
        made["assigner"] = {"display": assigner}
    return made


def data_absent(reason: str) -> Json:
    """Make an element that gives only the reason for its missing value.

    https://hl7.org/fhir/R4/extension-data-absent-reason.html
    """
    return {"extension": [{"url": DATA_ABSENT_REASON_EXTENSION, "valueCode": reason}]}


def base64_of(data: bytes) -> str:
    """Encode bytes as base64Binary, without line breaks."""
    return base64.b64encode(data).decode("ascii")


def text_attachment(data: bytes, url: str, title: str, creation: str | None) -> Json:
    """Make the Attachment of a UTF-8 text: its bytes, the address of the same bytes, their number and SHA-1."""
    made: Json = {
        "contentType": TEXT_PLAIN,
        "data": base64_of(data),
        "url": url,
        "size": len(data),
        "hash": base64_of(hashlib.sha1(data, usedforsecurity=False).digest()),
        "title": title,
    }
    if creation:
        made["creation"] = creation
    return made


CRITICAL: Final = "CRITICAL RESULT"
"""First line of a critical report's narrative."""


def narrative(
    title: str, rows: Sequence[tuple[str, str | None]] = (), text: str | None = None, *, alert: str = ""
) -> dict[str, str]:
    """Build a Narrative: a title, one line for each row with a value, and a text with its line breaks kept.

    An `alert` stands above everything else; long lines of the text wrap. All strings must be N(text) already: XML
    cannot hold the characters that N removes.
    """
    div = '<div xmlns="http://www.w3.org/1999/xhtml">'
    for line in filter(None, (alert, title)):
        div += f"<p><b>{_escape(line)}</b></p>"
    if shown := "\n".join([f"{name}: {value}" for name, value in rows if value]) if rows else "":
        div += f"<p>{_escape(shown).replace(chr(10), '<br/>')}</p>"
    if text:
        div += f'<pre style="white-space: pre-wrap">{_escape(text)}</pre>'
    return {"status": "generated", "div": f"{div}</div>"}


def _escape(text: str) -> str:
    """Escape the characters with a meaning between tags; attributes, with their quotes, are never written."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


RADIOLOGY: Final[list[Json]] = [
    {"coding": [coding(LOINC, *RADIOLOGY_CATEGORY)]},
    {"coding": [coding(V2_0074, "RAD", "Radiology")]},
]


# Dataclasses, instants and subclasses are left to the standard library, which refuses the first two
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))


def json_bytes(resource: Json) -> bytes:
    """Encode FHIR JSON in UTF-8; the same resource gives the same bytes.

    Raises:
        TypeError: a value is no JSON.
        ValueError: a number is not finite, or a text has half a character.
    """
    try:
        made = orjson.dumps(resource, None, _STRICT)
    except TypeError:  # also of a number of more than 64 bits, and of JSON that is 254 levels deep
        return _by_the_standard_library(resource)
    # FHIR has nulls in few lists alone; orjson writes one for a number that is not finite
    return made if b"null" not in made else _by_the_standard_library(resource)


def _by_the_standard_library(resource: Json) -> bytes:
    return _ENCODER.encode(resource).encode()


def collection(resources: Iterable[Json], base_url: str) -> Json:
    """Build a `collection` Bundle; each `fullUrl` is the resource's address under the FHIR base `base_url`."""
    base = base_url.rstrip("/")
    entries = [
        {"fullUrl": f"{base}/{resource['resourceType']}/{resource['id']}", "resource": resource}
        for resource in resources
    ]
    bundle: Json = {"resourceType": "Bundle", "type": "collection"}
    if entries:
        bundle["entry"] = entries
    return bundle
