"""Convert values that FHIR and HL7 v2 share: dates, texts, names, units, and codes of an examination.

Carries out no clause itself: each module names its own.
"""
