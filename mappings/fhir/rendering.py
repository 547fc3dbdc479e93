"""Encode a FHIR resource as the JSON bytes that are stored and served.

https://hl7.org/fhir/R4/json.html: UTF-8, no white space between tokens, elements in the order they were made.
Proved by tests/mappings/fhir/test_bundle.py.
"""

from __future__ import annotations

import json
from typing import Final

from mappings.fhir.datatypes import Json

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":"))


def json_bytes(resource: Json) -> bytes:
    """Encode FHIR JSON in UTF-8; the same resource gives the same bytes."""
    return _ENCODER.encode(resource).encode()
