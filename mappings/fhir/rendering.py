"""Encode a FHIR resource as the JSON bytes that are stored and served.

https://hl7.org/fhir/R4/json.html: UTF-8, no white space between tokens, elements in the order they were made.
"""

from __future__ import annotations

import json
from typing import Final

import orjson

from mappings.fhir.datatypes import Json

# What is no JSON is refused, as the standard library does
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))


def json_bytes(resource: Json) -> bytes:
    """Encode FHIR JSON in UTF-8; the same resource gives the same bytes."""
    try:
        return orjson.dumps(resource, None, _STRICT)
    except TypeError:  # of more than 64 bits, 254 levels deep, or with halves of a character
        return _ENCODER.encode(resource).encode()
