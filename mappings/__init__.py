"""Reports as AutoScribe says them, turned into FHIR R4 and HL7 v2: the same input gives the same bytes.

Carries out no clause itself: its three doors are `decode`, `to_fhir` and `to_oru`.
"""

from mappings.autoscribe import decode
from mappings.fhir import to_fhir
from mappings.hl7v2 import to_oru

__all__ = ["decode", "to_fhir", "to_oru"]
