"""Make the computer-friendly names of definitions.

https://hl7.org/fhir/R4/structuredefinition.html#invs (sdf-0): the name is an identifier of a programming language.
Proved by tests/gateway/fhir_api/definitions/test_defined.py.
"""

from __future__ import annotations


def pascal(name: str) -> str:
    """Turn a hyphenated name into PascalCase, a valid identifier (opd-0, spd-0, sdf-0)."""
    return "".join(part[0].upper() + part[1:] for part in name.split("-"))
