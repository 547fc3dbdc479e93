"""Read orders, visits and merges in a hospital's messages; `read_hospital_message` is the entry point.

HL7 v2.5.1 chapters 2, 3 and 4; decision D48.
"""

from mappings.hl7v2.inbound.message import kept_bytes, read_hospital_message
from mappings.hl7v2.inbound.source import (
    MERGE_TYPES,
    ORDER_TYPES,
    READABLE,
    VISIT_TYPES,
    AccessionField,
    FacilityNumbers,
    KeyKind,
    SourceRules,
)

__all__ = [
    "MERGE_TYPES",
    "ORDER_TYPES",
    "READABLE",
    "VISIT_TYPES",
    "AccessionField",
    "FacilityNumbers",
    "KeyKind",
    "SourceRules",
    "kept_bytes",
    "read_hospital_message",
]
