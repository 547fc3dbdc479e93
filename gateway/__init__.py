"""The service: reads AutoScribe, serves FHIR, feeds HL7 v2.

Carries out no clause itself; `mappings` holds the standards.
"""
