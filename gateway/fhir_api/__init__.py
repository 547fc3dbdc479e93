"""FHIR REST API (facade): one file per interaction, answered from the stored index and from AutoScribe."""
