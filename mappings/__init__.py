"""Reports as AutoScribe says them, turned into FHIR R4 and HL7 v2: the same input gives the same bytes.

Carries out no clause itself: its three doors are `decode`, `to_fhir` and `to_oru`.
"""
