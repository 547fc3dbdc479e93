"""Encode a FHIR resource as the JSON bytes that are stored and served.

https://hl7.org/fhir/R4/json.html: UTF-8, no white space between tokens, elements in the order they were made.
"""

from __future__ import annotations

import json
from typing import Final

import orjson

from mappings.fhir.datatypes import Json

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
