"""Build the FHIR data types of our resources (Reference, Coding, Identifier, …) as plain JSON.

https://hl7.org/fhir/R4/datatypes.html, https://hl7.org/fhir/R4/references.html, decision D2.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any, Final

from mappings.codes import DATA_ABSENT_REASON_EXTENSION, V2_0203
from mappings.values.text import normal_form

Json = dict[str, Any]
STRING_LIMIT: Final = 1024 * 1024
TEXT_PLAIN: Final = "text/plain; charset=utf-8"


def said(element: Json) -> Json:
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
