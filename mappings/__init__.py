"""Map AutoScribe's reports to FHIR R4 resources and HL7 v2 messages: the same input gives the same bytes.

Carries out no clause itself. Its three entry points are `decode`, `to_fhir` and `to_oru`. Each is imported on first use
(PEP 562): a command that only reads settings loads no mapping.
Proved by tests/mappings/test_doors.py.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mappings.fhir import to_fhir
    from mappings.hl7v2.oru_r01 import to_oru
    from mappings.study.autoscribe import decode

__all__ = ["decode", "to_fhir", "to_oru"]

_DOORS: Final = {"decode": "mappings.study.autoscribe", "to_fhir": "mappings.fhir", "to_oru": "mappings.hl7v2.oru_r01"}


def __getattr__(name: str) -> Any:
    if name not in _DOORS:
        raise AttributeError(name)
    return getattr(import_module(_DOORS[name]), name)
