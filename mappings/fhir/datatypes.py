"""The FHIR data types that our resources are made of, as plain JSON.

https://hl7.org/fhir/R4/datatypes.html, https://hl7.org/fhir/R4/references.html, decision D2.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any, Final

from mappings.codes import DATA_ABSENT_REASON_EXTENSION, EXTENSION, V2_0203
from mappings.text import normal_form

Json = dict[str, Any]
STRING_LIMIT: Final = 1024 * 1024
TEXT_PLAIN: Final = "text/plain; charset=utf-8"


def said(element: Json) -> Json:
    """The element itself, from which what is not said is taken out: nulls, empty strings, arrays and objects.

    `false` and 0 are said.
    """
    for key in [key for key, value in element.items() if not value and value is not False and value != 0]:
        del element[key]
    return element


def line(text: str | None) -> str | None:
    """A short text as FHIR string: N(text) without outer white space; None where nothing is said."""
    if not text:
        return None
    return (text if text.isprintable() else normal_form(text)).strip() or None


def reference(resource_type: str, resource_id: str, display: str | None = None) -> Json:
    """Reference to a resource of this gateway by its relative address."""
    made = {"reference": f"{resource_type}/{resource_id}"}
    if display:
        made["display"] = display
    return made


def coding(system: str, code: str, display: str | None = None) -> Json:
    """Coding."""
    made = {"system": system, "code": code}
    if display:
        made["display"] = display
    return made


@cache
def _identifier_type(code: str) -> Json:
    return {"coding": [{"system": V2_0203, "code": code}]}


def identifier(system: str, value: str, type_code: str = "", assigner: str | None = None) -> Json:
    """Identifier; `type_code` of HL7 table 0203, `assigner` the display of who gave it out."""
    made: Json = {"type": _identifier_type(type_code)} if type_code else {}
    made["system"] = system
    made["value"] = value
    if assigner:
        made["assigner"] = {"display": assigner}
    return made


def extension(name: str, kind: str, value: Any) -> Json:
    """An extension of our own for what R4 has no place for; `kind` is the type's name as in `valueString`."""
    return {"url": EXTENSION + name, f"value{kind}": value}


def data_absent(reason: str) -> Json:
    """An element that says only why it has no value (https://hl7.org/fhir/R4/extension-data-absent-reason.html)."""
    return {"extension": [{"url": DATA_ABSENT_REASON_EXTENSION, "valueCode": reason}]}


def base64_of(data: bytes) -> str:
    """Bytes as base64Binary, without line breaks."""
    return base64.b64encode(data).decode("ascii")


def text_attachment(data: bytes, url: str, title: str, creation: str | None) -> Json:
    """Attachment of a UTF-8 text: its bytes, the address that gives them too, their number and their SHA-1."""
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
